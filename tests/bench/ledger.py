"""What millet-ledgerd does in a second, on its own store and on PostgreSQL, beside the same operations as plain SQL on PostgreSQL and beside
what limits all of them: the disk's syncs and the checking of signatures. How an audit, proofs, a start and memory grow with the ledger.

The load is ledger_load.cpp, large states come from ledger_fill.cpp. The ledger has core 0, the load the others.
"""
import json
import os
import pwd
import resource
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from harness.node import Ledgerd
from harness.world import Failure, wait_until
from ledger_plot import plot
from seeders import memory_mib
from table import Figures, Target

OURS, ON_SQL, SQL, LIMIT = "millet-ledgerd", "the same on postgresql", "plain postgresql", "limit"
CONNECTIONS = 32
READERS = 8
SIGNATURES = 1.45  # of an operation of the mix
LEDGER_PARTS = ("sql", "audit", "growth")
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

    def __init__(self, world, name, cores, **options):
        super().__init__(world, 2, name=name, ledgerd__listen="127.78.0.2:0", ledgerd__tls_listen="127.78.0.2:0",
                         ledgerd__address_rate=0, ledgerd__key_rate=0, **options)
        self.cores = cores

    def start(self, ready=600):
        wrapper, self.world.wrapper = self.world.wrapper, self.world.wrapper + _cores(0, self.cores)
        try:
            super().start(ready=ready)
        finally:
            self.world.wrapper = wrapper
        line = [line for line in self.world.log(self.name).splitlines() if "event=ready" in line][-1]
        self.tls = next(word.partition("=")[2].strip('"') for word in line.split() if word.startswith("tls_listen="))
        return self

    def stop(self):
        """It reads all of its books at its end: with ten million accounts for many seconds."""
        status = self.world.stop(self.process, timeout=600)
        if status != 0:
            raise Failure(f"{self.name} ended with {status} after SIGTERM")

    def load(self, world, seconds, batch, rate=0, readers=0):
        """What ledger_load says, and the CPU time that the ledger took for an operation."""
        command = _cores(1, os.cpu_count()) + [_program(world, "ledger_load"), "--to", self.tls, "--state", self.state, "--connections", CONNECTIONS,
                                                "--batch", batch, "--seconds", seconds, "--rate", rate, "--readers", readers]
        before = self.cpu_s()
        found = _json_of(command, f"{self.name} under load", seconds * 10 + 120)
        found["cpu_us"] = 1e6 * (self.cpu_s() - before) / found["operations"]
        return found

    def cpu_s(self):
        """User and system time of all threads."""
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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

    def make_database(self, name):
        """What ledgerd.store takes to use it."""
        self._run(PG_BIN / "createdb", "-h", self.folder, "-U", "bench", name, timeout=60)
        return f"postgres:host={self.folder} user=bench dbname={name}"

    def operations_per_s(self, seconds):
        scripts = [word for name, (weight, _) in SCRIPTS.items() for word in ("-f", f"{self.folder}/{name}.sql@{weight}")]
        said = self._run(*_cores(1, os.cpu_count()), PG_BIN / "pgbench", "-n", "-h", self.folder, "-U", "bench", "-c", CONNECTIONS, "-j", 1, "-T", seconds, "-M", "prepared",
                         *scripts, "postgres", timeout=seconds * 10 + 60)
        tps = [line for line in said.splitlines() if line.startswith("tps")]
        return float(tps[0].split()[2]) if tps else 0.0  # pgbench says none if nothing was done in the time

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
                targets = [Target(DURABLE), Target(1.0, (SQL,))] if cores == 1 and batch == 16 else []
                figures.add(f"durable operations/s on {on}, {batch} a request", OURS, found["operations_per_s"], more_is_better=True, targets=targets)
                if cores == 1:
                    figures.add(f"CPU us an operation, {batch} a request", OURS, found["cpu_us"], targets=[])
            if cores == 1:
                _latency(world, ledger, figures, say, seconds, f"ledger, run {run + 1} of {arguments.runs}")
            ledger.stop()
    signatures = _json_of(_cores(0, 1) + [_program(world, "ledger_load"), "--crypto", "yes"], "crypto", 60)
    for batch in (16, 1):
        figures.add(f"durable operations/s on 1 core, {batch} a request", LIMIT, signatures["verifications_per_s"] / SIGNATURES, more_is_better=True)
        figures.add(f"CPU us an operation, {batch} a request", LIMIT, 1e6 * SIGNATURES / signatures["verifications_per_s"])
    figures.note(f"limit: what checking the signatures alone takes, {SIGNATURES} for each operation of the mix (9 OPEN, 8 CLOSE, 1 CLAIM, 2 TRANSFER): one core "
                 f"checks {signatures['verifications_per_s']} a second; it makes {signatures['signatures_per_s']}, one for each result and one for each answer")
    figures.note(f"the disk makes {_syncs_per_s(world.folder, 1):.0f} syncs of 4 KiB a second")
    return signatures["verifications_per_s"]


