"""The ledger's JSON: every path of openapi.json against the server, the examples of API.md, limits, health and what silent clients can do."""
import hashlib
import http.client
import json
import re
import resource
import shutil
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from harness.node import Ledgerd, expect_refused
from harness.world import Skip, expect, fill_disk, main, need, wait_until
from wallet import EASY, GRANT, Wallet

LEDGER = Path(__file__).resolve().parents[2] / "src" / "ledger"
HOST, PORT, TLS_PORT = "127.0.0.1", 7411, 7412
URL = f"http://{HOST}:{PORT}"
NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _start(world, **options):
    return Ledgerd(world, 1, **{**EASY, "ledgerd__listen": f"{HOST}:{PORT}", "ledgerd__tls_listen": f"{HOST}:{TLS_PORT}", **options}).start()


def _get(target, token=None, method="GET"):
    """(status, headers, body)"""
    request = urllib.request.Request(URL + target, headers={"Authorization": token} if token else {}, method=method)
    try:
        with NO_PROXY.open(request, timeout=20) as reply:
            return reply.status, reply.headers, reply.read()
    except urllib.error.HTTPError as reply:
        return reply.code, reply.headers, reply.read()


def _blake2b(data):
    return hashlib.blake2b(data, digest_size=32).digest()


def _is_signed(world, ledger, target, status, signature, body):
    """The ledger key's signature over the answer, as API.md says; openssl knows Ed25519."""
    message = b"BTT1JSON" + bytes.fromhex(json.loads(body)["ledger"]) + _blake2b(target.encode()) + status.to_bytes(2, "big") + _blake2b(body)
    files = {"key": bytes.fromhex("302a300506032b6570032100" + ledger.key), "signature": bytes.fromhex(signature), "message": message}  # RFC 8410
    for name, data in files.items():
        world.path(name).write_bytes(data)
    done = subprocess.run([need("openssl"), "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", world.path("key"), "-rawin", "-in", world.path("message"),
                           "-sigfile", world.path("signature")], capture_output=True, check=False)
    return done.returncode == 0


class Api:
    """openapi.json, and a check of answers against it that remembers what has been seen."""

    def __init__(self, world, ledger):
        try:
            import jsonschema
        except ImportError:
            raise Skip("python3-jsonschema is not installed") from None
        self.world, self.ledger = world, ledger
        self.document = json.loads((LEDGER / "openapi.json").read_text())
        self.validator = jsonschema.Draft202012Validator
        self.seen = set()

    def get(self, template, status, query="", token=None, **names):
        target = template.format(**names) + query
        got, headers, body = _get(target, token)
        expect(got == status, f"{target}: {got} instead of {status}: {body}")
        described = self.document["paths"][template]["get"]["responses"].get(str(status))
        expect(described, f"openapi.json does not know {status} of {template}")
        schema = {**described["content"]["application/json"]["schema"], "components": self.document["components"]}
        value = json.loads(body)
        errors = [error.message for error in self.validator(schema).iter_errors(value)]
        expect(not errors, f"{target} is not what openapi.json says: {errors[:3]}: {body[:300]}")
        expect(headers["Content-Type"] == "application/json", f"{target} is {headers['Content-Type']}")
        if status != 429:
            expect(_is_signed(self.world, self.ledger, target, status, headers["Millet-Signature"], body), f"{target}: the signature is not valid")
        self.seen.add((template, status))
        return value

    def not_seen(self):
        wanted = {(path, int(status)) for path, item in self.document["paths"].items() for status in item["get"]["responses"]}
        return {(path, status) for path, status in wanted - self.seen if status not in (429, 503)}


