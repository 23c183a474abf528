#!/usr/bin/python3
"""How many instructions milletd needs on a MIPS processor, counted exactly by qemu's user mode (count.c): per MiB that it seeds, and for each
piece that it is paid for. What the kernel does is not counted. Fails if a figure has grown past what was reached (`reached`).

usage: instructions.py --bin DIR --program MILLETD [--size MIB]; called by ./toolchains/dev instructions
"""
import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "interop"))
from harness import world as worlds  # noqa: E402
from harness.node import Ledgerd, Milletd  # noqa: E402
from harness.torrents import make_payload, make_torrent  # noqa: E402
from harness.world import Failure, Skip, World, address, expect, need, wait_until  # noqa: E402

MIB = 1 << 20
PIECE = 262144
EASY_FAUCET = {"ledgerd__faucet_hashcash_bits": 8, "ledgerd__faucet_memory_bits": 1, "ledgerd__faucet_memory": 64, "ledgerd__faucet_spend_only": 0}
# Timers and the sizes of what a socket takes differ between runs: measured, a figure differs from the next by 1 %.
TOLERANCE_PERCENT = 10


class CountedMilletd(Milletd):
    """milletd on an emulated processor that counts."""

    def __init__(self, world, number, program, plugin, **options):
        super().__init__(world, number, name="counted", **options)
        self.counter = world.path("count")
        self.prefix = [need("qemu-mips"), "-cpu", "24Kc", "-plugin", f"{plugin},out={self.counter}", program]

    def command(self, *arguments):
        return self.prefix + super().command(*arguments)[1:]

    def executed(self):
        """The count, once it stands still but for the turns of an idle loop."""
        last = -1
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            count = int(self.counter.read_text() or 0)
            if 0 <= count - last < 300_000:
                return count
            last = count
            time.sleep(0.5)
        raise Failure("milletd does not come to rest")


class Bench:
    def __init__(self, world, options):
        self.world, self.options = world, options
        self.size = options.size * MIB
        self.source = world.make_folder("source")
        make_payload(self.source, "payload", [("a", self.size)])
        shutil.move(self.source / "payload" / "a", self.source / "single")
        self.torrent = make_torrent(world.path("payload.torrent"), self.source, "single", [("single", self.size)], piece_size=PIECE, single=True)
        plugin = world.path("count.so")
        subprocess.run([need("cc"), "-O2", "-shared", "-fPIC", "-o", plugin, HERE / "count.c"], check=True, stdin=subprocess.DEVNULL)
        self.ledger = Ledgerd(world, 4, **EASY_FAUCET).start()
        common = {"ledger__url": self.ledger.url, "ledger__key": self.ledger.key, "speed__enabled": 1, "transport__utp": 0, "discovery__trackers": 0}
        self.payee = CountedMilletd(world, 3, options.program, plugin, node__listen=f"{address(3)}:6881", speed__reserve=100, **common)
        self.payer = Milletd(world, 2, name="payer", node__upload_rate=40_000, **common)
        self.payer.call("wallet", "create")
        self.payer.call("wallet", "claim", "--ledger", self.ledger.url, "--ledger-key", self.ledger.key)

    def seed_free(self):
        """Instructions for the whole payload, to four peers at once."""
        before = self.payee.executed()
        done = subprocess.run([self.options.bin / "tests/bench/leech", "--to", self.payee.endpoint, "--torrent", self.torrent.path, "--connections", "4",
                               "--pipeline", "64", "--seconds", "120", "--bytes", str(self.size)], capture_output=True, text=True, check=False)
        expect(done.returncode == 0, f"nothing was served: {done.stderr}")
        return (self.payee.executed() - before) * self.size // json.loads(done.stdout)["bytes"]

    def seed_paid(self):
        """Instructions for the whole payload to one payer, and the bytes that it paid for."""
        before = self.payee.executed()
        self.payer.start()
        self.payer.add(self.torrent, "--peer", self.payee.endpoint, "--budget", "9", "--max-rate", "120")
        self.payer.wait_state(self.torrent, "seeding", 300)
        wait_until(lambda: not self.payer.call("channels")["channels"], 120, "the channel to be closed")
        return self.payee.executed() - before, self.payer.show(self.torrent)["bytes_paid_down"]

    def run(self):
        self.payee.start("--seed", self.torrent.path, "--data", self.source, ready=120)
        self.payee.wait_state(self.torrent, "seeding", 300)
        self.seed_free()  # the first time grows buffers
        free = self.seed_free()
        paid, bytes_paid = self.seed_paid()
        pieces = bytes_paid // PIECE
        expect(bytes_paid > self.size * 3 // 4, f"only {bytes_paid} bytes were paid for: no figure")
        self.payee.stop()
        self.payer.stop()
        self.ledger.stop()
        return {"seeded_mib": free // self.options.size, "paid_piece": (paid - free) // pieces}


def check(figures):
    """Prints the table; whether no figure has grown."""
    reached = dict(line.split() for line in (HERE / "reached").read_text().splitlines() if line and not line.startswith("#"))
    good = True
    print(f"{'instructions (MIPS 24Kc)':<28}{'counted':>14}{'reached':>14}")
    for name, count in figures.items():
        print(f"{name:<28}{count:>14,}{int(reached[name]):>14,}")
        good = good and count * 100 <= int(reached[name]) * (100 + TOLERANCE_PERCENT)
    return good


def main():
    parser = argparse.ArgumentParser(description="Counts milletd's instructions on a MIPS processor.")
    parser.add_argument("--bin", required=True, type=Path, help="folder of this machine's programs")
    parser.add_argument("--program", required=True, type=Path, help="milletd for MIPS, big endian")
    parser.add_argument("--size", type=int, default=32, help="MiB of payload")
    options = parser.parse_args()
    if not options.program.exists():
        print(f"instructions: there is no {options.program}: ./toolchains/dev cross mips-24kc-musl makes it")
        return 1
    worlds.use_loopback(worlds.free_loopback("127.80."))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(1))
    folder = tempfile.mkdtemp(prefix="millet-instructions-")
    os.chmod(folder, 0o755)
    world = World(options.bin, folder, bound=True)
    try:
        return 0 if check(Bench(world, options).run()) else 1
    except Skip as reason:
        print(f"skipped: {reason}")
        return worlds.SKIPPED
    except Failure as failure:
        print(f"FAILED: {failure}")
        world.show_logs()
        return 1
    finally:
        world.end()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
