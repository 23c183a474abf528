"""Copies of a ledger, made by the programs while it runs: backups, exports, other stores."""
import re
import shutil
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


def export_and_import(world):
    """A log becomes a ledger again, and the same log again; what is damaged, cut off or another ledger's is refused by name."""
    ledger = Ledgerd(world, 1, **EASY).start()
    one, two = Wallet(world, ledger, "one"), Wallet(world, ledger, "two")
    one.call("claim")
    one.call("send", two.address, "1.5")
    ledger.stop()
    log, again, changed = ledger.state.parent / "log", ledger.state.parent / "again", ledger.state.parent / "changed"
    _ledgerd(world, "export", log, "--state", ledger.state)
    folder = world.make_folder("folder")
    said = _ledgerd(world, "export", folder, "--state", ledger.state, code=1)
    expect(f"can't replace {folder}: Is a directory" in said, f"a folder in the way is not named: {said}")
    easy = [word for key, value in EASY.items() for word in ("--set", f"{key.replace('__', '.')}={value}")]
    imported = ["--state", world.make_folder("imported"), *easy]
    shutil.copy(ledger.state / "ledger.key", imported[1])
    changed.write_bytes(log.read_bytes()[:-40])
    expect("is cut off" in _ledgerd(world, "import", changed, *imported, code=3), "a log that is cut off is not named")
    damaged = bytearray(log.read_bytes())
    damaged[-100] ^= 1
    changed.write_bytes(damaged)
    expect(re.search("record 2 is wrong|another root", _ledgerd(world, "import", changed, *imported, code=3)), "a damaged log is not named")
    expect("no log of a ledger" in _ledgerd(world, "import", ledger.state / "data.mdb", *imported, code=3), "another file is taken")
    stranger = Ledgerd(world, 2, name="stranger", **EASY).start()
    stranger.stop()
    expect(stranger.key in _ledgerd(world, "import", log, "--state", stranger.state, code=3), "another ledger's log is taken")
    expect("event=imported records=3 " in _ledgerd(world, "import", log, *imported), "the import does not say what it made")
    expect(_ledgerd(world, "import", log, *imported, code=3).find("already") >= 0, "an import goes over a ledger")
    _ledgerd(world, "export", again, *imported)
    expect(again.read_bytes() == log.read_bytes(), "the log is another one after the import")
    expect("every record is right" in _ledgerd(world, "audit", *imported), "the audit of the import finds something")
    # It takes the other one's place, behind its witness.
    shutil.copy(ledger.state / "witness", imported[1])
    ledger.state = imported[1]
    ledger.start()
    expect((one.available(), two.available()) == (GRANT - 1_500_000, 1_500_000), "other balances after the import")
    ledger.stop()


CASES = {case.__name__: case for case in (backup_beside_a_ledger_that_runs, export_and_import)}

if __name__ == "__main__":
    sys.exit(main(CASES))
