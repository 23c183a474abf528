"""What a board starts from: Debian's kernel and busybox, an initial RAM disk with drivers, a squashfs with our programs and rootfs/, disks."""
import gzip
import hashlib
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

from harness.world import Failure, Skip, need

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parent.parent
ERASE_SIZE = 65536  # of flash that is made of a disk
UBI_HEADERS = 128  # of each block, where single bytes can be written
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def run(*command, **options):
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, **options)
    if done.returncode != 0:
        raise Failure(f"{' '.join(map(str, command))} failed: {done.stdout.decode(errors='replace').strip()[-600:]}")
    return done.stdout.decode(errors="replace")


# ---- Debian's packages of another architecture, from the system's own mirror ----


def _mirrors():
    targets = run(need("apt-get"), "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages")
    found = sorted({tuple(line.split()[:2]) for line in targets.splitlines() if re.match(r"\S+ bookworm(-updates)? main$", line)})
    if not found:
        raise Failure("apt knows no mirror of Debian 12: put one into /etc/apt/sources.list, with its component main, and run apt-get update")
    return found


def packages(cache, architecture):
    """Where the packages of the list are unpacked; each is fetched once, and must have its sum."""
    wanted = [line.split()[1:] for line in (HERE / "packages").read_text().splitlines() if line.startswith(architecture + " ")]
    mark = hashlib.sha256(repr(wanted).encode()).hexdigest()
    folder = Path(cache).resolve() / architecture
    unpacked = folder / "unpacked"
    if (folder / "mark").exists() and (folder / "mark").read_text() == mark:
        return unpacked
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("lists/partial", "cache/archives/partial", "debs"):
        (folder / name).mkdir(parents=True)
    (folder / "status").write_text("")
    (folder / "sources.list").write_text("".join(f"deb [signed-by={KEYRING} arch={architecture}] {uri} {release} main\n" for uri, release in _mirrors()))
    options = [f"APT::Architecture={architecture}", f"APT::Architectures={architecture}", f"Dir::Etc::sourcelist={folder}/sources.list",
               "Dir::Etc::sourceparts=/dev/null", f"Dir::State::lists={folder}/lists", f"Dir::Cache={folder}/cache", f"Dir::State::status={folder}/status",
               "APT::Sandbox::User=root", "Acquire::Retries=3", "Acquire::Languages=none"]
    apt = [need("apt-get"), "-q"] + [word for option in options for word in ("-o", option)]
    try:
        run(*apt, "update")
        for name, version, _ in wanted:
            run(*apt, "download", f"{name}={version}", cwd=folder / "debs")
    except Failure as reason:
        raise Skip(f"the mirror does not give tests/boot/packages for {architecture}: {reason}") from None
    for name, _, wanted_sum in wanted:
        package = next((folder / "debs").glob(f"{name}_*.deb"))
        found = hashlib.sha256(package.read_bytes()).hexdigest()
        if found != wanted_sum:
            raise Failure(f"{package.name} has the SHA-256 {found}, not the one of tests/boot/packages")
        run("dpkg-deb", "-x", package, unpacked)
        package.unlink()
    (folder / "mark").write_text(mark)
    return unpacked


# ---- the initial RAM disk ----