def _latency(world, ledger, figures, say, seconds, run):
    for readers in (0, READERS):
        beside = f", beside {readers} that read" if readers else ""
        say(f"{run}: {DURABLE // 2} operations a second{beside}")
        found = ledger.load(world, seconds, 1, rate=DURABLE // 2, readers=readers)
        for percent, targets in ((50, []), (99, [] if readers else [Target(20)])):
            figures.add(f"ms at {DURABLE // 2}/s, 1 a request{beside}, {percent} %", OURS, found[f"latency_ms_p{percent}"], targets=targets)
        if readers:
            figures.add(f"pages of records/s that {readers} read beside {DURABLE // 2} operations/s", OURS, found["pages_per_s"], more_is_better=True, targets=[])


def _sql(world, arguments, figures, say, seconds):
    if not (PG_BIN / "pgbench").exists():
        return figures.note("PostgreSQL 15 is not installed: nothing beside it")
    for run in range(arguments.runs):
        postgres = _Postgres(world)
        try:
            postgres.start()
            say(f"ledger, run {run + 1} of {arguments.runs}: PostgreSQL")
            rate = postgres.operations_per_s(seconds)
            for batch in (16, 1):
                figures.add(f"durable operations/s on 1 core, {batch} a request", SQL, rate, more_is_better=True)
            ledger = _Ledger(world, f"ledger{run}.postgres", 1, ledgerd__store=postgres.make_database("ledger")).start()
            for batch in (16, 1):
                say(f"ledger, run {run + 1} of {arguments.runs}: {batch} operations a request, on PostgreSQL")
                found = ledger.load(world, seconds, batch)
                figures.add(f"durable operations/s on 1 core, {batch} a request", ON_SQL, found["operations_per_s"], more_is_better=True)
            ledger.stop()
        finally:
            postgres.end()
    figures.note(f"plain postgresql: the same mix as SQL without signatures and tree, a transaction for each operation, {CONNECTIONS} connections over a local socket; "
                 "the same on postgresql: millet-ledgerd with ledgerd.store=postgres:, which shares its core with the database")
    return None


def _audit(world, ledger):
    """(seconds, CPU seconds) of an audit on two cores, that finds nothing wrong."""
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    command = _cores(0, 2) + [str(world.bin / "millet-ledgerd"), "audit", "--state", str(ledger.state)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=7200, check=False)
    if done.returncode != 0:
        raise Failure(f"the audit of {ledger.name} failed: {done.stderr.decode(errors='replace').strip()[-200:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.monotonic() - began, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _audits(world, arguments, figures, say, verifications_per_s):
    cores = min(2, os.cpu_count())
    for records in arguments.audit:
        say(f"an audit of {records} records")
        ledger = _Ledger(world, f"audited{records}", 1)
        _json_of([_program(world, "ledger_fill"), "--state", ledger.state, "--accounts", min(10_000, records // 4), "--channels", 0, "--records", records, "--proofs", 0], "ledger_fill", 7200)
        seconds, cpu_s = _audit(world, ledger)
        limit = records * SIGNATURES / verifications_per_s
        targets = [Target(120)] if 900_000 <= records <= 1_100_000 else []
        for what, ours, bare, bounds in ((f"s an audit of {records} records of the mix on {cores} cores", seconds, limit / cores, targets),
                                         (f"CPU s an audit of {records} records of the mix", cpu_s, limit, [])):
            figures.add(what, OURS, ours, targets=bounds)
            figures.add(what, LIMIT, bare)
        shutil.rmtree(ledger.state)


def _growth(world, arguments, figures, say, seconds):
    """{accounts: {what: figure}}"""
    rows = {}
    for accounts in arguments.accounts:
        say(f"ledger with {accounts} accounts")
        ledger = _Ledger(world, f"grown{accounts}", 1)
        channels = min(100_000, accounts)
        row = _json_of([_program(world, "ledger_fill"), "--state", ledger.state, "--accounts", accounts, "--channels", channels], "ledger_fill", 4 * 3600)
        row["audit_s"], row["audit_cpu_s"] = _audit(world, ledger)
        began = time.monotonic()
        ledger.start()
        row["start_s"] = time.monotonic() - began
        found = ledger.load(world, seconds, 16)
        row["operations_per_s"], row["cpu_us"] = found["operations_per_s"], found["cpu_us"]
        row["resident_mib"], row["anonymous_mib"] = memory_mib(ledger.process)
        ledger.stop()
        row["state_mib"] = (ledger.state / "data.mdb").stat().st_blocks * 512 / (1 << 20)
        rows[accounts] = row
        shutil.rmtree(ledger.state)
        many = f"{accounts} accounts, {channels} channels"
        million = accounts == 1_000_000
        for percent, key in ((50, "proof_us"), (99, "proof_p99_us")):
            figures.add(f"us a proof of inclusion, {percent} %: {row['records']} records", OURS, row[key], targets=[Target(1000)])
        for percent, key in ((50, "proof_unread_us"), (99, "proof_unread_p99_us")):
            figures.add(f"us a proof of inclusion as the pages come, {percent} %: {row['records']} records", OURS, row[key], targets=[])
        figures.add(f"s an audit: {row['records']} records", OURS, row["audit_s"], targets=[])
        figures.add(f"CPU s an audit: {row['records']} records", OURS, row["audit_cpu_s"], targets=[])
        figures.add(f"s a start: {many}", OURS, row["start_s"], targets=[])
        figures.add(f"durable operations/s on 1 core, 16 a request: {many}", OURS, row["operations_per_s"], more_is_better=True, targets=[])
        figures.add(f"CPU us an operation, 16 a request: {many}", OURS, row["cpu_us"], targets=[])
        figures.add(f"anonymous MiB: {many}", OURS, row["anonymous_mib"], targets=[Target(256)] if million else [])
        figures.add(f"resident MiB, pages of the state's file included: {many}", OURS, row["resident_mib"], targets=[Target(256)] if million else [])
        figures.add(f"MiB of the state: {many}", OURS, row["state_mib"], targets=[])
    return rows


def measure_ledger(world, arguments, say):
    """The figures of the ledger, a table of its own."""
    figures = Figures([OURS, ON_SQL, SQL, LIMIT], OURS, [SQL])
    seconds = 1 if arguments.quick else arguments.seconds
    parts = arguments.ledger
    verifications_per_s = _serving(world, arguments, figures, say, seconds)
    if "sql" in parts:
        _sql(world, arguments, figures, say, seconds)
    if "audit" in parts:
        _audits(world, arguments, figures, say, verifications_per_s)
    if "growth" in parts:
        rows = _growth(world, arguments, figures, say, seconds)
        if arguments.plot:
            plot(rows, arguments.plot)
            say(f"wrote {arguments.plot}")
    return figures
