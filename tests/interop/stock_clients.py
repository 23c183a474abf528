"""The stock clients and milletd in both directions, over TCP, over uTP and over both at once, then all of them in one swarm: real files, real
trackers, real peers."""
import socket
import sys
import time

from harness.clients import CLIENTS, Opentracker
from harness.node import Milletd
from harness.torrents import digest, make_payload, make_torrent, many_files
from harness.tracker import Tracker
from harness.world import expect, main, wait_until

SWARM_PAYLOAD = 64_000_000
# What milletd is told. With both on, as they are unless somebody turns one off, whichever is through first is kept.
OPTIONS = {"tcp": {"transport__utp": 0}, "utp": {"transport__tcp": 0}, "both": {}}
# Bytes. Transmission 3.00 dials over uTP first where it has it, with the encrypted handshake; refused, and also where nobody answers, it
# does not get through over TCP either: its download begins when milletd dials it, after its next announce. Few bytes there: it is the wait.
SIZES = {"tcp": 192_000_000, "utp": 64_000_000, "both": 64_000_000}
SIZE_TRANSMISSION_UTP = 6_000_000


def _size(name, transport):
    return SIZE_TRANSMISSION_UTP if name == "transmission" and transport != "tcp" else SIZES[transport]


def _torrent(world, total, tracker, folder):
    files = make_payload(folder, "payload", many_files(total))
    return make_torrent(world.path("payload.torrent"), folder, "payload", files, trackers=[tracker.url])


def _check_transport(node, transport):
    """What the node listens on, and what its connections are."""
    with socket.socket() as probe:
        listens = probe.connect_ex((node.address, node.port)) == 0
    expect(listens == (transport != "utp"), f"milletd {'listens' if listens else 'does not listen'} on TCP")
    used = {row["transport"] for row in node.call("peers")["peers"]}
    expect(transport == "both" or used <= {transport}, f"milletd is connected over {used}")


def seeds_to(name, transport, seconds_max=120, **options):
    """milletd seeds many files; the client downloads them for nothing."""
    total = _size(name, transport)

    def case(world):
        client = CLIENTS[name](world, 3, transport=transport, **options)
        tracker = Tracker()
        source = world.make_folder("source")
        torrent = _torrent(world, total, tracker, source)
        node = Milletd(world, 2, **OPTIONS[transport]).start("--seed", torrent.path, "--data", source)
        node.wait_state(torrent, "seeding")
        wait_until(lambda: tracker.of(torrent.info_hash, "started"), 20, "milletd's announce")
        started = time.monotonic()
        client.download(torrent)
        wait_until(client.complete, seconds_max, f"{name} to be complete")
        seconds = time.monotonic() - started
        shown = node.show(torrent)
        _check_transport(node, transport)
        client.stop()
        empty = name != "transmission"
        expect(digest(client.data / "payload", empty) == digest(source / "payload", empty), f"{name} has other bytes than were seeded")
        expect(total <= shown["uploaded"] < total * 1.1, f"milletd counts {shown['uploaded']} bytes uploaded of {total}")
        expect(shown["bytes_paid_up"] == 0, "a stock client was charged")
        node.stop()
        announce = tracker.of(torrent.info_hash, "stopped")
        expect(announce and announce[-1].left == 0, "milletd did not tell the tracker that it stopped")
        print(f"{name} downloaded {total / 1e6:.0f} MB over {transport} in {seconds:.1f} s")

    return case


def downloads_from(name, transport):
    """The client seeds; milletd downloads, and what it then seeds is the same."""
    total = _size(name, transport)

    def case(world):
        client = CLIENTS[name](world, 3, transport=transport)
        tracker = Tracker()
        source = world.make_folder("source")
        torrent = _torrent(world, total, tracker, source)
        client.seed(torrent, source)
        wait_until(lambda: tracker.of(torrent.info_hash), 60, f"the announce of {name}")
        node = Milletd(world, 2, **OPTIONS[transport]).start()
        started = time.monotonic()
        node.add(torrent)
        node.wait_state(torrent, "seeding", 120)
        seconds = time.monotonic() - started
        shown = node.show(torrent)
        expect(digest(node.data / "payload") == digest(source / "payload"), f"milletd has other bytes than {name} seeded")
        expect(shown["done"] == shown["size"] == total and shown["pieces_done"] == torrent.pieces, f"milletd counts {shown}")
        expect(total <= shown["downloaded"] < total * 1.05, f"milletd downloaded {shown['downloaded']} bytes for {total}")
        wait_until(lambda: tracker.of(torrent.info_hash, "completed"), 20, "milletd's completed event")
        _check_transport(node, transport)
        node.stop()
        client.stop()
        print(f"milletd downloaded {total / 1e6:.0f} MB over {transport} from {name} in {seconds:.1f} s")

    return case


def swarm_of_four(world):
    """One seeds, three download from each other through opentracker; milletd is one of the three. Everybody ends complete."""
    source = world.make_folder("source")
    files = make_payload(source, "payload", many_files(SWARM_PAYLOAD))
    torrent = make_torrent(world.path("payload.torrent"), source, "payload", files, piece_size=65536, trackers=["http://10.0.0.1:6969/announce"])
    Opentracker(world, 1, [torrent])
    aria2, libtorrent, transmission = (CLIENTS[name](world, number) for name, number in (("aria2", 3), ("libtorrent", 4), ("transmission", 5)))
    libtorrent.seed(torrent, source)
    node = Milletd(world, 2).start()
    node.add(torrent)
    transmission.download_and_seed(torrent)
    aria2.download_and_seed(torrent)
    node.wait_state(torrent, "seeding", 100)
    wait_until(transmission.complete, 100, "transmission to be complete")
    expected = digest(source / "payload")
    wait_until(lambda: digest_of_complete(aria2.data, torrent) == expected, 100, "aria2 to be complete")
    expect(digest(node.data / "payload") == expected, "milletd has other bytes")
    transmission.stop()
    expect(digest(transmission.data / "payload", empty=False) == digest(source / "payload", empty=False), "transmission has other bytes")
    expect(node.alive(), "milletd has ended")


def digest_of_complete(folder, torrent):
    """aria2c keeps a control file beside the payload until it has everything."""
    return None if (folder / f"{torrent.name}.aria2").exists() or not (folder / torrent.name).exists() else digest(folder / torrent.name)


# Transmission that does not begin encrypted is through at once, and what follows our handshake must not wait for a keep-alive, after two minutes.
CASES = {"swarm_of_four": swarm_of_four, "seeds_to_transmission_in_clear_over_utp": seeds_to("transmission", "utp", 60, encryption=0)}
for client_name, kind in CLIENTS.items():
    for over in kind.transports:
        CASES[f"seeds_to_{client_name}_over_{over}"] = seeds_to(client_name, over)
        CASES[f"downloads_from_{client_name}_over_{over}"] = downloads_from(client_name, over)

if __name__ == "__main__":
    sys.exit(main(CASES))
