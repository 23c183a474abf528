#!/bin/bash
# A folder sees only what stands to the left of it: for every library and every header of the project, whether the header can be included
# is exactly what layers.txt says. And a source that includes what it may not really fails to compile.
#
# usage: layers.sh SOURCE_DIR COMPILER VIEWS TABLE
set -euo pipefail
source_dir=$1 compiler=$2 views=$3 table=$4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

declare -A folder may
while read -r name path seen; do
  case $name in '' | '#'*) continue ;; esac
  folder[$name]=$path
  may[$name]=" ${seen#-} $name "
done <"$table"

# Every header as it is included, with its library: "base/time.h base".
headers=$work/headers
for name in "${!folder[@]}"; do
  path=$source_dir/src/${folder[$name]}
  case $name in hal) path=$source_dir/hal/include/hal ;; hal_*) path=$source_dir/${folder[$name]} ;; esac
  for header in "$path"/*.h; do
    [ ! -e "$header" ] || printf '%s/%s %s\n' "${folder[$name]}" "${header##*/}" "$name"
  done
done >"$headers"

failed=0
fail() { echo "layers: $*"; failed=1; }
# The project's own directories of a view; those of the system may hold a folder of the same name (a nodejs that is installed has node/).
flags() { tr ';' '\n' <<<"$1" | sed -n 's/^.*\/include\/[a-z_]*$/-I&/p'; }

known=0
while read -r name directories; do
  [ -n "$name" ] || continue
  if [ -z "${folder[$name]:-}" ]; then fail "library $name is not in layers.txt: say what it may include"; continue; fi
  known=$((known + 1))
  while read -r header owner; do
    case ${may[$name]} in *" $owner "*) want=1 ;; *) want=0 ;; esac
    printf '#if __has_include("%s") != %s\n#error "%s: %s visible=%s"\n#endif\n' "$header" "$want" "$name" "$header" "$((1 - want))"
  done <"$headers" >"$work/$name.cpp"
  mapfile -t include < <(flags "$directories")
  "$compiler" -std=c++20 -nostdinc -fsyntax-only "${include[@]}" "$work/$name.cpp" 2>"$work/errors" ||
    fail "$(grep -o '[a-z_]*: [a-z_/.0-9]* visible=.' "$work/errors" | sort -u | head -n 5 | sed 's/visible=1/can be included, but may not be/; s/visible=0/can not be included, but should be/')"
done <"$views"
# The one library that is not always built: without libpq it is left out.
grep -q '^store_postgres ' "$views" || known=$((known + 1))
[ "$known" = "${#folder[@]}" ] || fail "layers.txt names ${#folder[@]} libraries, the build has $known of them"

# A real source of the lowest layer that reaches upward, and the same source one layer further right.
view_of() { awk -v name="$1" '$1 == name {print $2}' "$views"; }
printf '#include "base/time.h"\n#include "store/store.h"\nint main() {}\n' >"$work/upward.cpp"
mapfile -t include < <(flags "$(view_of base)")
if "$compiler" -std=c++20 -fsyntax-only "${include[@]}" "$work/upward.cpp" 2>/dev/null; then fail "a source of base/ that includes store/store.h compiles"; fi
mapfile -t include < <(flags "$(view_of store)")
"$compiler" -std=c++20 -fsyntax-only "${include[@]}" "$work/upward.cpp" || fail "a source of store/ that includes base/ and store/ does not compile"
[ "$failed" = 0 ] && echo "layers: $known libraries, $(wc -l <"$headers") headers, as layers.txt says"
exit "$failed"
