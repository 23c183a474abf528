#!/bin/bash
# shellcheck shell=bash disable=SC2154 # packages_build is dev's
# What ./toolchains/dev does for routers: programs and unit tests for other processors, boards that boot, what moves between machines. It brings
# say, die, run, install_missing, build_preset and packages_build.

packages_cross=(clang-16 cmake dpkg-dev lld-16 llvm-16 make ninja-build patch patchutils python3 qemu-user-static xz-utils)  # and the GCC of each target
packages_boot=("${packages_build[@]}" apt aria2 dosfstools dpkg e2fsprogs f2fs-tools mtd-utils mtools python3 qemu-system-arm qemu-system-mips squashfs-tools util-linux)
packages_instructions=("${packages_build[@]}" gcc python3 qemu-user util-linux)

# cross_build TARGET MBEDTLS [PROGRAM...]: sysroot, programs and unit tests (or these programs) in build/cross/TARGET. MBEDTLS: 2.28, or 3.6
# for its tests of TLS.
cross_build() {
  local target=$1 mbedtls=$2 out=build/cross/$1 build variant=() options=()
  shift 2
  build=$(cross_folder "$mbedtls")
  if [ "$mbedtls" != 2.28 ]; then
    variant=("mbedtls-$mbedtls")
    options=(-DMILLET_SYSROOT="$PWD/$out/sysroot-mbedtls-$mbedtls" -DMILLET_UNIT_TESTS="tls|sha1|ledger_link")
  fi
  toolchains/cross/sysroot "$target" "$out" "${variant[@]}" || exit $?
  run "configuring $target" "$out/$build.configure.log" cmake --preset small --toolchain "toolchains/$target.cmake" -B "$out/$build" "${options[@]}"
  run "building $target" "$out/$build.log" cmake --build "$out/$build" -j "$(nproc)" ${1:+--target "$@"}
}
cross_folder() { if [ "$1" = 2.28 ]; then echo build; else echo "build-mbedtls-$1"; fi; }

# cross_test TARGET MBEDTLS [CTEST OPTION...]: 0 if every unit test passed.
cross_test() {
  local target=$1 out=build/cross/$1 build failed=0
  build=$(cross_folder "$2")
  shift 2
  say "testing $target"
  ctest --test-dir "$out/$build" --output-on-failure --no-tests=error -j "$(nproc)" "$@" </dev/null >"$out/$build.ctest.log" 2>&1 || failed=1
  if [ "$failed" = 0 ]; then sed -n '/% tests passed/,$p' "$out/$build.ctest.log"; else cat "$out/$build.ctest.log" >&2; fi
  return "$failed"
}

# A table of the programs' sizes, those that were built. Fails if one is over its budget (toolchains/cross/budgets).
cross_sizes() {
  local target program size budget failed=0
  printf '%-22s %-16s %10s %10s\n' target program bytes budget
  for target in "$@"; do
    for program in milletd millet-ledgerd; do
      [ -e "build/cross/$target/build/$program" ] || continue
      "$(cross_setting "$target" GNU)-strip" -o "build/cross/$target/$program" "build/cross/$target/build/$program"
      size=$(stat -c %s "build/cross/$target/$program")
      budget=''
      [ "$program" != milletd ] || budget=$(awk -v target="$target" '$1 == target { print $2 }' toolchains/cross/budgets)
      printf '%-22s %-16s %10d %10s\n' "$target" "$program" "$size" "$budget"
      [ -z "$budget" ] || [ "$size" -le "$budget" ] || failed=1
    done
  done
  return "$failed"
}

# What the toolchain file of a target says (cross/musl.cmake).
cross_setting() { cmake -P "toolchains/$1.cmake" | sed -n "s/^$2 //p"; }

cross_targets() { (cd toolchains && printf '%s\n' *.cmake) | sed 's/\.cmake$//'; }

