#!/bin/bash
# Every shell script of the tree: clean under shellcheck, and those of a router's root file system readable by busybox's ash. The init
# script is run against a stand-in for procd, to see what it would start.
#
# usage: scripts.sh SOURCE_DIR
set -euo pipefail
cd "$1"
failed=0
fail() { echo "scripts: $*"; failed=1; }

mapfile -t scripts < <(find toolchains tests rootfs .ci -type f \( -name '*.sh' -o -path '*/init.d/*' -o -name dev -o -name run \))
[ ${#scripts[@]} -gt 3 ] || fail "only ${#scripts[@]} scripts found"
if command -v shellcheck >/dev/null; then
  shellcheck "${scripts[@]}" || fail "shellcheck complains"
else
  echo "scripts: shellcheck is not installed, its part is skipped"
fi

if command -v busybox >/dev/null; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  for script in rootfs/etc/init.d/*; do busybox ash -n "$script" || fail "$script is not for ash"; done
  # start DATA: what the init script hands to procd when node.data is DATA.
  start() {
    cat >"$work/procd" <<'TEXT'
config_load() { :; }
config_get() { [ "$2.$3" = node.data ] && eval "$1=\$DATA"; }
procd_open_instance() { :; }
procd_close_instance() { echo closed; }
procd_set_param() { echo "$*"; }
logger() { echo "log: $*"; }
TEXT
    DATA=$1 busybox ash -c ". '$work/procd'; . rootfs/etc/init.d/millet; start_service" 2>&1
  }
  mkdir "$work/disk"
  out=$(start "$work/disk/") || fail "the init script does not start with a payload folder"
  grep -qx "command /usr/bin/milletd --config /etc/config/millet --state $work/disk/.millet" <<<"$out" || fail "the init script starts something else: $out"
  grep -qx closed <<<"$out" || fail "the init script leaves its procd instance open: $out"
  if out=$(start ""); then fail "the init script starts without a payload folder: $out"; fi
  grep -q 'log:.*millet.node.data' <<<"$out" || fail "without a payload folder the init script does not say what to set: $out"
  if out=$(start "$work/absent"); then fail "the init script starts without its disk: $out"; fi
  grep -q "log:.*$work/absent is not there" <<<"$out" || fail "without its disk the init script does not name it: $out"
else
  echo "scripts: busybox is not installed, its part is skipped"
fi
[ "$failed" = 0 ] && echo "scripts: ${#scripts[@]} scripts"
exit "$failed"
