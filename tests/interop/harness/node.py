"""Our own programs: milletd, millet and millet-ledgerd."""
import json
import re
import signal
import subprocess

from .world import Failure, address, expect, wait_until


class Refused(Exception):
    """`millet` said no: code and message of its --json error."""

    def __init__(self, code, message):
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


def expect_refused(call, code, *words):
    """The call is refused with this code, and the reason has every word."""
    try:
        call()
    except Refused as refused:
        expect(refused.code == code, f"refused with {refused}")
        for word in words:
            expect(word in refused.message, f"the refusal does not say {word!r}: {refused.message}")
        return
    expect(False, "was not refused")


class Milletd:
    """A node at 10.0.0.NUMBER with a state folder of its own, which survives start() after stop() or kill()."""

    def __init__(self, world, number, name=None, **options):
        self.world = world
        self.number = number
        self.address = address(number)
        self.name = name or f"milletd{number}"
        self.state = world.make_folder(f"{self.name}.state")
        self.data = world.make_folder(f"{self.name}.data")
        self.options = {"node.listen": f"{self.address}:0", "node.data": str(self.data)}
        self.options.update({key.replace("__", "."): value for key, value in options.items()})
        self.milletd, self.millet = [world.bin / "milletd"], [world.bin / "millet"]
        self.process = None
        self.port = None

    def command(self, *arguments):
        command = [*self.milletd, "--state", self.state]
        for key, value in self.options.items():
            command += ["--set", f"{key}={value}"]
        return command + list(arguments)

    def start(self, *arguments, ready=20, **options):
        """Starts it and waits until it serves; fails with its log if it does not."""
        before = len(self.world.log(self.name))
        self.process = self.world.start(self.name, self.command(*arguments), **options)

        def listening():
            new = self.world.log(self.name)[before:]
            found = re.search(r"^\S+ event=ready .*?listen=\"?(\S+):(\d+)", new, re.MULTILINE)
            expect(found or self.process.poll() is None, f"{self.name} ended with {self.process.returncode} before it was ready: {new[-500:]}")
            return found

        self.port = int(wait_until(listening, ready, f"{self.name} to be ready").group(2))
        return self

    def run(self, *arguments, timeout=20, **options):
        """Runs it to its end: for starts that must fail. Returns (status, what it said)."""
        done = subprocess.run([str(word) for word in self.command(*arguments)], stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False, **options)
        return done.returncode, (done.stderr + done.stdout).decode(errors="replace")

    def stop(self):
        status = self.world.stop(self.process)
        expect(status == 0, f"{self.name} ended with {status} after SIGTERM")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def alive(self):
        return self.process.poll() is None

    @property
    def endpoint(self):
        return f"{self.address}:{self.port}"

    def text(self, *arguments, timeout=60, piped=None):
        """`millet` for people: (status, standard output, standard error). `piped`: bytes that it reads."""
        command = [*self.millet, "--state", self.state, *arguments]
        given = {"stdin": subprocess.DEVNULL} if piped is None else {"input": piped}
        done = subprocess.run([str(word) for word in command], **given, capture_output=True, timeout=timeout, check=False)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def call(self, *arguments, timeout=60, piped=None):
        """`millet --json`: what it prints, or Refused."""
        status, out, err = self.text("--json", *arguments, timeout=timeout, piped=piped)
        try:
            reply = json.loads(out)
        except ValueError:
            raise Failure(f"millet {' '.join(map(str, arguments))} printed no JSON (status {status}): {out!r} {err!r}") from None
        if "error" in reply and isinstance(reply["error"], dict):
            expect(status != 0 and err.count("\n") == 1, f"an error of millet is one line and a status: {status} {err!r}")
            raise Refused(reply["error"]["code"], reply["error"]["message"])
        expect(status == 0, f"millet ended with {status}: {err}")
        return reply

    def add(self, torrent, *arguments):
        return self.call("add", torrent.path, *arguments)

    def show(self, torrent):
        return self.call("show", torrent.hex)

    def wait_state(self, torrent, state, timeout=60):
        last = {}

        def reached():
            last.update(self.show(torrent))
            expect(last["state"] != "error" or state == "error", f"{self.name}: {last['error']}")
            return last["state"] == state and dict(last)

        return wait_until(reached, timeout, lambda: f"{self.name} to be {state}; it is {last.get('state')}, {last.get('done')} of {last.get('size')} bytes")

    def log(self):
        return self.world.log(self.name)


class Ledgerd:
    """The ledger at 10.0.0.NUMBER."""

    def __init__(self, world, number, name="ledgerd", **options):
        self.world = world
        self.address = address(number)
        self.name = name
        self.state = world.make_folder(f"{name}.state")
        self.options = {"ledgerd.listen": f"{self.address}:7411"}
        self.options.update({key.replace("__", "."): value for key, value in options.items()})
        self.process = None
        self.key = None
        self.url = None

    def start(self, *arguments, ready=20):
        command = [self.world.bin / "millet-ledgerd", "--state", self.state, *arguments]
        for key, value in self.options.items():
            command += ["--set", f"{key}={value}"]
        before = len(self.world.log(self.name))
        self.process = self.world.start(self.name, command)

        def listening():
            new = self.world.log(self.name)[before:]
            found = re.search(r"^\S+ event=ready .*", new, re.MULTILINE)
            expect(found or self.process.poll() is None, f"{self.name} ended with {self.process.returncode} before it was ready: {new[-500:]}")
            return found and found.group(0)

        line = wait_until(listening, ready, f"{self.name} to be ready")
        self.url = "http://" + re.search(r'listen="?([^\s"]+)', line).group(1)
        self.key = re.search(r"\bkey=([0-9a-f]{64})", line).group(1)
        return self

    def stop(self):
        status = self.world.stop(self.process)
        expect(status == 0, f"{self.name} ended with {status} after SIGTERM")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
