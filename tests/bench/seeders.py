"""The seeders that the bench compares, each with limits raised so that every leecher is served, and without what the others lack (DHT, PEX,
LSD, uTP). start() returns when all torrents are seeded; restart() starts again with the state kept, and returns the seconds that it took."""
import json
import re
import socket
import time
import urllib.error
import urllib.request
import xmlrpc.client

from harness.world import address, expect, need, wait_until

SLOTS = 200


class Seeder:
    def __init__(self, world, number):
        self.world = world
        self.address = address(number)
        self.process = None
        self.port = 6881
        self.count = 0

    @property
    def endpoint(self):
        return f"{self.address}:{self.port}"

    @property
    def pid(self):
        return self.process.pid

    def _launch(self, command, timeout):
        """Starts the process and waits until all torrents are seeded; the seconds that it took."""
        started = time.monotonic()
        self.process = self.world.start(self.name, command)

        def seeding():
            expect(self.process.poll() is None, f"{self.name} ended with {self.process.returncode}")
            return self.seeding() == self.count

        wait_until(seeding, timeout, lambda: f"{self.name} to seed {self.count} torrents; it seeds {self.seeding()}")
        return time.monotonic() - started

    def stop(self):
        if self.process.poll() is None:
            self.world.stop(self.process, timeout=60)


class Milletd(Seeder):
    name = "milletd"
    instance = 0

    def __init__(self, world):
        super().__init__(world, 2)
        Milletd.instance += 1
        self.state = world.make_folder(f"milletd{self.instance}")

    def _command(self):
        options = {"node.listen": f"{self.address}:0", "node.upload_slots": SLOTS, "node.peers_max": 1000, "discovery.trackers": 0}
        return [self.world.bin / "milletd", "--state", self.state] + [word for key, value in options.items() for word in ("--set", f"{key}={value}")]

    def start(self, torrents, folder, timeout=120):
        self.count = len(torrents)
        seeds = self.world.make_folder(f"milletd{self.instance}.torrents")
        for torrent in torrents:
            (seeds / torrent.path.name).symlink_to(torrent.path)
        self.before = len(self.world.log(self.name))
        self._launch(self._command() + ["--seed", seeds, "--data", folder], timeout)

    def restart(self, torrents):
        self.before = len(self.world.log(self.name))
        return self._launch(self._command(), 60)

    def seeding(self):
        ready = re.search(r"event=ready .*?listen=\S+?:(\d+)(?=[\s\"])", self.world.log(self.name)[self.before :] + " ")
        if not ready:
            return -1
        self.port = int(ready.group(1))
        try:
            with socket.socket(socket.AF_UNIX) as control:
                control.settimeout(30)
                control.connect(str(self.state / "control.socket"))
                control.sendall(b'{"method": "list"}\n')
                line = control.makefile("rb").readline()
        except OSError:
            return -1
        return sum(row["state"] == "seeding" for row in json.loads(line)["result"]["torrents"])


class Rtorrent(Seeder):
    name = "rtorrent"
    instance = 0

    def __init__(self, world):
        super().__init__(world, 3)
        Rtorrent.instance += 1
        self.program = need("rtorrent")
        self.session = world.make_folder(f"rtorrent{self.instance}")
        self.scgi = self.session / "scgi.socket"

    def _command(self, *more):
        options = ["system.daemon.set = true", f"session.path.set = {self.session}", f"network.scgi.open_local = {self.scgi}", f"network.bind_address.set = {self.address}",
                   f"network.port_range.set = {self.port}-{self.port}", "network.port_random.set = no", "dht.mode.set = disable", "protocol.pex.set = no", "trackers.use_udp.set = no",
                   f"throttle.max_uploads.set = {SLOTS}", f"throttle.max_uploads.global.set = {SLOTS}", "throttle.max_peers.seed.set = 500", "throttle.min_peers.seed.set = 500",
                   "protocol.encryption.set = none", *more]
        settings = self.session / "rtorrent.rc"
        settings.write_text("".join(option + "\n" for option in options))
        return [self.program, "-n", "-o", f"import={settings}"]

    def start(self, torrents, folder, timeout=120):
        self.count = len(torrents)
        load = self.world.make_folder(f"rtorrent{self.instance}.torrents")
        for torrent in torrents:
            (load / torrent.path.name).symlink_to(torrent.path)
        self._launch(self._command(f"directory.default.set = {folder}", f'schedule2 = load, 0, 0, "load.start={load}/*.torrent"'), timeout)

    def restart(self, torrents):
        return self._launch(self._command(), 120)

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
    instance = 0

    def __init__(self, world):
        super().__init__(world, 4)
        Transmission.instance += 1
        self.program = need("transmission-daemon")
        self.config = world.make_folder(f"transmission{self.instance}")
        self.session = ""

    def _command(self):
        return [self.program, "--foreground", "--config-dir", self.config]

    def start(self, torrents, folder, timeout=120):
        self.count = len(torrents)
        settings = {
            "bind-address-ipv4": self.address, "peer-port": self.port, "rpc-bind-address": self.address, "rpc-port": 9091, "rpc-authentication-required": False,
            "rpc-whitelist-enabled": False, "download-dir": str(folder), "incomplete-dir-enabled": False, "dht-enabled": False, "pex-enabled": False, "lpd-enabled": False,
            "utp-enabled": False, "port-forwarding-enabled": False, "peer-limit-global": 1000, "peer-limit-per-torrent": 500, "upload-slots-per-torrent": SLOTS,
        }
        (self.config / "settings.json").write_text(json.dumps(settings))
        # As if they had been added before: a folder of .torrent files is loaded at start, without the delay of adding one by one.
        loaded = self.config / "torrents"
        loaded.mkdir()
        for torrent in torrents:
            (loaded / torrent.path.name).write_bytes(torrent.path.read_bytes())
        self._launch(self._command(), timeout)

    def restart(self, torrents):
        return self._launch(self._command(), 120)

    def seeding(self):
        rows = self._call("torrent-get", fields=["status", "leftUntilDone"])
        return -1 if rows is None else sum(row["status"] == 6 and row["leftUntilDone"] == 0 for row in rows["torrents"])

    def _call(self, method, **arguments):
        body = json.dumps({"method": method, "arguments": arguments}).encode()
        for _ in range(2):
            request = urllib.request.Request(f"http://{self.address}:9091/transmission/rpc", body, {"X-Transmission-Session-Id": self.session})
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


SEEDERS = {seeder.name: seeder for seeder in (Milletd, Rtorrent, Transmission)}
