"""A peer in the test's own hands: speaks the wire protocol of BEP 3 byte by byte, well or badly."""
import os
import socket
import struct
import time

from .torrents import bencode
from .world import Failure, address

CHOKE, UNCHOKE, INTERESTED, NOT_INTERESTED, HAVE, BITFIELD, REQUEST, PIECE, CANCEL, PORT = range(10)
HAVE_ALL, HAVE_NONE, REJECT, EXTENDED = 14, 15, 16, 20
FAST, EXTENSIONS = b"\0\0\0\0\0\0\0\x04", b"\0\0\0\0\0\x10\0\0"
BLOCK = 16384


class Closed(Exception):
    """The other side has closed the connection."""


class Peer:
    def __init__(self, node, torrent, number=9, reserved=bytes(8), timeout=10):
        self.torrent = torrent
        self.reserved = reserved
        self.socket = socket.socket()
        self.socket.settimeout(timeout)
        self.socket.bind((address(number), 0))
        self.socket.connect((node.address, node.port))
        self.peer_id = b"-XX0000-" + os.urandom(12)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def handshake(self, info_hash=None):
        """Both handshakes; returns the other side's reserved bytes."""
        self.send_raw(b"\x13BitTorrent protocol" + self.reserved + (info_hash or self.torrent.info_hash) + self.peer_id)
        reply = self.receive_raw(68)
        if reply[:20] != b"\x13BitTorrent protocol" or reply[28:48] != (info_hash or self.torrent.info_hash):
            raise Failure(f"a wrong handshake came back: {reply!r}")
        return reply[20:28]

    def send_raw(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError) as reason:
            raise Closed(str(reason)) from None

    def send(self, kind, payload=b""):
        self.send_raw(struct.pack(">IB", 1 + len(payload), kind) + payload)

    def request(self, piece, begin, length, kind=REQUEST):
        self.send(kind, struct.pack(">III", piece, begin, length))

    def extended(self, dictionary, number=0):
        self.send(EXTENDED, bytes([number]) + bencode(dictionary))

    def receive_raw(self, size):
        while len(self.buffer) < size:
            try:
                data = self.socket.recv(65536)
            except ConnectionResetError:
                data = b""
            if not data:
                raise Closed("closed")
            self.buffer += data
        out, self.buffer = self.buffer[:size], self.buffer[size:]
        return out

    def receive(self):
        """The next message but keep-alives: (kind, payload)."""
        while True:
            size = struct.unpack(">I", self.receive_raw(4))[0]
            if size > 1 << 20:
                raise Failure(f"a message of {size} bytes came in")
            if size > 0:
                body = self.receive_raw(size)
                return body[0], body[1:]

    def receive_until(self, kind, timeout=30):
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            got, payload = self.receive()
            if got == kind:
                return payload
        raise Failure(f"no message of kind {kind} within {timeout} s")

    def be_unchoked(self, timeout=30):
        self.send(INTERESTED)
        self.receive_until(UNCHOKE, timeout)

    def fetch(self, piece, begin, length):
        """One block, with whatever else comes before it."""
        self.request(piece, begin, length)
        payload = self.receive_until(PIECE)
        if struct.unpack(">II", payload[:8]) != (piece, begin) or len(payload) != 8 + length:
            raise Failure(f"asked for {piece}+{begin}, got {payload[:8]!r} with {len(payload) - 8} bytes")
        return payload[8:]

    def until_closed(self, timeout=30):
        """Reads until the other side closes; False if it does not."""
        self.socket.settimeout(timeout)
        try:
            while True:
                self.receive()
        except Closed:
            return True
        except TimeoutError:
            return False
