"""Boards in qemu, and a console to give commands on."""
import base64
import os
import queue
import re
import subprocess
import threading
import time

from harness.world import Failure, expect, need
from image import ERASE_SIZE

# Of every board: disk, network, what the root is made of.
COMMON = {"virtio_blk": "", "virtio_net": "", "virtio_rng": "", "crc32c_generic": "", "crc32_generic": "", "squashfs": "", "overlay": "", "ext4": ""}
FILE_SYSTEMS = {
    "ext4": {},
    "f2fs": {"f2fs": ""},
    "jffs2": {"jffs2": ""},
    "vfat": {"nls_cp437": "", "nls_ascii": "", "nls_utf8": "", "vfat": ""},
}


def flash_of(disk):
    """Flash that is made of a disk: Debian's kernels know none of these boards'."""
    return {"block2mtd": f"block2mtd={disk},{ERASE_SIZE}"}


class Kind:
    """A board: what qemu is to be, and what its flash is."""

    def __init__(self, name, target, architecture, command, device, flash, modules):
        self.name, self.target, self.architecture = name, target, architecture
        self.command = command  # of qemu
        self.device = device  # ending of virtio's devices
        self.flash = flash  # file system and source of the overlay's upper folder
        self.modules = modules

    def with_disks(self, payload, state):
        """Modules for these file systems on the third disk and, if there is one, the fourth."""
        modules = {**self.modules, **FILE_SYSTEMS[payload]}
        if state == "ubifs":
            flashes = [self.modules["block2mtd"]] if "block2mtd" in self.modules else []
            flash = " ".join([*flashes, *flash_of("/dev/vdd").values()])
            return {**modules, "block2mtd": flash, "ubi": f"mtd={len(flashes)}", "zstd": "", "lzo": "", "deflate": "", "ubifs": ""}
        return {**modules, **FILE_SYSTEMS.get(state, {})}


KINDS = {
    # A router with an eMMC: F2FS above squashfs.
    "arm": Kind("arm", "arm-cortex-a7-musl", "armhf", ["qemu-system-arm", "-M", "virt", "-cpu", "cortex-a7"], "device", "f2fs,/dev/vdb",
                {"virtio_mmio": "", **COMMON, **FILE_SYSTEMS["f2fs"]}),
    # A router with NOR flash: JFFS2 above squashfs. Debian's kernel finds no NOR flash on this board: one is made of a disk.
    "mips": Kind("mips", "mipsel-24kc-musl", "mipsel", ["qemu-system-mipsel", "-M", "malta", "-cpu", "24Kf", "-vga", "none"], "pci", "jffs2,mtd0",
                 {"virtio_pci": "", **COMMON, **flash_of("/dev/vdb"), **FILE_SYSTEMS["jffs2"]}),
}
CONSOLE = {"arm": "ttyAMA0", "mips": "ttyS0"}