# cross_all MBEDTLS TARGETS... -- CTEST OPTION...
cross_all() {
  local mbedtls=$1 targets=() target unpassed=()
  shift
  while [ "$1" != -- ]; do
    targets+=("$1")
    shift
  done
  shift
  for target in "${targets[@]}"; do
    cross_build "$target" "$mbedtls"
    cross_test "$target" "$mbedtls" "$@" || unpassed+=("$target")
  done
  if [ "$mbedtls" = 2.28 ]; then
    cross_sizes "${targets[@]}" || die "milletd is larger than its budget" "look for what grew: llvm-nm-16 --size-sort --print-size build/cross/TARGET/build/milletd"
  fi
  [ ${#unpassed[@]} = 0 ] || die "tests failed for ${unpassed[*]}" "each test's output is above"
}

# GCC of a target brings the kernel headers that its sysroot takes, too.
install_for_targets() {
  local target name compilers=()
  install_missing "${packages_cross[@]}"
  for target in "$@"; do
    name=$(cross_setting "$target" GNU)
    compilers+=("g++-12-${name/_/-}")
  done
  install_missing "${compilers[@]/g++-12-x86-64-linux-gnu/g++-12}"
}

command_cross() {
  case ${1:-} in
    "" | -h | --help)
      cat <<TEXT
usage: ./toolchains/dev cross TARGET|all [--mbedtls 3.6] [CTEST OPTION...]

Makes the sysroot of a target once (musl, libc++ and the libraries from Debian's source packages), builds the static programs and the unit
tests with it, runs these under qemu with the target's processor, and prints the programs' sizes beside their budgets. milletd is the
command millet, too, if it is called by that name (a link). The programs are in build/cross/TARGET. With --mbedtls 3.6 that takes the place
of mbedTLS 2.28, and the tests of TLS are run; no sizes then. Targets:

$(cross_targets | sed 's/^/  /')
TEXT
      return ;;
  esac
  local targets=("$1") target mbedtls=2.28
  shift
  if [ "${1:-}" = --mbedtls ]; then
    mbedtls=${2:-}
    [ "$mbedtls" = 2.28 ] || [ "$mbedtls" = 3.6 ] || die "there is no mbedTLS '$mbedtls'" "use 2.28 or 3.6"
    shift 2
  fi
  [ "${targets[0]}" != all ] || mapfile -t targets < <(cross_targets)
  for target in "${targets[@]}"; do
    [ -e "toolchains/$target.cmake" ] || die "there is no target $target" "./toolchains/dev cross --help lists them"
  done
  install_for_targets "${targets[@]}"
  cross_all "$mbedtls" "${targets[@]}" -- "$@"
}

command_boot() {
  case ${1:-} in
    -h | --help)
      cat <<'TEXT'
usage: ./toolchains/dev boot [arm|mips]... [--soak SECONDS] [--size MIB] [--state-on ext4|f2fs|ubifs]
       [--payload-on ext4|vfat] [--keep]

Boots what `dev cross` built for arm-cortex-a7-musl and mipsel-24kc-musl (both, unless one is named) in qemu: Debian's kernel, 64 MB of memory,
squashfs with rootfs/ under a flash overlay, the node under its init script. It seeds 64 MiB to aria2c and to a milletd that pays, its power is
cut in the middle, it boots again and settles every channel. Prints the seconds from boot to serving and the memory used and left. With
--soak it then serves 20 peers for so long and must not grow (3600 is the long form); --state-on gives the state a disk
(or flash) of its own, --payload-on chooses the file system of the payload's.
TEXT
      return ;;
  esac
  local boards=() options=()
  while [ $# -gt 0 ]; do
    case $1 in
      arm | mips) boards+=(--board "$1") ;;
      *) options+=("$1") ;;
    esac
    shift
  done
  install_missing "${packages_boot[@]}"
  build_preset release milletd millet millet-ledgerd leech
  exec /usr/bin/python3 -B tests/boot/boot.py --bin build/release --cross build/cross "${boards[@]}" "${options[@]}"
}

