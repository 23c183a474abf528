"""`millet wallet` and millet-ledgerd as processes: money arrives once, whatever is killed, full, or lies in between."""
import base64
import json
import os
import pty
import random
import re
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from harness.node import Ledgerd, Milletd, Refused, expect_refused
from harness.world import address, expect, fill_disk, main, wait_until

EASY = {"ledgerd__faucet_hashcash_bits": 8, "ledgerd__faucet_memory_bits": 1, "ledgerd__faucet_memory": 64, "ledgerd__faucet_spend_only": 0}
GRANT = 10_000_000  # micro-BTT


class Wallet:
    def __init__(self, world, ledger, name):
        self.node = Milletd(world, 2, name=name)  # never started: only its state folder and `millet`
        self.ledger = ledger
        self.address = self.node.call("wallet", "create")["address"]

    def call(self, *arguments, key=None, **options):
        return self.node.call("wallet", *arguments, "--ledger", self.ledger.url, "--ledger-key", key or self.ledger.key, **options)

    def available(self):
        return self.call("balance")["available_micro"]


def _start(world, **options):
    return Ledgerd(world, 1, **{**EASY, **options}).start()


def money_is_claimed_and_sent(world):
    ledger = _start(world)
    one, two = Wallet(world, ledger, "one"), Wallet(world, ledger, "two")
    expect(one.available() == 0, "an account begins with money")
    expect(one.call("claim")["amount_micro"] == GRANT, "the grant is another amount")
    expect_refused(lambda: one.call("claim"), "denied", "has had its initial balance")
    one.call("send", two.address, "2.5")
    expect((one.available(), two.available()) == (7_500_000, 2_500_000), "the amounts are wrong after sending")
    expect_refused(lambda: one.call("send", two.address, "7.500001"), "denied", "less than that: 7.5 BTT are available")
    slip = two.address[:10] + ("0" if two.address[10] != "0" else "1") + two.address[11:]
    expect_refused(lambda: one.call("send", slip, "1"), "bad_input", "not an address")
    expect(one.call("address")["address"] == one.address, "another address")
    key_file = one.node.state / "wallet.key"
    expect(key_file.stat().st_mode & 0o777 == 0o600, "others may read the key")
    ledger.stop()
    ledger.start()
    expect((one.available(), two.available()) == (7_500_000, 2_500_000), "the amounts are others after a restart")
    os.chmod(key_file, 0o644)
    expect_refused(one.available, "denied", str(key_file))
    ledger.stop()


def a_grant_only_pays_for_service(world):
    ledger = _start(world, ledgerd__faucet_spend_only=30)
    one, two = Wallet(world, ledger, "one"), Wallet(world, ledger, "two")
    one.call("claim")
    balance = one.call("balance")
    left = balance["spend_only_until"] - balance["ledger_time"]
    expect(balance["spend_only_micro"] == GRANT and 30 * 86400 - 60 <= left <= 30 * 86400, f"another balance: {balance}")
    expect_refused(lambda: one.call("send", two.address, "0.000001"), "denied", "only pays for service")
    ledger.stop()


