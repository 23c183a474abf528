"""milletd on the emulated processor of a router, beside programs of this machine: 32 bits, big endian."""
import shutil

from harness.node import Ledgerd, Milletd
from harness.torrents import make_payload, make_torrent
from harness.world import address, need

PIECE = 262144
EASY_FAUCET = {"ledgerd__faucet_hashcash_bits": 8, "ledgerd__faucet_memory_bits": 1, "ledgerd__faucet_memory": 64, "ledgerd__faucet_spend_only": 0}


class EmulatedMilletd(Milletd):
    """`program`: milletd of `dev cross mips-24kc-musl`, which is the command millet, too. It meets this machine's kernel through qemu."""

    def __init__(self, world, number, program, emulator_options=(), **options):
        super().__init__(world, number, **options)
        emulator = [need("qemu-mips"), "-cpu", "24Kc"]
        self.milletd = [*emulator, *emulator_options, program]
        self.millet = [*emulator, "-0", "millet", program]


class Sale:
    """A payload of `size` bytes, a ledger, a payer of this machine with money, and options for the payee."""

    def __init__(self, world, size):
        self.world, self.size = world, size
        self.source = world.make_folder("source")
        make_payload(self.source, "payload", [("a", size)])
        shutil.move(self.source / "payload" / "a", self.source / "single")
        self.torrent = make_torrent(world.path("payload.torrent"), self.source, "single", [("single", size)], piece_size=PIECE, single=True)
        self.ledger = Ledgerd(world, 4, **EASY_FAUCET).start()
        common = {"ledger__url": self.ledger.url, "ledger__key": self.ledger.key, "speed__enabled": 1, "transport__utp": 0, "discovery__trackers": 0}
        self.payee_options = {"node__listen": f"{address(3)}:6881", "speed__reserve": 100, **common}
        self.payer = Milletd(world, 2, name="payer", node__upload_rate=40_000, **common)
        self.payer.call("wallet", "create")
        self.payer.call("wallet", "claim", "--ledger", self.ledger.url, "--ledger-key", self.ledger.key)

    def seed(self, payee):
        payee.start("--seed", self.torrent.path, "--data", self.source, ready=120)
        payee.wait_state(self.torrent, "seeding", 300)

    def buy(self, payee):
        self.payer.start()
        self.payer.add(self.torrent, "--peer", payee.endpoint, "--budget", "9", "--max-rate", "120")
