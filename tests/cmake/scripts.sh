#!/bin/bash
# Every shell script of the tree: clean under shellcheck, and those of a router's root file system readable by busybox's ash (what they do is
# tested in tests/packaging/rootfs.py).
#
# usage: scripts.sh SOURCE_DIR
set -euo pipefail
cd "$1"
failed=0
fail() { echo "scripts: $*"; failed=1; }

mapfile -t scripts < <(find toolchains tests rootfs .ci -type f \( -name '*.sh' -o -path '*/init.d/*' -o -path '*/hotplug.d/*' -o -path '*/uci-defaults/*' \
  -o -path 'tests/boot/guest/*' -o -path 'toolchains/debian/*inst' -o -path 'toolchains/debian/*rm' -o -path toolchains/debian/build -o -name dev -o -name run -o -name sysroot \))
[ ${#scripts[@]} -gt 3 ] || fail "only ${#scripts[@]} scripts found"
if command -v shellcheck >/dev/null; then
  shellcheck "${scripts[@]}" || fail "shellcheck complains"
else
  echo "scripts: shellcheck is not installed, its part is skipped"
fi

if command -v busybox >/dev/null; then
  for script in "${scripts[@]}"; do
    case $script in rootfs/* | tests/packaging/procd.sh) busybox ash -n "$script" || fail "$script is not for ash" ;; esac
  done
else
  echo "scripts: busybox is not installed, its part is skipped"
fi
[ "$failed" = 0 ] && echo "scripts: ${#scripts[@]} scripts"
exit "$failed"
