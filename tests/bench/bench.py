"""What a seeder costs, beside rtorrent, transmission-daemon and libtorrent in the same run: CPU seconds per GiB and MB/s over TCP and over uTP,
memory with 1 and with 1000 torrents, and the start with 1000 torrents from saved state.

The load over TCP is tests/bench/leech: every leecher has an address of its own and stores nothing. That over uTP is utp_leech.py, which is
libtorrent. README.md says how each figure is taken.
"""
import argparse
import fcntl
import json
import os
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "interop"))
from harness import world as worlds
from harness.torrents import Torrent, make_payload, make_torrent
from harness.world import Failure, Skip, World, address
from ledger import LEDGER_PARTS, measure_ledger
from payment import measure_payment
from link import LINK_SEEDERS, STEPS, measure_link
from seeders import ONLY_SERVING, OVER_TCP, OVER_UTP, PEERS, SEEDERS, TICKS
from table import Figures, Target

PIECE = 1 << 20
PARTS = ("tcp", "idle", "utp", "verify", "memory", "start", "link", "ledger", "payment")
NAMESPACE = "MILLET_BENCH_NAMESPACE"
SMALL_SIZE, SMALL_PIECE = 1 << 20, 1 << 14  # of each of the many torrents
PROBED = 16  # torrents whose handshake ends the start
CONGESTION_CONTROL = Path("/proc/sys/net/ipv4/tcp_congestion_control")
SIOCSIFFLAGS, SIOCGIFMTU, SIOCSIFMTU, IFF_UP = 0x8914, 0x8921, 0x8922, 1  # netdevice(7)


def tracker():
    """That of all torrents. Nobody listens there: rtorrent refuses a torrent without one."""
    return f"http://{address(1)}:9/announce"


def busy_seconds():
    """CPU seconds that the whole machine has spent, but for idle and waiting."""
    with open("/proc/stat", encoding="ascii") as stat:
        user, nice, system, _, _, irq, softirq, steal = (int(field) for field in stat.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / TICKS


# ---- serving ----
def load(arguments, seeder, torrent, leechers, program):
    """One measurement: what the leechers' program says, and `other_cores`, the cores that other work took meanwhile. Raises Failure."""
    command = program + ["--to", seeder.endpoint, "--torrent", torrent.path, "--connections", leechers, "--bytes", arguments.size, "--wait", 30, "--seeder", seeder.process.pid]
    before, began = busy_seconds() - seeder.cpu_seconds() - os.times().children_user - os.times().children_system, time.monotonic()
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True, timeout=arguments.seconds + 60, check=False)
    after, ended = busy_seconds() - seeder.cpu_seconds() - os.times().children_user - os.times().children_system, time.monotonic()
    if done.returncode != 0:
        raise Failure(f"{seeder.name} served no load of {leechers}: {(done.stderr + done.stdout).decode(errors='replace').strip()}")
    found = json.loads(done.stdout)
    found["other_cores"] = (after - before) / (ended - began)
    return found


CPU_TARGETS = [Target(0.6, PEERS), Target(1.3, ("bare",))]
SERVING_TARGETS = {"resident": [Target(12)], "anonymous": [Target(6)]}  # MiB
TCP_LEECHERS = UTP_LEECHERS = (1, 10, 50, 200)  # unless --leechers says
IDLE_LEECHERS, IDLE_SECONDS = 200, 10


def make_served(world, arguments):
    """(torrent, folder) of the payload that is served."""
    folder = world.make_folder("payload")
    make_payload(folder, "payload", [("", arguments.size)])
    return make_torrent(world.path("payload.torrent"), folder, "payload", [("payload", arguments.size)], PIECE, [tracker()], single=True), folder


