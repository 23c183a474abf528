#!/usr/bin/python3
"""Router boards, emulated: the node boots from firmware in 64 MB, seeds to aria2c for nothing and to a milletd that pays, loses its power in the
middle, boots again and settles every channel. The ledger, the payer and aria2c run here and reach the board over qemu's user network.

usage: boot.py --bin DIR --cross DIR [--work DIR] [--board NAME]... [--size MIB] [--soak SECONDS] [--state-on F] [--payload-on F]
       [--keep]; called by ./toolchains/dev boot
"""
import argparse
import json
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "interop")]
import image  # noqa: E402
from board import KINDS, Board  # noqa: E402
from harness import world as worlds  # noqa: E402
from harness.clients import Aria2  # noqa: E402
from harness.node import Ledgerd, Milletd  # noqa: E402
from harness.torrents import digest, make_payload, make_torrent  # noqa: E402
from harness.tracker import Tracker  # noqa: E402
from harness.world import Failure, address, expect, wait_until  # noqa: E402

MIB = 1 << 20
PIECE = 262144
RESERVE = 100  # BTT per GB
BUDGET, MAX_RATE = "9", "120"
GRANT = 10_000_000  # micro-BTT, of the faucet
STATE_MOUNT, STATE_SIZE = "/mnt/state", 64 * MIB  # of --state-on
FLASH_SIZE = {"jffs2": 4 * MIB, "f2fs": 64 * MIB}
DISK = "/mnt/sda1"  # where the board has its payload's disk
BOOT_TIME_MAX = 240  # seconds, on a machine that is busy with other things
TRANSFER_TIME_MAX = 900
SOAK_PEERS = 20
SOAK_RATE = 4_000_000  # bytes per second of all uploads: a link of 32 Mbit/s
SOAK_GROWTH_MAX = 48  # KiB between the second and the last third: pages of one buffer more or less
EASY_FAUCET = {"ledgerd__faucet_hashcash_bits": 8, "ledgerd__faucet_memory_bits": 1, "ledgerd__faucet_memory": 64, "ledgerd__faucet_spend_only": 0}


def say(text):
    print(text, flush=True)


