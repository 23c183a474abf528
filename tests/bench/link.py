"""How a seeder behaves on a home's uplink: how fast it is, how much it delays others, how it shares the link with TCP and with its like.

    homes   192.168.1.2 ... 192.168.4.2 --- this namespace, the router --- 198.18.0.0/24   leechers, TCP's receiver, what is pinged
            (a seeder each; TCP's sender                  `-- tc tbf: 20 Mbit/s, a queue of 1000 ms
             and the ping are in the first)

Everything is read off lines of "SECOND VALUE" that link_load.py prints; the clock is the same for all.
"""
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness.torrents import make_payload, make_torrent
from harness.world import Failure, Skip, need, wait_until
from seeders import SEEDERS, Place
from table import Between, Target

MBIT, QUEUE_MS = 20, 1000
HOMES = 4
SEED_PORT = 6881
OUTSIDE = "198.18.0."  # for measurements of this kind (RFC 2544): no address that a node could take for a neighbour's
FIRST_LEECHER = 10
TCP_PORT = 5001
TCP_LEECHERS = 4
STEPS = ("utp", "shares", "tcp")
PING_ALONE_S = 2
OVER_UTP = ("milletd", "transmission", "libtorrent")
OVER_TCP = ("milletd", "foreground")
LINK_SEEDERS = OVER_UTP + OVER_TCP[1:]
GOODPUT, MEDIAN, LATE = 18.9, 60, 75  # Mbit/s, ms
AGAIN = 0.9 * GOODPUT
AGAIN_WINDOW_S = 0.5


class Times:
    """Seconds of each stretch. `quick`: that it works, not what comes out."""

    def __init__(self, quick):
        self.settle = 0.5 if quick else 10.0
        self.alone = 1.0 if quick else 40.0
        self.beside = 1.0 if quick else 40.0
        self.after = 0.8 if quick else 20.0
        self.joined = 0.5 if quick else 60.0  # from a flow's start to the look at its share
        self.share = 1.0 if quick else 30.0  # what a share is measured over
        self.first_payload = 60.0  # most that a leecher waits: transmission unchokes in its own time


class Samples:
    """The lines of a process."""

    def __init__(self, world, name):
        self.world = world
        self.name = name

    def all(self):
        rows = [line.split() for line in self.world.log(self.name).splitlines()]
        return [(float(row[0]), float(row[1])) for row in rows if len(row) == 2 and row[0][0].isdigit()]

    def between(self, begin, end):
        return [value for second, value in self.all() if begin <= second < end]

    def at(self, second):
        """The value of a sum that grows, as of the last line until then."""
        rows = [value for when, value in self.all() if when <= second]
        return rows[-1] if rows else 0.0

    def mbit(self, begin, end):
        return (self.at(end) - self.at(begin)) * 8 / 1e6 / (end - begin)


def run(*command):
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode != 0:
        raise Failure(f"{' '.join(str(word) for word in command)}: {done.stderr.decode(errors='replace').strip()}")


