// SIGKILL of millet-ledgerd under load, again and again: no acknowledged operation lost, none executed twice, the supply unchanged.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <sys/stat.h>
#include <unistd.h>

#include "base/random.h"
#include "crash/daemon_process.h"
#include "crash/ledger_load.h"
#include "driver/key_file.h"
#include "hal/linux/random.h"
#include "ledger/server/state.h"
#include "store/lmdb/lmdb_store.h"
#include "unit/temp_folder.h"

namespace millet::crash {
namespace {

constexpr const char* k_usage = "usage: kill_ledger --ledgerd PROGRAM [--cycles N] [--seed N]\n";
constexpr uint64_t k_alive_us_max = 80'000;  // between ready and the kill
constexpr size_t k_repeated = 200;

Status run(const std::string& program, uint64_t cycles, uint64_t seed) {
  TempFolder folder(TempFolder::memory_base());  // a kill loses nothing that was written: the disk plays no part
  std::string state = folder / "state";
  mkdir(state.c_str(), 0700);
  hal::LinuxRandom secure;
  TRY_ASSIGN(SigningKey key, load_or_create_key(state + "/ledger.key", secure));
  DaemonProcess ledger({program, "--state", state, "--set", "ledgerd.listen=127.0.0.1:0", "--set", "ledgerd.address_rate=0"},
                       folder / "log");
  TRY(ledger.start());
  LedgerLoad::Options options;
  options.seed = seed;
  LedgerLoad load(key, options);
  load.set_ports({ledger.port()});
  TRY(load.fund());
  load.start();
  Random random(seed);
  uint64_t idle = 0;
  for (uint64_t i = 0; i < cycles; ++i) {
    uint64_t before = load.acknowledged();
    usleep(static_cast<useconds_t>(random.below(k_alive_us_max)));
    ledger.kill();
    idle += load.acknowledged() == before ? 1 : 0;
    TRY(ledger.start());  // adds up its books
    load.set_ports({ledger.port()});
    TRY(load.failure());
  }
  load.stop();
  TRY(load.failure());
  TRY(load.repeat(k_repeated));
  TRY(ledger.stop());
  TRY_ASSIGN(std::unique_ptr<LmdbStore> store, LmdbStore::open(state));
  TRY(load.compare(*store));
  std::printf("%llu kills (%llu of them before anything was acknowledged), %llu operations acknowledged: all there, each once\n",
              static_cast<unsigned long long>(cycles), static_cast<unsigned long long>(idle),
              static_cast<unsigned long long>(load.acknowledged()));
  if (load.acknowledged() < 10 * cycles) return error(Errc::conflict, "too little was acknowledged between the kills to be a test");
  return ok;
}

}  // namespace
}  // namespace millet::crash

int main(int argc, char** argv) {
  std::string program;
  uint64_t cycles = 20, seed = 1;
  bool good = argc % 2 == 1;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::strcmp(argv[i], "--ledgerd") == 0) {
      program = argv[i + 1];
    } else if (std::strcmp(argv[i], "--cycles") == 0) {
      cycles = std::strtoull(argv[i + 1], nullptr, 10);
    } else if (std::strcmp(argv[i], "--seed") == 0) {
      seed = std::strtoull(argv[i + 1], nullptr, 10);
    } else {
      good = false;
    }
  }
  if (!good || program.empty() || cycles == 0) {
    std::fputs(millet::crash::k_usage, stderr);
    return 2;
  }
  if (!millet::crypto_init()) return 1;
  millet::Status status = millet::crash::run(program, cycles, seed);
  if (!status) std::fprintf(stderr, "kill_ledger: %s (seed %llu)\n", status.error().reason.c_str(), static_cast<unsigned long long>(seed));
  return status ? 0 : 1;
}
