"""Paid transfers between processes, over TCP and over uTP: a ledger, a provider that sells slots, requesters that bid; with SIGKILL for any of them
at any moment, and with a ledger that is away. Money is counted at the ledger, when all channels are closed."""
import functools
import os
import random
import re
import shutil
import sys
import time

from harness.node import Ledgerd, Milletd
from harness.torrents import digest, make_payload, make_torrent
from harness.tracker import Tracker
from harness.world import address, expect, main, wait_until
from wallet import EASY, GRANT

SUPPLY = "990000000000"
PIECE = 65536
RESERVE = 100  # BTT per GB
BUDGET, MAX_RATE = "5", "200"  # so that a channel of 64 pieces at the bid lasts for 128 at the reserve
ONLY_UTP = {"transport__tcp": 0, "transport__utp": 1}
SIZE, RATE = 6_000_000, 1_000_000  # of the payload, and what the provider uploads in a second: some seconds for the whole


def cost(size):
    """Micro-BTT of so many bytes at the reserve, rounded up."""
    return -(-size * RESERVE // 1000)


class Market:
    """A ledger, a provider and a requester that has the faucet's grant, none of them with the other's address in its state yet."""

    def __init__(self, world, size=SIZE, rate=RATE, **options):
        self.world = world
        self.size = size
        self.tracker = Tracker()
        self.source = world.make_folder("source")
        files = make_payload(self.source, "payload", [("a", size // 3), ("b", size - size // 3)])
        self.torrent = make_torrent(world.path("payload.torrent"), self.source, "payload", files, piece_size=PIECE, trackers=[self.tracker.url])
        self.ledger = Ledgerd(world, 4, ledgerd__tls_listen=f"{address(4)}:7412", **EASY).start()
        self.common = {"ledger__url": self.ledger.url, "ledger__key": self.ledger.key, "speed__enabled": 1, **options}
        self.payee = Milletd(world, 3, name="payee", node__listen=f"{address(3)}:6881", node__upload_rate=rate, speed__reserve=RESERVE, **self.common)
        self.payers = []
        self.payer = self.add_payer(2, "payer")
        self.wallet(self.payer, "claim")

    def add_payer(self, number, name):
        payer = Milletd(self.world, number, name=name, node__listen=f"{address(number)}:6881", node__upload_rate=40_000, **self.common)
        payer.call("wallet", "create")
        self.payers.append(payer)
        return payer

    def wallet(self, node, *arguments):
        """For a node that does not run."""
        return node.call("wallet", *arguments, "--ledger", self.ledger.url, "--ledger-key", self.ledger.key)

    def nodes(self):
        return [self.payee] + self.payers

    def start(self):
        self.payee.start("--seed", self.torrent.path, "--data", self.source)
        self.payee.wait_state(self.torrent, "seeding")
        wait_until(lambda: self.tracker.of(self.torrent.info_hash), 20, "the provider's announce")
        for payer in self.payers:
            payer.start()
        return self

    def buy(self, max_rate=MAX_RATE):
        for payer in self.payers:
            payer.add(self.torrent, "--peer", self.payee.endpoint, "--budget", BUDGET, "--max-rate", max_rate)

    def counted(self):
        """What the provider has counted on its channels, in micro-BTT."""
        return sum(row["paid_micro"] for row in self.payee.call("channels")["channels"])

    def done(self):
        return self.payer.show(self.torrent)["done"]

    def complete(self, timeout=60):
        for payer in self.payers:
            payer.wait_state(self.torrent, "seeding", timeout)
            expect(digest(payer.data / "payload") == digest(self.source / "payload"), f"{payer.name} has other bytes than were seeded")

    def settle(self, timeout=60):
        """Waits until all channels are closed; the payers' losses, and what the provider got: the same sum."""
        last = []

        def settled():
            last[:] = [f"{node.name}: {row['role']} {row['state']}" for node in self.nodes() for row in node.call("channels")["channels"]]
            return not last

        wait_until(settled, timeout, lambda: f"the channels to be closed: {last}")
        balances = {}
        for node in self.nodes():
            row = node.call("wallet", "balance")
            expect(row["in_channels_micro"] == 0, f"{node.name} has {row['in_channels_micro']} micro-BTT in channels that it does not know")
            balances[node] = row["available_micro"]
        expect(sum(balances.values()) == GRANT, f"{sum(balances.values())} micro-BTT are there of {GRANT}")
        return balances[self.payee]

    def stop(self):
        """Ends all. The ledger adds up its books whenever it starts and ends; and nobody here was dishonest."""
        for node in self.nodes():
            node.stop()
        self.ledger.stop()
        for node in self.nodes():
            bad = [line for line in node.log().splitlines() if "speed_ban" in line or "banned=1" in line or ("speed_strike" in line and "why=old_debt" not in line)]
            expect(not bad, f"{node.name} punishes somebody honest: {bad[:1]}")
        books = [line for line in self.world.log(self.ledger.name).splitlines() if "event=books" in line]
        supplies = set(re.findall(r"\bsupply=(\d+)", "\n".join(books)))
        expect(len(books) >= 2 and supplies == {SUPPLY}, f"the supply was {supplies}")


def _one_line(node, event, *words):
    """The log names it in one line, however often it happens."""
    lines = [line for line in node.log().splitlines() if f"event={event}" in line]
    expect(len(lines) == 1, f"{node.name} has {len(lines)} lines of {event}: {lines[:3]}")
    for word in words:
        expect(word in lines[0], f"the line does not say {word!r}: {lines[0]}")


def paid_download(world, **options):
    """Two requesters, one funded by the faucet and one by a transfer, which may sell to each other: all that was bought is paid for, to the micro-BTT."""
    market = Market(world, size=8_000_000, **options)
    second = market.add_payer(5, "second")
    market.wallet(market.payer, "send", market.wallet(second, "address")["address"], "4")
    market.start().buy()
    for node in market.nodes():
        used = wait_until(lambda: {row["transport"] for row in node.call("peers")["peers"]}, 20, f"a connection of {node.name}")
        expect(used == {"utp"} or options != ONLY_UTP, f"{node.name} is connected over {used}")
    market.complete()
    got = market.settle()
    sold, bought = market.payee.show(market.torrent), [payer.show(market.torrent) for payer in market.payers]
    everybody = [sold, *bought]
    expect(got == sold["earned_micro"], f"the ledger says {got}, earned {sold['earned_micro']}")
    total = {key: sum(row[key] for row in everybody) for key in ("earned_micro", "spent_micro", "bytes_paid_up", "bytes_paid_down")}
    expect(total["bytes_paid_up"] == total["bytes_paid_down"], f"sold and bought: {total}")
    # A torrent's spending is rounded up once, what a channel pays each time: there are four of them at most, two of each payer.
    expect(0 <= total["earned_micro"] - total["spent_micro"] <= 2, f"earned and spent: {total}")
    # Each of its two channels rounds up.
    expect(cost(sold["bytes_paid_up"]) <= got <= cost(sold["bytes_paid_up"]) + 1, f"{got} micro-BTT for {sold['bytes_paid_up']} bytes")
    expect(all(row["bytes_paid_down"] > 0 for row in bought), "one of them bought nothing")
    market.stop()


def _kill_some(world, victims_of, kills, **options):
    """Kills while the download is under way, at moments that a seed picks; returns the market, all channels closed, and what was paid."""
    seed = int(os.environ.get("MILLET_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"MILLET_SEED={seed}", flush=True)
    chance = random.Random(seed)
    market = Market(world, **options).start()
    market.buy()
    killed = 0
    for _ in range(kills):
        time.sleep(chance.uniform(0.1, 1.4))
        # Who is killed after the end, before it could say so, is waited for: ten minutes.
        if market.done() > market.size * 0.8:
            break
        victim = chance.choice(victims_of(market))
        victim.kill()
        killed += 1
        time.sleep(chance.uniform(0, 0.5))
        victim.start()
    expect(killed >= 2, f"only {killed} kills: the download was too fast to be a test")
    # Blocks that died with a process are an old debt, which the provider writes off after half a minute each time.
    market.complete(60 + 35 * killed)
    got = market.settle()
    expect(got > cost(market.size) // 3, f"only {got} micro-BTT of {cost(market.size)} were paid: no test")
    return market, killed, got


def payer_killed(world, **options):
    market, killed, got = _kill_some(world, lambda market: [market.payer], 4, **options)
    sold = market.payee.show(market.torrent)
    unpaid = cost(sold["bytes_paid_up"]) - got
    expect(-killed - 1 <= unpaid <= killed * (cost(PIECE) + 1), f"{unpaid} micro-BTT of {sold['bytes_paid_up']} bytes are unpaid after {killed} kills")
    expect(sold["earned_micro"] == got, f"the provider says {sold['earned_micro']}, the ledger {got}")
    market.stop()


def payee_killed(world, **options):
    market, killed, got = _kill_some(world, lambda market: [market.payee], 4, **options)
    bought = market.payer.show(market.torrent)
    expect(bought["spent_micro"] == got, f"the requester says {bought['spent_micro']}, the ledger {got}")
    unpaid = cost(bought["bytes_paid_down"]) - got
    expect(-1 <= unpaid <= killed * cost(PIECE), f"{unpaid} micro-BTT of {bought['bytes_paid_down']} bytes are unpaid after {killed} kills")
    market.stop()


def ledger_killed(world):
    market, _, got = _kill_some(world, lambda market: [market.ledger], 6)
    sold, bought = market.payee.show(market.torrent), market.payer.show(market.torrent)
    expect(got == cost(sold["bytes_paid_up"]) == sold["earned_micro"] == bought["spent_micro"],
           f"the ledger says {got}, earned {sold['earned_micro']} for {sold['bytes_paid_up']} bytes, spent {bought['spent_micro']}")
    market.stop()


def anybody_killed(world, **options):
    market, killed, got = _kill_some(world, lambda market: [market.payer, market.payee, market.ledger], 6, **options)
    expect(got <= cost(market.size + killed * PIECE), f"{got} micro-BTT for {market.size} bytes: something was paid twice")
    market.stop()


def _restored(world, node_of, **options):
    """A copy of a node's state, made while a channel is open, takes the place of what it has become: the market, and what was earned before that."""
    market = Market(world, size=12_000_000, **options).start()
    market.buy()
    node = node_of(market)
    # The first channel with somebody new is a small one. Its successor is in the copy and not yet half used at the end, when another is opened:
    # the payer knows nothing of a channel that is not in the copy, and the provider closes it after ten idle minutes.
    wait_until(lambda: any(row["capacity_micro"] > 16 * cost(PIECE) and row["paid_micro"] for row in node.call("channels")["channels"]), 20,
               "a payment on the second channel")
    node.kill()
    backup = world.path("backup")
    shutil.copytree(node.state, backup, ignore=shutil.ignore_patterns("*.socket"))
    node.start()
    copied = market.done()
    wait_until(lambda: market.done() > copied + 1_000_000, 40, "a megabyte after the backup")
    node.kill()
    shutil.rmtree(node.state)
    shutil.copytree(backup, node.state)
    node.start()
    return market


def payer_restored_from_a_backup(world):
    """It adopts what the provider shows of its own signatures, and pays nothing twice."""
    market = _restored(world, lambda market: market.payer)
    market.complete(120)
    got = market.settle()
    sold = market.payee.show(market.torrent)
    expect(got == sold["earned_micro"], f"the provider says {sold['earned_micro']}, the ledger {got}")
    unpaid = cost(sold["bytes_paid_up"]) - got
    expect(-3 <= unpaid <= 3 * cost(PIECE), f"{unpaid} micro-BTT of {sold['bytes_paid_up']} bytes are unpaid")
    market.stop()


def payee_restored_from_a_backup(world):
    """It is sent the newest payment again, and loses nothing that it had counted."""
    market = _restored(world, lambda market: market.payee)
    market.complete(120)
    got = market.settle()
    bought = market.payer.show(market.torrent)
    expect(bought["spent_micro"] == got, f"the requester says {bought['spent_micro']}, the ledger {got}")
    unpaid = cost(bought["bytes_paid_down"]) - got
    expect(-3 <= unpaid <= 3 * cost(PIECE), f"{unpaid} micro-BTT of {bought['bytes_paid_down']} bytes are unpaid")
    market.stop()


def ledger_killed_while_closing(world):
    """SIGKILL when the transfer has ended and its channel is being closed: it is closed once."""
    market = Market(world, size=2_000_000).start()
    market.buy()
    market.payer.wait_state(market.torrent, "seeding")
    for _ in range(4):
        market.ledger.kill()
        market.ledger.start()
    market.complete()
    got = market.settle()
    expect(got == market.payee.show(market.torrent)["earned_micro"] == market.payer.show(market.torrent)["spent_micro"] > 0, f"the ledger says {got}")
    market.stop()


def _ledger_down_before(world, known):
    """Without a ledger the transfer goes on for nothing, and is paid for from the moment that the ledger is there."""
    market = Market(world, size=12_000_000)
    if known:  # from an earlier run
        market.start()
        wait_until(lambda: all("event=ledger_reached" in node.log() for node in market.nodes()), 20, "the ledger to be reached")
        for node in market.nodes():
            node.stop()
    market.ledger.stop()
    market.start().buy()
    wait_until(lambda: market.done() > 500_000, 20, "a transfer without a ledger")
    for node in market.nodes():
        _one_line(node, "ledger_unreachable", market.ledger.url, "check ledger.url", "asked again by itself")
        expect("check ledger.url" in node.call("stats")["ledger"], "millet stats does not say it")
    expect(market.counted() == 0 and market.payer.show(market.torrent)["bytes_paid_down"] == 0, "something was sold without a ledger")
    market.ledger.start()
    market.complete()
    got = market.settle()
    expect(got == cost(market.payer.show(market.torrent)["bytes_paid_down"]) > 0, f"{got} micro-BTT were paid")
    expect("speed_strike" not in market.payee.log(), "somebody was struck")
    market.stop()


def ledger_down_before(world):
    _ledger_down_before(world, known=False)


def known_ledger_down_before(world):
    _ledger_down_before(world, known=True)


def ledger_down_during(world):
    """Within the channel that is open the transfer is paid for as ever; the next channel waits for the ledger, and nobody is struck."""
    market = Market(world).start()
    market.buy(max_rate=RESERVE)
    wait_until(market.counted, 20, "the first payment")
    market.ledger.stop()
    capacity = market.payer.call("channels")["channels"][0]["capacity_micro"]
    expect(cost(PIECE) < capacity < cost(market.size), f"a channel of {capacity}: no test")
    wait_until(lambda: market.counted() == capacity, 30, "the channel to be used up")
    _one_line(market.payer, "ledger_unreachable", market.ledger.url, "check ledger.url", "asked again by itself")
    time.sleep(2)
    sold = market.payee.show(market.torrent)["bytes_paid_up"]
    expect(cost(sold) <= capacity + cost(PIECE), f"{sold} bytes were sold over a channel of {capacity}: more than the window is unpaid")
    market.ledger.start()
    market.complete()
    got = market.settle()
    expect(got == cost(market.payee.show(market.torrent)["bytes_paid_up"]), f"{got} micro-BTT were paid")
    expect("speed_strike" not in market.payee.log(), "somebody was struck")
    market.stop()


def ledger_down_after(world):
    """The transfer ends, the channel can't be closed: that waits, also over restarts of both, and is done when the ledger is back."""
    market = Market(world, size=3_000_000).start()
    market.buy()
    wait_until(lambda: market.done() > market.size // 2, 20, "half of the transfer")
    market.ledger.stop()
    market.complete()
    # The first channel, a small one, may have been full and closed before.
    closed = lambda: sum(round(float(paid) * 1e6) for paid in re.findall(r"event=speed_closed .* paid=([0-9.]+)", market.payee.log()))
    total = lambda: market.counted() + closed()
    earned = wait_until(lambda: total() if total() == cost(market.payee.show(market.torrent)["bytes_paid_up"]) else 0, 20, "the last payment")
    paid_out = closed()
    for node in market.nodes():
        wait_until(lambda: "event=ledger_unreachable" in node.log(), 20, f"a line of {node.name}")
        _one_line(node, "ledger_unreachable", market.ledger.url, "check ledger.url", "asked again by itself")
    states = {row["state"] for node in market.nodes() for row in node.call("channels")["channels"]}
    expect(states == {"closing", "ending"}, f"the channels are listed as {states}")
    market.payer.kill()
    market.payer.start()
    market.payee.stop()
    market.payee.start()
    expect(market.counted() == earned - paid_out, f"{market.counted()} of {earned - paid_out} micro-BTT are left after the restart")
    market.ledger.start()
    got = market.settle(90)
    expect(got == earned, f"{got} of {earned} micro-BTT were paid out")
    market.stop()


def wrong_ledger_key(world):
    """A line that names both keys and the option; the provider goes on, for nothing."""
    market = Market(world, size=3_000_000)
    wrong = "0" * 63 + "1"
    market.payee.options["ledger.key"] = wrong
    market.start().buy()
    market.complete()
    _one_line(market.payee, "ledger_unreachable", wrong, market.ledger.key, "check ledger.url and ledger.key")
    expect(wrong in market.payee.call("stats")["ledger"], "millet stats does not say it")
    shown = market.payer.show(market.torrent)
    expect(shown["bytes_paid_down"] == 0 and shown["spent_micro"] == 0, f"{shown['bytes_paid_down']} bytes were bought of a provider without a ledger")
    expect(market.wallet(market.payer, "balance")["available_micro"] == GRANT, "money is gone")
    for node in market.nodes():
        node.stop()
    market.ledger.stop()


CASES = {case.__name__: case for case in (
    paid_download, payer_killed, payee_killed, ledger_killed, anybody_killed, ledger_killed_while_closing, ledger_down_before, known_ledger_down_before,
    ledger_down_during, ledger_down_after, wrong_ledger_key, payer_restored_from_a_backup, payee_restored_from_a_backup)}
for over_utp in (paid_download, payer_killed, payee_killed, anybody_killed):
    CASES[f"{over_utp.__name__}_over_utp"] = functools.partial(over_utp, **ONLY_UTP)
CASES["paid_download_over_tls"] = functools.partial(paid_download, ledger__url=f"https://{address(4)}:7412")

if __name__ == "__main__":
    sys.exit(main(CASES))