class Board:
    """One board with its disks; boot() after cut() starts it again from what is on them."""

    def __init__(self, world, kind, folder, kernel, disks, mounts, forward):
        """`disks`: files, in the order vda, vdb... `mounts`: TYPE,SOURCE,FOLDER. `forward`: (host address, port) of its peer port."""
        self.world, self.kind, self.folder = world, kind, folder
        self.kernel, self.disks, self.mounts, self.forward = kernel, disks, mounts, forward
        self.process = None
        self.answers = queue.Queue()
        self.number = 0
        self.started = 0.0

    def _command(self, memory):
        device = self.kind.device
        append = f"console={CONSOLE[self.kind.name]} quiet panic=1 flash={self.kind.flash} mounts={';'.join(self.mounts)}"
        command = [need(self.kind.command[0]), *self.kind.command[1:], "-m", str(memory), "-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot",
                   "-kernel", self.kernel, "-initrd", self.folder / "initrd", "-append", append]
        # virtio-mmio hands its places out from the last to the first: the disk that comes first is added last.
        disks = list(enumerate(self.disks))
        for number, path in reversed(disks) if device == "device" else disks:
            command += ["-drive", f"if=none,id=disk{number},format=raw,file={path}", "-device", f"virtio-blk-{device},drive=disk{number}"]
        host, port = self.forward
        command += ["-netdev", f"user,id=net,restrict=off,ipv6=off,hostfwd=tcp:{host}:{port}-10.0.2.15:6881", "-device"]
        if device == "pci":  # the malta board has four slots, which are for disks, and wires for its own network device
            command += ["virtio-net-pci,netdev=net,addr=0xb,romfile="]
        else:
            command += ["virtio-net-device,netdev=net", "-device", "virtio-rng-device"]
        return [str(word) for word in self.world.wrapper + command]

    def boot(self, timeout, memory=64):
        """Returns once the board takes commands: (seconds of the board, seconds here). A kernel that stands still under emulation, before anything
        of ours runs, is started once more."""
        self._start(memory)
        try:
            line = self._answer("booted", timeout / 2)
        except Failure as failure:
            print(f"{self.kind.name}: started once more: {failure}", flush=True)
            self.cut()
            self._start(memory)
            line = self._answer("booted", timeout)
        return float(line[1]), time.monotonic() - self.started

    def _start(self, memory):
        self.started = time.monotonic()
        log = open(self.folder / "console.log", "ab")
        self.process = subprocess.Popen(self._command(memory), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        self.process.name = f"qemu-{self.kind.name}"
        self.world.processes.append(self.process)
        self.answers = queue.Queue()
        threading.Thread(target=self._read, args=(self.process.stdout, log, self.answers), daemon=True).start()

    @staticmethod
    def _read(stream, log, answers):
        for line in stream:
            log.write(line)
            log.flush()
            if line.startswith(b"@@ "):
                answers.put(line.decode().split()[1:])
        answers.put(None)
        log.close()

    def _answer(self, word, timeout):
        deadline = time.monotonic() + timeout
        while True:
            try:
                line = self.answers.get(timeout=max(deadline - time.monotonic(), 0.01))
            except queue.Empty:
                raise Failure(f"the board said nothing for {timeout} s: {self.console()[-800:]}") from None
            expect(line is not None, f"the board has ended: {self.console()[-1500:]}")
            if line[0] == word:
                return line

    def console(self):
        return (self.folder / "console.log").read_text(errors="replace")

    def run(self, command, timeout=60, check=True):
        """A command's output; fails if it fails."""
        self.number += 1
        expect("\n" not in command and len(command) < 3500, "a console takes one line")
        self.process.stdin.write(f"{self.number} {command}\n".encode())
        self.process.stdin.flush()
        line = self._answer(str(self.number), timeout)
        out = base64.b64decode(line[2]).decode(errors="replace") if len(line) > 2 else ""
        if check:
            expect(line[1] == "0", f"on the board, {command!r} ended with {line[1]}: {out[-600:]}")
        return out

    def messages(self):
        return self.run("cat /tmp/messages")

    def wait_message(self, pattern, timeout):
        """The seconds since the board's start at which its log had this line, and the line."""
        deadline = time.monotonic() + timeout
        while True:
            found = re.search(rf"^(\d+\.\d+) (.*{pattern}.*)$", self.messages(), re.MULTILINE)
            if found:
                return float(found[1]), found[2]
            expect(time.monotonic() < deadline, f"the board's log has no {pattern!r} after {timeout} s: {self.messages()[-800:]}")
            time.sleep(0.2)

    def memory(self):
        """KiB: resident memory of milletd now, its peak, and what the system has left."""
        text = self.run("cat /proc/$(pidof milletd | cut -d' ' -f1)/status /proc/meminfo")
        return tuple(int(re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)[1]) for name in ("VmRSS", "VmHWM", "MemAvailable"))

    def anonymous(self):
        """KiB of milletd's memory that no file backs."""
        return int(self.run("sed -n 's/^RssAnon: *//p' /proc/$(pidof milletd | cut -d' ' -f1)/status").split()[0])

    def cut(self):
        """The power goes."""
        self.process.kill()
        self.process.wait()

    def off(self, timeout=60):
        self.run("procd stop; while pidof milletd >/dev/null; do sleep 0.2; done; sync", timeout)
        self.cut()
