"""Other people's clients, each at an address of its own: aria2c, libtorrent (python3-libtorrent), transmission-daemon; and opentracker.

All have the same face: `download` and `seed` start them on a torrent, `complete` tells whether they have everything, `stop` ends them.
They run as their users have them, but without what we do not speak (DHT, PEX, LSD), and over TCP, uTP or both, as far as they can (`transports`).
"""
import json
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from .world import Skip, address, expect, need, wait_until

HERE = Path(__file__).parent


class Aria2:
    name = "aria2"
    transports = ("tcp",)

    def __init__(self, world, number, port=6891, transport="tcp"):
        self.world, self.number, self.port = world, number, port
        self.program = need("aria2c")
        self.data = world.make_folder(f"{self.name}.data")
        self.process = None
        self.log_name = f"{self.name}{number}"

    def _start(self, torrent, *arguments):
        own = address(self.number)
        self.process = self.world.start(
            self.log_name,
            [self.program, "--no-conf", f"--dir={self.data}", f"--interface={own}", f"--listen-port={self.port}", "--enable-dht=false", "--enable-dht6=false",
             "--bt-enable-lpd=false", "--enable-peer-exchange=false", "--file-allocation=none", "--summary-interval=0", "--console-log-level=warn",
             "--bt-tracker-interval=5", "--disable-ipv6=true", f"--rpc-save-upload-metadata=false", *arguments, torrent.path])

    def download(self, torrent):
        self._start(torrent, "--seed-time=0")

    def download_and_seed(self, torrent):
        self._start(torrent, "--seed-ratio=0.0")

    def seed(self, torrent, source):
        self.data = source
        self._start(torrent, "--seed-ratio=0.0", "--check-integrity=true")

    def complete(self):
        """Only for download(): aria2c ends when it has everything."""
        status = self.process.poll()
        expect(status in (None, 0), f"aria2c ended with {status}")
        return status == 0

    def stop(self):
        self.world.stop(self.process)


class Libtorrent:
    name = "libtorrent"
    transports = ("tcp", "utp", "both")

    def __init__(self, world, number, port=6892, transport="tcp"):
        self.world, self.number, self.port, self.transport = world, number, port, transport
        if subprocess.run([sys.executable, "-c", "import libtorrent"], capture_output=True, check=False).returncode != 0:
            raise Skip("python3-libtorrent is not installed")
        self.data = world.make_folder(f"{self.name}.data")
        self.process = None
        self.log_name = f"{self.name}{number}"

    def download(self, torrent):
        self.process = self.world.start(self.log_name, [sys.executable, HERE / "libtorrent_client.py", torrent.path, self.data, address(self.number), self.port, self.transport])

    download_and_seed = download

    def seed(self, torrent, source):
        self.data = source
        self.download(torrent)
        wait_until(self.complete, 60, "libtorrent to have checked the payload")

    def complete(self):
        expect(self.process.poll() is None, f"the libtorrent client ended with {self.process.poll()}")
        return "complete\n" in self.world.log(self.log_name)

    def stop(self):
        self.world.stop(self.process)


class Transmission:
    name = "transmission"
    transports = ("tcp", "utp", "both")
    rpc_port = 9091

    def __init__(self, world, number, port=6893, transport="tcp", encryption=1):
        """With uTP it dials over that first, and takes TCP too: the other side decides. It begins encrypted unless `encryption` is 0."""
        self.encryption = encryption
        self.world, self.number, self.port, self.utp = world, number, port, transport != "tcp"
        self.program = need("transmission-daemon")
        self.data = world.make_folder(f"{self.name}.data")
        self.config = world.make_folder(f"{self.name}.config")
        self.process = None
        self.session = ""
        self.log_name = f"{self.name}{number}"

    def _start(self, torrent):
        own = address(self.number)
        settings = {
            "bind-address-ipv4": own, "peer-port": self.port, "rpc-bind-address": own, "rpc-port": self.rpc_port, "rpc-authentication-required": False,
            "rpc-whitelist-enabled": False, "download-dir": str(self.data), "incomplete-dir-enabled": False, "dht-enabled": False, "pex-enabled": False,
            "lpd-enabled": False, "utp-enabled": self.utp, "port-forwarding-enabled": False, "preallocation": 0, "rename-partial-files": False,
            "encryption": self.encryption,
        }
        (self.config / "settings.json").write_text(json.dumps(settings))
        self.process = self.world.start(self.log_name, [self.program, "--foreground", "--config-dir", self.config])
        wait_until(lambda: self._call("session-get") is not None, 20, "transmission's RPC")
        self._call("torrent-add", filename=str(torrent.path))

    def download(self, torrent):
        self._start(torrent)

    download_and_seed = download

    def seed(self, torrent, source):
        self.data = source
        self._start(torrent)
        wait_until(self.complete, 60, "transmission to have checked the payload")

    def complete(self):
        expect(self.process.poll() is None, f"transmission-daemon ended with {self.process.poll()}")
        reply = self._call("torrent-get", fields=["leftUntilDone", "sizeWhenDone", "status", "errorString"])
        row = reply["torrents"][0]
        checking = row["status"] in (1, 2)
        return not checking and row["sizeWhenDone"] > 0 and row["leftUntilDone"] == 0

    def stop(self):
        self.world.stop(self.process)

    def _call(self, method, **arguments):
        url = f"http://{address(self.number)}:{self.rpc_port}/transmission/rpc"
        body = json.dumps({"method": method, "arguments": arguments}).encode()
        for _ in range(2):
            request = urllib.request.Request(url, body, {"X-Transmission-Session-Id": self.session})
            try:
                with urllib.request.urlopen(request, timeout=10) as reply:
                    return json.load(reply)["arguments"]
            except urllib.error.HTTPError as failure:
                if failure.code != 409:
                    raise
                self.session = failure.headers["X-Transmission-Session-Id"]
            except OSError:
                return None
        return None


CLIENTS = {client.name: client for client in (Aria2, Libtorrent, Transmission)}


class Opentracker:
    """Debian's opentracker: serves only the info hashes of its whitelist."""

    def __init__(self, world, number, torrents, port=6969):
        self.world = world
        folder = world.make_folder("opentracker")
        whitelist = folder / "whitelist"
        whitelist.write_text("".join(torrent.hex + "\n" for torrent in torrents))
        shutil.chown(folder, "nobody")
        self.url = f"http://{address(number)}:{port}/announce"
        self.process = world.start("opentracker", [need("opentracker"), "-i", address(number), "-p", port, "-P", port, "-d", folder, "-u", "nobody", "-w", "whitelist"])

    def stop(self):
        self.world.stop(self.process)
