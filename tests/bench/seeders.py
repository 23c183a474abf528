"""The seeders that the bench compares, each with limits raised so that every leecher is served, and without what the others lack (DHT, PEX,
LSD, encryption), over TCP or over uTP. All announce to the tracker of the .torrent, which nobody runs.

start() adds torrents and returns when all are seeded; stop() ends the program in the way that saves its state; launch() starts it again
from that state and returns at once.
"""
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import xmlrpc.client
from pathlib import Path

from harness.torrents import bdecode, bencode
from harness.world import Skip, address, expect, need, wait_until

SLOTS = 300  # more than leechers
TICKS = os.sysconf("SC_CLK_TCK")


def free_port(host):
    with socket.socket() as listener:
        listener.bind((host, 0))
        return listener.getsockname()[1]


def cpu_seconds(process):
    """User and system time of all its threads, since it was started."""
    with open(f"/proc/{process.pid}/stat", encoding="utf-8", errors="replace") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory_mib(process):
    """(resident, anonymous) MiB. The sums of /proc/PID/status may be off by 64 pages for each CPU; these are counted page by page."""
    values = {}
    with open(f"/proc/{process.pid}/smaps_rollup", encoding="utf-8") as rollup:
        for line in rollup:
            key, _, rest = line.partition(":")
            if key in ("Rss", "Anonymous"):
                values[key] = int(rest.split()[0]) / 1024
    return values["Rss"], values["Anonymous"]


class Place:
    """Where a seeder runs, when that is not here: its address in another network namespace, free ports from `port` on, and the words that
    run a command there."""

    def __init__(self, own, port, prefix):
        self.address = own
        self.port = port
        self.prefix = prefix


class Seeder:
    def __init__(self, world, number, label, utp=False, place=None):
        self.world = world
        self.utp = utp  # and no TCP, as far as it can
        self.place = place
        self.address = place.address if place else address(number)
        self.port = place.port if place else free_port(self.address)
        self.label = f"{self.name}.{label}"  # of its log and its folders
        self.state = world.make_folder(f"{self.label}.state")
        self.process = None

    @property
    def endpoint(self):
        return f"{self.address}:{self.port}"

    def run(self, command):
        self.process = self.world.start(self.label, [*(self.place.prefix if self.place else []), *command])

    def launch(self):
        self.run(self.command())

    def wait_seeding(self, count, timeout):
        def seeding():
            expect(self.process.poll() is None, f"{self.name} ended with {self.process.returncode}")
            return self.seeding() == count

        wait_until(seeding, timeout, lambda: f"{self.name} to seed {count} torrents; it seeds {self.seeding()}")

    def verify(self, torrent, folder, cores):
        """Seconds from the launch, on so many cores, until a torrent that it did not know is hashed and seeded."""
        command = [need("taskset"), "-c", ",".join(str(core) for core in range(cores)), *self.command(*self.unknown([torrent], folder))]
        began = time.monotonic()
        self.run(command)
        while self.seeding() != 1:
            expect(self.process.poll() is None, f"{self.name} ended with {self.process.returncode}")
            expect(time.monotonic() - began < 120, f"{self.name} did not verify the payload within two minutes")
            time.sleep(0.005)
        return time.monotonic() - began

    def stop(self):
        if self.process and self.process.poll() is None:
            self.world.stop(self.process, timeout=120)

    def cpu_seconds(self):
        return cpu_seconds(self.process)

    def memory_mib(self):
        return memory_mib(self.process)

    def _count(self, field):
        """The sum of a field of /proc/PID/task/TID/status over its threads."""
        total = 0
        for task in os.listdir(f"/proc/{self.process.pid}/task"):
            with open(f"/proc/{self.process.pid}/task/{task}/status", encoding="utf-8") as status:
                total += sum(int(line.split()[1]) for line in status if line.startswith(field))
        return total

    def wake_ups(self):
        """How often its threads have gone to sleep, that is woken up, since it was started."""
        return self._count("voluntary_ctxt_switches:")


class Bare(Seeder):
    """The floor: a loop that writes the blocks of one file to whoever asks."""

    name = "bare"

    def __init__(self, world, label):
        super().__init__(world, 5, label)
        self.program = world.bin / "tests" / "bench" / "bare"

    def command(self):
        return [self.program, "--listen", self.endpoint, "--torrent", self.torrent.path, "--payload", self.folder / self.torrent.name]

    def start(self, torrents, folder, timeout=120):
        self.torrent, self.folder = torrents[0], folder
        self.launch()
        self.wait_seeding(1, timeout)

    def seeding(self):
        try:
            socket.create_connection((self.address, self.port), 5).close()
        except OSError:
            return 0
        return 1


