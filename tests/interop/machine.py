"""What the machine does to a node: disks that are full or read-only, ports that are taken, a second process, and SIGKILL at any moment."""
import os
import random
import signal
import subprocess
import sys
import time

from harness.node import Ledgerd, Milletd, Refused, expect_refused
from harness.torrents import digest, make_payload, make_torrent, many_files
from harness.tracker import Tracker
from harness.world import expect, fill_disk, main, wait_until

PAYLOAD = 64_000_000


def _mount(folder, size):
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)


def _remount(folder, options):
    subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)


def _swarm(world, size=PAYLOAD, rate=0):
    """A torrent that a milletd seeds at address 3, `rate` bytes a second (0: as fast as it goes)."""
    tracker = Tracker()
    source = world.make_folder("source")
    files = make_payload(source, "payload", many_files(size))
    torrent = make_torrent(world.path("payload.torrent"), source, "payload", files, piece_size=65536, trackers=[tracker.url])
    seed = Milletd(world, 3, node__upload_rate=rate).start("--seed", torrent.path, "--data", source)
    seed.wait_state(torrent, "seeding")
    wait_until(lambda: tracker.of(torrent.info_hash), 20, "the seed's announce")
    return torrent, source, seed


def _one_line(text, *words):
    lines = text.strip().splitlines()
    expect(len(lines) == 1, f"not one line: {text!r}")
    for word in words:
        expect(str(word) in lines[0], f"the line does not say {word!r}: {lines[0]}")


def disk_full_while_downloading(world):
    torrent, source, seed = _swarm(world)
    # What is on its way when the disk is full is lost: a quarter of the memory at most.
    node = Milletd(world, 2, node__memory=16)
    _mount(node.data, "20m")
    node.start()
    node.add(torrent)
    shown = wait_until(lambda: (row := node.show(torrent))["state"] == "error" and row, 60, "the error about the full disk")
    expect("full" in shown["error"] or "space" in shown["error"], f"the error does not say that the disk is full: {shown['error']}")
    expect(node.alive() and "\n" not in shown["error"], "milletd has ended, or says more than a line")
    # What was verified before is kept, and it goes on once there is room.
    done = shown["done"]
    _remount(node.data, "size=200m")
    node.call("resume", torrent.hex)
    shown = node.wait_state(torrent, "seeding")
    expect(shown["downloaded"] <= PAYLOAD + (PAYLOAD - done) * 0.1 + 8_000_000, f"{shown['downloaded']} bytes downloaded: pieces were lost when the disk was full at {done}")
    expect(digest(node.data / "payload") == digest(source / "payload"), "other bytes than were seeded")
    node.stop()
    seed.stop()


def port_in_use(world):
    first = Milletd(world, 2).start()
    second = Milletd(world, 3)
    second.options["node.listen"] = first.endpoint
    status, said = second.run()
    expect(status not in (0, -signal.SIGABRT, -signal.SIGSEGV), f"it ended with {status}")
    _one_line(said, first.endpoint, "node.listen")
    expect(first.alive(), "the first milletd has ended")
    first.stop()


def second_process_on_one_state_folder(world):
    first = Milletd(world, 2).start()
    status, said = first.run()
    expect(status == 3, f"the second one ended with {status}")
    _one_line(said, first.state)
    status, _, err = first.text("stats")
    expect(status == 0, f"the first one does not answer any more: {err}")
    first.stop()
    first.start()
    first.stop()


def a_state_is_handed_over(world):
    """To another folder, as to another machine: the node goes on there, with wallet and torrents, and not where it was."""
    source = world.make_folder("source")
    torrent = make_torrent(world.path("a.torrent"), source, "a", make_payload(source, "a", [("x", 300_000)]))
    first, second = Milletd(world, 2).start("--seed", torrent.path, "--data", source), Milletd(world, 3)
    first.wait_state(torrent, "seeding")
    address_before, file = first.call("wallet", "address")["address"], world.path("state.file")
    expect_refused(lambda: first.call("state", "export", file), "conflict", str(first.state))
    expect(not file.exists(), "a refused export leaves a file")
    first.stop()
    expect(first.call("state", "export", file)["address"] == address_before, "another wallet was exported")
    status, said = first.run()
    expect(status == 3, f"the old one ended with {status}: {said}")
    _one_line(said, str(file), "state import")
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    expect_refused(lambda: second.call("state", "import", file), "bad_input", "ends before its end")
    file.write_bytes(whole)
    second.call("state", "import", file)
    second.start()
    expect(second.call("wallet", "address")["address"] == address_before, "the wallet is another one")
    second.wait_state(torrent, "seeding")
    second.stop()


