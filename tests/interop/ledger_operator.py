"""What whoever runs the ledger does: a genesis from a file, draws from its pools, copies, audits."""
import http.server
import json
import re
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path

from harness.node import Ledgerd, Milletd, expect_refused
from harness.world import expect, main, need, wait_until
from wallet import EASY, GRANT, Wallet

CHAPTER = Path(__file__).resolve().parents[2] / "src" / "ledger" / "OPERATOR.md"
DEFAULT = Path(__file__).resolve().parents[2] / "config" / "genesis.conf"
HOLE = "#\tlist key 'ADDRESS'"
HOST = "127.0.0.1"
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Holder:
    """Who has a key of a pool: a wallet without money."""

    def __init__(self, world, name):
        self.node = Milletd(world, 2, name=name)  # never started
        self.address = self.node.call("wallet", "create")["address"]
        self.key_file = self.node.state / "wallet.key"


def _genesis_text(holders, **pools):
    """The default file, with the first holder's key for every pool; POOL="lines" replaces the key lines of one."""
    text = DEFAULT.read_text()
    for name, lines in pools.items():
        text = re.sub(rf"(config pool '{name}'\n(?:\t[^\n]*\n)*){re.escape(HOLE)}\n", lambda found, lines=lines: found.group(1) + lines, text)
    return text.replace(HOLE, f"\tlist key '{holders[0].address}'")


def _run(world, *arguments, timeout=60):
    done = subprocess.run([world.bin / "millet-ledgerd", *map(str, arguments)], capture_output=True, text=True, timeout=timeout, check=False)
    return done.returncode, done.stdout, done.stderr


def _make(world, ledger, text):
    file = world.path("genesis.conf")
    file.write_text(text)
    status, out, err = _run(world, "genesis", file, "--state", ledger.state)
    expect(status == 0, f"genesis ended with {status}: {err}")
    return out


def _pool(node, ledger, *arguments):
    return node.call("pool", *arguments, "--ledger", ledger.url, "--ledger-key", ledger.key)


def _pools(node, ledger):
    return {row["pool"]: row for row in _pool(node, ledger, "list")["pools"]}


