#!/usr/bin/python3
"""The main job, end to end, on loopback: one milletd seeds a Debian package to aria2c for nothing and to three bidding milletd for tokens, at the
price that its auctions set, over payment channels that millet-ledgerd holds. Prints what happened, and ends with 0 only if all of it holds.

Called by ./toolchains/dev demo, which installs and builds first.
"""
import argparse
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "interop"))
from harness import world as worlds  # noqa: E402
from harness.clients import Aria2, Opentracker  # noqa: E402
from harness.node import Ledgerd, Milletd  # noqa: E402
from harness.torrents import bdecode, bencode  # noqa: E402
from harness.world import Failure, World, address, expect, need, wait_until  # noqa: E402

PACKAGE = "linux-source-6.1"
UPLOAD_RATE = 8_000_000  # of the seeder, bytes per second
SLOTS = 4  # two auctioned, one free, one optimistic
RESERVE = "1"  # BTT per GB
# Requesters give little to each other, as homes with slow uplinks do: what they want they get from the seeder.
HOME_UPLOAD_RATE = 40_000
# ann's line is slow, so that it is not done with what the free slots give before another bidder has finished: then it wins the slot that it lost at first.
ANN_DOWNLOAD_RATE = 2_500_000
BUDGETS = {"ann": "2", "ben": "4", "cem": "8"}  # BTT
TIME_MAX = 175  # seconds for the transfers


def say(text=""):
    print(text, flush=True)


def micro(text):
    """Micro-BTT of an amount in BTT with up to six decimals."""
    whole, _, fraction = str(text).partition(".")
    return int(whole) * 1_000_000 + int((fraction + "000000")[:6])


def btt(amount):
    return f"{amount // 1_000_000}.{amount % 1_000_000:06d}".rstrip("0").rstrip(".")


def digest(path):
    hasher = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            hasher.update(block)
    return hasher.hexdigest()


class TorrentFile:
    """A .torrent that somebody else made, with what the harness's clients ask of one."""

    def __init__(self, path):
        self.path = path
        self.info = {key.decode(): value for key, value in bdecode(path.read_bytes())[b"info"].items()}
        self.info_hash = hashlib.sha1(bencode(self.info)).digest()
        self.hex = self.info_hash.hex()
        self.name = self.info["name"].decode()


