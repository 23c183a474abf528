"""How much a seeder costs, beside rtorrent and transmission-daemon in the same run: CPU seconds per GiB and MB/s over TCP to 1, 10 and 50
leechers, memory with 1 and 1000 torrents, and how long a start with 1000 torrents takes until all are seeded.

The load is tests/bench/leech: every leecher has an address of its own and stores nothing. Payload is in the page cache. Figures are of one
machine in one run, with whatever else it does: compare columns of a row, not rows of different runs.
"""
import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "interop"))
from harness import world as worlds
from harness.torrents import make_payload, make_torrent
from harness.world import Failure, Skip, World, address
from seeders import SEEDERS

PIECE = 1 << 20


def seed_payload(world, size):
    folder = world.make_folder("payload")
    files = make_payload(folder, "payload.bin", [("", size)])
    # A tracker that nobody runs: rtorrent refuses a torrent without one.
    return make_torrent(world.path("payload.torrent"), folder, "payload.bin", [("payload.bin", size)], PIECE, [f"http://{address(1)}:9/announce"], single=True), folder


def load(world, leech, seeder, torrent, folder, connections, seconds):
    """One measurement; None if nothing was served."""
    command = [leech, "--to", seeder.endpoint, "--torrent", torrent.path, "--check", folder / "payload.bin", "--connections", connections, "--seconds", seconds,
               "--seeder", seeder.pid]
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds + 60, check=False)
    if done.returncode != 0:
        print(f"  {seeder.name}: {done.stderr.decode().strip()}", file=sys.stderr)
        return None
    return json.loads(done.stdout)


def memory_mib(pid):
    """(resident, anonymous) of a process, MiB."""
    values = {}
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        for line in status:
            key, _, rest = line.partition(":")
            if key in ("VmRSS", "RssAnon"):
                values[key] = int(rest.split()[0]) / 1024
    return values["VmRSS"], values["RssAnon"]


def measure_load(world, arguments, names, rows):
    torrent, folder = seed_payload(world, arguments.size << 20)
    leech = arguments.bin / "tests" / "bench" / "leech"
    for name in names:
        seeder = SEEDERS[name](world)
        seeder.start([torrent], folder)
        try:
            for connections in (1, 10, 50):
                found = load(world, leech, seeder, torrent, folder, connections, arguments.seconds)
                if found:
                    rows.setdefault(f"CPU seconds per GiB, {connections} leechers", {})[name] = found["seeder_cpu_s_per_gib"]
                    rows.setdefault(f"MB/s, {connections} leechers", {})[name] = found["mb_per_s"]
                    if found["served"] < connections:
                        print(f"  {name} served {found['served']} of {connections} leechers", file=sys.stderr)
        finally:
            seeder.stop()


def measure_memory(world, arguments, names, rows):
    folder = world.make_folder("many")
    torrents = []
    for number in range(arguments.torrents):
        name = f"torrent {number:04d}"
        make_payload(folder, name, [("", 65536)], seed=number)
        torrents.append(make_torrent(world.path(f"{number:04d}.torrent"), folder, name, [(name, 65536)], 16384, [f"http://{address(1)}:9/announce"], single=True))
    for name in names:
        for some in ([torrents[0]], torrents):
            seeder = SEEDERS[name](world)
            seeder.start(some, folder, timeout=300)
            time.sleep(arguments.settle)
            resident, anonymous = memory_mib(seeder.pid)
            rows.setdefault(f"resident MiB, {len(some)} torrents", {})[name] = resident
            rows.setdefault(f"anonymous MiB, {len(some)} torrents", {})[name] = anonymous
            if len(some) > 1:
                seeder.stop()
                rows.setdefault(f"seconds to seeding, start with {len(some)} torrents", {})[name] = seeder.restart(some)
            seeder.stop()


def show(rows, names):
    """The table: each row's values, and milletd's ratio to the better of the others (below 1 is better, for MB/s above)."""
    heading = ["what", *names, "milletd / best other"]
    lines = [heading]
    worse = []
    for what, values in rows.items():
        others = [values[name] for name in names if name != "milletd" and name in values]
        ratio = ""
        if "milletd" in values and others:
            more_is_better = what.startswith("MB/s")
            best = max(others) if more_is_better else min(others)
            factor = values["milletd"] / best if best > 0 else 0
            ratio = f"{factor:.2f}"
            if (factor < 1) == more_is_better and factor != 1:
                worse.append(f"{what}: {ratio}")
        lines.append([what] + [f"{values[name]:.2f}" if name in values else "-" for name in names] + [ratio])
    widths = [max(len(line[i]) for line in lines) for i in range(len(heading))]
    for line in lines:
        print("  ".join(cell.ljust(width) if i == 0 else cell.rjust(width) for i, (cell, width) in enumerate(zip(line, widths))))
    if "milletd" not in names or len(names) == 1:
        return
    print("milletd is behind the better peer at:\n  " + "\n  ".join(worse) if worse else "milletd is ahead of the better peer at every point")


def main():
    parser = argparse.ArgumentParser(prog="./toolchains/dev bench", description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--bin", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, default=1024, help="MiB of payload (default 1024)")
    parser.add_argument("--seconds", type=int, default=8, help="of load per measurement (default 8)")
    parser.add_argument("--torrents", type=int, default=1000, help="number of torrents for memory and start (default 1000; 0 leaves that part out)")
    parser.add_argument("--settle", type=int, default=5, help="seconds between the start and the measurement of memory")
    parser.add_argument("--only", choices=sorted(SEEDERS), action="append", help="measure only this seeder (may be repeated)")
    parser.add_argument("--json", help="write the figures to this file as well")
    arguments = parser.parse_args()
    names = [name for name in SEEDERS if not arguments.only or name in arguments.only]
    worlds.use_loopback("127.78.0.")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    rows = {}
    with tempfile.TemporaryDirectory(prefix="millet-bench-") as folder:
        world = World(arguments.bin, folder, bound=True)
        try:
            print(f"{arguments.size} MiB, {arguments.seconds} s per measurement, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before the start", flush=True)
            measure_load(world, arguments, names, rows)
            if arguments.torrents:
                measure_memory(world, arguments, names, rows)
        except Skip as reason:
            print(f"bench: {reason}: ./toolchains/dev bench installs it", file=sys.stderr)
            return 1
        except Failure as failure:
            print(f"bench: {failure}", file=sys.stderr)
            world.show_logs()
            return 1
        except KeyboardInterrupt:
            return 130
        finally:
            world.end()
    show(rows, names)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
