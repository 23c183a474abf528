"""What a paid piece costs both sides: flash bytes, signatures, allocations and processor time, at 1, 10 and 100 pieces a second.

A ledger, a milletd that sells and one that buys from it, on this machine; the seller's upload rate sets how many pieces there are in a second. Figures are
differences over a time in which nothing else happens. The same transfer without BitTorrent Speed is what the processor's time is compared with.
"""
import os
import shutil
import struct
import subprocess
import time
from pathlib import Path

from harness.node import Ledgerd, Milletd
from harness.torrents import make_payload, make_torrent
from harness.world import address, expect, need, wait_until
from table import Figures, Target

PAYEE, PAYER = "payee", "payer"
PIECE = 65536
RESERVE, MAX_RATE = 1, 10  # BTT per GB: the defaults of seller and buyer
FLASH_MB_A_DAY = 300  # at ten pieces a second
RATES = (1, 10, 100)
EASY_FAUCET = {"ledgerd__faucet_hashcash_bits": 8, "ledgerd__faucet_memory_bits": 1, "ledgerd__faucet_memory": 64, "ledgerd__faucet_spend_only": 0}


class CountedMilletd(Milletd):
    """milletd with count_calls.c preloaded."""

    def __init__(self, world, number, name, library, **options):
        super().__init__(world, number, name=name, **options)
        self.counters = world.path(f"{name}.count")
        self.environment = {**os.environ, "LD_PRELOAD": str(library), "MILLET_COUNT_FILE": str(self.counters)}

    def start(self, *arguments, **options):
        return super().start(*arguments, env=self.environment, **options)

    def cost(self):
        """(signatures made, checked, allocations, bytes written to the state, microseconds of the processor), all since the start."""
        tasks = Path(f"/proc/{self.process.pid}/task").iterdir()
        run_ns = sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)
        return (*struct.unpack("=3Q", self.counters.read_bytes()), self.call("stats")["state_written"], run_ns / 1000)


class Trade:
    def __init__(self, world, library, rate, seconds, paid, lead):
        self.rate, self.seconds, self.paid, self.lead = rate, seconds, paid, lead
        name = f"{rate}{'' if paid else 'free'}"
        # What is bought before and after the measurement, too.
        self.size = rate * PIECE * (seconds + lead + 40) + 2 * PIECE
        source = world.make_folder(f"source{name}")
        make_payload(source, "payload", [("a", self.size)])
        self.torrent = make_torrent(world.path(f"payload{name}.torrent"), source, "payload", [("a", self.size)], piece_size=PIECE)
        self.ledger = Ledgerd(world, 4, name=f"ledgerd{name}", **EASY_FAUCET).start()
        common = {"ledger__url": self.ledger.url, "ledger__key": self.ledger.key, "speed__enabled": int(paid), "transport__utp": 0, "discovery__trackers": 0}
        # One slot for whoever pays, and none free of charge for it: the other two are the optimistic one and the one for peers without a bid.
        self.payee = CountedMilletd(world, 3, f"payee{name}", library, node__listen=f"{address(3)}:6881", speed__reserve=RESERVE,
                                    node__upload_rate=rate * PIECE, node__upload_slots=3, **common)
        self.payer = CountedMilletd(world, 2, f"payer{name}", library, node__listen=f"{address(2)}:6881", node__upload_rate=1000, **common)
        self.payer.call("wallet", "create")
        self.payer.call("wallet", "claim", "--ledger", self.ledger.url, "--ledger-key", self.ledger.key)
        self.payee.start("--seed", self.torrent.path, "--data", source)
        self.payee.wait_state(self.torrent, "seeding", 120)
        self.payer.start()
        self.source = source

    def pieces(self):
        row = self.payer.show(self.torrent)
        return row["bytes_paid_down" if self.paid else "downloaded"] / PIECE

    def measure(self):
        """{side: what a piece costs it}, and pieces a second."""
        money = ("--budget", "5", "--max-rate", str(MAX_RATE)) if self.paid else ()
        self.payer.add(self.torrent, "--peer", self.payee.endpoint, *money)
        wait_until(lambda: self.pieces() >= self.lead * self.rate, 60 + 2 * self.lead, "the first pieces")
        sides = {PAYEE: self.payee, PAYER: self.payer}
        start, since = self.pieces(), time.monotonic()
        before = {side: node.cost() for side, node in sides.items()}
        time.sleep(self.seconds)
        after = {side: node.cost() for side, node in sides.items()}
        pieces, took = self.pieces() - start, time.monotonic() - since
        expect(pieces > 0.1 * self.rate * self.seconds, f"{pieces:.0f} pieces in {took:.0f} s, not {self.rate} a second")
        return {side: [(b - a) / pieces for a, b in zip(before[side], after[side])] for side in sides}, pieces / took

    def end(self):
        for node in (self.payer, self.payee):
            node.kill()  # a measurement, not a test of its end
        self.ledger.stop()
        shutil.rmtree(self.source)


def measure_payment(world, arguments, say):
    """A table of its own: a column for each side."""
    figures = Figures([PAYEE, PAYER], PAYEE, ())
    library = world.path("count_calls.so")
    subprocess.run([need("cc"), "-O2", "-shared", "-fPIC", "-o", library, Path(__file__).with_name("count_calls.c"), "-ldl"], check=True, stdin=subprocess.DEVNULL)
    rates = (10,) if arguments.quick else arguments.payments or RATES
    for rate in rates:
        # Two minutes show what is written once a minute; the first seconds are of small channels, as no other minute of a day is.
        seconds, lead = (4, 2) if arguments.quick else (120, 30) if rate <= 10 else (60, 10)
        costs = {}
        for paid in (True, False):
            say(f"payment: {rate} pieces a second, {'paid' if paid else 'free'}")
            trade = Trade(world, library, rate, seconds, paid, lead)
            costs[paid], reached = trade.measure()
            trade.end()
            if paid:
                figures.note(f"{rate} pieces a second were {reached:.1f}")
        for side in (PAYEE, PAYER):
            signed, checked, allocations, flash, cpu = costs[True][side]
            at = f"a piece at {rate}/s: "
            figures.add(at + "flash bytes", side, flash, targets=[])
            figures.add(at + "flash bytes, for nothing", side, costs[False][side][3], targets=[])
            target = [Target(FLASH_MB_A_DAY)] if rate == 10 else []
            figures.add(f"{rate}/s for a day: MB of flash", side, flash * rate * 86400 / 1e6, targets=target)
            figures.add(at + "signatures made", side, signed, targets=[])
            figures.add(at + "signatures checked", side, checked, targets=[])
            figures.add(at + "allocations", side, allocations, targets=[])
            figures.add(at + "us of CPU", side, cpu, targets=[])
            figures.add(at + "us of CPU, for nothing", side, costs[False][side][4], targets=[])
            figures.add(at + "allocations, for nothing", side, costs[False][side][2], targets=[])
    return figures