class Milletd(Seeder):
    name = "milletd"
    more_options = {"transport.tcp_sendfile": "auto"}

    def __init__(self, world, label, utp=False, place=None):
        super().__init__(world, 2, label, utp, place)
        self.program = world.bin / "milletd"
        expect(self.program.exists(), f"{self.program} is not there: ./toolchains/dev build makes it")

    def command(self, *more):
        options = {"node.listen": self.endpoint, "node.upload_slots": SLOTS, "node.peers_max": 1000, "transport.tcp": int(not self.utp), "transport.utp": int(self.utp), **self.more_options}
        return [self.program, "--state", self.state] + [word for key, value in options.items() for word in ("--set", f"{key}={value}")] + list(more)

    def unknown(self, torrents, folder):
        """Arguments that add torrents of which it has no state."""
        links = self.world.make_folder(f"{self.label}.torrents")
        for torrent in torrents:
            (links / torrent.path.name).symlink_to(torrent.path)
        return "--seed", links, "--data", folder

    def start(self, torrents, folder, timeout=120):
        self.run(self.command(*self.unknown(torrents, folder)))
        self.wait_seeding(len(torrents), timeout)

    def seeding(self):
        torrents = self.torrents()
        return -1 if torrents is None else sum(row["state"] == "seeding" for row in torrents)

    def torrents(self):
        """The rows of `millet list`; None if it does not answer yet."""
        try:
            with socket.socket(socket.AF_UNIX) as control:
                control.settimeout(30)
                control.connect(str(self.state / "control.socket"))
                control.sendall(b'{"method": "list"}\n')
                line = control.makefile("rb").readline()
        except OSError:
            return None
        return json.loads(line)["result"]["torrents"] if line else None


class FromFiles(Milletd):
    """milletd that sends payload by the way that it has not chosen on most machines."""

    name = "sendfile"
    more_options = {"transport.tcp_sendfile": 1}


class Foreground(Milletd):
    """milletd whose TCP does not give way."""

    name = "foreground"
    more_options = {"transport.tcp_background": 0}


class Rtorrent(Seeder):
    name = "rtorrent"

    def __init__(self, world, label):
        super().__init__(world, 3, label)
        self.program = need("rtorrent")
        self.scgi = self.state / "scgi.socket"

    def command(self, *more):
        options = ["system.daemon.set = true", f"session.path.set = {self.state}", f"network.scgi.open_local = {self.scgi}", f"network.bind_address.set = {self.address}",
                   f"network.port_range.set = {self.port}-{self.port}", "network.port_random.set = no", "dht.mode.set = disable", "protocol.pex.set = no", "trackers.use_udp.set = no",
                   f"throttle.max_uploads.set = {SLOTS}", f"throttle.max_uploads.global.set = {SLOTS}", "throttle.max_peers.seed.set = 500", "throttle.min_peers.seed.set = 500",
                   "protocol.encryption.set = none", *more]
        settings = self.state / "rtorrent.rc"
        settings.write_text("".join(option + "\n" for option in options))
        return [self.program, "-n", "-o", f"import={settings}"]

    def unknown(self, torrents, folder):
        loads = [f'schedule2 = load{number}, 0, 0, "load.start={torrent.path}"' for number, torrent in enumerate(torrents)]
        return f"directory.default.set = {folder}", *loads

    def start(self, torrents, folder, timeout=120):
        # As if it had verified them earlier, by the record that it takes in with a .torrent file: it verifies a small piece in a millisecond.
        loaded = self.world.make_folder(f"{self.label}.torrents")
        for torrent in torrents:
            metainfo = bdecode(torrent.path.read_bytes())
            modified = int((folder / torrent.name).stat().st_mtime)
            metainfo[b"libtorrent_resume"] = {"bitfield": torrent.pieces, "files": [{"completed": torrent.pieces, "mtime": modified, "priority": 1}]}
            (loaded / torrent.path.name).write_bytes(bencode(metainfo))
        self.run(self.command(f"directory.default.set = {folder}", f'schedule2 = load, 0, 0, "load.start={loaded}/*.torrent"'))
        self.wait_seeding(len(torrents), timeout)

    def stop(self):
        if self.process and self.process.poll() is None:
            self._call("session.save")
        super().stop()

    def seeding(self):
        try:
            rows = self._call("d.multicall2", "", "main", "d.complete=", "d.is_active=", "d.hashing=")
        except OSError:
            return -1
        return sum(row == [1, 1, 0] for row in rows)

    def _call(self, method, *arguments):
        body = xmlrpc.client.dumps(arguments, method).encode()
        header = b"CONTENT_LENGTH\0%d\0SCGI\0001\0" % len(body)
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(30)
            connection.connect(str(self.scgi))
            connection.sendall(b"%d:%s,%s" % (len(header), header, body))
            reply = b"".join(iter(lambda: connection.recv(65536), b""))
        return xmlrpc.client.loads(reply[reply.index(b"\r\n\r\n") + 4 :])[0][0]


