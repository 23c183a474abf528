// The ledger and the node under power cuts (powercut.h). With --plant it succeeds when the bug was found.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <lmdb.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crash/ledger_subject.h"
#include "crash/node_subject.h"
#include "crypto/sign.h"

// LMDB with other flags than the store gives it, for --plant. The linker sends the store's call here (--wrap).
static unsigned g_planted_flags = 0;
extern "C" int __real_mdb_env_open(MDB_env* env, const char* path, unsigned flags, mdb_mode_t mode);
extern "C" int __wrap_mdb_env_open(MDB_env* env, const char* path, unsigned flags, mdb_mode_t mode) {
  return __real_mdb_env_open(env, path, flags | g_planted_flags, mode);
}

namespace millet::crash {
namespace {

constexpr const char* k_usage =
    "usage: powercut [--subject WHO] [--count N] [--jobs N] [--seed N] [--state N] [--sector BYTES] [--plant BUG]\n"
    "\n"
    "Records what the ledger or a node writes, and opens what a power cut could have left of it: COUNT states of works of their own, from\n"
    "SEED on, 10,000 of each work.\n"
    "\n"
    "  --subject WHO   ledger, or node (as payee and as payer at once); both, one after the other, if it is not given\n"
    "  --count N       states (2000)\n"
    "  --jobs N        works at the same time (1)\n"
    "  --seed N        of the first work (1)\n"
    "  --state N       only this state of the seed's work\n"
    "  --sector BYTES  what the disk writes whole (512); LMDB promises nothing below that\n"
    "  --plant BUG     nosync or nometasync: LMDB with that flag; of a node also skip_persist (payments do not wait for their commit) or\n"
    "                  early_answer (commands are confirmed before they are durable); succeeds when it is found\n";
constexpr uint64_t k_states_per_work = 10'000;

struct Arguments {
  uint64_t seed = 1;
  uint64_t count = 2000;
  uint64_t jobs = 1;
  uint64_t only = UINT64_MAX;
  uint64_t sector_size = 512;
  bool planted = false;
  std::vector<const char*> subjects = {"ledger", "node"};
  bool skip_persist = false;
  bool early_answer = false;
};

bool read_number(const char* text, uint64_t& out) {
  char* end = nullptr;
  out = std::strtoull(text, &end, 10);
  return *text != 0 && *end == 0;
}

bool plant(const char* bug, Arguments& out) {
  if (std::strcmp(bug, "nosync") == 0) g_planted_flags = MDB_NOSYNC;
  if (std::strcmp(bug, "nometasync") == 0) g_planted_flags = MDB_NOMETASYNC;
  out.skip_persist = std::strcmp(bug, "skip_persist") == 0;
  out.early_answer = std::strcmp(bug, "early_answer") == 0;
  return g_planted_flags != 0 || out.skip_persist || out.early_answer;
}

bool read_arguments(int count, char** values, Arguments& out) {
  for (int i = 1; i < count; i += 2) {
    const char* value = i + 1 < count ? values[i + 1] : "";
    bool good = false;
    if (std::strcmp(values[i], "--subject") == 0) {
      good = std::strcmp(value, "node") == 0 || std::strcmp(value, "ledger") == 0;
      out.subjects = {value};
    }
    if (std::strcmp(values[i], "--count") == 0) good = read_number(value, out.count) && out.count > 0;
    if (std::strcmp(values[i], "--seed") == 0) good = read_number(value, out.seed);
    if (std::strcmp(values[i], "--jobs") == 0) good = read_number(value, out.jobs) && out.jobs > 0 && out.jobs <= 256;
    if (std::strcmp(values[i], "--state") == 0) good = read_number(value, out.only);
    if (std::strcmp(values[i], "--sector") == 0) good = read_number(value, out.sector_size) && out.sector_size >= 512;
    if (std::strcmp(values[i], "--plant") == 0) out.planted = good = plant(value, out);
    if (!good) return false;
  }
  return true;
}

constexpr int k_good = 0;
constexpr int k_broken = 1;
constexpr int k_failed = 2;

unsigned long long number(uint64_t value) { return static_cast<unsigned long long>(value); }

std::unique_ptr<Subject> make_subject(const Arguments& arguments, const std::string& name, uint64_t seed) {
  if (name == "node") {
    NodeWork::Options work;
    work.seed = seed;
    work.skip_persist = arguments.skip_persist;
    work.early_answer = arguments.early_answer;
    return std::make_unique<NodeSubject>(work);
  }
  LedgerSubject::Options work;
  work.seed = seed;
  return std::make_unique<LedgerSubject>(work);
}

// One work, and `count` of its states.
int run_work(const Arguments& arguments, const std::string& name, uint64_t seed, uint64_t count) {
  std::unique_ptr<Subject> subject = make_subject(arguments, name, seed);
  PowerCutOptions options;
  options.seed = seed;
  options.count = count;
  options.sector_size = arguments.sector_size;
  options.stop_at_first = arguments.planted;
  if (arguments.only != UINT64_MAX) {
    options.first = arguments.only;
    options.count = 1;
    options.talk = true;
  }
  Result<PowerCutReport> report = cut_power(*subject, options);
  if (!report) {
    std::fprintf(stderr, "powercut: seed %llu: %s\n", number(seed), report.error().reason.c_str());
    return k_failed;
  }
  std::printf("%s, seed %llu: %llu states of %llu cuts, %llu of them systematic in all, %llu broken\n", name.c_str(), number(seed),
              number(report->states), number(report->cuts), number(report->systematic), number(report->broken));
  if (report->broken == 0) return k_good;
  std::printf("state %llu: %s\n", number(report->first_broken), report->reason.c_str());
  if (!arguments.planted) {
    std::printf("replay: powercut --subject %s --seed %llu --state %llu --sector %llu\n", name.c_str(), number(seed),
                number(report->first_broken), number(arguments.sector_size));
  }
  return k_broken;
}

// The worst that one of the children that have ended came to, waiting while more than `left` of them run.
int wait_for(uint64_t& running, uint64_t left) {
  int worst = k_good;
  for (; running > left; --running) {
    int status = 0;
    if (wait(&status) < 0) return k_failed;
    worst = std::max(worst, WIFEXITED(status) ? WEXITSTATUS(status) : k_failed);
  }
  return worst;
}

// Works in processes of their own, because one recording at a time is what a process can do.
int run(const Arguments& arguments, const std::string& name) {
  int worst = k_good;
  uint64_t running = 0, begun = 0;
  for (uint64_t seed = arguments.seed; begun < arguments.count && worst == k_good; ++seed) {
    uint64_t count = std::min(k_states_per_work, arguments.count - begun);
    std::fflush(nullptr);
    pid_t child = fork();
    if (child < 0) return k_failed;
    if (child == 0) {
      int result = run_work(arguments, name, seed, count);
      std::fflush(nullptr);
      _exit(result);
    }
    ++running;
    begun += count;
    if (arguments.only != UINT64_MAX) break;
    worst = wait_for(running, arguments.jobs - 1);
  }
  worst = std::max(worst, wait_for(running, 0));
  if (!arguments.planted || worst == k_failed) return worst;
  if (worst == k_good) std::printf("the planted bug was not found\n");
  return worst == k_good ? k_broken : k_good;
}

}  // namespace
}  // namespace millet::crash

int main(int argc, char** argv) {
  millet::crash::Arguments arguments;
  if (!millet::crash::read_arguments(argc, argv, arguments)) {
    std::fputs(millet::crash::k_usage, stderr);
    return 2;
  }
  if (!millet::crypto_init()) return 1;
  int worst = 0;
  for (const char* name : arguments.subjects) worst = std::max(worst, millet::crash::run(arguments, name));
  return worst;
}