def measure_tcp(world, arguments, figures, torrent, folder):
    seeders = [SEEDERS[name](world, "tcp") for name in arguments.seeders if name in OVER_TCP]
    program = [world.bin / "tests" / "bench" / "leech", "--check", folder / torrent.name, "--seconds", arguments.seconds]
    for seeder in seeders:
        say(f"{seeder.name} takes the payload in")
        seeder.start([torrent], folder)
    # Round by round, so that other work on the machine meets all of them alike.
    for run in range(arguments.runs):
        for leechers in arguments.leechers or TCP_LEECHERS:
            for seeder in seeders:
                say(f"serving, run {run + 1} of {arguments.runs}: {seeder.name} to {leechers}")
                try:
                    found = load(arguments, seeder, torrent, leechers, program)
                except Failure as failure:
                    figures.fail(seeder.name, str(failure))
                    continue
                many = f"{leechers} leecher" + ("s" if leechers > 1 else "")
                figures.add(f"CPU s/GiB to {many}", seeder.name, found["seeder_cpu_s_per_gib"], targets=CPU_TARGETS)
                figures.add(f"MB/s to {many}", seeder.name, found["mb_per_s"], more_is_better=True)
                if leechers == max(arguments.leechers or TCP_LEECHERS):
                    for kind, key in (("resident", "seeder_rss_peak_kib"), ("anonymous", "seeder_anon_peak_kib")):
                        figures.add(f"peak {kind} MiB, serving {leechers}", seeder.name, found[key] / 1024, targets=SERVING_TARGETS[kind])
                figures.other_cores.append(found["other_cores"])
                if found["served"] < leechers:
                    figures.note(f"{seeder.name} served {found['served']} of {leechers} leechers")
    for seeder in seeders:
        if "idle" in arguments.only and seeder.name not in ONLY_SERVING:
            measure_idle(world, arguments, figures, seeder, torrent)
    for seeder in seeders:
        seeder.stop()


def measure_idle(world, arguments, figures, seeder, torrent):
    """How often it wakes up for peers that are connected and want nothing."""
    say(f"{seeder.name} with {IDLE_LEECHERS} idle peers")
    command = [world.bin / "tests" / "bench" / "leech", "--to", seeder.endpoint, "--torrent", torrent.path, "--connections", IDLE_LEECHERS, "--idle", "yes", "--seconds", 3600]
    idle = world.start(f"idle.{seeder.name}", command)
    time.sleep(3 if arguments.settle else 0.2)
    before, began = seeder.wake_ups(), time.monotonic()
    time.sleep(IDLE_SECONDS if arguments.settle else 0.5)
    woken, seconds = seeder.wake_ups() - before, time.monotonic() - began
    if idle.poll() is not None:
        raise Failure(f"the idle peers of {seeder.name} ended with {idle.returncode}")
    figures.add(f"wake-ups a second with {IDLE_LEECHERS} idle peers", seeder.name, woken / seconds, targets=[Target(2)])
    world.stop(idle)


# ---- serving over uTP ----
UTP_PEERS = ("transmission", "libtorrent")
UTP_CPU_TARGETS, UTP_SPEED_TARGETS = [Target(0.3, UTP_PEERS)], [Target(3, UTP_PEERS)]
UTP_SECONDS_MAX = 4  # of one measurement: the leechers are slow, and start slowly
MEMORY = "/dev/shm"  # where it is there, the leechers' folder is in it


def measure_utp(world, arguments, figures, torrent, folder):
    seeders = [SEEDERS[name](world, "utp", utp=True) for name in arguments.seeders if name in OVER_UTP]
    counts = arguments.leechers or UTP_LEECHERS
    for seeder in seeders:
        say(f"{seeder.name} takes the payload in, for uTP")
        seeder.start([torrent], folder)
    for run in range(arguments.runs):
        for leechers in counts:
            for seeder in seeders:
                say(f"uTP, run {run + 1} of {arguments.runs}: {seeder.name} to {leechers}")
                try:
                    found = load_utp(arguments, seeder, torrent, leechers)
                except Failure as failure:
                    figures.fail(seeder.name, str(failure))
                    continue
                add_utp(figures, seeder.name, found, leechers, leechers == max(counts))
        for seeder in [seeder for seeder in seeders if seeder.name == "milletd"]:
            say(f"uTP, run {run + 1} of {arguments.runs}: milletd to milletd")
            try:
                speed = millet_to_millet(world, arguments, seeder, torrent, run)
                figures.add("MB/s over uTP, milletd to milletd", "milletd", speed, more_is_better=True, targets=[Target(400)])
            except Failure as failure:
                figures.fail("milletd", str(failure))
    for seeder in seeders:
        seeder.stop()


