"""A place for one test: a temporary folder, a network namespace with addresses of its own, and the processes in them.

A test file calls `world.main(CASES)`; `run TEST_FILE CASE --bin DIR` then executes one case in a fresh world. Everything that was started
ends with the test, also when it fails or is killed: the world is a process namespace of its own.
"""
import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

SKIPPED = 77  # ctest's SKIP_RETURN_CODE
ADDRESSES = int(os.environ.get("MILLET_ADDRESSES") or 20)  # NETWORK + "1" ... are usable
NETWORK = "10.0.0."  # on the loopback device of the namespace


class Failure(Exception):
    """A test's expectation that does not hold."""


class Skip(Exception):
    """Something that the test needs is not there."""


def expect(condition, text):
    if not condition:
        raise Failure(text)


def address(number):
    """An address for one process of the test: limits per address then see different peers, and transmission dials it (never 127/8)."""
    expect(1 <= number <= ADDRESSES, f"address {number} is not set up")
    return f"{NETWORK}{number}"


def use_loopback(network):
    """For programs that need no namespace (demo, bench): addresses of 127/8, which every system has, as in "127.77.0."."""
    global NETWORK
    NETWORK = network


_reserved = []  # sockets that hold a block of loopback addresses until this process ends


def free_loopback(prefix):
    """A block of 127/8 that no other run on this machine uses, as in "127.77.12." for the prefix "127.77."."""
    for step in range(254):
        network = f"{prefix}{(os.getpid() + step) % 254 + 1}."
        holder = socket.socket()
        try:
            holder.bind((f"{network}254", 7777))
        except OSError:
            holder.close()
            continue
        _reserved.append(holder)
        return network
    raise Failure(f"all blocks of {prefix}0.0 are in use")


def need(program):
    path = shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    if path is None:
        raise Skip(f"{program} is not installed")
    return path


def wait_until(condition, timeout, what):
    """Returns the first true value of condition(); fails after `timeout` seconds. `what` completes the sentence "waited for"."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failure(f"waited {timeout} s for {what() if callable(what) else what}")
        time.sleep(0.05)


def fill_disk(path):
    """Writes the file until its file system has no room left."""
    with open(path, "ab", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass


class World:
    """`bound`: processes are killed when this one ends, however it ends; in a process namespace they are anyway."""

    def __init__(self, bin_dir, folder, bound=False):
        self.bin = Path(bin_dir)
        self.folder = Path(folder)
        self.processes = []
        self.wrapper = [need("setpriv"), "--pdeathsig", "KILL"] if bound else []

    def path(self, *parts):
        return self.folder.joinpath(*parts)

    def make_folder(self, *parts):
        folder = self.path(*parts)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def start(self, name, command, **options):
        """Starts a process; its output goes to NAME.log in the world's folder."""
        log = open(self.path(f"{name}.log"), "ab")
        process = subprocess.Popen([str(word) for word in self.wrapper + list(command)], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, **options)
        log.close()
        process.name = name
        self.processes.append(process)
        return process

    def stop(self, process, signal_number=signal.SIGTERM, timeout=15):
        """Ends a process and returns its status; it is killed, and the test fails, if it does not end in time."""
        if process.poll() is None:
            process.send_signal(signal_number)
        try:
            return process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise Failure(f"{process.name} did not end within {timeout} s of signal {signal_number}") from None

    def log(self, name):
        path = self.path(f"{name}.log")
        return path.read_text(errors="replace") if path.exists() else ""

    def show_logs(self):
        for path in sorted(self.folder.glob("*.log")):
            lines = path.read_text(errors="replace").splitlines()
            print(f"--- end of {path.name}")
            print("\n".join(lines[-25:]))

    def end(self, since=0):
        """Kills every process that was started, or those that were after the first `since`."""
        for process in self.processes[since:]:
            if process.poll() is None:
                process.kill()
        for process in self.processes[since:]:
            process.wait()


def _inside(arguments, case):
    """In the namespaces: sets the network up and runs the case."""
    if arguments.namespaces:
        ip = need("ip")
        subprocess.run([ip, "link", "set", "lo", "up"], check=True)
        for number in range(1, ADDRESSES + 1):
            subprocess.run([ip, "address", "add", f"{address(number)}/8", "dev", "lo"], check=True)
    signal.alarm(arguments.timeout)
    signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(Failure(f"the test took more than {arguments.timeout} s")))
    world = World(arguments.bin, arguments.folder)
    try:
        case(world)
        status = 0
    except Skip as reason:
        print(f"skipped: {reason}")
        status = SKIPPED
    except Failure as failure:
        print(f"FAILED: {failure}")
        line = traceback.extract_tb(failure.__traceback__)
        print("".join(traceback.format_list([frame for frame in line if "harness" not in frame.filename][-2:])), end="")
        world.show_logs()
        status = 1
    except Exception:
        traceback.print_exc()
        world.show_logs()
        status = 1
    finally:
        signal.alarm(0)
        world.end()
    sys.stdout.flush()
    return status


def beside_others(bin_dir, name, body, keep=False):
    """For scripts that need no namespace: body(world) in a world whose processes end with it; the exit code. use_loopback() comes first."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(1))
    folder = tempfile.mkdtemp(prefix=f"millet-{name}-")
    os.chmod(folder, 0o755)
    world = World(bin_dir, folder, bound=True)
    try:
        body(world)
        return 0
    except Skip as reason:
        print(f"skipped: {reason}")
        return SKIPPED
    except Failure as failure:
        print(f"FAILED: {name}: {failure}")
        world.show_logs()
        return 1
    finally:
        world.end()
        if keep:
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def main(cases):
    parser = argparse.ArgumentParser()
    parser.add_argument("case", choices=sorted(cases) + ["list"])
    parser.add_argument("--bin", required=True, help="folder of the programs")
    parser.add_argument("--timeout", type=int, default=150, help="seconds")
    parser.add_argument("--keep", action="store_true", help="keep the folder of the test")
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    parser.add_argument("--namespaces", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case == "list":
        print("\n".join(sorted(cases)))
        return 0
    if arguments.folder:
        return _inside(arguments, cases[arguments.case])

    unshare = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if os.geteuid() != 0:
        unshare += ["--user", "--map-root-user"]
    if subprocess.run(unshare + ["true"], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode != 0:
        print("skipped: this system lets nobody make network namespaces (root, or user namespaces, are needed)")
        return SKIPPED
    folder = tempfile.mkdtemp(prefix="millet-interop-")
    os.chmod(folder, 0o755)  # some cases run programs as another user
    inner = [sys.executable, sys.argv[0], arguments.case, "--bin", arguments.bin, "--timeout", str(arguments.timeout), "--folder", folder, "--namespaces"]
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(1))
    child = subprocess.Popen(unshare + inner, stdin=subprocess.DEVNULL)
    try:
        return child.wait(arguments.timeout + 30)
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
        if arguments.keep:
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