def answers_are_as_openapi_says(world):
    ledger = _start(world)
    api = Api(world, ledger)
    one, two = Wallet(world, ledger, "one"), Wallet(world, ledger, "two")
    one.call("claim")
    for _ in range(3):
        one.call("send", two.address, "0.5")
    token, other = (wallet.call("token")["authorization"] for wallet in (one, two))
    key = one.address[:64]

    expect(api.get("/v1/params", 200)["ledger_key"] == ledger.key, "another key")
    expect(abs(api.get("/v1/time", 200)["time"] - time.time()) < 60, "the time is another one")
    supply = api.get("/v1/supply", 200)
    expect(supply["in_accounts_micro"] + supply["in_channels_micro"] == supply["supply_micro"] == 990_000_000_000_000_000, f"the supply is {supply}")
    pools = api.get("/v1/pools", 200)["pools"]
    expect(sum(pool["issued_micro"] for pool in pools) == supply["supply_micro"], "the pools are not the supply")
    airdrop = next(pool for pool in pools if pool["name"] == "protocol_airdrop")
    expect(airdrop["issued_micro"] - airdrop["available_micro"] == GRANT, "the grant did not come from the airdrop")

    for name in (one.address, key):
        expect(api.get("/v1/accounts/{account}", 200, token=token, account=name)["available_micro"] == GRANT - 1_500_000, "another balance")
    feed = api.get("/v1/accounts/{account}/closed", 200, "?after=0", token=token, account=one.address)
    expect(feed["channels"] == [] and feed["next_after"] is None, f"channels that ended: {feed}")
    ended = "Bearer " + key + f"{1:016x}" + "00" * 64
    for path in ("/v1/accounts/{account}", "/v1/accounts/{account}/closed"):
        api.get(path, 403, token=other, account=one.address)
        for bad in (None, "Bearer", token[:-2], token[:-1] + ("0" if token[-1] != "0" else "1"), ended, token.replace("Bearer", "Basic")):
            api.get(path, 401, token=bad, account=one.address)
        api.get(path, 400, token=token, account=one.address[:-1])
        api.get(path, 400, "?before=1", token=token, account=one.address)
    channel = "/v1/channels/{channel}"
    api.get(channel, 404, token=token, channel="00" * 32)
    api.get(channel, 401, channel="00" * 32)
    api.get(channel, 400, token=token, channel="00")

    policy = "/v1/policies/{policy}"
    api.get(policy, 404, policy="00" * 32)
    api.get(policy, 400, policy="00")

    count = api.get("/v1/tree", 200)["size"]
    records, start = [], 0
    while start is not None:
        page = api.get("/v1/records", 200, f"?from={start}&limit=2")
        expect(len(page["records"]) <= 2, "the page is longer than asked")
        records += page["records"]
        start = page["next_from"]
    expect([record["record"] for record in records] == list(range(count)), "pages leave records out")
    expect([record["kind"] for record in records] == ["genesis", "faucet"] + ["transfer"] * 3, f"{[record['kind'] for record in records]}")
    for record in records:
        expect(hashlib.sha256(b"\0" + bytes.fromhex(record["bytes"])).hexdigest() == record["leaf"], "the leaf is of another record")
    head = api.get("/v1/tree", 200)
    expect(head["head"].split()[2:] == [head["ledger"], str(head["size"]), head["root"], str(head["time"]), head["signature"]], f"the head is {head}")
    expect(api.get("/v1/records", 200, "?from=1000000")["records"] == [], "records beyond the log")
    root = api.get("/v1/tree", 200)["root"]
    proof = api.get("/v1/tree/inclusion", 200, "?record=1")
    expect(_root_by_inclusion(proof).hex() == root, "the proof does not lead to the root")
    expect(proof["leaf"] == records[1]["leaf"], "the leaf is another one")
    api.get("/v1/tree/inclusion", 404, f"?record={count}")
    # By the operation's id, for who has a part in it.
    for record in records[1:]:
        operation = "/v1/operations/{operation}"
        by_id, by_record = api.get(operation, 200, token=token, operation=record["operation"]), api.get("/v1/tree/inclusion", 200, f"?record={record['record']}")
        expect(all(by_id[name] == by_record[name] for name in ("record", "size", "leaf", "path")), "another proof")
        api.get(operation, 404, "?from=1" if record["record"] > 1 else "?from=0", token=token if record["record"] > 1 else other, operation=record["operation"])
        api.get(operation, 401, operation=record["operation"])
    api.get(operation, 404, token=token, operation="00" * 32)
    api.get(operation, 400, token=token, operation="00")
    api.get("/v1/tree/consistency", 200, f"?from=2&to={count}")
    api.get("/v1/tree/consistency", 404, f"?to={count + 1}")
    for path in ("/v1/params", "/v1/time", "/v1/supply", "/v1/pools", "/v1/records", "/v1/tree", "/v1/tree/inclusion", "/v1/tree/consistency"):
        for query in ("?x=1", "?from=-1", "?from=1&from=1", "?limit=1e3", "?="):
            api.get(path, 400, query)
    # Channels that are there are shown by ledger_get_test, a policy by ledger_operator, who is elsewhere by what_is_for_its_own_machine_only.
    missing = api.not_seen() - {(channel, 200), (channel, 403), (policy, 200), ("/v1/records", 403)}
    expect(not missing, f"paths and answers of openapi.json that were not tried: {sorted(missing)}")
    for target in ("/", "/v1", "/v1/", "/v1/accounts/", "/v1/nothing", "/v1/time/", "/v1/accounts/a/b"):
        expect(_get(target)[0] == 404, f"{target} is there")
    status, headers, _ = _get("/v1/time", method="DELETE")
    expect((status, headers["Allow"]) == (405, "GET, POST"), "DELETE is taken")
    ledger.stop()