def load_utp(arguments, seeder, torrent, leechers):
    with tempfile.TemporaryDirectory(prefix="millet-bench-", dir=MEMORY if os.path.isdir(MEMORY) else None) as stored:
        program = [sys.executable, Path(__file__).parent / "utp_leech.py", "--folder", stored, "--seconds", min(arguments.seconds, UTP_SECONDS_MAX)]
        return load(arguments, seeder, torrent, leechers, program)


def add_utp(figures, name, found, leechers, most):
    many = f"{leechers} leecher" + ("s" if leechers > 1 else "")
    figures.add(f"CPU s/GiB over uTP to {many}", name, found["seeder_cpu_s_per_gib"], targets=UTP_CPU_TARGETS)
    figures.add(f"MB/s over uTP to {many}", name, found["mb_per_s"], more_is_better=True, targets=UTP_SPEED_TARGETS if leechers == 1 else [Target(1.0, UTP_PEERS)])
    for kind, key in (("resident", "seeder_rss_peak_kib"), ("anonymous", "seeder_anon_peak_kib")):
        if most:
            figures.add(f"peak {kind} MiB, serving {leechers} over uTP", name, found[key] / 1024, targets=SERVING_TARGETS[kind])
    figures.other_cores.append(found["other_cores"])
    if found["served"] < leechers:
        figures.note(f"{name} served {found['served']} of {leechers} leechers over uTP")


def millet_to_millet(world, arguments, seeder, torrent, run):
    """MB/s at which another milletd downloads and verifies, from its first bytes."""
    with tempfile.TemporaryDirectory(prefix="millet-bench-", dir=MEMORY if os.path.isdir(MEMORY) else None) as stored:
        node = SEEDERS["milletd"](world, f"to{run}", utp=True)
        node.address = address(7)
        node.launch()
        node.wait_seeding(0, timeout=20)
        command = [world.bin / "millet", "--state", node.state, "add", torrent.path, "--data", stored, "--peer", seeder.endpoint]
        added = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
        if added.returncode != 0:
            raise Failure(f"milletd did not take the torrent: {added.stderr.decode(errors='replace').strip()}")
        waiting, done = time.monotonic(), 0
        while done == 0:
            began = time.monotonic()
            if began - waiting > 30:
                raise Failure("milletd downloaded nothing over uTP from milletd within 30 s")
            time.sleep(0.01)
            done = node.torrents()[0]["done"]
        while done < torrent.size and time.monotonic() - began < arguments.seconds:
            time.sleep(0.01)
            done = node.torrents()[0]["done"]
        seconds = time.monotonic() - began
        node.stop()
    return done / 1e6 / seconds


# ---- verification ----
def measure_verify(world, arguments, figures):
    """GB/s at which the payload, in the page cache, is hashed when a torrent is added; on one core and on all. rtorrent, which the
    others' figures are known to stay behind (transmission verifies by mapped pages with pauses), is the peer."""
    folder = world.make_folder("verified")
    make_payload(folder, "payload", [("", arguments.size)])
    torrent = make_torrent(world.path("verified.torrent"), folder, "payload", [("payload", arguments.size)], PIECE, [tracker()], single=True)
    for cores, limit in ((1, 1.5), (2, 2.5)):
        if cores > os.cpu_count():
            continue
        for name in [name for name in arguments.seeders if name in ("milletd", "rtorrent")]:
            for run in range(arguments.runs):
                say(f"verification, run {run + 1} of {arguments.runs}: {name} on {cores} of the cores")
                seeder = SEEDERS[name](world, f"verify{cores}.{run}")
                seconds = seeder.verify(torrent, folder, cores)
                figures.add(f"verification on {cores} core" + ("s" if cores > 1 else "") + ", GB/s", name, arguments.size / 1e9 / seconds, more_is_better=True,
                            targets=[Target(limit), Target(1.0, PEERS)])
                seeder.stop()