def cost(size):
    """Micro-BTT of so many bytes at the reserve, rounded up."""
    return -(-size * RESERVE // 1000)


class Scene:
    """The board with its image, and on this machine a ledger, a payer and a tracker."""

    def __init__(self, world, kind, options):
        self.world, self.kind, self.options = world, kind, options
        self.size = options.size * MIB
        self.figures = {"board": kind.name}
        self.folder = world.make_folder(kind.name)
        self.source = world.make_folder(kind.name, "disk", "torrents").parent
        files = make_payload(self.source / "torrents", "payload", [("a", self.size // 3), ("b", self.size - self.size // 3)])
        peer = (address(10), 6881)
        self.tracker = Tracker(9)
        self.tracker.extra = [peer]
        self.torrent = make_torrent(self.source / "payload.torrent", self.source / "torrents", "payload", files, piece_size=PIECE, trackers=[self.tracker.url])
        self.ledger = Ledgerd(world, 4, ledgerd__listen="127.0.0.1:0", **EASY_FAUCET).start()
        # The board sees every peer at one address, which the user network gives them.
        self.payer = Milletd(world, 2, name="payer", discovery__trackers=0, speed__enabled=1, node__upload_rate=40_000, ledger__url=self.ledger.url,
                             ledger__key=self.ledger.key)
        self.payer.call("wallet", "create")
        self.payer.call("wallet", "claim", "--ledger", self.ledger.url, "--ledger-key", self.ledger.key)
        self.board = self._make_board(peer)

    def _make_board(self, peer):
        kind, folder = self.kind, self.folder
        unpacked = image.packages(self.options.work / "debian", kind.architecture)
        image.make_initrd(folder / "initrd", unpacked, kind.with_disks(self.options.payload_on, self.options.state_on))
        image.make_root(folder / "root.squashfs", folder, unpacked, self.options.cross / kind.target / "milletd")
        image.make_disk(folder / "payload.disk", self.options.payload_on, self.size + 64 * MIB, self.source)
        flash = kind.flash.split(",")[0]
        image.make_disk(folder / "flash.disk", "erased" if flash == "jffs2" else flash, FLASH_SIZE[flash])
        disks = [folder / name for name in ("root.squashfs", "flash.disk", "payload.disk")]
        mounts = [f"{self.options.payload_on},/dev/vdc,{DISK}"]
        if self.options.state_on:
            disks.append(folder / "state.disk")
            image.make_disk(disks[3], self.options.state_on, STATE_SIZE)
            mounts.append(f"{self.options.state_on},{'ubi0:state' if self.options.state_on == 'ubifs' else '/dev/vdd'},{STATE_MOUNT}")
        kernel = next((unpacked / "boot").glob("vmlinu[xz]-*"))
        return Board(self.world, kind, folder, kernel, disks, mounts, peer)

    # ---- steps ----

    def first_boot(self):
        up, here = self.board.boot(BOOT_TIME_MAX)
        say(f"{self.kind.name}: booted in {up:.1f} s of the board, {here:.1f} s here; {self.board.run('grep MemTotal /proc/meminfo').split()[1]} KiB of memory")
        self.board.wait_message("not started: no payload folder", 60)
        url = self.ledger.url.replace("127.0.0.1", "10.0.2.2")
        options = {"data": f"{DISK}/torrents", "trackers": "0", "enabled": "1", "reserve": RESERVE, "url": url, "key": self.ledger.key}
        state = f"{DISK}/.millet"
        if self.options.state_on:
            options["state"] = state = f"{STATE_MOUNT}/millet"
        if self.kind.flash.startswith("jffs2"):
            refused = self.board.run("milletd --state /etc/state-on-flash; echo status $?")
            expect("no shared memory maps" in refused and "status 3" in refused, f"a state on JFFS2 is not refused by name: {refused}")
        if self.options.payload_on == "vfat":
            refused = self.board.run(f"milletd --state {DISK}/state-on-vfat; echo status $?")
            expect("no hard links" in refused and "status 3" in refused, f"a state on vfat is not refused by name: {refused}")
        words = " ".join(f"-e \"s|option {name} .*|option {name} '{value}'|\"" for name, value in options.items())
        self.board.run(f"sed -i {words} /etc/config/millet && sync && procd start")
        self.board.wait_message("event=ready", 120)
        log = self.board.messages()
        expect(f"the state is in {state}\n" in log, f"the state's place is not said, or another: {log}")
        self.board.run(f"chmod 755 {DISK} {DISK}/torrents && millet add {DISK}/payload.torrent --data {DISK}/torrents", 60)
        self.wait_seeding()

    def show(self):
        return json.loads(self.board.run(f"millet --json show {self.torrent.hex}"))

    def wait_seeding(self):
        def seeds():
            row = self.show()
            expect(row["state"] != "error", f"the board can't seed: {row}")
            return row["state"] == "seeding"

        wait_until(seeds, 300, "the board to have verified its payload")

    def counted(self, field="paid_micro"):
        return sum(row[field] for row in json.loads(self.board.run("millet --json channels"))["channels"])

    def download(self):
        """To aria2c and to the payer at once; the power goes when half is paid for."""
        self.aria2 = Aria2(self.world, 5)
        started = time.monotonic()
        self.aria2.download(self.torrent)
        self.payer.start()
        self.payer.add(self.torrent, "--peer", f"{address(10)}:6881", "--budget", BUDGET, "--max-rate", MAX_RATE)
        wait_until(lambda: self.payer.show(self.torrent)["done"] > self.size // 4, TRANSFER_TIME_MAX, "a quarter of the paid download")
        # The payee commits every ten seconds, or 32 MiB.
        self.durable = wait_until(lambda: self.counted("durable_micro"), 60, "the board's first durable payment")
        self.figures["rss_kib"], self.figures["rss_peak_kib"], self.figures["available_kib"] = self.board.memory()
        self.figures["first_mb_s"] = round(self.payer.show(self.torrent)["done"] / 1e6 / (time.monotonic() - started), 2)
        self.board.cut()
        expect(self.payer.show(self.torrent)["done"] < self.size, "the download was over before the power went: no test")

    def second_boot(self):
        up, here = self.board.boot(BOOT_TIME_MAX)
        ready, _ = self.board.wait_message("event=ready", 120)
        self.figures["serving_s"] = ready
        self.figures["serving_here_s"] = round(time.monotonic() - self.board.started, 1)
        self.wait_seeding()
        expect("event=checked" not in self.board.messages(), f"after the power cut it verifies again: {self.board.messages()}")
        say(f"{self.kind.name}: after the power cut it serves {ready:.1f} s after its start ({self.figures['serving_here_s']} s here)")

    def complete(self):
        self.payer.wait_state(self.torrent, "seeding", TRANSFER_TIME_MAX)
        wait_until(self.aria2.complete, TRANSFER_TIME_MAX, "aria2c to have everything")
        wanted = digest(self.source / "torrents" / "payload")
        for place in (self.payer.data, self.aria2.data):
            expect(digest(place / "payload") == wanted, f"{place} has other bytes than were seeded")
        self.figures["rss_end_kib"], peak, available = self.board.memory()
        self.figures["rss_peak_kib"] = max(peak, self.figures["rss_peak_kib"])
        self.figures["available_kib"] = min(available, self.figures["available_kib"])

    def settle(self):
        def open_channels():
            rows = self.payer.call("channels")["channels"] + json.loads(self.board.run("millet --json channels"))["channels"]
            return [f"{row['role']} {row['state']}" for row in rows]

        wait_until(lambda: not open_channels(), 240, lambda: f"the channels to be closed: {open_channels()}")
        balance = self.payer.call("wallet", "balance")
        url = self.ledger.url.replace("127.0.0.1", "10.0.2.2")
        got = json.loads(self.board.run(f"millet --json wallet balance --ledger {url} --ledger-key {self.ledger.key}"))
        expect(balance["in_channels_micro"] == 0 and got["in_channels_micro"] == 0, f"money is left in channels: {balance} {got}")
        earned = got["available_micro"]
        expect(earned + balance["available_micro"] == GRANT, f"{earned} and {balance['available_micro']} micro-BTT are not the grant")
        expect(earned >= self.durable, f"the payee got {earned} micro-BTT, and had acknowledged {self.durable} as durable")
        bought = self.payer.show(self.torrent)
        expect(bought["spent_micro"] == earned, f"the payer says {bought['spent_micro']}, the ledger {earned}")
        unpaid = cost(bought["bytes_paid_down"]) - earned
        expect(-1 <= unpaid <= cost(PIECE), f"{unpaid} micro-BTT of {bought['bytes_paid_down']} bytes are unpaid after one power cut")
        expect(bought["bytes_paid_down"] > self.size // 2, f"only {bought['bytes_paid_down']} bytes were bought")
        self.figures["earned_micro"], self.figures["durable_at_cut_micro"] = earned, self.durable

    def soak(self):
        """Twenty peers that take what they get, for so long; what milletd holds in memory must not grow."""
        options = {"peers_per_address": 40, "upload_slots": 20, "upload_rate": SOAK_RATE, "enabled": 0}
        self.board.run("sed -i " + " ".join(f"-e \"s|option {name} .*|option {name} '{value}'|\"" for name, value in options.items()) +
                       " /etc/config/millet && procd stop; while pidof milletd; do sleep 0.2; done; procd start", 90)
        self.board.run("for i in $(seq 120); do millet stats && exit 0; sleep 0.5; done; exit 1", 120)
        self.wait_seeding()
        samples, served, started = [], 0, time.monotonic()
        log_start = 0
        while time.monotonic() - started < self.options.soak:
            left = self.options.soak - (time.monotonic() - started)
            load = self.world.start("leech", [self.options.bin / "tests/bench/leech", "--to", f"{address(10)}:6881", "--torrent", self.torrent.path,
                                              "--connections", SOAK_PEERS, "--pipeline", 8, "--seconds", max(min(60, int(left)), 5)])
            while load.poll() is None:
                time.sleep(5)
                samples.append((time.monotonic() - started, self.board.anonymous()))
            text = self.world.log("leech")[log_start:]
            log_start += len(text)
            expect(load.returncode == 0, f"nothing was served: {text[-300:]}")
            served += json.loads(text.strip().splitlines()[-1])["bytes"]
        third = len(samples) // 3
        expect(third >= 2, "a soak of less than a minute shows nothing")
        early, late = ([kib for _, kib in part] for part in (samples[third:2 * third], samples[2 * third:]))
        growth = sum(late) / len(late) - sum(early) / len(early)
        seconds = samples[-1][0] / 3
        self.figures["soak_s"], self.figures["soak_mb"] = self.options.soak, served // 1_000_000
        self.figures["anonymous_kib"], self.figures["anonymous_kib_per_hour"] = samples[-1][1], round(growth * 3600 / seconds, 1)
        self.figures["soak_available_kib"] = self.board.memory()[2]
        expect(growth <= SOAK_GROWTH_MAX, f"anonymous memory grew by {growth:.0f} KiB in {seconds:.0f} s: {samples}")

    def stop(self):
        self.board.off()
        self.payer.stop()
        self.ledger.stop()
        self.tracker.stop()

    def run(self):
        soak = [self.soak] if self.options.soak else []
        try:
            for step in (self.first_boot, self.download, self.second_boot, self.complete, self.settle, *soak, self.stop):
                started = time.monotonic()
                step()
                say(f"{self.kind.name}: {step.__name__} took {time.monotonic() - started:.1f} s")
        except Failure:
            say(f"--- end of the console\n{self.board.console()[-2500:]}")
            raise
        return self.figures


def parse():
    parser = argparse.ArgumentParser(description="Boots the node on emulated boards.")
    parser.add_argument("--bin", required=True, type=Path, help="folder of this machine's programs")
    parser.add_argument("--cross", required=True, type=Path, help="folder of the boards' programs: TARGET/milletd")
    parser.add_argument("--work", type=Path, default=Path("build/boot"), help="where fetched packages stay")
    parser.add_argument("--board", action="append", choices=sorted(KINDS), help="default: all")
    parser.add_argument("--size", type=int, default=64, help="MiB of payload")
    parser.add_argument("--soak", type=int, default=0, metavar="SECONDS")
    parser.add_argument("--state-on", choices=["ext4", "f2fs", "ubifs"], help="a disk of its own for the state, with this file system")
    parser.add_argument("--payload-on", choices=["ext4", "vfat"], default="ext4", help="the file system of the payload's disk")
    parser.add_argument("--keep", action="store_true", help="keep images and logs")
    options = parser.parse_args()
    options.board = options.board or sorted(KINDS)
    if options.payload_on == "vfat":  # which holds no state
        options.state_on = options.state_on or "ext4"
    return options


def main():
    options = parse()
    worlds.use_loopback(worlds.free_loopback("127.79."))
    status, rows = 0, []
    for name in options.board:
        kind = KINDS[name]
        if not (options.cross / kind.target / "milletd").exists():
            print(f"boot: no program for {name}: ./toolchains/dev cross {kind.target} makes it")
            return 1
        status = max(status, worlds.beside_others(options.bin, f"boot-{name}", lambda world, kind=kind: rows.append(Scene(world, kind, options).run()),
                                                  options.keep))
    for row in rows:
        say(" ".join(f"{key}={value}" for key, value in row.items()))
    return status


if __name__ == "__main__":
    sys.exit(main())
