"""uTP under what stock_clients.py has not: a relay that loses, delays and repeats packets, and two nodes that race both transports."""
import random
import select
import socket
import sys
import threading
import time

from harness.clients import Libtorrent
from harness.node import Milletd
from harness.torrents import digest, make_payload, make_torrent, many_files
from harness.world import address, expect, main

ONLY_UTP = {"transport__tcp": "0", "transport__utp": "1"}


class Relay:
    """Forwards datagrams between one client and `target`. Of 1000 packets, 10 are lost, 10 come late and 5 twice."""

    LATE = 0.003

    def __init__(self, own, target, seed=1):
        self.inside = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.inside.bind((own, 0))
        self.outside = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.outside.bind((own, 0))
        for each in (self.inside, self.outside):
            each.setblocking(False)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.endpoint = self.inside.getsockname()
        self.target, self.client = target, None
        self.random = random.Random(seed)
        self.late = []
        self.passed = self.lost = self.delayed = self.repeated = 0
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            select.select([self.inside, self.outside], [], [], self.LATE)
            now = time.monotonic()
            while self.late and self.late[0][0] <= now:
                self._send(*self.late.pop(0)[1:])
            for source in (self.inside, self.outside):
                for _ in range(64):
                    try:
                        packet, sender = source.recvfrom(65536)
                    except OSError:
                        break
                    if source is self.inside:
                        self.client = sender
                        self._pass(self.outside, packet, self.target)
                    elif self.client:
                        self._pass(self.inside, packet, self.client)

    def _pass(self, out, packet, to):
        draw = self.random.randrange(1000)
        if draw < 10:
            self.lost += 1
        elif draw < 20:
            self.delayed += 1
            self.late.append((time.monotonic() + self.LATE, out, packet, to))
        else:
            self.passed += 1
            self._send(out, packet, to)
            if draw < 25:
                self.repeated += 1
                self._send(out, packet, to)

    @staticmethod
    def _send(out, packet, to):
        try:
            out.sendto(packet, to)
        except OSError:
            pass  # a full socket or a refusal: lost


def _torrent(world, total, folder):
    files = make_payload(folder, "payload", many_files(total))
    return make_torrent(world.path("payload.torrent"), folder, "payload", files)


def bad_line(world):
    """milletd downloads from libtorrent, and another milletd from the first, each through a relay that is a bad line."""
    total = 16_000_000
    client = Libtorrent(world, 3, transport="utp")
    source = world.make_folder("source")
    torrent = _torrent(world, total, source)
    client.seed(torrent, source)
    first, second = (Milletd(world, number, **ONLY_UTP).start() for number in (2, 4))
    relays = Relay(address(5), (address(3), client.port)), Relay(address(6), (first.address, first.port))
    for node, relay in zip((first, second), relays):
        started = time.monotonic()
        node.add(torrent, "--peer", "{}:{}".format(*relay.endpoint))
        node.wait_state(torrent, "seeding", 120)
        expect(digest(node.data / "payload") == digest(source / "payload"), f"{node.name} has other bytes than were seeded")
        expect(relay.lost > 50 and relay.delayed > 50 and relay.repeated > 20, "the line was not bad")
        print(f"{node.name}: {total / 1e6:.0f} MB in {time.monotonic() - started:.1f} s, {relay.passed} packets, {relay.lost} lost")
    for node in (first, second):
        node.stop()


def both_transports(world):
    """With TCP and uTP on, whichever is through first is kept: everything arrives, over one connection."""
    total = 64_000_000
    source = world.make_folder("source")
    torrent = _torrent(world, total, source)
    both = {"transport__tcp": "1", "transport__utp": "1"}
    seeder = Milletd(world, 2, **both).start("--seed", torrent.path, "--data", source)
    seeder.wait_state(torrent, "seeding")
    node = Milletd(world, 3, **both).start()
    node.add(torrent, "--peer", seeder.endpoint)
    node.wait_state(torrent, "seeding", 60)
    expect(digest(node.data / "payload") == digest(source / "payload"), "other bytes than were seeded")
    node.stop()
    seeder.stop()


CASES = {"bad_line": bad_line, "both_transports": both_transports}

if __name__ == "__main__":
    sys.exit(main(CASES))
