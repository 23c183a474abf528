#!/bin/bash
# What a reader may rely on in this tree: its top level, the size of its files, and what never appears in it.
#
# usage: tidy.sh SOURCE_DIR
set -euo pipefail
export LC_ALL=C
cd "$1"
failed=0
# report "rule" LINES: fails with the lines if there are any.
report() {
  [ -n "$2" ] || return 0
  printf 'tidy: %s\n%s\n' "$1" "$(head -n 10 <<<"$2")"
  failed=1
}

# Outside a git checkout (a release's archive) everything that is there counts as tracked, but the build.
if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
  mapfile -t files < <(git -c core.quotePath=off ls-files)
else
  mapfile -t files < <(find . -type f -not -path './build/*' -not -path './.git/*' -printf '%P\n' | sort)
fi
present=()
for file in "${files[@]}"; do [ ! -f "$file" ] || present+=("$file"); done
code=() text=()
for file in "${present[@]}"; do
  case $file in src/*.h | src/*.cpp | hal/*.h | hal/*.cpp) code+=("$file") ;; esac
  case $file in *.h | *.cpp | *.py | *.sh | *.txt | *.cmake | *.md | */dev | */run) text+=("$file") ;; esac
done

top=$(printf '%s\n' "${present[@]}" | cut -d/ -f1 | sort -u | grep -v '^\.' |
  grep -vxE 'CMakeLists\.txt|CMakePresets\.json|README\.md|LICENSE|toolchains|src|hal|config|tests|rootfs' || true)
report "not part of the tracked top level" "$top"

# Tests are lists of cases: they may be longer.
report "a file of more than 600 lines (of tests 800) is two" "$(wc -l -- "${text[@]}" |
  awk '$2 != "total" && $1 > ($2 ~ /^tests\// ? 800 : 600) {print $2 ": " $1 " lines"}')"

# grep_code REGEX, grep_all REGEX: matching lines as file:line:text, without comments in code.
grep_code() { grep -nE -- "$1" "${code[@]}" | grep -vE '^[^:]*:[0-9]+: *//' || true; }
report "a header that a router has no room for" "$(grep_code '#include <(iostream|istream|ostream|sstream|fstream|iomanip|locale|codecvt|regex|functional|thread|future|any)>')"
report "std::function and shared_ptr: see the style" "$(grep_code 'std::function|shared_ptr|make_shared')"
report "no exceptions and no RTTI" "$(grep_code '\b(throw|dynamic_cast|typeid)\b[^:]|\btry *\{|\bcatch *\(')"
report "no floating point: the same result on every machine, and money is never rounded" "$(grep_code '(^|[^a-z_"])(float|double)[ >&*)]')"
report "an include goes by its path from the layer's root" "$(grep_code '#include "(\.\./|[^/"]*")')"
report "work that is marked as not done" "$(grep -nwE 'TOD[O]|FIXM[E]|XX[X]|HAC[K]' -- "${present[@]}" | grep -v '^LICENSE' || true)"
report "a path or a name of one machine" "$(grep -nIE '/(wor[k]|farm|roo[t]|home/[a-z]+)/|bash_job[s]|\.\./share[d]|issue [0-9]' -- "${present[@]}" | grep -vE '^LICENSE' || true)"
report "a shell script that is not executable or has no first line" "$(for file in "${present[@]}"; do
  case $file in *.sh | toolchains/dev | .ci/run) { [ -x "$file" ] && head -n 1 "$file" | grep -q '^#!'; } || echo "$file" ;; esac
done)"
report "tests/README.md names a test that is not there" "$(tr -cs 'a-z0-9_' '\n' <tests/README.md | grep -xE '[a-z0-9]+(_[a-z0-9]+){2,}' | sort -u |
  while read -r name; do grep -rqw -- "$name" tests/unit tests/sim tests/interop tests/packaging || [ -f "tests/unit/$name.cpp" ] || echo "$name"; done)"
[ "$failed" = 0 ] && echo "tidy: ${#present[@]} files"
exit "$failed"