class Demo:
    def __init__(self, world, cache):
        self.world = world
        self.cache = cache
        self.checks = []

    # ---- what is needed ----

    def payload(self):
        """The package's file, downloaded once and kept between demos; only Debian's apt says what the right bytes are."""
        self.cache.mkdir(parents=True, exist_ok=True)
        command = [need("apt-get"), "download", "-q", PACKAGE]
        done = subprocess.run(command, cwd=self.cache, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if done.returncode != 0 and not list(self.cache.glob(f"{PACKAGE}_*.deb")):
            raise Failure(f"{' '.join(command)} failed: {done.stderr.decode(errors='replace').strip()[-400:]}; check the network, and run apt-get update")
        found = sorted(self.cache.glob(f"{PACKAGE}_*.deb"), key=lambda path: path.stat().st_mtime)[-1]
        source = self.world.make_folder("source")
        shutil.copyfile(found, source / found.name)
        return source / found.name

    def make_torrent(self, payload, tracker_url):
        path = self.world.path("demo.torrent")
        subprocess.run([need("mktorrent"), "-a", tracker_url, "-o", path, payload], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        return TorrentFile(path)

    def start(self):
        say("== payload")
        self.file = self.payload()
        self.size = self.file.stat().st_size
        tracker_url = f"http://{address(2)}:6969/announce"
        self.torrent = self.make_torrent(self.file, tracker_url)
        say(f"{self.file.name}, {self.size / 1e6:.1f} MB; mktorrent made {self.torrent.hex}")
        self.tracker = Opentracker(self.world, 2, [self.torrent])
        expect(self.tracker.url == tracker_url, "opentracker listens elsewhere")
        # Money that the faucet gave changes hands here at once.
        self.ledger = Ledgerd(self.world, 3, ledgerd__faucet_spend_only=0).start()
        say(f"opentracker at {self.tracker.url}, millet-ledgerd at {self.ledger.url}")
        common = {"ledger__url": self.ledger.url, "ledger__key": self.ledger.key, "speed__enabled": 1}
        self.seeder = Milletd(self.world, 10, name="seeder", node__upload_rate=UPLOAD_RATE, node__upload_slots=SLOTS, speed__reserve=RESERVE, **common)
        self.seeder.start("--seed", self.torrent.path, "--data", self.file.parent)
        self.requesters = {name: Milletd(self.world, number, name=name, node__upload_rate=HOME_UPLOAD_RATE,
                                         node__download_rate=ANN_DOWNLOAD_RATE if name == "ann" else 0, **common).start()
                           for number, name in enumerate(BUDGETS, 11)}
        self.nodes = {"seeder": self.seeder, **self.requesters}

    def balances(self):
        found = {}
        for name, node in self.nodes.items():
            row = node.call("wallet", "balance")
            found[name] = (row["available_micro"], row["in_channels_micro"])
        return found

    def fund(self):
        say("\n== funding")
        for name, node in self.requesters.items():
            got = node.call("wallet", "claim")
            say(f"FAUCET    {name} gets {got['amount_btt']} BTT for its proof of work")
        target = self.requesters["cem"].call("wallet", "address")["address"]
        for name, amount in (("ann", "7"), ("ben", "4")):
            self.requesters[name].call("wallet", "send", target, amount)
            say(f"TRANSFER  {name} sends {amount} BTT to cem")
        self.funded = self.balances()
        self.table("after funding", self.funded)

    def table(self, when, balances):
        say(f"\n{'balances ' + when:<24} available BTT   in channels BTT")
        for name, (available, in_channels) in balances.items():
            say(f"  {name:<22} {btt(available):>13} {btt(in_channels):>17}")
        say(f"  {'together':<22} {btt(sum(sum(pair) for pair in balances.values())):>13}")

    # ---- the transfer ----

    def transfer(self):
        say("\n== transfer: aria2c for nothing; ann, ben and cem bid")
        self.seeder.wait_state(self.torrent, "seeding")
        self.aria2 = Aria2(self.world, 20)
        self.aria2._start(self.torrent, "--seed-time=0", "--max-upload-limit=40K")
        for name, node in self.requesters.items():
            node.add(self.torrent, "--budget", BUDGETS[name], "--max-rate", "100")
        began = time.monotonic()
        self.finished = {}
        while len(self.finished) < 4:
            expect(time.monotonic() - began < TIME_MAX, f"the transfers took more than {TIME_MAX} s")
            for client, done in self.progress().items():
                if done >= self.size and client not in self.finished:
                    self.finished[client] = time.monotonic() - began
            self.show(time.monotonic() - began)
            time.sleep(1)
        self.duration = time.monotonic() - began
        if sys.stdout.isatty():
            say()

    def progress(self):
        done = {name: node.show(self.torrent)["done"] for name, node in self.requesters.items()}
        done["aria2c"] = self.size if self.aria2.complete() else 0
        return done

    def show(self, seconds):
        slots = {}
        names = {node.address: name for name, node in self.requesters.items()}
        names[address(20)] = "aria2c"
        for peer in self.seeder.call("peers")["peers"]:
            slots[names.get(peer["remote"].rsplit(":", 1)[0], "?")] = peer["slot"] or "-"
        rounds = self.seeder.call("bids")["auctions"]
        price = rounds[-1]["price_btt_per_gb"] if rounds else "-"
        done = self.progress()
        cells = [f"{name} {100 * done[name] // self.size:3d} % {slots.get(name, 'gone'):<10}" for name in BUDGETS]
        line = f"{seconds:5.0f} s  price {price:>6} BTT/GB  {'  '.join(cells)}  aria2c {'done' if self.aria2.complete() else slots.get('aria2c', '-')}"
        if sys.stdout.isatty():
            print("\r" + line[:shutil.get_terminal_size().columns - 1].ljust(shutil.get_terminal_size().columns - 1), end="", flush=True)
        elif int(seconds) % 5 == 0:
            say(line)

    # ---- what happened ----

    def check(self, holds, text):
        self.checks.append(bool(holds))
        say(f"  {'yes' if holds else 'NO '}  {text}")

    def wait_for_settlement(self):
        def settled():
            return not any(node.call("channels")["channels"] for node in self.nodes.values())
        try:
            wait_until(settled, 30, "the channels to be closed")
        except Failure:
            pass  # the checks below say it

    def auctions(self):
        names = {node.call("wallet", "address")["public_key"]: name for name, node in self.requesters.items()}
        rounds = self.seeder.call("bids")["auctions"]
        say("\n== auctions at the seeder (BTT per GB)")
        for row in rounds:
            bids = [f"{names[bid['payer']]} {bid['bid_btt_per_gb']} {bid['outcome']}" for bid in row["bids"]]
            setter = f"the losing bid of {names[row['bids'][row['losing_bid']]['payer']]}" if row["price_set_by"] == "losing_bid" else "the reserve"
            say(f"  round {row['round']:>2}: price {row['price_btt_per_gb']:>7} set by {setter:<24} bids: {', '.join(bids)}")
        return rounds, names

    def check_prices(self, rounds, names):
        for row in rounds:
            bids = row["bids"]
            won = [bid for bid in bids if bid["won"]]
            lost = [bid for bid in bids if not bid["won"] and bid["backed"]]
            price = row["price_pico_per_byte"]
            fair = all(price <= bid["bid_pico_per_byte"] for bid in won) and len(won) <= SLOTS - 2
            if lost and len(won) == SLOTS - 2:
                fair = fair and price == max(max(bid["bid_pico_per_byte"] for bid in lost), row["reserve_pico_per_byte"])
            if not lost:
                fair = fair and price == row["reserve_pico_per_byte"]
            if not fair:
                self.check(False, f"round {row['round']} has the price that the rule says")
                return
        self.check(rounds, "every round: at most two winners, at one price, which is the highest losing bid or the reserve, and no winner's bid is below it")
        contested = [row for row in rounds if row["price_set_by"] == "losing_bid"]
        self.check(contested, "a losing bid has set a price")
        losers = {names[bid["payer"]] for row in contested for bid in row["bids"] if not bid["won"]}
        last = {names[bid["payer"]] for row in rounds if contested and row["round"] > contested[-1]["round"] for bid in row["bids"] if bid["won"]}
        self.check(losers & last, f"who lost at first ({', '.join(sorted(losers)) or 'nobody'}) has won when another had finished")

    def report(self):
        self.wait_for_settlement()
        rounds, names = self.auctions()
        shown = self.seeder.show(self.torrent)
        self.final = self.balances()
        say("\n== pieces")
        piece = shown["piece_size"]
        say(f"  the seeder sent {shown['bytes_paid_up'] // piece} pieces' worth for {shown['earned_btt']} BTT and {shown['bytes_free_up'] // piece} for nothing, in {self.duration:.0f} s")
        bought = {}
        for name, node in self.requesters.items():
            row = node.show(self.torrent)
            bought[name] = row
            say(f"  {name}: {row['bytes_paid_down'] // piece} pieces' worth bought for {row['spent_btt']} of {BUDGETS[name]} BTT, {row['bytes_free_down'] // piece} for nothing, complete after {self.finished[name]:.0f} s")
        say(f"  aria2c: complete after {self.finished['aria2c']:.0f} s")
        self.table("at the end", self.final)
        say("\n== checks")
        want = digest(self.file)
        copies = [node.data / self.torrent.name for node in self.requesters.values()] + [self.aria2.data / self.torrent.name]
        self.check(all(digest(path) == want for path in copies), "the payload has the same SHA-256 everywhere")
        self.check_prices(rounds, names)
        self.check(shown["bytes_paid_up"] > 0 and shown["bytes_free_up"] > 0, "the seeder sent pieces for money and pieces for nothing")
        self.check(all(row["spent_micro"] <= micro(BUDGETS[name]) for name, row in bought.items()), "nobody spent more than its budget")
        self.check(not any(node.call("channels")["channels"] for node in self.nodes.values()), "all channels are closed")
        self.check(all(in_channels == 0 for _, in_channels in self.final.values()), "nothing is left in escrow")
        earned = self.final["seeder"][0] - self.funded["seeder"][0]
        spent = {name: self.funded[name][0] - self.final[name][0] for name in BUDGETS}
        self.check(earned == shown["earned_micro"] and earned > 0, f"the ledger's balance of the seeder grew by what it earned: {btt(earned)} BTT")
        self.check(sum(self.funded[name][0] for name in self.nodes) == sum(self.final[name][0] for name in self.nodes),
                   f"what the requesters paid ({', '.join(f'{name} {btt(amount)}' for name, amount in spent.items())}) is what providers got")

    def stop(self):
        """Ends everything in order; the ledger adds up its books at the very end."""
        for node in self.nodes.values():
            node.stop()
        self.ledger.stop()
        books = [line for line in self.world.log(self.ledger.name).splitlines() if "event=books" in line]
        supplies = {word.partition("=")[2] for line in books for word in line.split() if word.startswith("supply=")}
        self.check(len(books) == 2 and supplies == {"990000000000"}, "the ledger's supply is 990000000000 BTT at its start and at its end")

    def run(self):
        self.start()
        self.fund()
        self.transfer()
        self.report()
        self.stop()
        return all(self.checks)


def main():
    parser = argparse.ArgumentParser(prog="./toolchains/dev demo", description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--keep", action="store_true", help="keep the folder with logs, states and payloads")
    arguments = parser.parse_args()
    programs = Path(arguments.bin).resolve()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(130))
    folder = ROOT / "build" / "demo"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    # The control sockets' paths are short enough only from here (sun_path has 108 bytes).
    os.chdir(folder)
    worlds.use_loopback(worlds.free_loopback("127.77."))
    world = World(programs, Path("."), bound=True)
    try:
        good = Demo(world, ROOT / "build" / "cache").run()
        say(f"\n== {'all of it holds' if good else 'NOT all of it holds'}")
    except (Failure, worlds.Skip, subprocess.CalledProcessError, OSError) as reason:
        say(f"\n== failed: {reason}")
        world.show_logs()
        good = False
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C does not stop the cleaning up
        world.end()
        os.chdir(ROOT)
        if arguments.keep:
            say(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