# ---- memory and start ----
def make_small(world, count):
    """`count` torrents of the same bytes under different names."""
    folder = world.make_folder("small")
    make_payload(folder, "0000", [("", SMALL_SIZE)])
    first = make_torrent(world.path("0000.torrent"), folder, "0000", [("0000", SMALL_SIZE)], SMALL_PIECE, [tracker()], single=True)
    torrents = [first]
    for number in range(1, count):
        name = f"{number:04d}"
        os.link(folder / "0000", folder / name)
        torrents.append(Torrent(world.path(f"{name}.torrent"), {**first.info, "name": name}, [tracker()]))
    return torrents, folder


def answers_handshake(seeder, torrent, source):
    hello = b"\x13BitTorrent protocol" + bytes(8) + torrent.info_hash + b"-BN0000-" + os.urandom(12)
    try:
        with socket.create_connection((seeder.address, seeder.port), 5, (source, 0)) as peer:
            peer.sendall(hello)
            reply = b""
            while len(reply) < 48:
                data = peer.recv(4096)
                if not data:
                    return False
                reply += data
    except OSError:
        return False
    return reply[28:48] == torrent.info_hash


def launch_and_wait(seeder, torrents, timeout=120):
    """(seconds, CPU seconds) from launch to the answer of every probed torrent: the first, the last, and some between."""
    began = time.monotonic()
    seeder.launch()

    def probe(torrent, source):
        while not answers_handshake(seeder, torrent, source):
            if seeder.process.poll() is not None:
                raise Failure(f"{seeder.name} ended with {seeder.process.returncode} when it was started from saved state")
            if time.monotonic() - began > timeout:
                raise Failure(f"{seeder.name} did not answer a handshake for {torrent.name} within {timeout} s of its start")
            time.sleep(min(0.05, 0.005 + (time.monotonic() - began) / 50))  # fine at first, and never often enough to cost it much
        return time.monotonic() - began, seeder.cpu_seconds()

    # All at once: transmission answers on a tick of half a second.
    probed = [*torrents[:: max(1, len(torrents) // PROBED)], torrents[-1]]
    with ThreadPoolExecutor(len(probed)) as pool:
        answers = list(pool.map(probe, probed, [f"127.2.0.{number + 1}" for number in range(len(probed))]))
    return max(answers)


def measure_small(world, arguments, figures):
    everything, folder = make_small(world, arguments.torrents)
    for torrents in ([everything[:1]] if "memory" in arguments.only else []) + [everything]:
        count = len(torrents)
        many = f"{count} torrent" + ("s" if count > 1 else "")
        for name in [name for name in arguments.seeders if name in OVER_TCP and name not in ONLY_SERVING]:
            seeder = SEEDERS[name](world, f"{count}")
            say(f"{name} takes {many} in")
            seeder.start(torrents, folder, timeout=300)
            seeder.stop()
            for run in range(arguments.runs):
                say(f"start and memory, run {run + 1} of {arguments.runs}: {name} with {many}")
                seconds, cpu = launch_and_wait(seeder, torrents)
                if "start" in arguments.only and count == len(everything):
                    figures.add(f"start with {many}, s", name, seconds, targets=[Target(0.3), Target(1.0, PEERS)])
                    figures.add(f"start with {many}, CPU s", name, cpu, targets=[Target(0.1), Target(1.0, PEERS)])
                if "memory" in arguments.only:
                    time.sleep(arguments.settle)
                    resident, anonymous = seeder.memory_mib()
                    figures.add(f"resident MiB with {many}", name, resident)
                    figures.add(f"anonymous MiB with {many}", name, anonymous)
                seeder.wait_seeding(count, timeout=60)  # what was started is what was asked for
                seeder.stop()


# ---- the program ----
def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def size(text):
    for suffix, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("", 1)):
        if text.endswith(suffix):
            value = int(text[: len(text) - len(suffix)]) * factor
            if value < PIECE:
                raise argparse.ArgumentTypeError("at least 1MiB")
            return value
    raise ValueError


def numbers(text):
    values = [int(word) for word in text.split(",")]
    if not all(1 <= value <= 250 for value in values):
        raise argparse.ArgumentTypeError("1 to 250 leechers")
    return values


def counts(text):
    values = [int(word) for word in text.split(",")]
    if not all(value >= 100 for value in values):
        raise argparse.ArgumentTypeError("at least 100 accounts")
    return values


def some_of(known):
    def parse(text):
        words = text.split(",")
        for word in words:
            if word not in known:
                raise argparse.ArgumentTypeError(f"{word!r} is none of {', '.join(known)}")
        return [word for word in known if word in words]

    return parse


def parse_arguments():
    parser = argparse.ArgumentParser(prog="./toolchains/dev bench", description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--bin", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--only", type=some_of(PARTS), default=list(PARTS), metavar="PART,...", help="what to measure: tcp, idle (with tcp), utp, verify, memory, start, link, ledger, payment (default: all)")
    parser.add_argument("--seeders", type=some_of(SEEDERS), default=list(SEEDERS), metavar="NAME,...", help=f"whom to measure: {', '.join(SEEDERS)} (default: all)")
    parser.add_argument("--size", type=size, default=1 << 30, metavar="SIZE", help="payload, and bytes served in one measurement, as in 256MiB (default 1GiB)")
    parser.add_argument("--leechers", type=numbers, metavar="N,...", help="leechers at once (default 1,10,50,200)")
    parser.add_argument("--runs", type=int, default=3, help="of each measurement; the table shows the median (default 3)")
    parser.add_argument("--seconds", type=int, default=6, help="most that one measurement serves (default 6; over uTP at most 4)")
    parser.add_argument("--torrents", type=int, default=1000, help="how many the many torrents are (default 1000)")
    parser.add_argument("--settle", type=int, default=3, help="seconds between a start and the measurement of memory (default 3)")
    parser.add_argument("--steps", type=some_of(STEPS), default=list(STEPS), metavar="STEP,...", help="what to measure on the link: utp, shares, tcp (default: all)")
    parser.add_argument("--accounts", type=counts, default=[10_000, 1_000_000], metavar="N,...", help="accounts of the ledgers whose growth is measured (default 10000,1000000)")
    parser.add_argument("--audit", type=counts, default=[100_000, 1_000_000], metavar="N,...", help="records of the ledgers whose audit is measured (default 100000,1000000)")
    parser.add_argument("--ledger", type=some_of(LEDGER_PARTS), default=list(LEDGER_PARTS), metavar="PART,...", help="what to measure of the ledger beside its speed: sql, audit, growth (default: all)")
    parser.add_argument("--payments", type=numbers, metavar="N,...", help="paid pieces a second at which a payment's cost is measured (default 1,10,100)")
    parser.add_argument("--plot", metavar="FILE", help="draw how the ledger's cost grows (SVG)")
    parser.add_argument("--quick", action="store_true", help="link, ledger and payment in seconds, not minutes: that they work, the figures say little")
    parser.add_argument("--json", metavar="FILE", help="write all figures to this file as well")
    arguments = parser.parse_args()
    if arguments.runs < 1 or arguments.torrents < 2 or arguments.seconds < 1:
        parser.error("--runs and --seconds are at least 1, --torrents at least 2")
    return arguments


def enter_namespace():
    """Starts this program again in a network namespace, if the system lets us, so that the machine's own settings play no part."""
    if NAMESPACE in os.environ:
        return
    unshare = ["unshare", "--net"] + ([] if os.geteuid() == 0 else ["--user", "--map-root-user"])
    if shutil.which("unshare") and subprocess.run(unshare + ["true"], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0:
        os.execvpe("unshare", unshare + [sys.executable, "-B", *sys.argv], {**os.environ, NAMESPACE: "1"})


def set_network_up():
    """TCP as on a plain Debian behind Ethernet, in the namespace; says what it is."""
    if NAMESPACE in os.environ:
        with socket.socket() as any_socket:
            fcntl.ioctl(any_socket, SIOCSIFMTU, struct.pack("16si12x", b"lo", 1500))
            fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))
        for wanted in ("cubic", "reno"):
            try:
                CONGESTION_CONTROL.write_text(wanted, encoding="ascii")
                break
            except OSError:
                pass  # a namespace may use only what the machine allows; what holds is printed
    where = "own network namespace" if NAMESPACE in os.environ else "the machine's own loopback"
    with socket.socket() as any_socket:
        mtu = struct.unpack("16si12x", fcntl.ioctl(any_socket, SIOCGIFMTU, struct.pack("16s16x", b"lo")))[1]
    return f"{where}, TCP {CONGESTION_CONTROL.read_text(encoding='ascii').strip()}, MTU {mtu}"


def machine():
    model = "unknown CPU"
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        for line in info:
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return f"{os.cpu_count()} cores of {model}, {gib:.0f} GiB, Linux {os.uname().release}, load {os.getloadavg()[0]:.1f} before the start"


def measure(arguments, figures):
    """The tables of their own that were asked for: the ledger's figures, and what a payment costs."""
    with tempfile.TemporaryDirectory(prefix="millet-bench-") as folder:
        world = World(arguments.bin, folder, bound=True)
        try:
            served = make_served(world, arguments) if "tcp" in arguments.only or "utp" in arguments.only else ()
            if "tcp" in arguments.only:
                measure_tcp(world, arguments, figures, *served)
            if "utp" in arguments.only:
                measure_utp(world, arguments, figures, *served)
            if "verify" in arguments.only:
                measure_verify(world, arguments, figures)
            if "memory" in arguments.only or "start" in arguments.only:
                measure_small(world, arguments, figures)
            if "link" in arguments.only:
                if NAMESPACE not in os.environ:
                    raise Skip("this system lets nobody make network namespaces (root, or user namespaces, are needed for link)")
                measure_link(world, arguments, figures, say, MEMORY if os.path.isdir(MEMORY) else None)
            own = [measure_payment(world, arguments, say)] if "payment" in arguments.only else []
            return own + ([measure_ledger(world, arguments, say)] if "ledger" in arguments.only else [])
        except Failure:
            world.show_logs()
            raise
        finally:
            world.end()


def main():
    arguments = parse_arguments()
    enter_namespace()
    worlds.use_loopback("127.78.0.")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    parts = set(arguments.only)
    measured = [name for name in arguments.seeders if (name in OVER_TCP and parts - {"utp", "link", "ledger", "payment"}) or (name in OVER_UTP and "utp" in parts) or (name in LINK_SEEDERS and "link" in parts)]
    figures = Figures(measured, "milletd", PEERS)
    about = [machine(), set_network_up()]
    try:
        own = measure(arguments, figures)
    except Skip as reason:
        say(f"{reason}; way out: ./toolchains/dev bench installs it, or leave it out with --seeders or --only")
        return worlds.SKIPPED
    except Failure as failure:
        say(str(failure))
        return 1
    except KeyboardInterrupt:
        return 130
    if figures.other_cores:
        about.append(f"other work took {statistics.median(figures.other_cores):.1f} cores (median; at most {max(figures.other_cores):.1f}) while leechers were served")
    print("\n".join(about + [f"{arguments.size / (1 << 20):.0f} MiB or {arguments.seconds} s a measurement, median of {arguments.runs}", ""]))
    tables = [table for table in (figures, *own) if table.rows]
    for table in tables:
        table.show()
        print()
    if arguments.json:
        rows = {what: values for table in tables for what, values in table.rows.items()}
        notes = [note for table in tables for note in table.notes]
        Path(arguments.json).write_text(json.dumps({"about": about, "rows": rows, "notes": notes}, indent=2) + "\n", encoding="utf-8")
    return 1 if figures.failed("milletd") else 0


if __name__ == "__main__":
    sys.exit(main())