def memory_that_runs_out_ends_milletd_first(world):
    """It asks to be ended before others, unless somebody has chosen already."""
    with open("/proc/self/oom_score_adj", encoding="ascii") as own:
        chosen = own.read().strip()
    node = Milletd(world, 2).start()
    with open(f"/proc/{node.process.pid}/oom_score_adj", encoding="ascii") as out:
        value = out.read().strip()
    expect(value == ("500" if chosen == "0" else chosen), f"its preference is {value}, that of who started it {chosen}")
    node.stop()


def a_lost_wallet_is_missed(world):
    """A state without its key, or with another one: it is not started with a new account."""
    source = world.make_folder("source")
    torrent = make_torrent(world.path("a.torrent"), source, "a", make_payload(source, "a", [("x", 1000)]))
    node, other = Milletd(world, 2).start(), Milletd(world, 3)
    node.call("add", torrent.path, "--data", source)
    key, aside, address = node.state / "wallet.key", node.state / "aside", node.call("wallet", "address")["address"]
    node.stop()
    key.rename(aside)
    status, said = node.run()
    expect(status == 3 and not key.exists(), f"it ended with {status}: {said}")
    _one_line(said, key, address, "missing", "backup")
    foreign = other.call("wallet", "create")["address"]
    (other.state / "wallet.key").rename(key)
    status, said = node.run()
    expect(status == 3, f"it ended with {status}: {said}")
    _one_line(said, key, address, foreign)
    aside.rename(key)
    node.start()
    node.wait_state(torrent, "seeding")
    node.stop()


def second_ledger_on_one_state_folder(world):
    ledger = Ledgerd(world, 2).start()
    done = subprocess.run([world.bin / "millet-ledgerd", "--state", ledger.state, "--set", "ledgerd.listen=127.0.0.1:0"], capture_output=True, timeout=20, check=False)
    expect(done.returncode == 3, f"the second one ended with {done.returncode}")
    _one_line(done.stderr.decode(), ledger.state)
    ledger.stop()


def state_folder_read_only(world):
    node = Milletd(world, 2)
    _mount(node.state, "10m")
    _remount(node.state, "ro")
    status, said = node.run()
    expect(status == 3, f"it ended with {status}")
    _one_line(said, node.state)
    _remount(node.state, "rw")
    node.start()
    node.stop()


def state_folder_full(world):
    """Full at start: refused. Full while it runs: what needs the state is refused by name, seeding goes on, and all is well when there is room."""
    source = world.make_folder("source")
    torrents = []
    for name in ("one", "two"):
        files = make_payload(source, name, many_files(4_000_000))
        torrents.append(make_torrent(world.path(f"{name}.torrent"), source, name, files, piece_size=16384))
    node = Milletd(world, 2)
    _mount(node.state, "16m")
    filler = node.state / "filler"
    fill_disk(filler)
    status, said = node.run()
    expect(status == 3, f"it ended with {status}: {said}")
    _one_line(said, node.state)
    filler.unlink()
    node.start("--seed", torrents[0].path, "--data", source)
    node.wait_state(torrents[0], "seeding")
    fill_disk(filler)
    try:
        node.call("add", torrents[1].path, "--data", source)
    except Refused as refused:
        expect(refused.code in ("no_room", "io"), str(refused))
    wait_until(lambda: "full" in node.log() or "space" in node.log() or "no_room" in node.log(), 30, "a line about the full state folder")
    expect(node.alive() and node.show(torrents[0])["state"] == "seeding", "the torrent that was there is not seeded any more")
    filler.unlink()
    try:
        node.call("add", torrents[1].path, "--data", source)
    except Refused as refused:
        expect(refused.code == "conflict", str(refused))  # the first attempt is being made durable
    node.wait_state(torrents[1], "seeding")
    node.stop()
    node.start()
    for torrent in torrents:
        node.wait_state(torrent, "seeding")
    node.stop()


