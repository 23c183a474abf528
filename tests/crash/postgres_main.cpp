// Two millet-ledgerd on one PostgreSQL database, with clients at both: one of them is killed again and again, or the primary is killed and
// its synchronous standby promoted. No acknowledged operation lost, none executed twice, the supply unchanged.
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
#include "store/postgres/postgres_store.h"
#include "unit/postgres_server.h"

namespace millet::crash {
namespace {

constexpr const char* k_usage = "usage: kill_postgres --ledgerd PROGRAM --case front_end|primary [--cycles N] [--seed N]\n";
constexpr uint64_t k_before_us = 1'000'000;  // load before and after the primary is killed
constexpr size_t k_repeated = 50;

// Both front ends have the ledger's key, each in a state folder of its own.
class FrontEnds {
 public:
  FrontEnds(std::string program, std::string conninfo) : program_(std::move(program)), conninfo_(std::move(conninfo)) {}
  Status start() {
    hal::LinuxRandom secure;
    mkdir((folder_ / "1").c_str(), 0700);
    mkdir((folder_ / "2").c_str(), 0700);
    TRY_ASSIGN(SigningKey key, load_or_create_key(folder_ / "1/ledger.key", secure));
    std::error_code failed;
    std::filesystem::copy_file(folder_ / "1/ledger.key", folder_ / "2/ledger.key", failed);
    key_ = std::make_unique<SigningKey>(std::move(key));
    for (const char* name : {"1", "2"}) {
      std::vector<std::string> command = {program_,
                                          "--state",
                                          folder_ / name,
                                          "--set",
                                          "ledgerd.listen=127.0.0.1:0",
                                          "--set",
                                          "ledgerd.address_rate=0",
                                          "--set",
                                          "ledgerd.store=postgres:" + conninfo_};
      processes_.push_back(std::make_unique<DaemonProcess>(std::move(command), folder_ / (std::string(name) + ".log")));
      TRY(processes_.back()->start());
    }
    return ok;
  }
  DaemonProcess& at(size_t i) { return *processes_[i]; }
  std::vector<uint16_t> ports() const { return {processes_[0]->port(), processes_[1]->port()}; }
  const SigningKey& key() const { return *key_; }

 private:
  std::string program_, conninfo_;
  TempFolder folder_;
  std::unique_ptr<SigningKey> key_;
  std::vector<std::unique_ptr<DaemonProcess>> processes_;
};

// What must hold when all is over: the answers agree with the database, and its books add up.
Status end(LedgerLoad& load, FrontEnds& fronts, const std::string& conninfo) {
  load.stop();
  TRY(load.failure());
  TRY(load.repeat(k_repeated));
  TRY(fronts.at(0).stop());
  TRY(fronts.at(1).stop());
  TRY_ASSIGN(std::unique_ptr<PostgresStore> store, PostgresStore::open(conninfo));
  TRY_ASSIGN(std::unique_ptr<LedgerState> state, LedgerState::open(*store, fronts.key(), LedgerRules(), LedgerTime()));
  return load.compare(*store);
}

Status front_end_killed(const std::string& program, uint64_t cycles, uint64_t seed) {
  PostgresServer server;
  FrontEnds fronts(program, server.conninfo());
  TRY(fronts.start());
  LedgerLoad::Options options;
  options.seed = seed;
  LedgerLoad load(fronts.key(), options);
  load.set_ports(fronts.ports());
  TRY(load.fund());
  load.start();
  Random random(seed);
  for (uint64_t i = 0; i < cycles; ++i) {
    usleep(static_cast<useconds_t>(random.below(200'000)));
    fronts.at(1).kill();
    load.set_ports({fronts.at(0).port()});
    uint64_t before = load.acknowledged();
    usleep(100'000);
    // The one that is left goes on by itself: what the other held is let go.
    for (int wait = 0; load.acknowledged() == before && wait < 300; ++wait) usleep(100'000);
    if (load.acknowledged() == before) return error(Errc::conflict, "nothing is acknowledged any more after a front end was killed");
    TRY(fronts.at(1).start());
    load.set_ports(fronts.ports());
    TRY(load.failure());
  }
  TRY(end(load, fronts, server.conninfo()));
  std::printf("%llu kills of one of two front ends, %llu operations acknowledged: all there, each once\n",
              static_cast<unsigned long long>(cycles), static_cast<unsigned long long>(load.acknowledged()));
  return ok;
}

Status primary_killed(const std::string& program, uint64_t seed) {
  PostgresServer primary;
  PostgresServer standby(&primary);
  primary.set("synchronous_standby_names", "*");
  std::string both = "host=" + primary.socket_folder() + "," + standby.socket_folder() + " user=millet dbname=postgres connect_timeout=3";
  FrontEnds fronts(program, both);
  TRY(fronts.start());
  LedgerLoad::Options options;
  options.seed = seed;
  LedgerLoad load(fronts.key(), options);
  load.set_ports(fronts.ports());
  TRY(load.fund());
  primary.sql("SELECT 1 / count(*) FROM pg_stat_replication WHERE sync_state = 'sync'");  // fails if nobody is waited for
  load.start();
  usleep(k_before_us);
  uint64_t before = load.acknowledged();
  primary.kill_all();
  standby.promote();
  uint64_t promoted = load.acknowledged();
  for (int wait = 0; load.acknowledged() < promoted + 100 && wait < 600; ++wait) usleep(100'000);
  uint64_t after = load.acknowledged() - promoted;
  TRY(end(load, fronts, both));
  if (before < 20 || after < 100) return error(Errc::conflict, "too little was acknowledged on one side of the promotion to be a test");
  std::printf("primary killed after %llu operations, %llu more on the promoted standby: all there, each once\n",
              static_cast<unsigned long long>(before), static_cast<unsigned long long>(after));
  return ok;
}

}  // namespace
}  // namespace millet::crash

int main(int argc, char** argv) {
  std::string program, which;
  uint64_t cycles = 5, seed = 1;
  bool good = argc % 2 == 1;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::strcmp(argv[i], "--ledgerd") == 0) {
      program = argv[i + 1];
    } else if (std::strcmp(argv[i], "--case") == 0) {
      which = argv[i + 1];
    } else if (std::strcmp(argv[i], "--cycles") == 0) {
      cycles = std::strtoull(argv[i + 1], nullptr, 10);
    } else if (std::strcmp(argv[i], "--seed") == 0) {
      seed = std::strtoull(argv[i + 1], nullptr, 10);
    } else {
      good = false;
    }
  }
  if (!good || program.empty() || cycles == 0 || (which != "front_end" && which != "primary")) {
    std::fputs(millet::crash::k_usage, stderr);
    return 2;
  }
  if (!PostgresServer::is_installed()) {
    std::puts("PostgreSQL is not installed: skipped");
    return 77;
  }
  if (!millet::crypto_init()) return 1;
  millet::Status status =
      which == "primary" ? millet::crash::primary_killed(program, seed) : millet::crash::front_end_killed(program, cycles, seed);
  if (!status)
    std::fprintf(stderr, "kill_postgres: %s (seed %llu)\n", status.error().reason.c_str(), static_cast<unsigned long long>(seed));
  return status ? 0 : 1;
}