def _status_under_name(ledger, host, path="/v1/records"):
    connection = http.client.HTTPConnection(ledger.url.split("//")[1], timeout=20)
    connection.request("GET", path, headers={"Host": host, "Origin": "http://evil.example"})
    reply = connection.getresponse()
    body = reply.read()
    expect(reply.getheader("Access-Control-Allow-Origin") is None, "a page of another origin may read the answer")
    connection.close()
    expect(reply.status == 200 or json.loads(body)["error"]["code"] == "not_a_party", "the refusal has another code")
    return reply.status


def what_is_for_its_own_machine_only(world):
    """Who pays whom, and how much business there is: not for who asks from elsewhere, unless the operator says so."""
    for shown in (0, 1):
        ledger = Ledgerd(world, 1, name=f"ledgerd{shown}", **EASY, ledgerd__public_metrics=shown, ledgerd__public_records=shown).start()
        for path, status in (("/metrics", 200 if shown else 403), ("/v1/records", 200 if shown else 403), ("/v1/tree", 200), ("/healthz", 200)):
            try:
                with NO_PROXY.open(ledger.url + path, timeout=20) as reply:
                    got = reply.status
            except urllib.error.HTTPError as reply:
                got = reply.code
                expect(json.loads(reply.read())["error"]["code"] == "not_a_party", "the refusal has another code")
            expect(got == status, f"{path} is {got} with public {shown}")
        # A page that a browser of this machine shows, whose name leads here all of a sudden.
        for host, status in (("evil.example", 200 if shown else 403), ("127.0.0.1.evil.example", 200 if shown else 403)):
            expect(_status_under_name(ledger, host) == status, f"asked as {host}, public {shown}: not {status}")
        connection = http.client.HTTPConnection(ledger.url.split("//")[1], timeout=20)
        connection.request("HEAD", "/v1/tree")
        reply = connection.getresponse()
        expect(reply.status == 405 and reply.getheader("Content-Length") == "0", f"HEAD is answered with {reply.status} and a body")
        connection.close()
        ledger.stop()
    ledger = Ledgerd(world, 1, name="local", **EASY, ledgerd__listen="127.0.0.1:7411").start()
    for host, status in (("127.0.0.1:7411", 200), ("localhost", 200), ("LOCALHOST.evil.example", 403), ("evil.example:7411", 403), ("[::1]:7411", 200), ("", 403)):
        for path in ("/v1/records", "/metrics"):
            expect(_status_under_name(ledger, host, path) == status, f"{path} asked as {host!r} is not {status}")
    ledger.stop()


def _root_by_inclusion(proof):
    """RFC 9162, 2.1.3.2."""
    node, index, last = bytes.fromhex(proof["leaf"]), proof["record"], proof["size"] - 1
    for part in map(bytes.fromhex, proof["path"]):
        if index & 1 or index == last:
            node = hashlib.sha256(b"\1" + part + node).digest()
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            node = hashlib.sha256(b"\1" + node + part).digest()
        index, last = index >> 1, last >> 1
    expect(last == 0, "the path has another length")
    return node