def killed_while_downloading(world):
    """SIGKILL at many moments of one download. Each restart serves at once what it had, loses at most what was being written, and the end
    is the whole payload; nothing is downloaded twice but what was in flight."""
    torrent, source, seed = _swarm(world, rate=6_000_000)
    node = Milletd(world, 2)
    chance = random.Random(7)
    node.start()
    node.add(torrent)
    downloaded, kills = 0, 0
    while True:
        time.sleep(0.3 + chance.random() * 1.2)
        shown = node.show(torrent)
        if shown["state"] == "seeding" or kills == 6:
            break
        before = shown["done"]
        node.kill()
        kills += 1
        node.start()
        shown = node.wait_state(torrent, "downloading", 10)
        # Pieces that were complete but not yet recorded are found again by hashing: nothing verified may be lost.
        expect(shown["done"] >= before - 16 * torrent.piece_size, f"{before} bytes were verified before the kill, {shown['done']} after the restart")
    expect(kills >= 3, f"only {kills} kills: the download was too fast to be a test")
    shown = node.wait_state(torrent, "seeding", 60)
    expect(digest(node.data / "payload") == digest(source / "payload"), "other bytes than were seeded")
    uploaded = seed.show(torrent)["uploaded"]
    expect(uploaded < PAYLOAD + kills * 4_000_000, f"the seed sent {uploaded} bytes for {PAYLOAD}, with {kills} kills: too much was downloaded again")
    # A restart after a kill while seeding hashes nothing: the payload is unread.
    node.kill()
    started = time.monotonic()
    node.start()
    node.wait_state(torrent, "seeding", 5)
    expect(time.monotonic() - started < 5, "the restart was slow")
    node.stop()
    seed.stop()


def changed_files_are_verified_again(world):
    """After a kill only the files whose size or time changed are hashed: a change is found, a lie about the others is not even looked for."""
    source = world.make_folder("source")
    files = make_payload(source, "payload", [("a", 1_000_000), ("b", 1_000_000), ("c", 1_000_000)])
    torrent = make_torrent(world.path("payload.torrent"), source, "payload", files, piece_size=16384)
    node = Milletd(world, 2).start("--seed", torrent.path, "--data", source)
    node.wait_state(torrent, "seeding")
    node.stop()
    # Bytes of `a` change with its size and time kept; bytes of `c` change with a new time.
    kept = (source / "payload" / "a").stat()
    for name in ("a", "c"):
        with open(source / "payload" / name, "r+b") as out:
            out.seek(500_000)
            out.write(b"changed")
    os.utime(source / "payload" / "a", ns=(kept.st_atime_ns, kept.st_mtime_ns))
    node.start()
    shown = wait_until(lambda: (row := node.show(torrent))["state"] not in ("checking",) and row, 20, "the check")
    expect(shown["state"] == "error", f"the change of c was not found: {shown['state']}")
    missing = torrent.pieces - shown["pieces_done"]
    expect(missing == 1, f"{missing} pieces are missing: only the changed one of c should be, and a should not have been read")
    node.stop()


def killed_ledger_comes_back(world):
    ledger = Ledgerd(world, 2).start()
    key = ledger.key
    for _ in range(5):
        ledger.kill()
        ledger.start()
        expect(ledger.key == key, "the ledger has another key after a kill")
    ledger.stop()


CASES = {case.__name__: case for case in (
    disk_full_while_downloading, port_in_use, second_process_on_one_state_folder, a_state_is_handed_over, a_lost_wallet_is_missed, memory_that_runs_out_ends_milletd_first, second_ledger_on_one_state_folder, state_folder_read_only, state_folder_full,
    killed_while_downloading, changed_files_are_verified_again, killed_ledger_comes_back)}

if __name__ == "__main__":
    sys.exit(main(CASES))
