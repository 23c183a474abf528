"""What millet-ledgerd does in a second, beside the same operations as plain SQL on PostgreSQL and beside what limits both: the disk's syncs
and the checking of signatures. How proofs, an audit, a start and memory grow with the number of accounts.

The load is ledger_load.cpp, large states come from ledger_fill.cpp. The ledger has core 0, the load the others.
"""
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness.node import Ledgerd
from harness.world import Failure, wait_until
from seeders import memory_mib
from table import Figures, Target

OURS, SQL, LIMIT = "millet-ledgerd", "postgresql", "limit"
CONNECTIONS = 32
DURABLE = 3500  # operations a second on one core
PG_BIN = Path("/usr/lib/postgresql/15/bin")

SCHEMA = """
CREATE TABLE accounts (id int PRIMARY KEY, available bigint NOT NULL CHECK (available >= 0), in_channels bigint NOT NULL CHECK (in_channels >= 0));
CREATE TABLE channels (id bigserial PRIMARY KEY, payer int NOT NULL, payee int NOT NULL, capacity bigint NOT NULL, claimed bigint NOT NULL DEFAULT 0, is_open bool NOT NULL DEFAULT true);
CREATE INDEX ON channels (id) WHERE is_open;
CREATE TABLE log (id bigserial PRIMARY KEY, record bytea NOT NULL);
INSERT INTO accounts SELECT i, 1000000000000, 0 FROM generate_series(1, 400) i;
INSERT INTO channels (payer, payee, capacity) SELECT 1 + i % 400, 1 + (i + 1) % 400, 100000 FROM generate_series(1, 2000) i;
UPDATE accounts SET in_channels = 500000;
"""
RECORD = "INSERT INTO log (record) VALUES (decode(repeat('5a', 350), 'hex'));"
# weight in 20, statements: what ledger_load.cpp sends, without the signatures, their checks and the tree.
SCRIPTS = {
    "transfer": (2, r"""\set a random(1, 200)
\set b random(201, 400)
BEGIN;
UPDATE accounts SET available = available - 1 WHERE id = :a;
UPDATE accounts SET available = available + 1 WHERE id = :b;
"""),
    "open": (9, r"""\set a random(1, 400)
BEGIN;
UPDATE accounts SET available = available - 100000, in_channels = in_channels + 100000 WHERE id = :a;
INSERT INTO channels (payer, payee, capacity) VALUES (:a, 1 + :a % 400, 100000);
"""),
    "claim": (1, r"""BEGIN;
SELECT id AS c, payer AS a, payee AS b FROM channels WHERE is_open AND claimed = 0 ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED \gset
UPDATE channels SET claimed = 10000 WHERE id = :c;
UPDATE accounts SET in_channels = in_channels - 10000 WHERE id = :a;
UPDATE accounts SET available = available + 10000 WHERE id = :b;
"""),
    "close": (8, r"""BEGIN;
SELECT id AS c, payer AS a, payee AS b, capacity - claimed AS rest FROM channels WHERE is_open ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED \gset
UPDATE channels SET is_open = false, claimed = capacity - 1 WHERE id = :c;
UPDATE accounts SET in_channels = in_channels - :rest, available = available + 1 WHERE id = :a;
UPDATE accounts SET available = available + :rest - 1 WHERE id = :b;
"""),
}


def _program(world, name):
    return world.bin / "tests" / "bench" / name


def _cores(first, count):
    """taskset's prefix for cores [first, first + count), as far as the machine has them."""
    have = sorted(os.sched_getaffinity(0))
    chosen = have[first : first + count] or have
    return ["taskset", "-c", ",".join(str(core) for core in chosen)]


def _json_of(command, what, timeout):
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False)
    if done.returncode != 0:
        raise Failure(f"{what}: {done.stderr.decode(errors='replace').strip()}")
    return json.loads(done.stdout)