class Transmission(Seeder):
    name = "transmission"

    def __init__(self, world, label, utp=False, place=None):
        super().__init__(world, 4, label, utp, place)
        self.program = need("transmission-daemon")
        self.rpc_port = place.port + 1 if place else free_port(self.address)
        self.session = ""

    def command(self):
        return [self.program, "--foreground", "--config-dir", self.state]

    def start(self, torrents, folder, timeout=120):
        settings = {
            "bind-address-ipv4": self.address, "peer-port": self.port, "rpc-bind-address": self.address, "rpc-port": self.rpc_port, "rpc-authentication-required": False,
            "rpc-whitelist-enabled": False, "download-dir": str(folder), "incomplete-dir-enabled": False, "dht-enabled": False, "pex-enabled": False, "lpd-enabled": False,
            "utp-enabled": self.utp, "port-forwarding-enabled": False, "peer-limit-global": 1000, "peer-limit-per-torrent": 500, "upload-slots-per-torrent": SLOTS,
            "encryption": 0,
        }
        (self.state / "settings.json").write_text(json.dumps(settings))
        # As if it had verified them earlier: it rests for 100 ms at each torrent that it verifies, so a thousand would take two minutes.
        for name in ("torrents", "resume"):
            (self.state / name).mkdir()
        for torrent in torrents:
            stem = f"{torrent.name}.{torrent.hex[:16]}"
            (self.state / "torrents" / f"{stem}.torrent").write_bytes(torrent.path.read_bytes())
            modified = int((folder / torrent.name).stat().st_mtime)
            progress = {"blocks": "all", "time-checked": [modified + 1]}
            (self.state / "resume" / f"{stem}.resume").write_bytes(bencode({"destination": str(folder), "paused": 0, "progress": progress}))
        self.launch()
        self.wait_seeding(len(torrents), timeout)

    def seeding(self):
        rows = self._call("torrent-get", fields=["status", "leftUntilDone"])
        return -1 if rows is None else sum(row["status"] == 6 and row["leftUntilDone"] == 0 for row in rows["torrents"])

    def _call(self, method, **arguments):
        body = json.dumps({"method": method, "arguments": arguments}).encode()
        for _ in range(2):
            request = urllib.request.Request(f"http://{self.address}:{self.rpc_port}/transmission/rpc", body, {"X-Transmission-Session-Id": self.session})
            try:
                with urllib.request.urlopen(request, timeout=30) as reply:
                    return json.load(reply)["arguments"]
            except urllib.error.HTTPError as failure:
                if failure.code != 409:
                    raise
                self.session = failure.headers["X-Transmission-Session-Id"]
            except OSError:
                return None
        return None


class Libtorrent(Seeder):
    """Over uTP only."""

    name = "libtorrent"

    def __init__(self, world, label, utp=True, place=None):
        super().__init__(world, 6, label, utp, place)
        if subprocess.run([sys.executable, "-c", "import libtorrent"], stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode != 0:
            raise Skip("python3-libtorrent is not installed")

    def start(self, torrents, folder, timeout=120):
        self.run([sys.executable, Path(__file__).parent / "libtorrent_seed.py", torrents[0].path, folder, self.address, self.port, SLOTS])
        self.wait_seeding(1, timeout)

    def seeding(self):
        return self.world.log(self.label).count("seeding\n")


SEEDERS = {seeder.name: seeder for seeder in (Milletd, Rtorrent, Transmission, Libtorrent, Bare, FromFiles, Foreground)}
OVER_TCP = ("milletd", "rtorrent", "transmission", "bare", "sendfile")
ONLY_SERVING = ("bare", "sendfile")
OVER_UTP = ("milletd", "transmission", "libtorrent")
PEERS = ("rtorrent", "transmission", "libtorrent")  # what others seed with