def examples_of_the_documentation(world):
    """Every `sh` block of API.md, literally and in order, in one shell."""
    ledger = _start(world)
    blocks = re.findall(r"^```sh\n(.*?)^```$", (LEDGER / "API.md").read_text(), re.MULTILINE | re.DOTALL)
    expect(len(blocks) >= 5, f"{len(blocks)} examples")
    for program in ("curl", "openssl", "bash"):
        need(program)
    script = "set -euo pipefail\n" + "\n".join(blocks)
    environment = {"PATH": f"{world.bin}:/usr/bin:/bin", "no_proxy": "*", "HOME": str(world.folder)}
    done = subprocess.run(["bash", "-c", script], cwd=world.make_folder("examples"), env=environment, capture_output=True, timeout=60, check=False)
    expect(done.returncode == 0, f"the examples end with {done.returncode}: {done.stderr.decode()[-1000:]}")
    out = done.stdout.decode()
    for word in ('"faucet"', '"pools"', '"available_btt":"10"', '"kind":"genesis"', '"root"', '"path"', "401", "millet_ledgerd_requests_total"):
        expect(word in out, f"the examples do not show {word}: {out[-2000:]}")
    ledger.stop()


def _metric(name):
    page = _get("/metrics")[2].decode()
    found = re.search(rf"^millet_ledgerd_{re.escape(name)} (\d+)$", page, re.MULTILINE)
    expect(found, f"no metric {name}: {page}")
    return int(found.group(1))


def senders_are_limited(world):
    """One address is held to its rate, others are not; one key is held to its own from wherever it asks."""
    ledger = _start(world, ledgerd__address_rate=20, ledgerd__key_rate=0)

    def ask(source, target="/v1/time", count=120):
        statuses = []
        with socket.create_connection((HOST, PORT), source_address=(source, 0), timeout=20) as stream:
            reader = stream.makefile("rb")
            for _ in range(count):
                stream.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    head += reader.readline()
                reader.read(int(re.search(rb"Content-Length: (\d+)", head).group(1)))
                statuses.append(int(head.split()[1]))
                expect(statuses[-1] != 429 or b"Retry-After: 1\r\n" in head, "no Retry-After")
        return statuses

    greedy = ask("127.0.0.50")
    expect(40 <= greedy.count(200) <= 110 and greedy.count(429) >= 10, f"{greedy.count(200)} of 120 requests were answered at 20 a second")
    expect(set(ask("127.0.0.51", count=10)) == {200}, "a neighbour is limited")
    expect(429 in sum((ask(f"127.0.1.{n}", count=40) for n in range(1, 13)), []), "a network is not limited")
    expect(set(ask("127.0.0.50", "/healthz", 60)) == {200}, "health is limited")
    expect(_metric("limited_total") >= greedy.count(429), "the limited are not counted")
    wait_until(lambda: ask("127.0.0.50", count=1) == [200], 10, "the bucket to fill again")
    ledger.stop()
    ledger.options.update({"ledgerd.address_rate": 0, "ledgerd.key_rate": 2})
    ledger.start()
    wallet = Wallet(world, ledger, "one")
    token = wallet.call("token")["authorization"]
    answers = [_get(f"/v1/accounts/{wallet.address}", token)[0] for _ in range(20)]
    expect(set(answers) == {200, 429}, f"a key that asks too much: {answers}")
    expect(_get("/v1/time")[0] == 200, "what needs no key is limited")
    ledger.stop()


def _resident(process):
    return int(re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text()).group(1)) * 1024


