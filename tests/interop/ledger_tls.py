"""The ledger over TLS: what authorises its certificate, how that changes while it runs, and what other programs see of it."""
import base64
import hashlib
import re
import socket
import ssl
import subprocess
import time
import warnings

from harness.node import Ledgerd, expect_refused
from harness.world import address, expect, main, need, wait_until
from wallet import EASY, GRANT, Wallet

HOST, PORT = address(1), 7412
warnings.simplefilter("ignore", DeprecationWarning)  # old versions of TLS are tried on purpose


def _start(world, **options):
    ledger = Ledgerd(world, 1, ledgerd__tls_listen=f"{HOST}:{PORT}", **{**EASY, **options}).start()
    ledger.url = f"https://{HOST}:{PORT}"
    return ledger


def _openssl(*arguments, command="s_client", data=b""):
    done = subprocess.run([need("openssl"), command, *arguments], input=data, capture_output=True, timeout=20, check=False)
    return done.returncode, done.stdout, done.stderr.decode(errors="replace")


def _certificate():
    status, out, err = _openssl("-connect", f"{HOST}:{PORT}")
    expect(status == 0, f"openssl s_client ended with {status}: {err}")
    return re.search(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", out, re.DOTALL).group(0)


def _key_hash(certificate):
    public = _openssl("-pubkey", "-noout", command="x509", data=certificate)[1]
    return hashlib.sha256(_openssl("-pubin", "-outform", "DER", command="pkey", data=public)[1]).digest()


def wallet_over_tls(world):
    ledger = _start(world)
    one, two = Wallet(world, ledger, "one"), Wallet(world, ledger, "two")
    expect(one.call("claim")["amount_micro"] == GRANT, "the grant is another amount")
    one.call("send", two.address, "2.5")
    expect((one.available(), two.available()) == (7_500_000, 2_500_000), "the amounts are wrong after sending")
    other = "00" * 31 + "01"
    expect_refused(lambda: one.call("balance", key=other), "denied", "not authorised by the key", other)
    # A scheme that does not belong to the port, either way round.
    tls, plain = ledger.url, f"http://{HOST}:7411"
    ledger.url = f"https://{HOST}:7411"
    expect_refused(one.available, "unavailable", "TLS")
    ledger.url = f"http://{HOST}:{PORT}"
    expect_refused(one.available, "denied", "no ledger")
    ledger.url = plain
    expect(one.available() == 7_500_000, "plain HTTP does not work beside TLS")
    ledger.url = tls
    ledger.stop()
    expect_refused(one.available, "unavailable", f"{HOST}:{PORT}")


def somebody_in_between(world):
    """Another program with a certificate of its own, also with the ledger's certificate copied, learns nothing and is refused."""
    ledger = _start(world)
    wallet = Wallet(world, ledger, "one")
    wallet.call("claim")
    key, certificate = world.path("thief.key"), world.path("thief.pem")
    subprocess.run([need("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=millet-ledgerd",
                    "-keyout", str(key), "-out", str(certificate), "-days", "30"], check=True, capture_output=True)
    world.start("thief", [need("openssl"), "s_server", "-accept", f"{address(2)}:{PORT}", "-key", key, "-cert", certificate, "-quiet"])
    wait_until(lambda: socket.socket().connect_ex((address(2), PORT)) == 0, 10, "the thief to listen")
    ledger.url = f"https://{address(2)}:{PORT}"
    expect_refused(wallet.available, "denied", "no statement of a ledger")
    expect("POST" not in world.log("thief"), "the request was sent to somebody else")
    ledger.stop()


def other_programs(world):
    """openssl and curl: versions, ciphers, the pinned public key, and what is no TLS."""
    ledger = _start(world)
    certificate = _certificate()
    text = _openssl("-text", "-noout", command="x509", data=certificate)[1].decode()
    for word in ("prime256v1", "ecdsa-with-SHA256", "9999", "2.25.147770093711716902557041378177926848002"):
        expect(word in text, f"the certificate has no {word}: {text}")
    pin = _key_hash(certificate)
    expect(pin.hex() in world.log(ledger.name), "the log does not tell the hash of the key")
    out = _openssl("-connect", f"{HOST}:{PORT}", "-tls1_2")[1].decode()
    expect("TLSv1.2" in out and "ECDHE-ECDSA" in out, f"openssl s_client says {out[-1500:]}")
    for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version
        try:
            context.wrap_socket(socket.create_connection((HOST, PORT), timeout=10)).close()
            expect(False, f"{version} is accepted")
        except (ssl.SSLError, ConnectionError):
            pass

    def curl(*arguments):
        return subprocess.run([need("curl"), "-sS", "-m", "20", "--noproxy", "*", *arguments], capture_output=True, check=False, timeout=30)

    pinned = ["-k", "--pinnedpubkey", "sha256//" + base64.b64encode(pin).decode()]
    done = curl(*pinned, "-w", "%{http_code}", "-o", "/dev/null", f"https://{HOST}:{PORT}/nothing")
    expect(done.stdout == b"404", f"curl says {done.stdout} {done.stderr}")
    wrong = curl("-k", "--pinnedpubkey", "sha256//" + base64.b64encode(bytes(32)).decode(), f"https://{HOST}:{PORT}/nothing")
    expect(wrong.returncode == 90, f"curl takes a wrong pin: {wrong}")  # CURLE_SSL_PINNEDPUBKEYNOTMATCH
    plain = curl("-w", " %{http_code}", f"http://{HOST}:{PORT}/")
    expect(b"https://" in plain.stdout and plain.stdout.endswith(b" 400"), f"plain HTTP to the port of TLS: {plain.stdout}")
    # A record that is cut off, one that is changed, and silence in the middle of a handshake: each holds a place for seconds, no more.
    with socket.create_connection((HOST, PORT), timeout=20) as stream:
        begin = time.monotonic()
        stream.sendall(b"\x16\x03\x01\x02\x00\x01\x00")
        expect(stream.recv(1) == b"", "half a handshake is answered")
        expect(5 < time.monotonic() - begin < 15, "half a handshake is ended at another time")
    with socket.create_connection((HOST, PORT), timeout=20) as stream:
        stream.sendall(b"\x16\x03\x01\x00\x05hello")
        expect(stream.recv(100)[:1] in (b"\x15", b""), "nonsense is not answered by an alert")
    ledger.stop()


def keys_are_replaced_while_it_runs(world):
    """New connections get the new key, old ones go on, and a client notices nothing."""
    ledger = _start(world, ledgerd__tls_key_life=12)
    wallet = Wallet(world, ledger, "one")
    wallet.call("claim")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    request = b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"
    with context.wrap_socket(socket.create_connection((HOST, PORT), timeout=20)) as kept:
        seen = set()
        deadline = time.monotonic() + 40
        while len(seen) < 3 and time.monotonic() < deadline:
            seen.add(_key_hash(_certificate()))
            expect(wallet.available() == GRANT, "the balance is another one")
            kept.sendall(request)
            expect(kept.recv(4096).startswith(b"HTTP/1.1 404"), "an old connection is not served")
            time.sleep(0.5)
        expect(len(seen) >= 3, f"{len(seen)} keys in 40 s, each for 12 s")
    ledger.kill()
    ledger.start()
    ledger.url = f"https://{HOST}:{PORT}"
    expect(wallet.available() == GRANT, "the balance is another one")
    ledger.stop()


if __name__ == "__main__":
    raise SystemExit(main({case.__name__: case for case in (wallet_over_tls, somebody_in_between, other_programs, keys_are_replaced_while_it_runs)}))
