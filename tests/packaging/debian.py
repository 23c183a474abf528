"""The Debian package of a build, and the systemd unit in it.

usage: debian.py BUILD_DIR SOURCE_DIR
"""
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile

EXPOSURE_MAX = 20  # of 100, as `systemd-analyze security` counts

FILES = {"./etc/millet/millet.conf": "-rw-r--r--", "./lib/systemd/system/millet.service": "-rw-r--r--", "./usr/bin/milletd": "-rwxr-xr-x",
         "./usr/bin/millet": "-rwxr-xr-x", "./usr/bin/millet-ledgerd": "-rwxr-xr-x", "./usr/share/doc/millet/README.md": "-rw-r--r--",
         "./usr/share/doc/millet/changelog.gz": "-rw-r--r--", "./usr/share/doc/millet/copyright": "-rw-r--r--",
         "./usr/share/doc/millet/examples/millet-ledgerd.conf": "-rw-r--r--", "./usr/share/lintian/overrides/millet": "-rw-r--r--"}
LIBRARIES = {"libuv1", "libmbedtls", "libmbedcrypto", "libsodium", "liblmdb", "libjansson", "libc6"}


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def run(*words, **options):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False, **options)
    expect(done.returncode == 0, f"{' '.join(map(str, words))}: {done.stdout}{done.stderr}")
    return done.stdout


class Package:
    def __init__(self, work, build, source):
        self.work, self.build, self.source = pathlib.Path(work), pathlib.Path(build).resolve(), pathlib.Path(source)
        self.path = self.make("one")

    def make(self, folder):
        return pathlib.Path(run(self.source / "toolchains/debian/build", self.build, self.work / folder).strip())


def the_same_programs_give_the_same_bytes(package):
    expect(package.path.read_bytes() == package.make("two").read_bytes(), "a second build is another")


def it_holds_what_it_should(package):
    rows = [line.split(None, 5) for line in run("dpkg-deb", "--contents", package.path).splitlines()]
    files = {row[5]: row[0] for row in rows if not row[0].startswith("d")}
    expect(files == FILES, f"{set(files.items()) ^ set(FILES.items())}")
    expect(all(row[1] == "root/root" for row in rows), "a file is not root's")
    root = package.work / "root"
    run("dpkg-deb", "--extract", package.path, root)
    for name in ("config/millet.conf", "config/millet.service"):
        installed = root / ("etc/millet/millet.conf" if name.endswith(".conf") else "lib/systemd/system/millet.service")
        expect(installed.read_bytes() == (package.source / name).read_bytes(), f"{name} is another")
    version = run("dpkg-deb", "--field", package.path, "Version").strip()
    for program in ("milletd", "millet", "millet-ledgerd"):
        expect(run(root / "usr/bin" / program, "--version").strip() == f"{program} {version}", f"{program} has another version")
    # As the unit starts it, but for its state's place. What is printed can be saved for another machine: nothing of this one is in it.
    printed = run(root / "usr/bin/milletd", "--config", root / "etc/millet/millet.conf", "--state", package.work / "state", "--print-config")
    expect(printed == (root / "etc/millet/millet.conf").read_text(), f"--print-config is another configuration: {printed}")


def it_depends_on_what_is_linked(package):
    depends = run("dpkg-deb", "--field", package.path, "Depends")
    names = {re.match(r"[a-z0-9+.-]+", word.strip())[0] for word in depends.split(",")}
    for library in LIBRARIES:
        expect(any(name.startswith(library) for name in names), f"{library} is missing in {depends}")
    expect("adduser" in names, "adduser makes the user")


def lintian_is_content(package):
    if shutil.which("lintian") is None:
        print("lintian is not installed: its part is skipped")
        return
    done = subprocess.run(["lintian", "--fail-on", "error,warning", "--allow-root", package.path], capture_output=True, text=True, check=False)
    expect(done.returncode == 0, done.stdout + done.stderr)


def the_unit_is_hardened(package):
    if shutil.which("systemd-analyze") is None:
        print("systemd-analyze is not installed: its part is skipped")
        return
    unit = package.work / "millet.service"
    unit.write_text((package.source / "config/millet.service").read_text().replace("/usr/bin/milletd", str(package.build / "milletd")))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, check=False)
    mine = [line for line in (done.stdout + done.stderr).splitlines() if "millet" in line]
    expect(not mine, f"{mine}")
    run("systemd-analyze", "security", "--offline=yes", f"--threshold={EXPOSURE_MAX}", unit)


def systemd_is_told_when_the_node_is_ready(package):
    """Type=notify of the unit: without it the service would never count as started."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(package.work / "notify"))
        manager.settimeout(60)
        node = subprocess.Popen([package.build / "milletd", "--config", package.source / "config/millet.conf", "--state", package.work / "notified", "--set", "node.listen=127.0.0.1:0"],
                                env={**os.environ, "NOTIFY_SOCKET": str(package.work / "notify"), "WATCHDOG_USEC": "600000"}, stderr=subprocess.DEVNULL)
        try:
            said = ""
            while "READY=1" not in said or "WATCHDOG=1" not in said:
                said += manager.recv(4096).decode() + "\n"
        except TimeoutError:
            raise AssertionError(f"in a minute it said {said!r}") from None
        finally:
            node.terminate()
            node.wait(60)


CASES = (the_same_programs_give_the_same_bytes, it_holds_what_it_should, it_depends_on_what_is_linked, lintian_is_content, the_unit_is_hardened, systemd_is_told_when_the_node_is_ready)


def main():
    if any(shutil.which(program) is None for program in ("dpkg-deb", "dpkg-shlibdeps")):
        print("skipped: dpkg-dev is not installed")
        return 77
    failed = 0
    with tempfile.TemporaryDirectory(prefix="millet-debian-") as work:
        package = Package(work, *sys.argv[1:])
        for case in CASES:
            try:
                case(package)
            except AssertionError as reason:
                print(f"{case.__name__}: {reason}")
                failed += 1
    print(f"debian: {len(CASES) - failed} of {len(CASES)} cases")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
