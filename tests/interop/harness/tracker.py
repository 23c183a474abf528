"""An HTTP tracker in the test itself: it records what peers announce, and misbehaves on demand."""
import socket
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from . import torrents
from .world import address

INTERVAL = 60


class Announce:
    def __init__(self, query, source):
        values = urllib.parse.parse_qs(query, keep_blank_values=True, encoding="latin-1")
        self.fields = {key: items[0] for key, items in values.items()}
        self.info_hash = self.fields.get("info_hash", "").encode("latin-1")
        self.peer_id = self.fields.get("peer_id", "").encode("latin-1")
        self.event = self.fields.get("event", "")
        self.port = int(self.fields.get("port", "0"))
        self.left = int(self.fields.get("left", "-1"))
        self.source = self.fields.get("ip") or source
        self.time = time.monotonic()


class Tracker:
    """mode: "" serves; see _misbehave for the others. `extra` peers are handed to everybody."""

    def __init__(self, number=1, port=7000):
        self.mode = ""
        self.announces = []
        self.peers = {}  # info_hash -> {(address, port): left}
        self.extra = []
        self.interval = INTERVAL
        tracker = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                tracker._answer(self)

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

        self.server = Server((address(number), port), Handler)
        self.url = f"http://{address(number)}:{self.server.server_port}/announce"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def of(self, info_hash, event=None):
        return [entry for entry in self.announces if entry.info_hash == info_hash and (event is None or entry.event == event)]

    def _answer(self, request):
        path, _, query = request.path.partition("?")
        announce = Announce(query, request.client_address[0])
        self.announces.append(announce)
        if self.mode:
            _misbehave(self.mode, request)
            return
        known = self.peers.setdefault(announce.info_hash, {})
        if announce.event == "stopped":
            known.pop((announce.source, announce.port), None)
        elif announce.port:
            known[(announce.source, announce.port)] = announce.left
        others = [peer for peer in known if peer != (announce.source, announce.port)] + list(self.extra)
        compact = b"".join(socket.inet_aton(host) + port.to_bytes(2, "big") for host, port in others)
        reply = {"interval": self.interval, "complete": sum(left == 0 for left in known.values()), "incomplete": sum(left != 0 for left in known.values()), "peers": compact}
        _send(request, torrents.bencode(reply))


def _send(request, body, status=200):
    request.send_response(status)
    request.send_header("Content-Type", "text/plain")
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)


def _misbehave(mode, request):
    try:
        if mode == "failure":
            _send(request, torrents.bencode({"failure reason": "torrent not registered with this tracker"}))
        elif mode == "garbage":
            _send(request, b"<html>\xff\x00 no bencoding here</html>")
        elif mode == "empty":
            _send(request, b"")
        elif mode == "error":
            _send(request, b"gone away", 503)
        elif mode == "silent":
            time.sleep(600)
        elif mode == "drop":
            request.close_connection = True
            request.connection.close()
        elif mode == "endless":
            request.send_response(200)
            request.end_headers()
            request.wfile.write(b"d8:intervali60e5:peers999999999:")
            while True:
                request.wfile.write(b"x" * 65536)
        elif mode == "slow":
            request.send_response(200)
            request.end_headers()
            while True:
                request.wfile.write(b"d")
                request.wfile.flush()
                time.sleep(1)
        else:
            raise ValueError(mode)
    except OSError:
        pass  # the peer has hung up, as it should