class Link:
    """The network; it goes with the processes of its namespaces."""

    def __init__(self, world):
        self.world = world
        self.started = 0
        self.leechers = 0
        self.ip, tc, unshare, self.nsenter, nice = (need(program) for program in ("ip", "tc", "unshare", "nsenter", "nice"))
        # Other work on the machine must not count for delay. Where that is not allowed, nice says so and goes on.
        self.first = [nice, "-n", "-10"]
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1", encoding="ascii")
        self.outside = self._attach(unshare, "outside", "wan", OUTSIDE, f"{OUTSIDE}2")
        for number in range(FIRST_LEECHER, FIRST_LEECHER + 8 * HOMES):
            run(*self._inside(self.outside), self.ip, "address", "add", f"{OUTSIDE}{number}/24", "dev", "eth0")
        self.homes = [self._attach(unshare, f"home{number}", f"lan{number}", f"192.168.{number}.", f"192.168.{number}.2") for number in range(1, HOMES + 1)]
        tbf = subprocess.run([tc, *f"qdisc add dev wan root tbf rate {MBIT}mbit burst 4kb latency {QUEUE_MS}ms".split()], stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if tbf.returncode != 0:
            raise Skip(f"this kernel has no token bucket filter (tc tbf): {tbf.stderr.decode(errors='replace').strip()}")

    def _attach(self, unshare, name, device, network, own):
        """A namespace with one address, and its way through here. Returns its process."""
        process = self.world.start(f"link.{name}", [unshare, "--net", "sleep", "infinity"])
        here = os.readlink("/proc/self/ns/net")
        wait_until(lambda: os.readlink(f"/proc/{process.pid}/ns/net") != here, 10, f"the namespace {name}")
        run(self.ip, "link", "add", device, "type", "veth", "peer", "name", "eth0", "netns", process.pid)
        run(self.ip, "address", "add", f"{network}1/24", "dev", device)
        run(self.ip, "link", "set", device, "up")
        inside = [*self._inside(process), self.ip]
        run(*inside, "address", "add", f"{own}/24", "dev", "eth0")
        for interface in ("lo", "eth0"):
            run(*inside, "link", "set", interface, "up")
        run(*inside, "route", "add", "default", "via", f"{network}1")
        return process

    def _inside(self, process):
        return [self.nsenter, "--target", process.pid, "--net"]

    def place(self, home):
        return Place(f"192.168.{home + 1}.2", SEED_PORT, [*self.first, *self._inside(self.homes[home])])

    def start(self, process, *words):
        """A command of link_load.py in the namespace of `process`: (process, Samples)."""
        self.started += 1
        name = f"link.{self.started}.{words[0]}"
        command = [*self.first, *self._inside(process), sys.executable, "-B", Path(__file__).parent / "link_load.py", *words]
        return self.world.start(name, command), Samples(self.world, name)


class Leech:
    """A leecher outside that downloads from `seeder`."""

    def __init__(self, link, seeder, torrent, folder, transport):
        number = link.leechers
        link.leechers += 1
        stored = Path(folder, str(number))
        stored.mkdir()
        self.world = link.world
        self.seeder = seeder
        self.process, self.samples = link.start(link.outside, "leech", transport, f"{OUTSIDE}{FIRST_LEECHER + number % (8 * HOMES)}", seeder.endpoint, torrent.path, stored)

    def wait(self, seconds):
        """When the first payload came."""
        def begun():
            if self.process.poll() is not None:
                raise Failure(f"a leecher of {self.seeder.name} ended: {self.world.log(self.samples.name).strip()}")
            return [second for second, value in self.samples.all() if value > 0]

        return wait_until(begun, seconds, f"{self.seeder.name} to send its leecher something over the link")[0]


def total(leeches, begin, end):
    return sum(leech.samples.mbit(begin, end) for leech in leeches)


def percentile(values, percent):
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


class Measurement:
    def __init__(self, world, arguments, figures, say):
        self.world = world
        self.figures = figures
        self.say = say
        self.times = Times(arguments.quick)
        self.link = Link(world)
        self.folder = world.make_folder("link.payload")
        size = min(arguments.size, 1 << 30)
        make_payload(self.folder, "payload", [("", size)])
        self.torrent = make_torrent(world.path("link.torrent"), self.folder, "payload", [("payload", size)], 1 << 18, ["http://127.0.0.1:9/announce"], single=True)

    def seeder(self, name, label, home=0, utp=True):
        seeder = SEEDERS[name](self.world, f"link.{label}", utp=utp, place=self.link.place(home))
        seeder.start([self.torrent], self.folder)
        return seeder

    def alone_and_beside_tcp(self, name, stored, transport):
        """Alone, then beside a TCP flow, then alone again."""
        times, link = self.times, self.link
        over = "uTP" if transport == "utp" else "TCP"
        targets = transport == "utp"
        self.say(f"the link: {name} over {over} alone, then beside TCP")
        seeder = self.seeder(name, transport, utp=transport == "utp")
        _, pings = link.start(link.homes[0], "ping", f"{OUTSIDE}2")
        time.sleep(PING_ALONE_S)
        idle = statistics.median(pings.between(0, time.monotonic()) or [0.0])
        # One connection over TCP is often held back by its receiver, where the path is short.
        leeches = [Leech(link, seeder, self.torrent, stored, transport) for _ in range(1 if transport == "utp" else TCP_LEECHERS)]
        begin = max(leech.wait(times.first_payload) for leech in leeches) + times.settle
        end = begin + times.alone
        self.until(end)
        delays = [value - idle for value in pings.between(begin, end)]
        if not delays:
            raise Failure(f"no ping came back beside {name}")
        self.figures.add(f"Mbit/s over {over}, alone on the link", name, total(leeches, begin, end), more_is_better=True, targets=[Target(GOODPUT)] if targets else [])
        self.figures.add(f"ms that a ping waits longer beside it ({over}), median", name, percentile(delays, 50), targets=[Target(MEDIAN)] if targets else [])
        self.figures.add(f"ms that a ping waits longer beside it ({over}), 95th percentile", name, percentile(delays, 95), targets=[Target(LATE)] if targets else [])

        _, received = link.start(link.outside, "receive", f"{OUTSIDE}2", TCP_PORT)
        wait_until(lambda: "listening" in self.world.log(received.name), 10, "TCP's receiver")
        began = time.monotonic()
        link.start(link.homes[0], "send", f"{OUTSIDE}2", TCP_PORT, times.settle + times.beside)
        begin, end = began + times.settle, began + times.settle + times.beside
        self.until(end)
        theirs, ours = received.mbit(begin, end), total(leeches, begin, end)
        if theirs <= 0:
            raise Failure("the TCP flow beside it moved nothing")
        self.figures.add(f"share of a TCP flow beside it ({over}), %", name, 100 * theirs / (theirs + ours), more_is_better=True, targets=[Target(99)] if targets else [])
        wait_until(lambda: "ended" in self.world.log(received.name), 60, "the TCP flow to end")
        gone = received.all()[-1][0]
        self.until(gone + times.after)
        self.figures.add(f"s until nine tenths of the link are used after TCP ({over})", name, self.again(leeches, gone), targets=[Target(5)] if targets else [])
    def again(self, leeches, gone):
        """Seconds from `gone` to the end of the first stretch at AGAIN; the whole time that was waited, if there is none."""
        steps = int((self.times.after - AGAIN_WINDOW_S) * 10)
        for step in range(steps):
            begin = gone + step / 10
            if total(leeches, begin, begin + AGAIN_WINDOW_S) >= AGAIN:
                return begin + AGAIN_WINDOW_S - gone
        self.figures.note(f"{leeches[0].seeder.name} did not use nine tenths of the link again within {self.times.after:g} s after TCP")
        return self.times.after

    def sharing(self, what, homes, stored):
        """A flow, a second one later, two more still later: from one seeder, or each from a seeder of another home."""
        times = self.times
        self.say(f"the link: milletd over uTP, four flows of {what}")
        seeders = [self.seeder("milletd", f"share{homes}.{home}", home) for home in range(homes)]
        leeches = []

        def join():
            leeches.append(Leech(self.link, seeders[len(leeches) % homes], self.torrent, stored, "utp"))
            return leeches[-1].wait(times.first_payload)

        self.until(join() + times.joined)
        begin = join() + times.joined
        self.until(begin + times.share)
        first, second = (leech.samples.mbit(begin, begin + times.share) for leech in leeches)
        if first + second <= 0:
            raise Failure("two flows of milletd moved nothing over the link")
        self.figures.add(f"share of a second flow after {times.joined:.0f} s, {what}, %", "milletd", 100 * second / (first + second), targets=[Between(45, 55)])
        join()
        begin = join() + times.joined
        self.until(begin + times.share)
        rates = [leech.samples.mbit(begin, begin + times.share) for leech in leeches]
        jain = sum(rates) ** 2 / (len(rates) * sum(rate * rate for rate in rates)) if any(rates) else 0.0
        self.figures.add(f"Jain's index of four flows of {what}", "milletd", jain, more_is_better=True, targets=[Target(0.95)])
    def until(self, second):
        time.sleep(max(0.0, second - time.monotonic()))


def measure_link(world, arguments, figures, say, memory):
    names = [name for name in LINK_SEEDERS if name in arguments.seeders]
    measurement = Measurement(world, arguments, figures, say)
    with tempfile.TemporaryDirectory(prefix="millet-bench-", dir=memory) as stored:
        steps = []
        if "utp" in arguments.steps:
            steps += [(name, lambda name=name: measurement.alone_and_beside_tcp(name, stored, "utp")) for name in names if name in OVER_UTP]
        if "milletd" in names and "shares" in arguments.steps:
            steps.append(("milletd", lambda: measurement.sharing("one seeder", 1, stored)))
            steps.append(("milletd", lambda: measurement.sharing("four seeders", HOMES, stored)))
        if "tcp" in arguments.steps:
            steps += [(name, lambda name=name: measurement.alone_and_beside_tcp(name, stored, "tcp")) for name in names if name in OVER_TCP]
        for name, step in steps:
            before = len(world.processes)
            try:
                step()
            except Failure as failure:
                figures.fail(name, str(failure))
            world.end(since=before)
            for old in Path(stored).iterdir():
                shutil.rmtree(old, ignore_errors=True)