def genesis_from_a_file(world):
    """The default file with keys is the white paper's ledger; pools pay what has vested, to whom their keys say, and the audit agrees."""
    one, two, three = (Holder(world, name) for name in ("one", "two", "three"))
    ledger = Ledgerd(world, 1, ledgerd__listen=f"{HOST}:7411", **EASY)
    several = "".join(f"\tlist key '{holder.address}'\n" for holder in (one, two, three)) + "\toption threshold '2'\n"
    begin = int(time.time()) - 3
    text = _genesis_text([one], ecosystem=several, partnership=f"\toption begin '{begin}'\n\toption period '2'\n\toption periods '19800'\n\tlist key '{two.address}'\n")
    out = _make(world, ledger, text)
    made = re.search(r"^ledger  ([0-9a-f]{64})$", out, re.MULTILINE).group(1)
    status, _, err = _run(world, "genesis", world.path("genesis.conf"), "--state", ledger.state)
    expect(status == 3 and "already" in err and err.count("\n") == 1, f"a second genesis: {status} {err}")
    ledger.start()
    expect(f"ledger_id={made}" in world.log(ledger.name), "the ledger has another id")
    user = Wallet(world, ledger, "user")
    user.call("claim")  # of the protocol airdrop, which has no key
    pools = _pools(user.node, ledger)
    expect(sum(row["issued_micro"] for row in pools.values()) == 990_000_000_000_000_000, "the pools are not the supply")
    airdrop = pools["tron_airdrop"]
    expect((airdrop["issued_btt"], airdrop["vested_btt"]) == ("99990000000", "0"), f"the airdrop has {airdrop}")
    expect(pools["protocol_airdrop"]["available_btt"] == "98999999990", "the initial balance did not come from the airdrop")

    def draw(pool, amount, *keys):
        return _pool(user.node, ledger, "draw", pool, user.address, amount, *(word for key in keys for word in ("--key", key.key_file)))

    expect_refused(lambda: draw("tron_airdrop", "0.000001", one), "denied", "not vested")
    expect_refused(lambda: draw("ecosystem", "5", one), "denied", "2 of its keys, here are 1")
    expect_refused(lambda: draw("ecosystem", "5", one, one), "denied", "here are 1")
    expect_refused(lambda: draw("partnership", "5", one), "denied", "not one of the pool's keys")
    expect_refused(lambda: draw("public_sail", "5", one), "bad_input", "public_sail")
    before = user.available()
    draw("ecosystem", "5", one, three)
    draw("public_sale", "2.5", one)
    expect(user.available() == before + 7_500_000, "the draws did not arrive")
    # 39,600,000,000 BTT in 19,800 steps of two seconds: 2,000,000 BTT each.
    can = _pools(user.node, ledger)["partnership"]["can_be_drawn_micro"]
    expect(can > 0 and can % 2_000_000_000_000 == 0, f"{can} micro-BTT of the partnership can be drawn")
    expect_refused(lambda: draw("partnership", str(can // 1_000_000 + 100_000_000), two), "denied", "not vested")
    draw("partnership", str(can // 1_000_000), two)
    wait_until(lambda: _pools(user.node, ledger)["partnership"]["can_be_drawn_micro"] >= 2_000_000_000_000, 20, "more to vest")
    ledger.stop()
    ledger.start()
    expect(user.available() == before + 7_500_000 + can, "another balance after a restart")
    ledger.stop()
    status, out, err = _run(world, "audit", "--state", ledger.state)
    expect(status == 0 and "every record is right" in out, f"the audit ends with {status}: {out} {err}")


def faults_of_a_genesis_file(world):
    """Refused with the file, the line and the way out; nothing is made."""
    one = Holder(world, "one")
    file, state = world.path("bad.conf"), world.path("nothing.state")
    good = _genesis_text([one])
    for text, status, *words in (
            (DEFAULT.read_text(), 2, "line ", "pool public_sale has no key", "list key 'ADDRESS'"),
            (good.replace("'59400000000'", "'59400000001'"), 2, "59400000001", "the supply of 990000000000 BTT"),
            (good.replace("config pool 'seed_sale'", "config pool 'seeds'"), 2, "there is no pool 'seeds'"),
            ("config pool 'x", 2, "line 1: "), ("\0", 2, "line 1: "), ("#" * 100_000, 2, str(file))):
        file.write_text(text)
        done, out, err = _run(world, "genesis", file, "--state", state)
        expect(done == status and not out and err.count("\n") == 1 and str(file) in err, f"{done}: {out} {err}")
        for word in words:
            expect(word in err, f"no '{word}' in: {err}")
        expect(not state.exists(), "something was made")
    done, _, err = _run(world, "genesis", world.path("missing.conf"), "--state", state)
    expect(done == 2 and "missing.conf" in err, f"a file that is not there: {done} {err}")
    done, _, err = _run(world, "genesis", "--state", state)
    expect(done == 2 and "takes a FILE" in err, f"no file: {done} {err}")


def grants_by_a_signed_policy(world):
    """A policy that the pool's keys signed lets its granter give, within its limits; every grant names it, and all of it is in the log."""
    one, two, giver = (Holder(world, name) for name in ("one", "two", "giver"))
    ledger = Ledgerd(world, 1, ledgerd__listen=f"{HOST}:7411", **EASY)
    keys = f"\tlist key '{one.address}'\n\tlist key '{two.address}'\n\toption threshold '2'\n"
    _make(world, ledger, _genesis_text([one], ecosystem=keys))
    ledger.start()
    user, stranger = Wallet(world, ledger, "user"), Wallet(world, ledger, "stranger")
    document = world.path("policy.conf")
    text = (DEFAULT.parent / "policy.conf").read_text()
    text = text.replace("#\toption granter 'ADDRESS'", f"\toption granter '{giver.address}'")
    text = text.replace("#\tlist recipient 'ADDRESS'", f"\tlist recipient '{user.address}'")
    text = re.sub("option until '[0-9]+'", f"option until '{int(time.time()) + 3600}'", text)

    def publish(changed, *holders):
        document.write_text(changed)
        return _pool(user.node, ledger, "policy", document, *(word for holder in holders for word in ("--key", holder.key_file)))["policy"]

    def grant(policy, to, amount, holder=giver):
        return _pool(user.node, ledger, "grant", policy, to.address, amount, "--key", holder.key_file)

    expect_refused(lambda: publish(text, one), "denied", "2 of its keys, here are 1")
    expect_refused(lambda: publish(text.replace("'50000'", "'2000000'"), one, two), "bad_input", str(document), "more for one grant")
    expect_refused(lambda: grant("00" * 32, user, "1"), "denied", "no such policy")
    policy = publish(text, one, two)
    grant(policy, user, "50000")
    expect_refused(lambda: grant(policy, user, "50000.000001"), "denied", "for one grant")
    expect_refused(lambda: grant(policy, stranger, "1"), "denied", "does not name this account")
    expect_refused(lambda: grant(policy, user, "1", one), "denied", "not the policy's granter", giver.address)
    for _ in range(19):
        grant(policy, user, "50000")
    expect_refused(lambda: grant(policy, user, "0.000001"), "denied", "this period is spent")
    shown = _pool(user.node, ledger, "show-policy", policy)
    expect((shown["grants"], shown["left_micro"], shown["ended"]) == (20, 0, False), f"{shown}")
    other = publish(text.replace("#\toption replaces 'POLICY'", f"\toption replaces '{policy}'"), one, two)
    expect_refused(lambda: grant(policy, user, "1"), "denied", "was replaced")
    grant(other, user, "1")
    expect(user.available() == 1_000_001_000_000, "the grants did not arrive")
    ledger.stop()
    status, out, err = _run(world, "audit", "--state", ledger.state)
    expect(status == 0 and "every record is right" in out, f"the audit ends with {status}: {out} {err}")


def _metrics():
    page = OPENER.open(f"http://{HOST}:7411/metrics", timeout=20).read().decode()
    return dict(line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#"))


def an_audit_is_a_line_a_metric_and_an_exit_code(world):
    """Of the ledger while it runs; and of one whose log was changed on the disk."""
    ledger = Ledgerd(world, 1, ledgerd__listen=f"{HOST}:7411", **EASY).start()
    one, two = Wallet(world, ledger, "one"), Wallet(world, ledger, "two")
    one.call("claim")
    one.call("send", two.address, "1.25")
    expect(not any("audit" in name for name in _metrics()), "there was no audit yet")
    status, out, err = _run(world, "audit", "--state", ledger.state)
    expect(status == 0 and "every record is right" in out, f"the audit ends with {status}: {out} {err}")
    expect(re.search(r"^info event=audit result=good records=\d+ root=[0-9a-f]{64}$", err, re.MULTILINE), f"no line of the audit: {err}")
    metrics = _metrics()
    expect(metrics["millet_ledgerd_audit_good"] == "1", "the audit is not called good")
    expect(abs(int(metrics["millet_ledgerd_audit_time_seconds"]) - time.time()) < 60, "it was another time")
    expect(int(metrics["millet_ledgerd_audit_records"]) >= 3, "it had fewer records")
    # The verdict about a backup is the backup's.
    noted = (ledger.state / "audit").read_text()
    expect(_run(world, "backup", world.path("copy"), "--state", ledger.state)[0] == 0, "no backup was made")
    status, out, err = _run(world, "audit", "--state", ledger.state, "--set", f"ledgerd.store=lmdb:{world.path('copy')}")
    expect(status == 0 and (world.path("copy") / "audit").exists(), f"the backup's audit ends with {status}: {err}")
    expect((ledger.state / "audit").read_text() == noted, "the backup's audit is noted as the ledger's")
    page = json.loads(OPENER.open(f"http://{HOST}:7411/v1/records?from=0&limit=100", timeout=20).read())
    record = next(record for record in page["records"] if record["kind"] == "transfer")
    ledger.stop()
    database = ledger.state / "data.mdb"
    content, right = database.read_bytes(), bytes.fromhex(record["bytes"])
    wrong = right.replace((1_250_000).to_bytes(8, "big"), (1_250_001).to_bytes(8, "big"), 1)
    expect(right in content and wrong != right, "the record is not in the database")
    database.write_bytes(content.replace(right, wrong))
    status, out, err = _run(world, "audit", "--state", ledger.state)
    expect(status == 1 and f"record {record['record']} is wrong" in err, f"the audit ends with {status}: {out} {err}")
    expect("error event=audit result=wrong" in err, f"no line of the audit: {err}")
    expect((ledger.state / "audit").read_text().startswith("millet-ledger-audit 1 0 "), "the audit is not noted as wrong")
    database.write_bytes(content)
    expect(_run(world, "audit", "--state", ledger.state)[0] == 0, "the right log is wrong")
    noted = (ledger.state / "audit").read_text()
    database.unlink()
    status, out, err = _run(world, "audit", "--state", ledger.state)
    expect(status == 3 and "event=audit" not in err and (ledger.state / "audit").read_text() == noted, f"an audit of nothing ends with {status}: {out} {err}")


def a_network_has_so_many_initial_balances(world):
    """And has them also after a restart."""
    ledger = Ledgerd(world, 1, **{**EASY, "ledgerd__faucet_per_network": 2}).start()
    wallets = [Wallet(world, ledger, name) for name in ("one", "two", "three")]
    for wallet in wallets[:2]:
        wallet.call("claim")
    expect_refused(lambda: wallets[2].call("claim"), "denied", "your network")
    ledger.stop()
    ledger.start()
    expect_refused(lambda: wallets[2].call("claim"), "denied", "your network")
    ledger.stop()
    ledger.options["ledgerd.faucet_per_network"] = 3
    ledger.start()
    wallets[2].call("claim")
    ledger.stop()


class Judge:
    """Stands in for siteverify: answers as `answer` says, and remembers what it was asked."""

    def __init__(self):
        judge = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                judge.asked.append((self.headers["Content-Type"], urllib.parse.parse_qs(body, strict_parsing=True)))
                if judge.answer is None:
                    judge.over.wait(60)
                    return
                status, reply = judge.answer
                self.send_response(status)
                self.send_header("Content-Length", str(len(reply)))
                self.end_headers()
                try:
                    self.wfile.write(reply)
                except OSError:
                    pass  # the ledger does not read to the end

            def log_message(self, *_):
                pass

        self.asked, self.answer, self.over = [], None, threading.Event()
        self.server = http.server.ThreadingHTTPServer((HOST, 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://{HOST}:{self.server.server_address[1]}/siteverify"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.over.set()
        self.server.shutdown()
        self.server.server_close()


def a_solved_captcha_gets_an_initial_balance(world):
    """Yes is a grant without work; no, garbage, silence and floods are none, in bounded time, and the ledger serves on."""
    secret = world.path("secret")
    secret.write_text("s3cr&t=1\n")
    judge = Judge()
    options = {**EASY, "ledgerd__faucet_hashcash_bits": 32, "ledgerd__captcha_url": judge.url, "ledgerd__captcha_secret_file": secret}
    ledger = Ledgerd(world, 1, ledgerd__listen=f"{HOST}:7411", **options).start()
    one, two = Wallet(world, ledger, "one"), Wallet(world, ledger, "two")

    def claim(wallet):
        return wallet.call("claim", "--captcha", "a response+/=")

    judge.answer = (200, b'{"success": false, "error-codes": ["invalid-input-response"]}')
    expect_refused(lambda: claim(one), "denied", "not solved")
    for answer in ((200, b"<html>yes</html>"), (200, b'{"success": "true"}'), (200, b""), (500, b'{"success": true}'), (302, b'{"success": true}'),
                   (200, b'{"success": true}' + b" " * 10_000_000), (200, b"x" * 10_000_000)):
        judge.answer = answer
        expect_refused(lambda: claim(one), "denied", "can't be judged now")
    judge.answer = None
    begin = time.monotonic()
    expect_refused(lambda: claim(one), "denied", "can't be judged now")
    expect(4 < time.monotonic() - begin < 15, f"silence took {time.monotonic() - begin:.1f} s")
    expect(one.available() == 0, "there was a grant")
    expect(world.log(ledger.name).count("event=captcha_failed") == 1, "a row of failures is one line")
    judge.answer = (200, b'{"success": true}')
    expect(claim(one)["amount_micro"] == GRANT and one.available() == GRANT, "no grant for a solved CAPTCHA")
    expect("event=captcha_works_again" in world.log(ledger.name), "nothing says that it works again")
    kind, form = judge.asked[-1]
    expect(kind == "application/x-www-form-urlencoded", f"the form is {kind}")
    expect(form == {"secret": ["s3cr&t=1"], "response": ["a response+/="], "remoteip": [HOST]}, f"it was asked {form}")
    expect_refused(lambda: claim(one), "denied", "has had its initial balance")
    ledger.stop()
    # Beside the work.
    ledger.options.update({"ledgerd.faucet_hashcash_bits": 8, "ledgerd.captcha_with_work": 1})
    ledger.start()
    expect_refused(lambda: two.call("claim"), "denied", "a solved CAPTCHA is needed")
    expect(claim(two)["amount_micro"] == GRANT, "no grant for a solved CAPTCHA and the work")
    judge.stop()
    expect_refused(lambda: claim(Wallet(world, ledger, "three")), "denied", "can't be judged now")
    ledger.stop()
    status, out, err = _run(world, "audit", "--state", ledger.state)
    expect(status == 0 and "every record is right" in out, f"the audit ends with {status}: {out} {err}")
    for bad, word in ((f"ledgerd.captcha_url=https://{HOST}/x", "https"), ("ledgerd.captcha_secret_file=/nowhere", "/nowhere"), ("ledgerd.captcha_secret_file=", "needs one")):
        status, _, err = _run(world, "--state", ledger.state, "--set", f"ledgerd.captcha_url={judge.url}", "--set", f"ledgerd.captcha_secret_file={secret}", "--set", bad)
        expect(status == 2 and word in err, f"{bad}: {status} {err}")


def examples_of_the_operators_chapter(world):
    """Every `sh` block of OPERATOR.md, literally and in order, in one shell."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", CHAPTER.read_text(), re.MULTILINE | re.DOTALL)
    expect(len(blocks) >= 8, f"{len(blocks)} examples")
    for program in ("curl", "bash"):
        need(program)
    script = "set -euo pipefail\n" + "\n".join(blocks)
    environment = {"PATH": f"{world.bin}:/usr/bin:/bin", "no_proxy": "*", "HOME": str(world.folder), "CONFIG": str(DEFAULT.parent)}
    done = subprocess.run(["bash", "-c", script], cwd=world.make_folder("examples"), env=environment, capture_output=True, text=True, timeout=80, check=False)
    expect(done.returncode == 0, f"the examples end with {done.returncode}: {done.stderr[-1500:]}")
    for word in ("2 of 3", "99990000000", "drawn 25.5 BTT", "granted 500 BTT", '"granter"', "1525.5 BTT", "every record is right", "millet_ledgerd_audit_good 1"):
        expect(word in done.stdout, f"the examples do not show {word}: {done.stdout[-3000:]}")


CASES = {case.__name__: case for case in (genesis_from_a_file, faults_of_a_genesis_file, grants_by_a_signed_policy,
                                            an_audit_is_a_line_a_metric_and_an_exit_code, a_network_has_so_many_initial_balances,
                                            a_solved_captcha_gets_an_initial_balance,
                                            examples_of_the_operators_chapter)}

if __name__ == "__main__":
    raise SystemExit(main(CASES))
