#!/usr/bin/python3
"""How many instructions milletd needs on a MIPS processor, counted exactly by qemu's user mode (count.c): per MiB that it seeds, and for each
piece that it is paid for. What the kernel does is not counted. Fails if a figure has grown past what was reached (`reached`).

usage: instructions.py --bin DIR --program MILLETD [--size MIB]; called by ./toolchains/dev instructions
"""
import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "interop"))
from emulated import EmulatedMilletd, PIECE, Sale  # noqa: E402
from harness import world as worlds  # noqa: E402
from harness.world import Failure, expect, need, wait_until  # noqa: E402

MIB = 1 << 20
# Timers and the sizes of what a socket takes differ between runs: measured, a figure differs from the next by 1 %.
TOLERANCE_PERCENT = 10


class CountedMilletd(EmulatedMilletd):
    """milletd on an emulated processor that counts."""

    def __init__(self, world, number, program, plugin, **options):
        self.counter = world.path("count")
        super().__init__(world, number, program, ["-plugin", f"{plugin},out={self.counter}"], name="counted", **options)

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
        self.options = options
        plugin = world.path("count.so")
        subprocess.run([need("cc"), "-O2", "-shared", "-fPIC", "-o", plugin, HERE / "count.c"], check=True, stdin=subprocess.DEVNULL)
        self.sale = Sale(world, options.size * MIB)
        self.payee = CountedMilletd(world, 3, options.program, plugin, **self.sale.payee_options)

    def seed_free(self):
        """Instructions for the whole payload, to four peers at once."""
        before = self.payee.executed()
        done = subprocess.run([self.options.bin / "tests/bench/leech", "--to", self.payee.endpoint, "--torrent", self.sale.torrent.path, "--connections", "4",
                               "--pipeline", "64", "--seconds", "120", "--bytes", str(self.sale.size)], capture_output=True, text=True, check=False)
        expect(done.returncode == 0, f"nothing was served: {done.stderr}")
        return (self.payee.executed() - before) * self.sale.size // json.loads(done.stdout)["bytes"]

    def seed_paid(self):
        """Instructions for the whole payload to one payer, and the bytes that it paid for."""
        before = self.payee.executed()
        payer = self.sale.payer
        self.sale.buy(self.payee)
        payer.wait_state(self.sale.torrent, "seeding", 300)
        wait_until(lambda: not payer.call("channels")["channels"], 120, "the channel to be closed")
        return self.payee.executed() - before, payer.show(self.sale.torrent)["bytes_paid_down"]

    def run(self):
        self.sale.seed(self.payee)
        self.seed_free()  # the first time grows buffers
        free = self.seed_free()
        paid, bytes_paid = self.seed_paid()
        pieces = bytes_paid // PIECE
        expect(bytes_paid > self.sale.size * 3 // 4, f"only {bytes_paid} bytes were paid for: no figure")
        self.payee.stop()
        self.sale.payer.stop()
        self.sale.ledger.stop()
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
    figures = {}
    status = worlds.beside_others(options.bin, "instructions", lambda world: figures.update(Bench(world, options).run()))
    return status or (0 if check(figures) else 1)


if __name__ == "__main__":
    sys.exit(main())
