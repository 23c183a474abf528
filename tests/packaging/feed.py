"""The OpenWrt feed without an SDK: its Makefiles are evaluated with stand-ins for OpenWrt's, its install rules run, and both are compared with
the tree and with what the build links.

usage: feed.py BUILD_DIR SOURCE_DIR
"""
import os
import pathlib
import re
import shutil
import stat
import subprocess
import sys
import tempfile

STUB = pathlib.Path(__file__).with_name("openwrt_stub.mk")
# What a shared library is called in OpenWrt's package lists; libstdc++ and libgcc are linked statically there, the rest is its libc.
PACKAGES = {"libuv.so": "libuv", "libmbedtls.so": "libmbedtls", "libmbedcrypto.so": "libmbedtls", "libmbedx509.so": "libmbedtls", "libsodium.so": "libsodium",
            "liblmdb.so": "lmdb", "libjansson.so": "jansson"}
OF_THE_TOOLCHAIN = ("libc.so", "libm.so", "libpthread.so", "libgcc_s.so", "libstdc++.so", "libasan.so", "libubsan.so", "ld-")


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


class Feed:
    def __init__(self, work, build, source):
        self.work, self.build, self.source = pathlib.Path(work), pathlib.Path(build), pathlib.Path(source)
        self.feed = self.source / "toolchains/openwrt"
        for name in ("rules.mk", "include/package.mk", "include/cmake.mk", "include/package-seccomp.mk", "feeds/luci/luci.mk"):
            path = self.work / "top" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"include {STUB}\n")

    def make(self, package, *words):
        # Everything that is not declared is an error: a misspelled variable is empty otherwise.
        done = subprocess.run(["make", "--no-print-directory", "--warn-undefined-variables", "-C", self.feed / package, f"TOPDIR={self.work / 'top'}",
                               f"INCLUDE_DIR={self.work / 'top/include'}", f"WORK={self.work}", *words], capture_output=True, text=True, check=False)
        expect(done.returncode == 0, f"make {' '.join(words)}: {done.stdout}{done.stderr}")
        expected = ("CONFIG_", "TARGET_LDFLAGS", "CMAKE_OPTIONS", "LUCI_", "TITLE", "DEPENDS", "PKG_", "Build/Prepare", "Package/")
        unknown = [line for line in re.findall(r"undefined variable '([^']*)'", done.stderr) if not line.startswith(expected)]
        expect(not unknown, f"{package}: undefined: {unknown}")
        return done.stdout

    def install(self, package, *words):
        root = self.work / f"root-{package}"
        shutil.rmtree(root, ignore_errors=True)
        self.make("millet", f"install-{package}", *words)
        return {str(path.relative_to(root)): path for path in root.rglob("*") if not path.is_dir() or path.is_symlink()}


def prepared(feed):
    for folder in ("build", "install"):
        shutil.rmtree(feed.work / folder, ignore_errors=True)
    feed.make("millet", "prepare")
    programs = feed.work / "install/usr/bin"
    programs.mkdir(parents=True)
    for program in ("milletd", "millet", "millet-ledgerd"):
        shutil.copy(feed.build / program, programs / program)


def linked(program):
    text = subprocess.run(["readelf", "-d", program], capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"\(NEEDED\).*\[(.*)\]", text))


def depends_are_what_the_build_links(feed):
    packages = dict(re.findall(r"^PACKAGE (\S+) title=.* depends=(.*)$", feed.make("millet", "show"), re.MULTILINE))
    for package, programs in (("millet", ("milletd", "millet")), ("millet-ledgerd", ("millet-ledgerd",))):
        said = set(packages[package].split())
        expect(all(name.startswith("+") for name in said), f"{package} is hidden where a library is not selected: {said}")
        needed = set()
        for program in programs:
            for library in linked(feed.build / program):
                if library.startswith("libpq"):
                    expect(program == "millet-ledgerd", f"{program} needs libpq")
                    continue  # -DMILLET_POSTGRES=OFF
                if library.startswith(OF_THE_TOOLCHAIN):
                    continue
                name = next((PACKAGES[known] for known in PACKAGES if library.startswith(known)), None)
                expect(name is not None, f"{program} links {library}, and nobody has said which package of OpenWrt has it")
                needed.add(f"+{name}")
        expect(said == needed, f"{package} depends on {said}, and links {needed}")


