"""SIGKILL of payers, payee and ledger under load, again and again: no payment is lost or counted twice. MILLET_KILL_CYCLES says how often (15);
MILLET_SEED picks the moments. `./toolchains/dev kill --nodes --cycles 1000` is the long form."""
import os
import random
import sys
import time

from harness.node import Milletd
from harness.world import ADDRESSES, address, expect, main, wait_until
from paid import PIECE, Market
from wallet import GRANT

RESERVE = 20  # BTT per GB
PAYERS = 4  # at once
KILLS_PER_PAYER = 2  # what died with it is an old debt, and a strike; the third would be a ban
SIZE, RATE = 3_000_000, 500_000


class Killing:
    def __init__(self, world, cycles, chance):
        self.world, self.cycles, self.chance = world, cycles, chance
        self.market = Market(world, size=SIZE, rate=RATE)
        self.market.payee.options.update({"speed.reserve": RESERVE, "node.upload_slots": 40})  # one for each
        self.numbers = iter(range(5, ADDRESSES + 1))  # each payer has its own: strikes are for addresses, too
        self.payers, self.leaving, self.retired = [], [], []
        self.kills = {}  # by name
        self.durable = {}  # by channel: what the payee has acknowledged as durable

    def start(self):
        self.market.payers = []  # this one buys nothing
        self.market.start()
        for _ in range(PAYERS):
            self.add_payer()

    def add_payer(self):
        number = next(self.numbers)
        payer = Milletd(self.world, number, name=f"payer{number}", node__listen=f"{address(number)}:6881", node__upload_rate=40_000, discovery__trackers=0,
                        **self.market.common)
        payer.call("wallet", "create")
        self.market.wallet(payer, "claim")
        payer.start()
        payer.add(self.market.torrent, "--peer", self.market.payee.endpoint, "--budget", "5", "--max-rate", "60")
        self.payers.append(payer)

    def try_retire(self, payer):
        """One that is complete has closed its channel."""
        if payer.show(self.market.torrent)["state"] != "seeding" or payer.call("channels")["channels"]:
            return False
        self.leaving.remove(payer)
        self.retired.append(payer)
        return True

    def channels(self):
        return {row["id"]: row for row in self.market.payee.call("channels")["channels"] if row["role"] == "payee"}

    def note_durable(self):
        for channel, row in self.channels().items():
            expect(row["durable_micro"] >= self.durable.get(channel, 0), f"channel {channel} has {row['durable_micro']} of {self.durable.get(channel)}")
            self.durable[channel] = row["durable_micro"]

    def cycle(self):
        time.sleep(self.chance.uniform(0.05, 0.6))
        victim = self.chance.choice([self.market.payee, self.market.ledger, self.chance.choice(self.payers)])
        if victim is self.market.payee:
            self.note_durable()
        victim.kill()
        self.kills[victim.name] = self.kills.get(victim.name, 0) + 1
        time.sleep(self.chance.uniform(0, 0.2))
        victim.start()
        if victim is self.market.payee:
            self.note_durable()
        # Who is killed when it is done, before it could say so, is waited for: ten minutes.
        other = self.chance.choice(self.payers)
        for payer in {victim, other} & set(self.payers):
            if self.kills.get(payer.name, 0) >= KILLS_PER_PAYER or payer.show(self.market.torrent)["done"] > 0.7 * SIZE:
                self.payers.remove(payer)
                self.leaving.append(payer)
                self.add_payer()
        if self.leaving:
            self.try_retire(self.chance.choice(self.leaving))

    def settle(self):
        """Ends all that is open; what the payee got, and what each payer lost."""
        self.leaving += self.payers
        self.payers = []
        # Blocks that died with a process are an old debt, which the payee writes off after half a minute; and see cycle().
        wait_until(lambda: all([self.try_retire(payer) for payer in list(self.leaving)]), 900, lambda: f"{[payer.name for payer in self.leaving]} to end")
        everybody = [self.market.payee, *self.retired]
        last = []

        def settled():
            last[:] = [f"{node.name}: {row['role']} {row['state']}" for node in everybody for row in node.call("channels")["channels"]]
            return not last

        wait_until(settled, 60, lambda: f"the channels to be closed: {last}")
        got = self.market.payee.call("wallet", "balance")["available_micro"]
        lost = {}
        for payer in self.retired:
            row = payer.call("wallet", "balance")
            expect(row["in_channels_micro"] == 0, f"{payer.name} has {row['in_channels_micro']} micro-BTT in channels that it does not know")
            lost[payer] = GRANT - row["available_micro"]
        return got, lost


def _sum(node, key):
    return sum(day[key] for day in node.call("history")["history"])


def everybody_killed(world):
    seed = int(os.environ.get("MILLET_SEED") or random.SystemRandom().randrange(1 << 32))
    cycles = int(os.environ.get("MILLET_KILL_CYCLES") or 15)
    print(f"MILLET_SEED={seed}", flush=True)
    killing = Killing(world, cycles, random.Random(seed))
    killing.start()
    wait_until(lambda: any(row["paid_micro"] > 0 for row in killing.channels().values()), 60, "a payment")
    for done in range(cycles):
        killing.cycle()
        if (done + 1) % 100 == 0:
            print(f"{done + 1} kills", flush=True)
    got, lost = killing.settle()
    earned, bought = _sum(killing.market.payee, "earned_micro"), sum(_sum(payer, "bytes_bought") for payer in lost)
    expect(got == sum(lost.values()), f"the payee got {got}, the payers lost {sum(lost.values())}")
    expect(got == earned, f"the payee got {got}, and its history says {earned}")
    expect(got >= sum(killing.durable.values()), f"the payee got {got} of {sum(killing.durable.values())} that it had acknowledged as durable")
    for payer, amount in lost.items():
        spent, piece = _sum(payer, "spent_micro"), -(-PIECE * 60 // 1000)
        expect(abs(spent - amount) <= (killing.kills.get(payer.name, 0) + 1) * piece + 2, f"{payer.name} says {spent} spent, and lost {amount}")
    expect(got * 1000 // RESERVE >= 20_000 * cycles, f"only {got} micro-BTT were paid in {cycles} cycles: no test")
    print(f"{cycles} kills ({killing.kills.get('payee', 0)} of the payee, {killing.kills.get('ledgerd', 0)} of the ledger, the rest of {len(lost)} payers): "
          f"{got} micro-BTT earned for {bought} bytes, none lost, none counted twice")
    killing.market.ledger.stop()
    killing.market.ledger.start()  # adds up its books


CASES = {"everybody_killed": everybody_killed}

if __name__ == "__main__":
    sys.exit(main(CASES))
