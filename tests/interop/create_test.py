#!/usr/bin/python3
"""`millet create` gives the same info dictionary as mktorrent for the same input, over a table of odd inputs.

usage: create_test.py MILLET
"""
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile

MILLET = os.path.abspath(sys.argv[1])
KIB = 1024
failures = []


def check(name, condition, detail=""):
    if not condition:
        failures.append(name)
        print(f"FAILED {name}: {detail}")


def skip_value(data, at):
    """The place after the bencoded value at `at`."""
    kind = data[at:at + 1]
    if kind == b"i":
        return data.index(b"e", at) + 1
    if kind in (b"l", b"d"):
        at += 1
        while data[at:at + 1] != b"e":
            at = skip_value(data, at)
        return at + 1
    colon = data.index(b":", at)
    return colon + 1 + int(data[at:colon])


def entries(data):
    """Keys of the outermost dictionary with the exact bytes of their values."""
    assert data[:1] == b"d" and skip_value(data, 0) == len(data), "no bencoded dictionary"
    out, at = {}, 1
    while data[at:at + 1] != b"e":
        end_of_key = skip_value(data, at)
        end = skip_value(data, end_of_key)
        out[data[data.index(b":", at) + 1:end_of_key]] = data[end_of_key:end]
        at = end
    return out


def content(size, seed=0):
    return random.Random(f"{size} {seed}").randbytes(size)


class Case:
    """A folder to make inputs in, and what the two programs make of one of them."""

    def __init__(self, root, name):
        self.name = name
        self.root = os.path.join(root, name)
        os.mkdir(self.root)

    def path(self, *parts):
        return os.path.join(self.root, *parts)

    def file(self, relative, size=1, seed=0):
        path = self.path(relative)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as out:
            out.write(content(size, seed))

    def run(self, program, arguments, cwd=None):
        return subprocess.run([program, *arguments], cwd=cwd or self.root, capture_output=True)

    def compare(self, target="in", ours=(), theirs=(), cwd=None):
        """Both succeed with equal info dictionaries; gives the entries of ours."""
        theirs_out = self.path("mktorrent.torrent")
        made = self.run("mktorrent", ["-a", "http://t/announce", *theirs, "-o", theirs_out, target], cwd)
        check(self.name, made.returncode == 0, f"mktorrent: {made.stderr!r}")
        ours_out = self.path("millet.torrent")
        made = self.run(MILLET, ["--json", "create", target, "-o", ours_out, *ours], cwd)
        check(self.name, made.returncode == 0, f"millet: {made.stderr!r}")
        if not (os.path.exists(theirs_out) and os.path.exists(ours_out)):
            return {}
        with open(theirs_out, "rb") as one, open(ours_out, "rb") as other:
            expected, got = entries(one.read()), entries(other.read())
        check(self.name, got[b"info"] == expected[b"info"], f"ours {got[b'info'][:300]!r}\n  theirs {expected[b'info'][:300]!r}")
        said = json.loads(made.stdout)["info_hash"]
        check(self.name, said == hashlib.sha1(expected[b"info"]).hexdigest(), f"info hash {said}")
        print(f"ok {self.name}: {said}")
        return got

    def refused(self, arguments, says, status=1, program=MILLET, **options):
        made = subprocess.run([program, "create", *arguments], cwd=self.root, capture_output=True, **options)
        message = made.stderr.decode(errors="replace")
        check(self.name, made.returncode == status and says in message and message.count("\n") == 1, f"{made.returncode} {message!r}")