class _Ledger(Ledgerd):
    """A ledger with TLS on some of the cores."""

    def __init__(self, world, name, cores):
        super().__init__(world, 2, name=name, ledgerd__listen="127.78.0.2:0", ledgerd__tls_listen="127.78.0.2:0",
                         ledgerd__address_rate=0, ledgerd__key_rate=0)
        self.cores = cores

    def start(self, ready=600):
        wrapper, self.world.wrapper = self.world.wrapper, self.world.wrapper + _cores(0, self.cores)
        try:
            super().start(ready)
        finally:
            self.world.wrapper = wrapper
        line = [line for line in self.world.log(self.name).splitlines() if "event=ready" in line][-1]
        self.tls = next(word.partition("=")[2].strip('"') for word in line.split() if word.startswith("tls_listen="))
        return self

    def load(self, world, seconds, batch, rate=0, connections=CONNECTIONS):
        command = _cores(1, os.cpu_count()) + [_program(world, "ledger_load"), "--to", self.tls, "--state", self.state, "--connections", connections,
                                                "--batch", batch, "--seconds", seconds, "--rate", rate]
        return _json_of(command, f"{self.name} under load", seconds * 10 + 120)


class _Postgres:
    """A PostgreSQL of its own, durable as it comes, on core 0."""

    def __init__(self, world):
        self.world = world
        self.folder = Path(tempfile.mkdtemp(prefix="millet-bench-pg-"))
        self.process = None
        self.user = []
        if os.geteuid() == 0:
            owner = pwd.getpwnam("postgres")
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
            self.user = ["setpriv", f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups"]

    def _run(self, *words, **options):
        done = subprocess.run(self.user + [str(word) for word in words], stdin=subprocess.DEVNULL, capture_output=True, check=False, cwd=self.folder, **options)
        if done.returncode != 0:
            raise Failure(f"{words[0]}: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout.decode()

    def start(self):
        self._run(PG_BIN / "initdb", "-D", self.folder / "data", "-U", "bench", "-A", "trust", "--no-sync", timeout=120)
        command = _cores(0, 1) + self.user + [PG_BIN / "postgres", "-D", self.folder / "data", "-k", self.folder, "-c", "listen_addresses=", "-c", "shared_buffers=128MB"]
        self.process = self.world.start("postgres", command)
        ready = [PG_BIN / "pg_isready", "-q", "-h", self.folder, "-U", "bench", "-d", "postgres"]
        wait_until(lambda: subprocess.run([str(word) for word in ready], check=False).returncode == 0, 60, "PostgreSQL to be ready")
        self._run(PG_BIN / "psql", "-q", "-h", self.folder, "-U", "bench", "-d", "postgres", "-c", SCHEMA, timeout=60)
        for name, (_, statements) in SCRIPTS.items():
            script = self.folder / f"{name}.sql"
            script.write_text(statements + RECORD + "\nCOMMIT;\n", encoding="ascii")
            script.chmod(0o644)

    def operations_per_s(self, seconds):
        scripts = [word for name, (weight, _) in SCRIPTS.items() for word in ("-f", f"{self.folder}/{name}.sql@{weight}")]
        said = self._run(*_cores(1, os.cpu_count()), PG_BIN / "pgbench", "-n", "-h", self.folder, "-U", "bench", "-c", CONNECTIONS, "-j", 1, "-T", seconds, "-M", "prepared",
                         *scripts, "postgres", timeout=seconds * 10 + 60)
        return float(next(line for line in said.splitlines() if line.startswith("tps")).split()[2])

    def end(self):
        if self.process is not None:
            self.world.stop(self.process, signal.SIGINT, timeout=60)
        shutil.rmtree(self.folder, ignore_errors=True)


def _syncs_per_s(folder, seconds):
    path = folder / "sync"
    count, begin = 0, time.monotonic()
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    while time.monotonic() - begin < seconds:
        os.pwrite(fd, os.urandom(4096), 4096 * (count % 256))
        os.fdatasync(fd)
        count += 1
    os.close(fd)
    path.unlink()
    return count / (time.monotonic() - begin)


def _serving(world, arguments, figures, say, seconds):
    for run in range(arguments.runs):
        for cores in (1, 2):
            if cores > os.cpu_count():
                continue
            on = "1 core" if cores == 1 else f"{cores} cores"
            ledger = _Ledger(world, f"ledger{run}.{cores}", cores).start()
            for batch in (16, 1):
                say(f"ledger, run {run + 1} of {arguments.runs}: {batch} operations a request on {on}")
                found = ledger.load(world, seconds, batch)
                what = f"durable operations/s on {on}, {batch} a request"
                targets = [Target(DURABLE), Target(1.0, (SQL,))] if cores == 1 and batch == 16 else []
                figures.add(what, OURS, found["operations_per_s"], more_is_better=True, targets=targets)
            if cores == 1:
                say(f"ledger, run {run + 1} of {arguments.runs}: {DURABLE // 2} operations a second")
                found = ledger.load(world, seconds, 1, rate=DURABLE // 2)
                for percent, targets in ((50, []), (99, [Target(20)])):
                    figures.add(f"ms at {DURABLE // 2}/s, 1 a request, {percent} %", OURS, found[f"latency_ms_p{percent}"], targets=targets)
            ledger.stop()
    signatures = _json_of(_cores(0, 1) + [_program(world, "ledger_load"), "--crypto", "yes"], "crypto", 60)
    for batch in (16, 1):
        figures.add(f"durable operations/s on 1 core, {batch} a request", LIMIT, signatures["verifications_per_s"] / 1.45, more_is_better=True)
    figures.note("limit: signatures that one core checks in a second, by 1.45 for each operation of the mix (9 OPEN, 8 CLOSE, 1 CLAIM, 2 TRANSFER), "
                 f"and nothing else; it makes {signatures['signatures_per_s']} a second, one for each result and one for each answer")
    figures.note(f"the disk makes {_syncs_per_s(world.folder, 1):.0f} syncs of 4 KiB a second")


def _sql(world, arguments, figures, say, seconds):
    if not (PG_BIN / "pgbench").exists():
        return figures.note("PostgreSQL 15 is not installed: nothing beside it")
    for run in range(arguments.runs):
        postgres = _Postgres(world)
        try:
            postgres.start()
            say(f"ledger, run {run + 1} of {arguments.runs}: PostgreSQL")
            rate = postgres.operations_per_s(seconds)
        finally:
            postgres.end()
        figures.add("durable operations/s on 1 core, 1 a request", SQL, rate, more_is_better=True)
        figures.add("durable operations/s on 1 core, 16 a request", SQL, rate, more_is_better=True)
    figures.note(f"postgresql: the same mix as plain SQL without signatures and tree, a transaction for each operation, {CONNECTIONS} connections over a local socket")
    return None


def _growth(world, arguments, figures, say, seconds):
    """{accounts: {what: figure}}"""
    rows = {}
    for accounts in arguments.accounts:
        say(f"ledger with {accounts} accounts")
        ledger = _Ledger(world, f"grown{accounts}", 1)
        channels = min(100_000, accounts)
        fill = [_program(world, "ledger_fill"), "--state", ledger.state, "--accounts", accounts, "--channels", channels]
        row = _json_of(fill, "ledger_fill", 7200)
        began = time.monotonic()
        audit = subprocess.run([str(world.bin / "millet-ledgerd"), "--state", str(ledger.state), "audit"], stdin=subprocess.DEVNULL, capture_output=True, check=False)
        row["audit_s"] = time.monotonic() - began if audit.returncode == 0 else None
        if audit.returncode != 0:
            figures.note(f"the audit of {row['records']} records failed: {audit.stderr.decode(errors='replace').strip()[-200:]}")
        began = time.monotonic()
        ledger.start()
        row["start_s"] = time.monotonic() - began
        row["operations_per_s"] = ledger.load(world, seconds, 16)["operations_per_s"]
        row["resident_mib"], row["anonymous_mib"] = memory_mib(ledger.process)
        ledger.stop()
        row["state_mib"] = (ledger.state / "data.mdb").stat().st_blocks * 512 / (1 << 20)
        rows[accounts] = row
        shutil.rmtree(ledger.state)
        many = f"{accounts} accounts, {channels} channels"
        million = accounts >= 1_000_000
        figures.add(f"us a proof of inclusion: {row['records']} records", OURS, row["proof_us"], targets=[Target(1000)])
        if row["audit_s"] is not None:
            figures.add(f"s an audit: {row['records']} records", OURS, row["audit_s"], targets=[Target(120)] if 1_000_000 <= row["records"] < 2_000_000 else [])
        figures.add(f"s a start: {many}", OURS, row["start_s"], targets=[])
        figures.add(f"durable operations/s on 1 core, 16 a request: {many}", OURS, row["operations_per_s"], more_is_better=True, targets=[])
        figures.add(f"anonymous MiB: {many}", OURS, row["anonymous_mib"], targets=[Target(256)] if million else [])
        figures.add(f"resident MiB, pages of the state's file included: {many}", OURS, row["resident_mib"], targets=[])
        figures.add(f"MiB of the state: {many}", OURS, row["state_mib"], targets=[])
    return rows


def plot(rows, path):
    """The growth as an SVG: each figure by its value with the fewest accounts, both axes logarithmic."""
    from math import log10  # pylint: disable=import-outside-toplevel

    kinds = {"operations_per_s": ("operations a second", "#1b6ca8"), "proof_us": ("time of a proof", "#b3541e"), "start_s": ("time of a start", "#3a7d44"),
             "anonymous_mib": ("anonymous memory", "#7a3e9d"), "audit_s": ("time of an audit", "#888888")}
    sizes = sorted(rows)
    series = {kind: [(size, rows[size][kind] / rows[sizes[0]][kind]) for size in sizes if rows[size].get(kind)] for kind in kinds if rows[sizes[0]].get(kind)}
    low = min(0.0, *(log10(value) for points in series.values() for _, value in points))
    high = max(1.0, *(log10(value) for points in series.values() for _, value in points))
    span = max(1e-9, log10(sizes[-1]) - log10(sizes[0]))

    def at(size, value):
        return 70 + 500 * (log10(size) - log10(sizes[0])) / span, 320 - 280 * (log10(value) - low) / (high - low)

    lines = ['<svg xmlns="http://www.w3.org/2000/svg" width="780" height="370" font-family="sans-serif" font-size="12">', '<rect width="780" height="370" fill="white"/>']
    for size in sizes:
        x = at(size, 1)[0]
        lines.append(f'<line x1="{x:.1f}" y1="40" x2="{x:.1f}" y2="320" stroke="#ddd"/><text x="{x:.1f}" y="338" text-anchor="middle">{size:,}</text>')
    for power in range(int(low) - 1, int(high) + 2):
        if low <= power <= high:
            y = at(sizes[0], 10.0**power)[1]
            lines.append(f'<line x1="70" y1="{y:.1f}" x2="570" y2="{y:.1f}" stroke="#ddd"/><text x="62" y="{y + 4:.1f}" text-anchor="end">x {10.0 ** power:g}</text>')
    lines.append('<text x="320" y="360" text-anchor="middle">accounts</text><text x="70" y="24">figures of millet-ledgerd, by those with the fewest accounts</text>')
    for number, (kind, points) in enumerate(series.items()):
        text, colour = kinds[kind]
        lines.append(f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="' + " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(*point) for point in points)) + '"/>')
        lines.append(f'<line x1="585" y1="{60 + 20 * number}" x2="605" y2="{60 + 20 * number}" stroke="{colour}" stroke-width="2"/><text x="612" y="{64 + 20 * number}">{text}</text>')
    Path(path).write_text("\n".join([*lines, "</svg>"]) + "\n", encoding="utf-8")


def measure_ledger(world, arguments, say):
    """The figures of the ledger, a table of its own."""
    figures = Figures([OURS, SQL, LIMIT], OURS, [SQL])
    seconds = 1 if arguments.quick else arguments.seconds
    _serving(world, arguments, figures, say, seconds)
    _sql(world, arguments, figures, say, seconds)
    rows = _growth(world, arguments, figures, say, seconds)
    if arguments.plot:
        plot(rows, arguments.plot)
        print(f"bench: wrote {arguments.plot}", file=sys.stderr)
    return figures
