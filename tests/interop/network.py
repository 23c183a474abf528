"""What the network does to a node: trackers and peers that are gone, slow, wrong or hostile. It stays up, says so once, and serves on."""
import os
import resource
import socket
import struct
import sys
import time

from harness import wire
from harness.node import Milletd
from harness.torrents import digest, make_payload, make_torrent, many_files
from harness.tracker import Tracker
from harness.wire import BLOCK, Closed, Peer
from harness.world import address, expect, main, wait_until


def _seeding(world, size=4_000_000, trackers=(), **options):
    source = world.make_folder("source")
    files = make_payload(source, "payload", many_files(size))
    torrent = make_torrent(world.path("payload.torrent"), source, "payload", files, piece_size=65536, trackers=trackers)
    node = Milletd(world, 2, **options).start("--seed", torrent.path, "--data", source)
    node.wait_state(torrent, "seeding")
    payload = b"".join((source / "payload" / relative).read_bytes() for relative, _ in files)
    return node, torrent, payload


def _serves(node, torrent, payload, number=8):
    """An honest peer gets right bytes."""
    with Peer(node, torrent, number) as peer:
        peer.handshake()
        peer.be_unchoked()
        for piece in (0, torrent.pieces // 2):
            expect(peer.fetch(piece, 0, BLOCK) == payload[piece * torrent.piece_size :][:BLOCK], "an honest peer gets wrong bytes")


def tracker_misbehaves(mode):
    """A bad tracker costs nothing but its peers: a line that says what is wrong, retries that back off, and the next tier is asked."""

    def case(world):
        bad, good = Tracker(1, 7000), Tracker(1, 7001)
        bad.mode = mode
        if mode == "down":
            bad.stop()
        node, torrent, payload = _seeding(world, trackers=[bad.url, good.url])
        alone = make_torrent(world.path("alone.torrent"), world.path("source"), "alone", make_payload(world.path("source"), "alone", [("a", 1000)]), trackers=[bad.url])
        node.call("add", alone.path, "--data", world.path("source"))
        # A tracker that hangs is given half a minute.
        wait_until(lambda: good.of(torrent.info_hash, "started"), 60, "the announce to the tracker of the next tier")
        message = wait_until(lambda: node.show(alone)["tracker_message"], 40, "a message about the bad tracker")
        expect("\n" not in message and len(message) < 300 and bad.url in message, f"not one line that names the tracker: {message!r}")
        if mode == "failure":
            expect("torrent not registered with this tracker" in message, f"the tracker's own reason is not shown: {message}")
        expect(sum("announce_failed" in line and torrent.hex in line for line in node.log().splitlines()) == 1, "the log does not name the failure once")
        before = len(bad.announces)
        time.sleep(5)
        expect(len(bad.announces) - before <= 2, f"{len(bad.announces) - before} announces to a bad tracker in 5 s")
        _serves(node, torrent, payload)
        node.stop()  # and it does not hang at the end, when it says goodbye

    return case


def silent_tracker_does_not_delay_the_end(world):
    tracker = Tracker()
    tracker.mode = "silent"
    node, _, _ = _seeding(world, trackers=[tracker.url])
    wait_until(lambda: tracker.announces, 20, "an announce")
    started = time.monotonic()
    node.stop()
    expect(time.monotonic() - started < 12, f"the end took {time.monotonic() - started:.0f} s")


def hostile_messages(world):
    """Each breaks a rule; the connection ends, and others are served as before."""
    node, torrent, payload = _seeding(world, node__peers_per_address=50)

    def after_handshake(action, reserved=bytes(8)):
        def run():
            with Peer(node, torrent, 9, reserved) as peer:
                peer.handshake()
                action(peer)
                return peer.until_closed(15)

        return run

    def raw(data):
        def run():
            with Peer(node, torrent, 9) as peer:
                peer.send_raw(data)
                return peer.until_closed(15)

        return run

    def flood(peer):
        for _ in range(20000):
            peer.request(0, 0, BLOCK)

    last = torrent.pieces - 1
    closing = {
        "another protocol": raw(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + bytes(100)),
        "an unknown torrent": raw(b"\x13BitTorrent protocol" + bytes(8) + os.urandom(20) + bytes(20)),
        "a message of 4 GiB": after_handshake(lambda peer: peer.send_raw(b"\xff\xff\xff\xff\x00")),
        "a message of 2 MiB": after_handshake(lambda peer: peer.send_raw(struct.pack(">IB", 2 << 20, wire.PIECE) + bytes(2 << 20))),
        "a bitfield too long": after_handshake(lambda peer: peer.send(wire.BITFIELD, bytes(1000))),
        "a bitfield with spare bits": after_handshake(lambda peer: peer.send(wire.BITFIELD, b"\xff" * ((torrent.pieces + 7) // 8))) if torrent.pieces % 8 else None,
        "have beyond the end": after_handshake(lambda peer: peer.send(wire.HAVE, struct.pack(">I", torrent.pieces))),
        "have too short": after_handshake(lambda peer: peer.send(wire.HAVE, b"\0")),
        "request too short": after_handshake(lambda peer: peer.send(wire.REQUEST, bytes(8))),
        "choke with a payload": after_handshake(lambda peer: peer.send(wire.CHOKE, b"x")),
        "request beyond the torrent": after_handshake(lambda peer: (peer.be_unchoked(), peer.request(torrent.pieces, 0, BLOCK))),
        "request beyond the piece": after_handshake(lambda peer: (peer.be_unchoked(), peer.request(0, torrent.piece_size - 1, BLOCK))),
        "request of 1 MiB": after_handshake(lambda peer: (peer.be_unchoked(), peer.request(0, 0, 1 << 20))),
        "request that wraps": after_handshake(lambda peer: (peer.be_unchoked(), peer.request(last, 0xFFFFFFFF, 0xFFFFFFFF))),
        "a block that nobody asked for": after_handshake(lambda peer: peer.send(wire.PIECE, struct.pack(">II", 0, 0) + bytes(BLOCK))),
        "extension handshake that is no dictionary": after_handshake(lambda peer: peer.send(wire.EXTENDED, b"\0" + b"i1e"), wire.EXTENSIONS),
        "extension handshake 10000 deep": after_handshake(lambda peer: peer.send(wire.EXTENDED, b"\0" + b"d1:m" + b"d1:a" * 10000 + b"e" * 10001), wire.EXTENSIONS),
        "requests without end": after_handshake(lambda peer: (peer.be_unchoked(), flood(peer))),
    }
    stayed = []
    for name, run in closing.items():
        if run is None:
            continue
        try:
            closed = run()
        except Closed:
            closed = True
        if not closed:
            stayed.append(name)
        expect(node.alive(), f"milletd has ended after: {name}")
    # A flood may also be answered by taking requests only up to a bound; everything else must end the connection.
    expect(set(stayed) <= {"requests without end"}, f"the connection stays open after: {stayed}")
    _serves(node, torrent, payload)
    node.stop()


def harmless_oddities(world):
    """What is odd but allowed does not end a connection: unknown messages, keep-alives, duplicates, cancels, messages in small parts."""
    node, torrent, payload = _seeding(world)
    with Peer(node, torrent, 9, wire.EXTENSIONS) as peer:
        peer.handshake()
        for _ in range(3):
            peer.send_raw(bytes(4))
            peer.send(99, b"from the future")
            peer.extended({"m": {"ut_pex": 1, "x": 0}, "v": b"\xff\xfe strange", "reqq": 250, "p": 6881})
            peer.send(wire.NOT_INTERESTED)
            peer.send(wire.INTERESTED)
            peer.send(wire.HAVE, struct.pack(">I", 1))
        peer.receive_until(wire.UNCHOKE)
        for byte in struct.pack(">IBIII", 13, wire.REQUEST, 0, 0, BLOCK):
            peer.send_raw(bytes([byte]))
            time.sleep(0.01)
        expect(peer.receive_until(wire.PIECE)[8:] == payload[:BLOCK], "wrong bytes after a request in single bytes")
        peer.request(1, 0, BLOCK)
        peer.request(1, 0, BLOCK)
        peer.request(1, 0, BLOCK, kind=wire.CANCEL)
        peer.request(1, BLOCK, BLOCK)
        got = peer.receive_until(wire.PIECE)
        while struct.unpack(">II", got[:8]) != (1, BLOCK):
            got = peer.receive_until(wire.PIECE)
        expect(got[8:] == payload[65536 + BLOCK : 65536 + 2 * BLOCK], "wrong bytes after duplicates and a cancel")
    node.stop()


def own_address(world):
    """A tracker that names the node itself: it hangs up on itself and does not try for ever."""
    tracker = Tracker()
    source = world.make_folder("source")
    files = make_payload(source, "payload", many_files(1_000_000))
    torrent = make_torrent(world.path("payload.torrent"), source, "payload", files, piece_size=65536, trackers=[tracker.url])
    node = Milletd(world, 2).start()
    tracker.extra = [(node.address, node.port)]
    node.add(torrent)
    wait_until(lambda: tracker.of(torrent.info_hash), 20, "an announce")
    time.sleep(5)
    expect(node.call("peers")["peers"] == [], f"it is connected to itself: {node.call('peers')['peers']}")
    expect(node.alive() and node.show(torrent)["state"] == "downloading", "it does not wait for better peers")
    node.stop()


def silence_is_ended(world):
    """A connection that never says a word is closed long before it matters, and costs no slot."""
    node, torrent, payload = _seeding(world)
    with Peer(node, torrent, 9, timeout=60) as silent:
        started = time.monotonic()
        try:
            silent.receive_raw(1)
            expect(False, "milletd speaks first to a stranger")
        except Closed:
            pass
        expect(time.monotonic() - started < 60, "a silent connection stays for more than a minute")
    _serves(node, torrent, payload)
    node.stop()


def ten_thousand_connections(world):
    """10,000 connections from one address: all but a few are refused, others are served, and nothing piles up."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    node, torrent, payload = _seeding(world, size=1_000_000)
    held, opened = [], 0
    for _ in range(10000):
        connection = socket.socket()
        connection.settimeout(10)
        connection.bind((address(9), 0))
        try:
            connection.connect((node.address, node.port))
            opened += 1
        except OSError:
            connection.close()
            continue
        held.append(connection)
        if len(held) > 500:
            held.pop(0).close()
        if opened % 1000 == 0:
            expect(node.alive(), "milletd has ended")
    expect(opened > 5000, f"only {opened} connections could be made: no test")
    listed = len(node.call("peers")["peers"])
    expect(listed <= node.options.get("node.peers_per_address", 8), f"{listed} connections of one address are listed")
    _serves(node, torrent, payload)
    for connection in held:
        connection.close()
    with open(f"/proc/{node.process.pid}/status", encoding="ascii") as status:
        anonymous = next(int(line.split()[1]) for line in status if line.startswith("RssAnon"))
    print(f"anonymous memory after {opened} connections: {anonymous} KiB")
    node.stop()


MODES = ("down", "failure", "garbage", "empty", "error", "silent", "drop", "endless", "slow")
CASES = {f"tracker_{mode}": tracker_misbehaves(mode) for mode in MODES}
CASES.update({case.__name__: case for case in (
    silent_tracker_does_not_delay_the_end, hostile_messages, harmless_oddities, own_address, silence_is_ended, ten_thousand_connections)})

if __name__ == "__main__":
    sys.exit(main(CASES))