def equal_inputs(root):
    case = Case(root, "single file")
    case.file("a.bin", 700_000)
    case.compare("a.bin")

    case = Case(root, "single file by an absolute path")
    case.file("dir/a.bin", 10)
    case.compare(case.path("dir/a.bin"))

    for size in (0, 1, 256 * KIB - 1, 256 * KIB, 256 * KIB + 1, 512 * KIB, 3 * 1024 * KIB):
        case = Case(root, f"single file of {size} bytes")
        case.file("f", size)
        case.compare("f")

    case = Case(root, "order of whole paths as bytes")
    names = ["b", "a/z", "a/b/c", "a-b", "a.b", "a b", "ab", "A", "a/b-c", "a/b.c", "Z/a", "z/A", "_", "~", "0", "10", "2"]
    for i, name in enumerate(names):
        case.file("in/" + name, 1000 * i + 7, i)
    case.compare()

    case = Case(root, "hidden and empty files")
    for i, name in enumerate([".hidden", ".dir/.file", "empty", ".empty", "sub/empty", "full", "zzz-empty"]):
        case.file("in/" + name, 0 if "empty" in name else 300_000, i)
    case.compare()

    case = Case(root, "only empty files")
    case.file("in/a", 0)
    case.file("in/b", 0)
    case.compare()

    case = Case(root, "empty folders")
    case.file("in/a", 5)
    os.makedirs(case.path("in/none/at/all"))
    case.compare()

    case = Case(root, "unicode")
    for i, name in enumerate(["caf\u00e9", "cafe\u0301", "\u65e5\u672c/\u8a9e", "\U0001f3b5", "\u00df", "\ufb01", "z", "\u03a9"]):
        case.file("in/" + name, 100 + i, i)
    case.compare()
    os.rename(case.path("in"), case.path("\u540d\u524d"))
    for made in ("mktorrent.torrent", "millet.torrent"):
        os.unlink(case.path(made))
    case.compare("\u540d\u524d")

    case = Case(root, "odd names")
    for i, name in enumerate(["a b", " lead", "trail ", "-rf", "back\\slash", "qu'ote", 'dq"', "semi;colon", "$HOME", "%41", "...", "..x", "x" * 255]):
        case.file("in/" + name, 10 + i, i)
    case.compare()

    case = Case(root, "deep")
    case.file("in/" + "/".join("d" * (i + 1) for i in range(31)) + "/f", 5)
    case.compare()

    case = Case(root, "many files")
    for i in range(1500):
        case.file(f"in/{i % 37}/{i}", i * 13 % 997, i)
    case.compare()

    case = Case(root, "trailing slashes")
    case.file("in/a", 5)
    case.compare("in///")

    case = Case(root, "links to files and folders")
    case.file("in/real", 100)
    case.file("else/where/x", 50)
    case.file("else/y", 70)
    os.symlink("real", case.path("in/alias"))
    os.symlink("../else", case.path("in/linked"))
    os.symlink("in", case.path("link"))
    case.compare("link")

    case = Case(root, "pipes and sockets are left out")
    case.file("in/a", 5)
    os.mkfifo(case.path("in/pipe"))
    case.compare()

    case = Case(root, "from inside the folder's parent by a dotted path")
    case.file("in/a", 5)
    case.compare("./in")
    os.unlink(case.path("mktorrent.torrent"))
    os.unlink(case.path("millet.torrent"))
    case.compare("../in", cwd=case.path("in"))

    case = Case(root, "sparse file above 4 GiB")
    case.file("in/head", 12345)
    with open(case.path("in/sparse"), "wb") as out:
        out.truncate((4 << 30) + 5)
    case.compare(theirs=["-l", "24"], ours=["--piece-size", "16M"])


def equal_options(root):
    case = Case(root, "private")
    case.file("in/a", 5)
    got = case.compare(ours=["--private"], theirs=["-p"])
    check("private", b"7:privatei1e" in got.get(b"info", b""))

    for power in range(15, 29):
        case = Case(root, f"pieces of 2^{power}")
        case.file("in/a", 700_001)
        case.file("in/b", 3)
        case.compare(ours=["--piece-size", str(1 << power)], theirs=["-l", str(power)])

    case = Case(root, "trackers")
    case.file("in/a", 5)
    got = case.compare(ours=["--tracker", "http://a/announce", "--tracker=udp://b:80", "--v1"])
    check("trackers", got.get(b"announce") == b"17:http://a/announce")
    check("trackers", got.get(b"announce-list") == b"ll17:http://a/announceel10:udp://b:80ee")