def a_claim_yields_and_can_be_paused(world):
    """The work runs only when nothing else wants the processor; stopped, it does nothing, and goes on where it was."""
    ledger = _start(world, ledgerd__faucet_hashcash_bits=32)  # not to be done here
    wallet = Wallet(world, ledger, "one")
    claim = world.start("claim", [world.bin / "millet", "--state", wallet.node.state, "wallet", "claim", "--ledger", ledger.url, "--ledger-key", ledger.key])

    def fields():
        with open(f"/proc/{claim.pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()

    def ticks():
        return int(fields()[11])

    wait_until(lambda: int(fields()[38]) == os.SCHED_IDLE and int(fields()[16]) == 19, 60, "the work to take no time from others")
    begin = ticks()
    wait_until(lambda: ticks() > begin + 2, 60, "the work to begin")
    claim.send_signal(signal.SIGSTOP)
    wait_until(lambda: fields()[0] == "T", 20, "it to stop")
    before = ticks()
    time.sleep(0.5)
    expect(ticks() == before, "it works while it is stopped")
    claim.send_signal(signal.SIGCONT)
    wait_until(lambda: ticks() > before + 2, 60, "the work to go on")
    expect(world.stop(claim) == -signal.SIGTERM, "it can't be ended")
    ledger.stop()


def wrong_ledger_key_is_named(world):
    ledger = _start(world)
    wallet = Wallet(world, ledger, "one")
    other = "00" * 31 + "01"
    expect_refused(lambda: wallet.call("balance", key=other), "denied", ledger.key, other, "ledger.key")
    ledger.stop()
    expect_refused(wallet.available, "unavailable", ledger.url.split("//")[1])


def old_backup_is_refused(world):
    """A ledger that comes back from an old copy of its database, or went on from one, is not served: its witness file has seen more."""
    ledger = _start(world)
    wallet = Wallet(world, ledger, "one")
    ledger.stop()
    state, witness = ledger.state / "data.mdb", ledger.state / "witness"
    old = state.read_bytes()
    ledger.start()
    wallet.call("claim")
    ledger.stop()
    new, seen = state.read_bytes(), witness.read_bytes()
    state.write_bytes(old)
    for history in ("shorter", "other"):
        process = world.start("refused", [world.bin / "millet-ledgerd", "--state", ledger.state])
        expect(process.wait(20) == 3, f"the {history} log is served")
        expect(str(witness) in world.log("refused"), f"the refusal does not name the witness: {world.log('refused')}")
        # Without its witness it goes on from the old copy, and has another history than the one that was seen.
        witness.unlink()
        ledger.start()
        Wallet(world, ledger, f"other-{history}").call("claim")
        ledger.stop()
        witness.write_bytes(seen)
    # Nothing new is made where a ledger was.
    state.unlink()
    for way in ("here", "there"):
        elsewhere = [] if way == "here" else ["--set", f"ledgerd.store=lmdb:{world.make_folder('elsewhere')}"]
        process = world.start(way, [world.bin / "millet-ledgerd", "--state", ledger.state, *elsewhere])
        expect(process.wait(20) == 3 and str(witness) in world.log(way), f"another ledger is made in its place: {world.log(way)}")
    state.write_bytes(new)
    witness.unlink()
    ledger.start()
    expect("event=witness_missing" in world.log(ledger.name), "nothing says that the witness is missing")
    expect(wallet.available() == GRANT, "the newest state lacks the grant")
    ledger.stop()


def a_users_tree_head_is_a_witness(world):
    """What a node has checked (`millet ledger head`) keeps an old copy from being served where the ledger's own witness is lost."""
    ledger = _start(world)
    wallet = Wallet(world, ledger, "one")
    ledger.stop()
    state, head = ledger.state / "data.mdb", world.path("head")
    old = state.read_bytes()
    ledger.start()
    wallet.call("claim")
    node = Milletd(world, 3, name="node", ledger__url=ledger.url, ledger__key=ledger.key, speed__enabled=1)
    node.call("wallet", "create")
    node.start()
    wait_until(lambda: node.call("stats")["ledger_head"], 90, "the node to have checked a tree head")  # it looks after half a minute
    status, text, error = node.text("ledger", "head")
    expect(status == 0 and text.strip() == node.call("ledger", "head")["head"], f"no head: {status} {text!r} {error!r}")
    head.write_text(text)
    for running in (node, ledger):
        running.stop()
    new = state.read_bytes()
    state.write_bytes(old)
    (ledger.state / "witness").unlink()
    process = world.start("refused", [world.bin / "millet-ledgerd", "--state", ledger.state, "--witness", head])
    expect(process.wait(20) == 3, "a log that a user has seen more of is served")
    expect(str(head) in world.log("refused"), f"the refusal does not name the head: {world.log('refused')}")
    state.write_bytes(new)
    head.write_text(text[:10] + ("0" if text[10] != "0" else "1") + text[11:])
    process = world.start("damaged", [world.bin / "millet-ledgerd", "--state", ledger.state, "--witness", head])
    expect(process.wait(20) == 3 and str(head) in world.log("damaged"), f"a head that nobody signed is taken: {world.log('damaged')}")
    head.write_text(text)
    ledger.start("--witness", head)
    expect(wallet.available() == GRANT, "the newest state lacks the grant")
    ledger.stop()


def ledger_killed_while_sending(world):
    """SIGKILL at any moment: every payment that was answered is there, none is there twice, and no money is made or lost."""
    ledger = _start(world)
    wallets = [Wallet(world, ledger, f"w{number}") for number in range(4)]
    for wallet in wallets:
        wallet.call("claim")
    sent, received, failures = [0] * 4, [0] * 4, []
    stop = threading.Event()

    def send(number):
        pick = random.Random(number)
        while not stop.is_set():
            to, amount = (number + pick.randrange(1, 4)) % 4, pick.randrange(1, 1000)
            try:
                wallets[number].call("send", wallets[to].address, f"0.{amount:06d}", timeout=90)
            except Refused as refused:
                # Out of reach before it was submitted: nothing has happened. After that it is tried until it has an answer.
                if "may or may not" in refused.message or refused.code != "unavailable":
                    failures.append((number, to, amount, str(refused)))
                continue
            sent[number] += amount
            received[to] += amount

    threads = [threading.Thread(target=send, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    pick = random.Random(9)
    for _ in range(12):
        time.sleep(pick.uniform(0.1, 0.9))
        ledger.kill()
        ledger.start()
    time.sleep(1)
    stop.set()
    for thread in threads:
        thread.join()
    expect(not failures, f"payments had no answer: {failures}")
    expect(sum(sent) > 0, "nothing was sent")
    balances = [wallet.available() for wallet in wallets]
    expected = [GRANT - sent[number] + received[number] for number in range(4)]
    expect(balances == expected, f"balances are {balances}, the answers say {expected}")
    ledger.stop()


def a_transfer_without_an_answer_is_sent_once(world):
    """The ledger executes a transfer, and its answers are lost. The same command sends the same bytes: one execution."""
    ledger = _start(world)
    one, two = Wallet(world, ledger, "one"), Wallet(world, ledger, "two")
    one.call("claim")
    lost = []

    class Forwarder(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with urllib.request.urlopen(urllib.request.Request(there + self.path, body), timeout=20) as reply:
                answer = reply.read()
            if self.path == "/v1/op":
                lost.append(body)
                self.close_connection = True
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    there = ledger.url
    server = ThreadingHTTPServer((address(3), 7400), Forwarder)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    ledger.url = f"http://{address(3)}:7400"
    expect_refused(lambda: one.call("send", two.address, "2.5", timeout=120), "unavailable", "may or may not", "wallet send")
    expect(len(lost) > 1, "it was not tried again")
    ledger.url = there
    server.shutdown()
    expect((one.available(), two.available()) == (7_500_000, 2_500_000), "it was not executed once")
    expect(one.call("send", two.address, "2.5")["amount_micro"] == 2_500_000, "it has no answer")
    expect((one.available(), two.available()) == (7_500_000, 2_500_000), "it was executed twice")
    one.call("send", two.address, "2.5")  # another one
    expect((one.available(), two.available()) == (5_000_000, 5_000_000), "the next one was not executed")
    expect(not list(one.node.state.glob("wallet.send-*")), "what has an answer is kept")
    ledger.stop()


def ledger_state_full(world):
    """A full disk: operations are refused by name, balances are still told, and all goes on when there is room."""
    ledger = Ledgerd(world, 1, **EASY)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", ledger.state], check=True)
    ledger.start()
    one, two = Wallet(world, ledger, "one"), Wallet(world, ledger, "two")
    one.call("claim")
    fill_disk(ledger.state / "filler")
    # The file has some room left in it: pay until it is used up.
    refusal = None
    for _ in range(200):
        try:
            one.call("send", two.address, "0.001", timeout=90)
        except Refused as refused:
            refusal = refused
            break
    expect(refusal and refusal.code == "unavailable" and "disk may be full" in refusal.message, f"refused with {refusal}")
    expect(one.available() + two.available() == GRANT, "money was lost on a full disk")
    expect("ledger_store_failed" in world.log(ledger.name), "the log says nothing about the full disk")
    before = two.available()
    os.unlink(ledger.state / "filler")
    one.call("send", two.address, "0.001")
    expect(two.available() == before + 1000, "the payment did not arrive when there was room")
    ledger.stop()


def strangers_do_not_stop_the_ledger(world):
    """Garbage, endless and silent requests, and more connections than there is room for: honest clients are served all the time."""
    ledger = _start(world)
    wallet = Wallet(world, ledger, "one")
    host, port = re.fullmatch(r"http://(.*):(\d+)", ledger.url).groups()

    def connect(source="10.0.0.9"):
        return socket.create_connection((host, int(port)), timeout=10, source_address=(source, 0))

    def answer(data):
        with connect() as stream:
            try:
                stream.sendall(data)
                stream.shutdown(socket.SHUT_WR)
                reply = b""
                while part := stream.recv(65536):
                    reply += part
            except ConnectionError:
                pass
            return reply

    expect(b" 400 " in answer(b"\x00\xff garbage\r\n\r\n").split(b"\r\n")[0] + b" ", "garbage is not refused")
    expect(b" 404 " in answer(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").split(b"\r\n")[0], "an unknown path is not refused")
    expect(b" 413 " in answer(b"POST /v1/op HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n").split(b"\r\n")[0], "a huge body is not refused")
    expect(b" 400 " in answer(b"POST /v1/op HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc").split(b"\r\n")[0], "junk is not refused")
    # Two requests at once are answered in order.
    both = answer(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    expect(both.count(b"HTTP/1.1 404") == 2, f"two requests in one packet: {both.count(b'HTTP/1.1')} answers")
    silent = []
    for number in range(400):  # 40 from each of ten addresses, then more from one
        silent.append(connect(f"10.0.0.{10 + number % 10}"))
        silent[-1].sendall(b"POST /v1/op HTTP/1.1\r\n")
    crowd = [connect("10.0.0.9") for _ in range(200)]
    time.sleep(0.3)

    def count_open(streams):
        count = 0
        for stream in streams:
            stream.settimeout(0.01)
            try:
                count += stream.recv(1) != b""
            except ConnectionError:
                pass
            except TimeoutError:
                count += 1
        return count

    # All are of one network, which has 256 places: who has most of them gives way, so the crowd gets what each of the others keeps.
    left, others = count_open(crowd), count_open(silent)
    expect(left + others <= 256 and 0 < left <= 64, f"{left} of 200 connections from one address are open, beside {others} of the same network")
    expect(others >= 10 * (left - 2), f"ten addresses keep {others} connections, one has {left}")
    expect(wallet.call("claim")["amount_micro"] == GRANT, "an honest client is not served")

    def all_closed():
        for stream in silent[:20]:
            stream.settimeout(0.01)
            try:
                if stream.recv(1) != b"":
                    return False
            except TimeoutError:
                return False
            except ConnectionError:
                pass
        return True

    wait_until(all_closed, 20, "slow requests to be ended")
    for stream in silent + crowd:
        stream.close()
    expect(wallet.available() == GRANT, "an honest client is not served")
    ledger.stop()


def stops_while_clients_wait(world):
    """SIGTERM with idle and half-sent requests open: it ends at once, with everything durable."""
    ledger = _start(world)
    wallet = Wallet(world, ledger, "one")
    wallet.call("claim")
    host, port = re.fullmatch(r"http://(.*):(\d+)", ledger.url).groups()
    streams = [socket.create_connection((host, int(port))) for _ in range(10)]
    for stream in streams[:5]:
        stream.sendall(b"POST /v1/op HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n")
    begin = time.monotonic()
    ledger.stop()
    expect(time.monotonic() - begin < 5, "it waited for clients that say nothing")
    ledger.start()
    expect(wallet.available() == GRANT, "the grant is gone")
    ledger.stop()


def a_locked_wallet_pays_only_with_its_passphrase(world):
    """Whoever has the key file but not the passphrase has nothing; a node without it seeds for nothing and says so."""
    ledger = _start(world)
    one, two = Wallet(world, ledger, "one"), Wallet(world, ledger, "two")
    one.call("claim")
    folder = world.make_folder("secrets")
    right, wrong = folder / "right", folder / "wrong"
    for path, text in ((right, "open sesame\n"), (wrong, "open barley\n")):
        path.write_text(text)
        path.chmod(0o600)
    expect(one.call("passphrase", "--new-passphrase-file", right)["locked"] is True, "it is not locked")
    expect("sealed" in (one.node.state / "wallet.key").read_text(), "the key is still open")
    expect(one.call("address")["address"] == one.address, "an address needs no passphrase, and stays")
    expect(one.node.call("wallet", "create")["address"] == one.address, "a locked wallet is replaced")
    expect_refused(lambda: one.call("send", two.address, "1"), "denied", "--passphrase-file")
    expect_refused(lambda: one.call("send", two.address, "1", "--passphrase-file", wrong), "denied", "passphrase")
    one.call("send", two.address, "1", "--passphrase-file", right)
    expect(two.available() == 1_000_000, "nothing arrived")

    def start(**options):
        node = one.node
        before = len(node.log()) if node.process else 0
        node.options.update({"speed.enabled": 1, "ledger.url": ledger.url, "ledger.key": ledger.key})
        node.options.update({key.replace("__", "."): value for key, value in options.items()})
        node.start()
        stats = node.call("stats")
        node.stop()
        return node.log()[before:], stats

    log, stats = start()
    expect("event=wallet_locked" in log and stats["wallet_locked"], "a locked node does not say that it is")
    expect(stats["address"] == one.address and f"address={one.address}" in log, "a locked node shows another address")
    log, stats = start(ledger__passphrase_file=right)
    expect("event=wallet_locked" not in log and stats["address"] == one.address, "the passphrase does not unlock it")
    one.node.options["ledger.passphrase_file"] = wrong
    status, said = one.node.run()
    expect(status == 3 and "ledger.passphrase_file" in said, f"a wrong passphrase: {status} {said}")
    expect(one.call("passphrase", "--passphrase-file", right, "--remove")["locked"] is False, "it is still locked")
    expect(one.available() == 9_000_000, "the account is another one")
    ledger.stop()


def _locked_node(world, ledger, passphrase, number):
    """A node that earns, whose wallet was locked with this passphrase, started without it."""
    node = Milletd(world, number, speed__enabled=1, ledger__url=ledger.url, ledger__key=ledger.key)
    node.call("wallet", "create")
    file = world.make_folder("secrets") / f"for{number}"
    file.write_bytes(passphrase + b"\n")
    file.chmod(0o600)
    node.call("wallet", "passphrase", "--new-passphrase-file", file)
    return node.start()


def _type(node, text):
    """`millet unlock` at a terminal where this is typed: (status, what the terminal shows)."""
    pid, terminal = pty.fork()
    if pid == 0:
        command = [str(word) for word in (*node.millet, "--state", node.state, "unlock")]
        os.execv(command[0], command)
    shown = b""
    while b"passphrase" not in shown:
        shown += os.read(terminal, 1000)
    # The prompt stands there before the echo is off, for an instant.
    wait_until(lambda: not termios.tcgetattr(terminal)[3] & termios.ECHO, 10, "the echo to be off")
    os.write(terminal, text)
    try:
        while part := os.read(terminal, 1000):
            shown += part
    except OSError:  # nobody has the other end open any more
        pass
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()


def a_locked_wallet_is_opened_while_the_node_runs(world):
    """Wrong, right, piped and typed: payments begin without a new start, and the node goes on with everything else meanwhile."""
    ledger = _start(world)
    passphrase = b"open s\xe9same"  # Latin-1, and no UTF-8
    node = _locked_node(world, ledger, passphrase, 2)

    def stats():
        return node.call("stats")

    def unlock(text):
        return node.call("unlock", piped=text)

    before = stats()
    expect(before["wallet_locked"] is True and before["ledger"] == "wallet locked: millet unlock", f"a locked node shows {before}")
    expect("wallet locked: millet unlock" in node.text("stats")[1], "people are not told")
    expect_refused(lambda: unlock(b""), "bad_input", "no passphrase")
    expect_refused(lambda: unlock(b"x" * 2000), "bad_input", "1 to 1024 bytes")
    expect_refused(lambda: unlock(b"open barley\n"), "denied", "passphrase")
    expect_refused(lambda: unlock(passphrase), "unavailable", "two seconds")
    time.sleep(2.1)
    status, out, err = node.text("unlock", "now")
    expect(status == 2 and "no arguments" in err, f"an argument is taken: {status} {out} {err}")
    expect(unlock(passphrase + b"\r\nmore\n") == {"wallet_locked": False}, "the right passphrase")
    after = stats()
    expect(after["wallet_locked"] is False and after["address"] == before["address"], f"an open wallet shows {after}")
    wait_until(lambda: stats()["ledger"] == "reachable", 60, "the node to ask the ledger")
    expect("event=wallet_unlocked" in node.log() and "event=wallet_stays_locked" in node.log(), "the log says nothing")
    expect_refused(lambda: unlock(passphrase), "conflict", "not locked")
    node.stop()

    node.start()
    status, shown = _type(node, b"open barley\n")
    expect(status == 1 and "barley" not in shown, f"a wrong passphrase at a terminal: {status} {shown!r}")
    time.sleep(2.1)
    status, shown = _type(node, passphrase + b"\n")
    expect(status == 0 and "unlocked" in shown and "same" not in shown, f"the right passphrase at a terminal: {status} {shown!r}")
    expect(stats()["wallet_locked"] is False, "it is still locked")
    node.stop()
    # A client that does not wait for the outcome, and an end in the middle.
    node.start()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.connect(str(node.state / "control.socket"))
        client.sendall(json.dumps({"method": "unlock", "params": {"passphrase": base64.b64encode(passphrase).decode()}}).encode() + b"\n")
    wait_until(lambda: stats()["wallet_locked"] is False, 20, "the wallet to be open")
    node.stop()
    node.start()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.connect(str(node.state / "control.socket"))
        client.sendall(json.dumps({"method": "unlock", "params": {"passphrase": base64.b64encode(passphrase).decode()}}).encode() + b"\n")
        node.stop()
    ledger.stop()


def _memory_has(pid, words):
    """Which of these words stand in what a process can write to."""
    found = set()
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            place, rights = line.split()[:2]
            start, end = (int(number, 16) for number in place.split("-"))
            # A sanitizer's shadow is terabytes, and holds what it knows of bytes, not the bytes.
            if not rights.startswith("rw") or "[v" in line or end - start > 1 << 32:
                continue
            memory.seek(start)
            content = memory.read(end - start)
            found |= {word for word in words if word in content}
    return found


def no_passphrase_stays_in_memory(world):
    """Neither what was given nor how it was sent, whether it was wrong or right, in one piece or many."""
    ledger = _start(world)
    passphrase, wrong = b"correct horse battery staple", b"correct horse battery stable"
    node = _locked_node(world, ledger, passphrase, 2)
    words = []
    for text in (passphrase, wrong):
        encoded = base64.b64encode(text)
        words += [text[4:], encoded[4:-8], text[8:20], encoded[8:24]]
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.connect(str(node.state / "control.socket"))

        def ask(text):
            request = json.dumps({"method": "unlock", "params": {"passphrase": base64.b64encode(text).decode()}}).encode() + b"\n"
            for at in range(0, len(request), 7):
                client.sendall(request[at:at + 7])
                time.sleep(0.005)
            return json.loads(client.recv(65536))

        client.sendall(b'{"method": "stats", "id": "what is there is found')
        wait_until(lambda: _memory_has(node.process.pid, [b"what is there is found"]), 10, "half of a request to be found")
        client.sendall(b'"}\n')
        client.recv(65536)
        expect("error" in ask(wrong), "a wrong passphrase")
        wait_until(lambda: "error" not in ask(passphrase), 20, "the pause to be over")
    found = _memory_has(node.process.pid, words)
    expect(not found, f"the memory of milletd has {found}")
    node.stop()
    ledger.stop()


CASES = {case.__name__: case for case in (
    money_is_claimed_and_sent, a_grant_only_pays_for_service, a_claim_yields_and_can_be_paused, wrong_ledger_key_is_named, ledger_killed_while_sending,
    a_transfer_without_an_answer_is_sent_once, ledger_state_full, strangers_do_not_stop_the_ledger, stops_while_clients_wait, old_backup_is_refused,
    a_users_tree_head_is_a_witness, a_locked_wallet_pays_only_with_its_passphrase, a_locked_wallet_is_opened_while_the_node_runs,
    no_passphrase_stays_in_memory)}

if __name__ == "__main__":
    sys.exit(main(CASES))
