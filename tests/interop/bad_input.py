"""What a user or a stranger may hand to a node: broken .torrent files and payloads that are not as the torrent says. Each is refused with
one line that names the thing and the way out, nothing is written, and the node goes on."""
import os
import sys

from harness.node import Milletd, Refused, expect_refused
from harness.torrents import Torrent, bencode, digest, make_payload, make_torrent, many_files
from harness.world import expect, main, wait_until

NOBODY = 65534


def _info(**changes):
    info = {"name": "payload", "piece length": 16384, "pieces": bytes(20), "length": 1000}
    info.update(changes)
    return {key.replace("_", " "): value for key, value in info.items() if value is not None}


def _files(*paths, size=1000):
    return _info(length=None, pieces=bytes(20 * -(-size * len(paths) // 16384)), files=[{"length": size, "path": list(path)} for path in paths])


def _bad_torrents():
    good = bencode({"info": _info()})
    rows = {
        "cut short": good[:-30],
        "empty": b"",
        "not a torrent": b"<html>not found</html>",
        "list 10000 deep": b"l" * 10000 + b"e" * 10000,
        "info 10000 deep": b"d4:info" + b"d1:a" * 10000 + b"e" * 10001,
        "endless number": b"d4:infod6:lengthi" + b"9" * 100000 + b"ee",
        "string beyond the end": b"d4:info99999999999:x",
    }
    infos = {
        "parent folder": _files(["a"], ["..", "b"]),
        "parent folder as name": _info(name=".."),
        "slash in a name": _info(name="/etc/passwd"),
        "slash in a path": _files(["a", "/etc/passwd"]),
        "empty path": _files(["a"], []),
        "empty component": _files(["a", "", "b"]),
        "twice the same": _files(["a"], ["a"]),
        "file and folder": _files(["a"], ["a", "b"]),
        "zero byte": _files(["a\0b"]),
        "piece length zero": _info(piece_length=0),
        "piece length negative": _info(piece_length=-16384),
        "piece length absurd": _info(piece_length=1 << 40),
        "size negative": _info(length=-1),
        "size absurd": _info(length=(1 << 63) - 1),
        "size beyond 64 bits": _info(length=1 << 64),
        "sum overflows": _info(length=None, files=[{"length": (1 << 63) - 1, "path": [name]} for name in "abc"]),
        "too few hashes": _info(length=16385),
        "too many hashes": _info(pieces=bytes(40)),
        "hashes cut": _info(pieces=bytes(19)),
        "no name": _info(name=None),
        "no size": _info(length=None),
    }
    for name, info in infos.items():
        rows[name] = bencode({"info": info})
    return rows


def _check_reason(name, reason):
    expect(reason and "\n" not in reason and len(reason) < 500, f"{name}: the reason is not one line: {reason!r}")


def torrents_refused_by_add(world):
    node = Milletd(world, 2).start()
    for name, data in _bad_torrents().items():
        path = world.path("bad.torrent")
        path.write_bytes(data)
        try:
            node.call("add", path)
            expect(False, f"{name}: was added")
        except Refused as refused:
            expect(refused.code in ("bad_input", "no_room", "unsupported"), f"{name}: {refused}")
            _check_reason(name, refused.message)
            expect("bad.torrent" in refused.message, f"{name}: the file is not named: {refused.message}")
    expect(node.call("list")["torrents"] == [], "a bad torrent is listed")
    expect(list(node.data.iterdir()) == [], "a bad torrent left something in the payload folder")
    node.stop()


def torrent_of_100_mib_is_refused(world):
    node = Milletd(world, 2).start()
    path = world.path("huge.torrent")
    with open(path, "wb") as out:
        out.write(b"d8:announce104857600:")
        out.truncate(100 << 20)
    try:
        node.call("add", path)
        expect(False, "100 MiB were added")
    except Refused as refused:
        expect(refused.code == "no_room" and "huge.torrent" in refused.message, str(refused))
    node.stop()
    # At start the file is refused the same way, and the node serves.
    node.start("--seed", path, "--data", node.data)
    expect("huge.torrent" in node.log(), "the log does not name the torrent that was refused at start")
    node.stop()


def payload_in_the_state_folder_is_refused(world):
    """A torrent whose files would be the wallet and the live database, by either of two paths: nothing is written, served or deleted."""
    node = Milletd(world, 2)
    node.state = node.data / "own"
    node.start()
    (node.data.parent / "link").symlink_to(node.state)
    before = (node.state / "wallet.key").read_bytes()
    names = ("wallet.key", "data.mdb", "new", "deeper/new")
    for number, (name, root) in enumerate((("own", node.data), ("deeper", node.data.parent / "link"))):
        payload = world.make_folder(f"payload{number}")
        torrent = make_torrent(world.path(f"{name}.torrent"), payload, name, make_payload(payload, name, [(path, 65) for path in names]))
        node.add(torrent, "--data", root)
        for _ in range(2):
            shown = node.wait_state(torrent, "error")
            for word in (str(node.state), str(root)):
                expect(word in shown["error"], f"the error does not say {word!r}: {shown['error']}")
            node.stop()
            node.start()
        node.call("remove", torrent.hex, "--delete-data")
        wait_until(lambda: "event=delete_failed" in node.log(), 20, "the log to say that nothing was deleted")
    named = Torrent(world.path("named.torrent"), _files(["wallet.key"]) | {"name": ".millet"})
    expect_refused(lambda: node.add(named), "bad_input", "'.millet'")
    node.stop()
    expect((node.state / "wallet.key").read_bytes() == before, "another key is in wallet.key")
    expect(not list(node.state.rglob("*new")), "the state folder holds files of a torrent")
    node.start()
    node.stop()


def torrents_refused_at_start(world):
    """A folder of bad torrents and one good one: each bad one gets a line that names it, the good one is seeded."""
    folder, source = world.make_folder("torrents"), world.make_folder("source")
    bad = _bad_torrents()
    for number, data in enumerate(bad.values()):
        (folder / f"bad{number:02d}.torrent").write_bytes(data)
    files = make_payload(source, "payload", [("a", 100000), ("b", 1)])
    good = make_torrent(folder / "good.torrent", source, "payload", files)
    node = Milletd(world, 2).start("--seed", folder, "--data", source)
    node.wait_state(good, "seeding")
    lines = node.log().splitlines()
    for number, name in enumerate(bad):
        about = [line for line in lines if f"bad{number:02d}.torrent" in line]
        expect(len(about) == 1, f"{name}: {len(about)} lines name bad{number:02d}.torrent: {about}")
    expect(len(node.call("list")["torrents"]) == 1, "another torrent than the good one is listed")
    node.stop()


def _seeded_wrong(world, spoil, words, state="error", **start):
    """A payload that `spoil(source)` has damaged is not seeded: the torrent stands with an error that has all `words`, and is unchanged."""
    source = world.make_folder("source")
    files = make_payload(source, "payload", many_files(8_000_000))
    torrent = make_torrent(world.path("payload.torrent"), source, "payload", files, piece_size=65536)
    before = digest(source)
    spoil(source / "payload")
    node = Milletd(world, 2)
    if start:
        for path in (node.state, node.data):
            os.chown(path, NOBODY, NOBODY)
    node.start("--seed", torrent.path, "--data", source, **start)
    shown = wait_until(lambda: (row := node.show(torrent))["state"] == state and row, 30, lambda: f"an error; {node.show(torrent)['state']}")
    for word in words:
        expect(word in shown["error"], f"the error does not say {word!r}: {shown['error']}")
    _check_reason("the error", shown["error"])
    expect(node.alive(), "milletd has ended")
    return source, torrent, node, before


def payload_missing(world):
    source, torrent, node, before = _seeded_wrong(world, lambda payload: os.rename(payload, world.path("away")), ["payload"], state="missing")
    expect(list(source.iterdir()) == [], "something was made where the payload is missing")
    os.rename(world.path("away"), source / "payload")
    node.call("resume")
    node.wait_state(torrent, "seeding")
    expect(digest(source) == before, "the payload was changed")
    node.stop()


def payload_short(world):
    def cut(payload):
        os.truncate(payload / "a block", 16000)

    source, _, node, _ = _seeded_wrong(world, cut, ["a block"])
    expect((source / "payload" / "a block").stat().st_size == 16000, "the short file was extended")
    node.stop()


def payload_changed(world):
    def change(payload):
        with open(payload / "a block", "r+b") as out:
            out.seek(5000)
            out.write(b"other bytes than before")

    source, _, node, _ = _seeded_wrong(world, change, ["piece"])
    expect((source / "payload" / "a block").read_bytes()[5000:5005] == b"other", "the payload was written to")
    node.stop()


def payload_unreadable(world):
    """As a user without rights; once they are there, verify and all is well."""

    def lock(payload):
        os.chmod(payload / "a block", 0)

    source, torrent, node, before = _seeded_wrong(world, lock, ["a block"], user=NOBODY, group=NOBODY, extra_groups=[])
    os.chmod(source / "payload" / "a block", 0o644)
    node.call("verify", torrent.hex)
    node.wait_state(torrent, "seeding")
    expect(digest(source) == before, "the payload was changed")
    node.stop()


def arguments_of_commands(world):
    """What would do something else than was asked is refused: a port that does not exist, a folder that JSON can't name, waiting for a paused torrent."""
    source = world.make_folder("source")
    torrent = make_torrent(world.path("good.torrent"), source, "payload", make_payload(source, "payload", [("a", 100000)]))
    node = Milletd(world, 2).start()

    def refused(code, word, *arguments):
        try:
            node.call(*arguments)
            expect(False, f"{arguments} was done")
        except Refused as reason:
            expect(reason.code == code and word in reason.message, f"{arguments}: {reason}")

    refused("bad_input", "65535", "add", torrent.path, "--peer", "localhost:70000")
    refused("bad_input", "65535", "add", torrent.path, "--peer", "127.0.0.1:70000")
    refused("bad_input", "UTF-8", "add", torrent.path, "--data", f"{source}/\udcff")  # one byte, 0xff
    expect(node.call("list")["torrents"] == [], "a refused torrent is listed")
    node.call("add", torrent.path, "--data", source)
    node.wait_state(torrent, "seeding")
    node.call("pause", torrent.hex)
    refused("conflict", "resume", "verify", torrent.hex, "--wait")
    node.call("resume", torrent.hex)
    node.wait_state(torrent, "seeding")
    address = node.call("wallet", "address")["address"]
    expect(f"address={address}" in node.log(), "the address in the log is not the one that the wallet shows")
    refused("bad_input", "before", "list", "--state", node.state)
    node.stop()
    node.start("--set", "speed.enabled=1")
    expect("event=speed_without_ledger" in node.log(), "payments without a ledger are turned on without a word")
    node.stop()


CASES = {case.__name__: case for case in (
    torrents_refused_by_add, payload_in_the_state_folder_is_refused, torrent_of_100_mib_is_refused, torrents_refused_at_start, payload_missing, payload_short, payload_changed, payload_unreadable, arguments_of_commands)}

if __name__ == "__main__":
    sys.exit(main(CASES))