class Archive:
    """A cpio archive as the kernel reads it ("newc")."""

    def __init__(self):
        self.parts = []
        self.inode = 0

    def add(self, name, mode, data=b""):
        self.inode += 1
        fields = (self.inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
        self.parts += [head, bytes(-len(head) % 4), data, bytes(-len(data) % 4)]

    def folder(self, name):
        self.add(name, stat.S_IFDIR | 0o755)

    def file(self, name, data, mode=0o755):
        self.add(name, stat.S_IFREG | mode, data)

    def done(self):
        self.add("TRAILER!!!", 0)
        return gzip.compress(b"".join(self.parts), 6, mtime=0)


def _with_dependencies(kernel_modules, names):
    """Module names in the order in which they can be loaded. What is built in has no file."""
    files = {path.stem.replace("-", "_"): path for path in kernel_modules.rglob("*.ko")}
    order = []

    def visit(name):
        if name not in files or name in order:
            return
        depends = re.search(rb"\0depends=([^\0]*)\0", files[name].read_bytes())
        for other in depends[1].decode().split(",") if depends else ():
            visit(other.replace("-", "_"))
        order.append(name)

    for name in names:
        visit(name.replace("-", "_"))
    return [(name, files[name]) for name in order]


def make_initrd(target, unpacked, modules):
    """`modules`: {name: options}, loaded in this order."""
    archive = Archive()
    for folder in ("bin", "modules"):
        archive.folder(folder)
    archive.file("bin/busybox", (unpacked / "bin/busybox").read_bytes())
    archive.file("init", (HERE / "guest/early").read_bytes())
    order = ""
    for name, path in _with_dependencies(unpacked / "lib/modules", modules):
        archive.file(f"modules/{name}.ko", path.read_bytes(), 0o644)
        order += f"{name}.ko {modules.get(name, '')}\n"
    archive.file("modules/order", order.encode(), 0o644)
    target.write_bytes(archive.done())


# ---- the root ----


def make_root(target, work, unpacked, milletd):
    """squashfs: busybox, our programs, rootfs/ as OpenWrt's package installs it, stand-ins for what OpenWrt itself has."""
    root = work / "root"
    shutil.rmtree(root, ignore_errors=True)
    for folder in ("bin", "sbin", "usr/bin", "etc", "lib", "root", "proc", "sys", "dev", "tmp", "rom", "overlay", "mnt"):
        (root / folder).mkdir(parents=True)
    shutil.copytree(SOURCE / "rootfs", root, dirs_exist_ok=True)
    shutil.copy(unpacked / "bin/busybox", root / "bin/busybox")
    (root / "etc/config/millet").chmod(0o600)  # as the package installs it
    (root / "bin/sh").symlink_to("busybox")
    (root / "var").symlink_to("tmp")
    for source, place in (("init", "sbin/init"), ("procd", "sbin/procd"), ("functions.sh", "lib/functions.sh")):
        shutil.copy(HERE / "guest" / source, root / place)
        (root / place).chmod(0o755)
    shutil.copy(HERE.parent / "packaging/procd.sh", root / "lib/procd.sh")
    shutil.copy(milletd, root / "usr/bin/milletd")
    (root / "usr/bin/millet").symlink_to("milletd")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n")
    (root / "etc/openwrt_release").write_text("DISTRIB_ID='stand-in'\n")
    target.unlink(missing_ok=True)
    run(need("mksquashfs"), root, target, "-comp", "xz", "-all-root", "-no-progress", "-quiet")


# ---- disks ----


def make_disk(target, kind, size, source=None):
    """A file system of `size` bytes in a file; `source` is a folder that it holds (ext4 and vfat)."""
    target.unlink(missing_ok=True)
    with open(target, "wb") as file:
        file.truncate(size)
    if kind == "ext4":
        run(need("mke2fs"), "-q", "-t", "ext4", "-E", "root_owner=0:0", *(("-d", source) if source else ()), target)
    elif kind == "f2fs":
        run(need("mkfs.f2fs"), "-q", target)
    elif kind == "vfat":
        run(need("mkfs.vfat"), target)
        if source:
            run(need("mcopy"), "-s", "-i", target, *sorted(source.iterdir()), "::/")
    elif kind == "ubifs":  # one volume, "state", for flash without pages
        empty, image, plan = (target.with_suffix(ending) for ending in (".empty", ".ubifs", ".ini"))
        empty.mkdir(exist_ok=True)
        run(need("mkfs.ubifs"), "-m", 8, "-e", ERASE_SIZE - UBI_HEADERS, "-c", size // ERASE_SIZE, "-r", empty, "-o", image)
        plan.write_text(f"[state]\nmode=ubi\nimage={image}\nvol_id=0\nvol_type=dynamic\nvol_name=state\nvol_flags=autoresize\n")
        run(need("ubinize"), "-m", 1, "-p", ERASE_SIZE, "-o", target, plan)
        with open(target, "ab") as file:  # what follows has never been written
            file.write(b"\xff" * (size - file.tell()))
    elif kind == "erased":  # flash
        with open(target, "wb") as file:
            file.write(b"\xff" * size)
    else:
        raise Failure(f"no disk can be {kind}")
    os.chmod(target, 0o600)
