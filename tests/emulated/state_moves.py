#!/usr/bin/python3
"""A state goes from a big-endian machine of 32 bits to this one in the middle of a sale, and back: torrents, wallet, channels and earnings go on.

usage: state_moves.py --bin DIR --program MILLETD; called by ./toolchains/dev test
"""
import argparse
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "interop"))
from emulated import EmulatedMilletd, Sale  # noqa: E402
from harness import world as worlds  # noqa: E402
from harness.node import Milletd  # noqa: E402
from harness.world import expect, wait_until  # noqa: E402

SIZE = 24 << 20


def move(world, origin, target, name):
    """The export can be read by the other machine, and what either says of the wallet is the same."""
    file = world.path(name)
    sent = origin.call("state", "export", file)
    got = target.call("state", "import", file)
    expect(sent["address"] == got["address"], f"the wallet was {sent['address']} and is {got['address']}")


def run(world, program):
    sale = Sale(world, SIZE)
    router = EmulatedMilletd(world, 3, program, name="router", node__upload_rate=4_000, **sale.payee_options)
    here = Milletd(world, 3, name="here", **sale.payee_options)
    sale.seed(router)
    sale.buy(router)
    earned = wait_until(lambda: router.show(sale.torrent)["earned_micro"], 120, "the router's first payment")
    router.stop()
    expect(sale.payer.show(sale.torrent)["done"] < SIZE, "the sale was over before the state moved: no test")
    move(world, router, here, "from-router")
    here.start()
    here.wait_state(sale.torrent, "seeding")
    expect("event=checked" not in here.log(), "the payload is verified again")
    expect(here.show(sale.torrent)["earned_micro"] >= earned, "earnings were lost on the way")
    sale.payer.wait_state(sale.torrent, "seeding", 120)
    wait_until(lambda: not sale.payer.call("channels")["channels"] and not here.call("channels")["channels"], 120, "the channels to be closed")
    spent = sale.payer.show(sale.torrent)["spent_micro"]
    expect(here.show(sale.torrent)["earned_micro"] == spent > earned, f"the payer spent {spent}, the payee earned {here.show(sale.torrent)['earned_micro']}")
    here.stop()
    move(world, here, router, "from-here")
    ledger = ("--ledger", sale.ledger.url, "--ledger-key", sale.ledger.key)
    balance = router.call("wallet", "balance", *ledger)
    expect(balance["available_micro"] == spent and balance["in_channels_micro"] == 0, f"{spent} were spent, the router has {balance}")
    router.start(ready=120)
    router.wait_state(sale.torrent, "seeding", 120)
    expect(router.show(sale.torrent)["earned_micro"] == spent, "earnings were lost on the way back")
    for process in (router, sale.payer, sale.ledger):
        process.stop()
    print(f"a state moved to this machine after {earned} and back after {spent} micro-BTT were earned")


def main():
    parser = argparse.ArgumentParser(description="Moves a node's state between machines of other word size and byte order.")
    parser.add_argument("--bin", required=True, type=Path, help="folder of this machine's programs")
    parser.add_argument("--program", required=True, type=Path, help="milletd for MIPS, big endian")
    options = parser.parse_args()
    worlds.use_loopback(worlds.free_loopback("127.81."))
    return worlds.beside_others(options.bin, "state-moves", lambda world: run(world, options.program.resolve()))


if __name__ == "__main__":
    sys.exit(main())