def ten_thousand_idle_clients(world):
    """They keep nobody out, and memory stays where it is."""
    clients = 10_000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < clients + 500:
        raise Skip(f"this system allows {hard} open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (clients + 500, hard))
    ledger = _start(world)
    wallet = Wallet(world, ledger, "one")
    wallet.call("claim")
    before = _resident(ledger.process)
    crowd = []
    for number in range(clients):
        stream = socket.socket()
        stream.bind((f"127.1.{number % 250}.1", 0))
        stream.settimeout(10)
        stream.connect((HOST, PORT))
        if number % 3 == 1:
            stream.sendall(b"GET /v1/time HT")  # and nothing more
        crowd.append(stream)
        if number % 1000 == 999:
            begin = time.monotonic()
            expect(wallet.available() == GRANT, "the balance is another one")
            expect(time.monotonic() - begin < 5, f"with {number + 1} idle clients an honest one waits {time.monotonic() - begin:.1f} s")
    connections, evicted = _metric("connections"), _metric("connections_evicted_total")
    expect(connections <= 1024 and evicted > 5000, f"{connections} connections, {evicted} gave their place")
    grown = _resident(ledger.process) - before
    print(f"10,000 idle clients: {grown // 1024} KiB more", flush=True)
    expect(grown < 24 << 20, f"memory grew by {grown >> 20} MiB")
    for stream in crowd:
        stream.close()
    # Whole handshakes, and then silence.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    before, crowd = _resident(ledger.process), []
    for number in range(300):
        stream = socket.create_connection((HOST, TLS_PORT), source_address=(f"127.2.{number % 10}.1", 0), timeout=20)
        crowd.append(context.wrap_socket(stream))
    each = (_resident(ledger.process) - before) // len(crowd)
    print(f"an idle connection of TLS: {each} bytes", flush=True)
    # A sanitizer keeps what is freed for a while, and what it knows of each allocation.
    expect(each < 64 << 10 or _is_sanitized(ledger.process), f"an idle connection of TLS takes {each} bytes")
    expect(wallet.available() == GRANT, "the balance is another one")
    for stream in crowd:
        stream.close()
    ledger.stop()


def _is_sanitized(process):
    # As a library or a part of the program.
    return b"__asan_init" in Path(f"/proc/{process.pid}/exe").read_bytes()


def health_follows_the_store(world):
    """Ready while it can store; alive in any case."""
    ledger = Ledgerd(world, 1, ledgerd__listen=f"{HOST}:{PORT}", **EASY)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", ledger.state], check=True)
    ledger.start()
    expect((_get("/healthz")[0], _get("/readyz")[0]) == (200, 200), "not ready after the start")
    one, two = Wallet(world, ledger, "one"), Wallet(world, ledger, "two")
    one.call("claim")
    fill_disk(ledger.state / "filler")
    for _ in range(200):
        if _get("/readyz")[0] == 503:
            break
        one.node.text("wallet", "send", two.address, "0.001", "--ledger", ledger.url, "--ledger-key", ledger.key)
    expect((_get("/healthz")[0], _get("/readyz")[0], _metric("ready")) == (200, 503, 0), "a full disk is called ready")
    expect(_get("/v1/time")[0] == 200, "reading does not work on a full disk")
    (ledger.state / "filler").unlink()
    wait_until(lambda: _get("/readyz")[0] == 200, 60, "it to be ready again")
    ledger.stop()


def without_its_witness_nothing_is_told(world):
    """What is not noted is not told, and neither is it ready; it goes on when the witness can be written again."""
    folder = world.make_folder("witness")
    ledger = Ledgerd(world, 1, ledgerd__listen=f"{HOST}:{PORT}", ledgerd__witness=folder / "file", **EASY).start()
    one, two = Wallet(world, ledger, "one"), Wallet(world, ledger, "two")
    one.call("claim")
    shutil.rmtree(folder)
    for _ in range(60):  # it looks for the file every five seconds, with an operation
        one.node.text("wallet", "send", two.address, "0.001", "--ledger", ledger.url, "--ledger-key", ledger.key)
        if _get("/readyz")[0] == 503:
            break
        time.sleep(0.2)
    expect(_get("/readyz")[0] == 503, "it does not miss its witness")
    expect_refused(lambda: one.call("send", two.address, "1"), "unavailable")
    expect(_metric("ready") == 0 and "event=ledger_witness_failed" in world.log(ledger.name), "nothing says why")
    folder.mkdir()
    wait_until(lambda: _get("/readyz")[0] == 200, 60, "it to be ready again")
    one.call("send", two.address, "1")
    ledger.stop()


CASES = {case.__name__: case for case in (
    answers_are_as_openapi_says, what_is_for_its_own_machine_only, examples_of_the_documentation, senders_are_limited, ten_thousand_idle_clients, health_follows_the_store, without_its_witness_nothing_is_told)}

if __name__ == "__main__":
    raise SystemExit(main(CASES))