def refusals(root):
    case = Case(root, "what is wrong is said in one line")
    case.file("in/a", 5)
    os.mkdir(case.path("none"))
    out = ["-o", "out.torrent"]
    case.refused(["in"], "the output is missing", 2)
    case.refused(out, "the file or folder is missing", 2)
    case.refused(["in", "in", *out], "unknown argument 'in'", 2)
    case.refused(["in", *out, "--piece-size", "300000"], "no power of two", 2)
    case.refused(["in", *out, "--piece-size", "18"], "no power of two", 2)
    case.refused(["in", *out, "--piece-size", "x"], "--piece-size 'x'", 2)
    case.refused(["in", *out, "--tracker", "nothing"], "'nothing' is no URL", 2)
    case.refused(["in", *out, "--v2"], "--v2 is not built yet", 2)
    case.refused(["absent", *out], "can't read 'absent': No such file")
    case.refused(["none", *out], "has no files")
    case.refused(["/dev/null", *out], "neither a file nor a folder")
    case.refused(["in", "-o", "no/such/out.torrent"], "can't write 'no/such/out.torrent'")
    with open(case.path("there"), "w") as there:
        there.write("precious")
    case.refused(["in", "-o", "there"], "'there' exists already")
    with open(case.path("there")) as there:
        check(case.name, there.read() == "precious", "an existing file was touched")
    case.file("bad/line\nbreak", 1)
    case.refused(["bad", *out], "has a control character")
    with open(os.path.join(case.root.encode(), b"latin\xe9"), "wb") as latin:
        latin.write(b"x")
    case.refused([b"latin\xe9", *out], "is no UTF-8")
    os.makedirs(case.path("loop/inner"))
    os.symlink("..", case.path("loop/inner/back"))
    case.refused(["loop", *out], "is a link to a folder that it is in")
    os.mkdir(case.path("dangling"))
    os.symlink("nowhere", case.path("dangling/link"))
    case.refused(["dangling", *out], "can't read 'dangling/link': No such file")
    case.refused(["in", "-o", "/dev/full"], "exists already")
    check(case.name, not os.path.exists(case.path("out.torrent")), "a refused torrent was left behind")

    case = Case(root, "an unreadable file is named")
    case.file("in/secret", 5)
    os.chmod(case.path("in/secret"), 0)
    if os.getuid() == 0:
        # As somebody without root's rights; the program is copied to where that user can run it.
        program = case.path("millet")
        shutil.copy(MILLET, program)
        os.chmod(case.root, 0o777)
        case.refused(["in", "-o", "out.torrent"], "can't read 'in/secret': Permission denied", program=program, user=65534, group=65534, extra_groups=[])
    else:
        case.refused(["in", "-o", "out.torrent"], "can't read 'in/secret': Permission denied")


def wallets_are_not_published(root):
    key = b"ab" * 32 + b"\n"
    case = Case(root, "wallets")
    case.file("in/a", 300_000)
    clean = subprocess.run([MILLET, "create", "in", "-o", "clean.torrent"], cwd=case.root, capture_output=True, check=True)
    check(case.name, b"account" not in clean.stderr, clean.stderr)

    def put(name, data, mode=0o600):
        os.makedirs(os.path.dirname(case.path(name)), exist_ok=True)
        with open(case.path(name), "wb") as out:
            out.write(data)
        os.chmod(case.path(name), mode)

    for name in (".millet/wallet.key", ".millet/data.mdb", ".millet/lock", "ledger/data.mdb", "ledger/lock", "ledger/other"):
        put("in/" + name, b"x" * 10)
    for name, data in (("wallet.key.old", b"x"), ("mine", key), ("sealed", b"millet-sealed-key 1 5 8192 00"), ("moved.state", b"MILLETST\1rest")):
        put("in/deep/" + name, data)
    said = subprocess.run([MILLET, "create", "in", "-o", "guarded.torrent"], cwd=case.root, capture_output=True, check=True).stderr.decode()
    with open(case.path("clean.torrent"), "rb") as one, open(case.path("guarded.torrent"), "rb") as other:
        check(case.name, entries(one.read())[b"info"] == entries(other.read())[b"info"], "something of a wallet is in the torrent")
    for name in (".millet", "ledger", "deep/wallet.key.old", "deep/mine", "deep/sealed", "deep/moved.state"):
        check(case.name, said.count(f"'in/{name}' is") == 1, f"{name} was not left out by name: {said}")

    for path in ("in/.millet", "in/.millet/", "in/ledger", "in/deep/mine", "in/deep/moved.state", "in/.millet/wallet.key"):
        case.refused([path, "-o", "out.torrent"], "is not published")
    os.mkdir(case.path("only"))
    put("only/sub/wallet.key", key)
    case.refused(["only", "-o", "out.torrent"], "is not published")
    # A checksum that anybody may read, and data.mdb of another program, are payload.
    put("sums/a.sha256", key, 0o644)
    put("sums/data.mdb", b"x")
    case.compare("sums")


def teeth(root):
    """The comparison tells apart what differs by one byte."""
    case = Case(root, "teeth")
    case.file("in/a", 300_000)
    before = case.compare().get(b"info")
    os.unlink(case.path("mktorrent.torrent"))
    os.unlink(case.path("millet.torrent"))
    with open(case.path("in/a"), "r+b") as out:
        out.seek(299_999)
        out.write(bytes([content(300_000)[-1] ^ 1]))
    check("teeth", case.compare().get(b"info") != before, "a changed byte went unnoticed")


def main():
    if shutil.which("mktorrent") is None:
        sys.exit("create_test: mktorrent is missing: apt-get install mktorrent")
    with tempfile.TemporaryDirectory(prefix="millet-create-") as root:
        os.chmod(root, 0o755)
        for group in (equal_inputs, equal_options, refusals, wallets_are_not_published, teeth):
            group(root)
    if failures:
        sys.exit(f"create_test: {len(failures)} checks failed")


main()
