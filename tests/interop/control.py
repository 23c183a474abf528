"""Who may control a node: its owner, over a local socket; no web page, no other user of the machine. And nobody is told its key."""
import json
import os
import socket
import stat
import sys
from pathlib import Path

from harness.node import Milletd, expect_refused
from harness.torrents import make_payload, make_torrent
from harness.world import Skip, address, expect, main

NOBODY = 65534


def _seeder(world):
    source = world.make_folder("source")
    torrent = make_torrent(world.path("a.torrent"), source, "a", make_payload(source, "a", [("x", 300_000)]))
    node = Milletd(world, 2, node__listen=f"{address(2)}:6881").start("--seed", torrent.path, "--data", source)
    node.wait_state(torrent, "seeding")
    return node, torrent


def _socket_of(node):
    found = [path for path in Path(node.state).iterdir() if stat.S_ISSOCK(path.lstat().st_mode)]
    expect(len(found) == 1, f"sockets in the state folder: {found}")
    return found[0]


def _as_nobody(action):
    """What the action raises as another user: the name of the exception, or "" if it does nothing of the kind; None if there is no other user here."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
        except OSError:
            os._exit(77)
        try:
            action()
            said = b""
        except Exception as failure:  # all of them, by name
            said = type(failure).__name__.encode()
        os.write(write, said)
        os._exit(0)
    os.close(write)
    said = os.read(read, 100).decode()
    _, status = os.waitpid(child, 0)
    return None if os.waitstatus_to_exitcode(status) == 77 else said


def only_the_owner_controls_a_node(world):
    node, torrent = _seeder(world)
    control = _socket_of(node)
    expect(stat.S_IMODE(control.stat().st_mode) == 0o600, f"the socket has the mode {oct(control.stat().st_mode)}")
    # Even where somebody has opened the way there.
    folder = control.parent
    while folder != folder.parent:
        if folder.stat().st_uid == os.getuid() and folder.is_relative_to(world.path("")):
            folder.chmod(0o755)
        folder = folder.parent

    def connect():
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.connect(str(control))

    connect()
    said = _as_nobody(connect)
    if said is None:
        raise Skip("there is no other user in this namespace")
    expect(said in ("PermissionError", ), f"another user's connect() ends with {said!r}")
    secrets = [path for path in Path(node.state).rglob("*") if path.is_file()]
    expect(any("key" in path.name for path in secrets), f"no key among {secrets}")
    for path in secrets:
        expect(path.stat().st_mode & 0o077 == 0, f"{path.name} has the mode {oct(path.stat().st_mode)}")
        expect(_as_nobody(lambda path=path: path.read_bytes()) == "PermissionError", f"another user reads {path.name}")
    expect(node.show(torrent)["state"] == "seeding", "the node is disturbed")
    node.stop()


def _listening_ports():
    """TCP ports on which something listens in this network namespace."""
    ports = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A":
                ports.add(int(words[1].rsplit(":", 1)[1], 16))
    return ports


def a_web_page_reaches_nothing(world):
    """What a browser can be made to send to this machine (CSRF, DNS rebinding): there is no HTTP of the node's, and its one port takes no requests."""
    status, said = Milletd(world, 3, control__http="127.0.0.1:8080").run()
    expect(status == 2 and "control.http" in said, f"control.http: {status}, {said}")
    before = _listening_ports()
    node, torrent = _seeder(world)
    expect(_listening_ports() - before == {6881}, f"ports {sorted(_listening_ports() - before)} are open")
    command = json.dumps({"method": "remove", "params": {"hash": torrent.hex, "delete_data": True}, "id": 1})
    for method, host in (("GET", "evil.example"), ("POST", "evil.example:6881"), ("POST", "127.0.0.1:6881"), ("OPTIONS", "localhost")):
        head = f"{method} /rpc HTTP/1.1\r\nHost: {host}\r\nOrigin: http://evil.example\r\nContent-Type: text/plain\r\nContent-Length: {len(command) + 1}\r\n\r\n"
        with socket.create_connection((node.address, 6881), timeout=20) as browser:
            browser.sendall((head + command + "\n").encode())
            try:
                got = browser.recv(1000)
            except ConnectionResetError:
                got = b""
        expect(got == b"", f"{method} is answered with {got!r}")
    expect(node.show(torrent)["state"] == "seeding", "a page has done something")
    node.stop()


def no_answer_has_the_key(world):
    """The seed is in the key file, and goes out by `millet state export` only: of a node that does not run, into a file of the owner's."""
    node, torrent = _seeder(world)
    key_file = next(path for path in Path(node.state).iterdir() if "key" in path.name)
    seed = key_file.read_text().split()[0]
    expect(len(seed) == 64, f"{key_file} is not what this test knows")

    def ask(client, method, params):
        client.sendall(json.dumps({"method": method, "params": params, "id": 1}).encode() + b"\n")
        reply = b""
        while not reply.endswith(b"\n"):
            reply += client.recv(65536)
        return reply.decode()

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.connect(str(_socket_of(node)))
        for method in ("list", "peers", "bids", "channels", "history", "stats", "options"):
            reply = ask(client, method, {})
            expect("result" in json.loads(reply) and seed not in reply.lower(), f"{method}: {reply[:200]}")
        expect(seed not in ask(client, "show", {"hash": torrent.hex}).lower(), "show has the key")
        for method in ("export", "wallet", "key", "wallet_export", "state_export", "seed"):
            expect("error" in json.loads(ask(client, method, {})), f"there is a method {method}")
    expect(seed not in node.log().lower(), "the log has the key")
    for name in ("status", "environ", "cmdline"):
        expect(seed not in Path(f"/proc/{node.process.pid}/{name}").read_bytes().decode(errors="replace").lower(), f"/proc has the key in {name}")
    copy = world.path("copy")
    expect_refused(lambda: node.call("state", "export", copy), "conflict", str(node.state))
    node.stop()
    said = json.dumps(node.call("state", "export", copy)).lower()
    expect(seed not in said, "the command prints the key")
    expect(stat.S_IMODE(copy.stat().st_mode) == 0o600 and bytes.fromhex(seed) in copy.read_bytes(), "the export is not the key, or not the owner's only")


CASES = {case.__name__: case for case in (only_the_owner_controls_a_node, a_web_page_reaches_nothing, no_answer_has_the_key)}

if __name__ == "__main__":
    sys.exit(main(CASES))