def every_file_of_rootfs_is_installed(feed):
    prepared(feed)
    rootfs = feed.source / "rootfs"
    wanted = {str(path.relative_to(rootfs)) for path in rootfs.rglob("*") if path.is_file()}
    files = feed.install("millet")
    expect(set(files) == wanted | {"usr/bin/milletd", "usr/bin/millet"}, f"other files: {set(files) ^ wanted}")
    for name, path in files.items():
        mode = stat.S_IMODE(path.stat().st_mode)
        runs = name.startswith(("usr/bin/", "etc/init.d/", "etc/uci-defaults/"))
        expect(mode == (0o755 if runs else 0o600 if name == "etc/config/millet" else 0o644), f"{name}: mode {mode:o}")
        if name in wanted:
            expect(path.read_bytes() == (rootfs / name).read_bytes(), f"{name} is another")
    expect(set(feed.install("millet-ledgerd")) == {"usr/bin/millet-ledgerd"}, "millet-ledgerd has other files")


def one_program_is_a_link(feed):
    prepared(feed)
    files = feed.install("millet", "CONFIG_MILLET_MULTICALL=y")
    expect(os.readlink(files["usr/bin/millet"]) == "milletd", "millet is no link")
    expect("-DMILLET_MULTICALL=ON" in feed.make("millet", "show", "CONFIG_MILLET_MULTICALL=y"), "the build is another")
    expect("-DMILLET_MULTICALL=OFF" in feed.make("millet", "show"), "the build is another")


def the_sources_are_whole(feed):
    prepared(feed)
    done = subprocess.run(["cmake", "-S", feed.work / "build", "-B", feed.work / "configured", "-G", "Ninja", "-DMILLET_TESTS=OFF", "-DMILLET_POSTGRES=OFF"],
                          capture_output=True, text=True, check=False)
    expect(done.returncode == 0, f"what Build/Prepare copies can't be configured: {done.stderr[-1000:]}")


def the_version_is_the_programs(feed):
    said = re.search(r"^PKG_VERSION (.*)$", feed.make("millet", "show"), re.MULTILINE)[1]
    for program in ("milletd", "millet", "millet-ledgerd"):
        shown = subprocess.run([feed.build / program, "--version"], capture_output=True, text=True, check=True).stdout
        expect(shown.strip() == f"{program} {said}", f"{program} is {shown.strip()}, the package {said}")


def conffiles_survive_an_upgrade(feed):
    said = re.search(r"^CONFFILES millet (.*)$", feed.make("millet", "show"), re.MULTILINE)[1].split()
    kept = (feed.source / "rootfs/lib/upgrade/keep.d/millet").read_text().split()
    expect(said == kept, f"conffiles {said}, keep.d {kept}")


def switches_are_declared(feed):
    declared = set(re.findall(r"^config (\w+)$", (feed.feed / "millet/Config.in").read_text(), re.MULTILINE))
    used = set(re.findall(r"CONFIG_(MILLET_\w+)", (feed.feed / "millet/Makefile").read_text()))
    options = set(re.findall(r"^option\((MILLET_\w+)", (feed.source / "CMakeLists.txt").read_text(), re.MULTILINE))
    expect(declared == used, f"declared {declared}, used {used}")
    expect(declared <= options, f"no options of CMake: {declared - options}")


def byte_costs_are_the_builds(feed):
    cache = (feed.build / "CMakeCache.txt").read_text()
    if "CMAKE_BUILD_TYPE:STRING=Release" not in cache or "x86_64" not in os.uname().machine or "clang" in cache.split("CMAKE_CXX_COMPILER:")[1].split("\n")[0]:
        return
    text = (feed.feed / "millet/Config.in").read_text()
    one, *two = map(int, re.search(r"Yes: (\d+) KiB. No: (\d+) KiB for milletd and (\d+) KiB for millet", text).groups())
    for program, said in zip(("milletd", "millet"), two):
        stripped = feed.work / "stripped"
        subprocess.run(["strip", "-o", stripped, feed.build / program], check=True)
        size = stripped.stat().st_size / 1024
        expect(abs(size - said) < said / 10, f"{program} has {size:.0f} KiB, Config.in says {said}")
    expect(max(two) < one < sum(two), "one program saves nothing")


def luci_app_is_evaluated(feed):
    shown = feed.make("luci-app-millet", "show")
    expect(re.search(r"^LUCI .+: \+luci-base \+millet$", shown, re.MULTILINE), shown)


CASES = (depends_are_what_the_build_links, every_file_of_rootfs_is_installed, one_program_is_a_link, the_sources_are_whole, the_version_is_the_programs,
         conffiles_survive_an_upgrade, switches_are_declared, byte_costs_are_the_builds, luci_app_is_evaluated)


def main():
    if shutil.which("make") is None:
        print("skipped: make is not installed")
        return 77
    failed = 0
    with tempfile.TemporaryDirectory(prefix="millet-feed-") as work:
        feed = Feed(work, *sys.argv[1:3])
        for case in CASES:
            try:
                case(feed)
            except AssertionError as reason:
                print(f"{case.__name__}: {reason}")
                failed += 1
    print(f"feed: {len(CASES) - failed} of {len(CASES)} cases")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