command_instructions() {
  case ${1:-} in
    -h | --help)
      cat <<'TEXT'
usage: ./toolchains/dev instructions [--size MIB]

Counts the instructions that milletd of `dev cross mips-24kc-musl` executes under qemu, exactly: for each MiB that it seeds, and for each piece that
it is paid for (a payment checked, counted and acknowledged). Half a minute. Fails if one has grown by ten per cent (tests/emulated/reached).
TEXT
      return ;;
  esac
  install_missing "${packages_instructions[@]}"
  build_preset release milletd millet millet-ledgerd leech
  exec /usr/bin/python3 -B tests/emulated/instructions.py --bin build/release --program build/cross/mips-24kc-musl/build/milletd "$@"
}

# What every run of all tests builds for routers: unit tests for big endian without FPU and for the other kind of router; and the program of
# the MIPS board that qemu boots, for which Debian has a little-endian kernel only.
routers_tested=(mips-24kc-musl arm-cortex-a7-musl)
router_booted=mipsel-24kc-musl

install_for_routers() {
  install_for_targets "${routers_tested[@]}" "$router_booted"
  install_missing "${packages_boot[@]}" "${packages_instructions[@]}"
}

# Tests mostly wait: meanwhile programs for routers are built with what time is left, as a process group of their own.
start_routers() {
  mkdir -p build/cross
  set -m
  (
    for target in "${routers_tested[@]}"; do cross_build "$target" 2.28; done
    cross_build "$router_booted" 2.28 milletd
  ) </dev/null >build/cross/test.log 2>&1 &
  routers=$!
  set +m
  renice -n 19 -g "$routers" >/dev/null
  trap 'kill -- -"$routers" 2>/dev/null' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
}

# Waits for them, runs their unit tests, boots boards, and runs them beside this machine's. 0 if all passed and no program is too large, or if there was
# nothing to build them from.
test_routers() {
  local target board boots=() status=0 failed=0
  say "waiting for the programs of routers"
  renice -n 0 -g "$routers" >/dev/null 2>&1 || true  # only root may
  wait "$routers" || status=$?
  trap - EXIT
  if [ "$status" = 3 ]; then
    say "NOT TESTED: ${routers_tested[*]}: the mirror has no source packages (build/cross/test.log)"
    return 0
  fi
  [ "$status" = 0 ] || { tail -n 40 build/cross/test.log >&2; return 1; }
  cross_sizes "${routers_tested[@]}" "$router_booted" || failed=1
  for board in arm mips; do
    /usr/bin/python3 -B tests/boot/boot.py --bin build/release --cross build/cross --board "$board" </dev/null >"build/cross/boot-$board.log" 2>&1 &
    boots+=($!)
  done
  trap 'kill "${boots[@]}" 2>/dev/null' EXIT
  for target in "${routers_tested[@]}"; do cross_test "$target" 2.28 || failed=1; done
  for board in arm mips; do
    status=0
    wait "${boots[0]}" || status=$?
    boots=("${boots[@]:1}")
    [ ${#boots[@]} -gt 0 ] || trap - EXIT
    say "booting the $board board"
    case $status in
      0) tail -n 1 "build/cross/boot-$board.log" ;;
      77) say "NOT TESTED: $(tail -n 1 "build/cross/boot-$board.log")" ;;
      *) cat "build/cross/boot-$board.log" >&2; failed=1 ;;
    esac
  done
  say "counting instructions, moving a state"
  /usr/bin/python3 -B tests/emulated/instructions.py --bin build/release --program build/cross/mips-24kc-musl/build/milletd || failed=1
  /usr/bin/python3 -B tests/emulated/state_moves.py --bin build/release --program build/cross/mips-24kc-musl/build/milletd || failed=1
  return "$failed"
}
