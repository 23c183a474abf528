"""Copies of a ledger, made by the programs while it runs: backups, exports, other stores."""
import subprocess
import sys

from harness.node import Ledgerd
from harness.world import expect, main
from wallet import EASY, GRANT, Wallet


def _ledgerd(world, *arguments, code=0):
    done = subprocess.run([world.bin / "millet-ledgerd", *map(str, arguments)], capture_output=True, text=True, timeout=60)
    expect(done.returncode == code, f"{arguments} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def backup_beside_a_ledger_that_runs(world):
    """audit, export, backup and --copy-to read one moment of a ledger that serves; a copy is whole, and no way back behind its witness."""
    ledger = Ledgerd(world, 1, **EASY).start()
    one = Wallet(world, ledger, "one")
    one.call("claim")
    state = ["--state", ledger.state]
    expect("every record is right" in _ledgerd(world, "audit", *state), "the audit beside the ledger finds something")
    log, backup, copy = ledger.state.parent / "log", ledger.state.parent / "backup", ledger.state.parent / "copy"
    _ledgerd(world, "export", log, *state)
    said = _ledgerd(world, "backup", backup, *state)
    expect("event=backed_up records=2 " in said, f"the backup does not say what it holds: {said}")
    _ledgerd(world, "--copy-to", f"lmdb:{copy}", *state)
    expect("already" in _ledgerd(world, "backup", backup, *state, code=3), "a backup goes over another one")
    two = Wallet(world, ledger, "two")
    two.call("claim")
    one.call("send", two.address, "1")
    ledger.stop()
    expect("records      2\n" in _ledgerd(world, "audit", log), "the exported log is not the one of that moment")
    for made in (backup, copy):
        text = _ledgerd(world, "audit", *state, "--set", f"ledgerd.store=lmdb:{made}")
        expect("records      2\n" in text and "every record is right" in text, f"the audit of {made} says: {text}")
        refused = _ledgerd(world, *state, "--set", f"ledgerd.store=lmdb:{made}", code=3)
        expect(str(ledger.state / "witness") in refused, f"an old copy is served: {refused}")
    ledger.start()
    expect(one.available() == GRANT - 1_000_000, "the ledger has lost something")
    ledger.stop()


CASES = {case.__name__: case for case in (backup_beside_a_ledger_that_runs,)}

if __name__ == "__main__":
    sys.exit(main(CASES))
