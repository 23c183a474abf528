// Runs scenarios of the simulator over seeds. A failure prints the line that replays it.
#include <sodium.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "base/check.h"
#include "crypto/sign.h"
#include "sim/scenarios.h"
#include "torrent/layout.h"

namespace millet::simtest {
namespace {

constexpr const char* k_usage =
    "usage: millet_sim [--scenario NAME] [--seed N] [--count N] [--quick] [--log] [--plant BUG]\n"
    "                  [--transport tcp|utp|both]\n"
    "\n"
    "  --scenario NAME  one of those below; without it, all\n"
    "  --seed N         the first seed (1)\n"
    "  --count N        how many seeds, one after another (1)\n"
    "  --quick          as many seeds of each scenario as the tests run\n"
    "  --log            print every log line of every node, with its virtual time\n"
    "  --plant BUG      give every node a bug: succeeds once a seed has found it\n"
    "  --transport T    what all peers connect over: tcp, utp, or both, raced; without it, each seed another\n"
    "\n"
    "scenarios:\n";

// Bugs that the checks must find.
struct Bug {
  const char* name;
  const char* help;
  speed::Faults faults;
};
const Bug k_bugs[] = {
    {"skip_persist", "promises do not wait until they are durable", {.skip_persist = true}},
    {"exposure", "a block more is sent than the window allows", {.exposure_extra = k_block_size}},
};

struct Arguments {
  const Scenario* scenario = nullptr;  // null: all
  uint64_t seed = 1;
  uint64_t count = 1;
  bool quick = false;
  bool log = false;
  const Bug* bug = nullptr;
  std::optional<Transports> transports;
  Run run(uint64_t of_seed) const { return {of_seed, false, {}, transports}; }
};

constexpr const char* k_transports[] = {"tcp", "utp", "both"};  // as in Transports

// What runs now, for the line that a crash prints.
char g_replay[160];

void print_replay() {
  size_t size = strlen(g_replay);
  if (size > 0 && write(STDERR_FILENO, g_replay, size) < 0) return;
}

void on_check_failed(const char*, const char*, int) { print_replay(); }

bool read_number(const char* text, uint64_t& out) {
  char* end = nullptr;
  out = std::strtoull(text, &end, 10);
  return *text != 0 && *end == 0;
}

const Bug* find_bug(const std::string& name) {
  for (const Bug& bug : k_bugs) {
    if (name == bug.name) return &bug;
  }
  return nullptr;
}

bool read_transports(const std::string& name, std::optional<Transports>& out) {
  for (uint8_t i = 0; i < std::size(k_transports); ++i) {
    if (name == k_transports[i]) out = static_cast<Transports>(i);
  }
  return out.has_value();
}

bool read_arguments(int count, char** values, Arguments& out) {
  for (int i = 1; i < count; ++i) {
    std::string name = values[i];
    const char* value = i + 1 < count ? values[i + 1] : "";
    if (name == "--quick") {
      out.quick = true;
    } else if (name == "--log") {
      out.log = true;
    } else if (name == "--seed" && read_number(value, out.seed)) {
      ++i;
    } else if (name == "--count" && read_number(value, out.count)) {
      ++i;
    } else if (name == "--scenario" && find_scenario(value) != nullptr) {
      out.scenario = find_scenario(value);
      ++i;
    } else if (name == "--plant" && find_bug(value) != nullptr) {
      out.bug = find_bug(value);
      ++i;
    } else if (name == "--transport" && read_transports(value, out.transports)) {
      ++i;
    } else {
      return false;
    }
  }
  return true;
}

void print_usage() {
  std::fputs(k_usage, stderr);
  for (const Scenario* scenario = k_scenarios; scenario->name != nullptr; ++scenario) {
    std::fprintf(stderr, "  %-8s %s\n", scenario->name, scenario->help);
  }
  std::fputs("\nbugs:\n", stderr);
  for (const Bug& bug : k_bugs) std::fprintf(stderr, "  %-14s %s\n", bug.name, bug.help);
}

void print_failure(const Scenario& scenario, uint64_t seed, const Outcome& outcome) {
  for (const std::string& line : outcome.log) std::printf("  %s\n", line.c_str());
  std::printf("FAILED scenario %s seed %llu\n", scenario.name, static_cast<unsigned long long>(seed));
  for (const std::string& breach : outcome.breaches) std::printf("  %s\n", breach.c_str());
  std::printf("  %s", g_replay);
}

// True if the seed held.
bool run_seed(const Scenario& scenario, const Arguments& arguments, uint64_t seed, Outcome& outcome) {
  Run run = arguments.run(seed);
  run.print_log = arguments.log;
  std::snprintf(g_replay, sizeof g_replay, "replay: millet_sim --scenario %s --seed %llu --transport %s --log\n", scenario.name,
                static_cast<unsigned long long>(seed), k_transports[static_cast<size_t>(run.transports())]);
  outcome = scenario.run(run);
  if (!outcome.breaches.empty()) print_failure(scenario, seed, outcome);
  return outcome.breaches.empty();
}

// The same seed again gives the same trace.
bool same_trace(const Scenario& scenario, const Arguments& arguments, uint64_t seed, const Outcome& first) {
  Outcome again = scenario.run(arguments.run(seed));
  if (again.trace == first.trace && again.events == first.events) return true;
  std::printf("FAILED scenario %s seed %llu gave two traces: %llu events, then %llu\n  %s", scenario.name,
              static_cast<unsigned long long>(seed), static_cast<unsigned long long>(first.events),
              static_cast<unsigned long long>(again.events), g_replay);
  return false;
}

bool run_scenario(const Scenario& scenario, const Arguments& arguments) {
  uint64_t count = arguments.quick ? scenario.quick_count : arguments.count;
  uint64_t failed = 0, events = 0, paid = 0, free_blocks = 0;
  int64_t virtual_s = 0;
  clock_t start = clock();
  for (uint64_t i = 0; i < count; ++i) {
    Outcome outcome;
    bool held = run_seed(scenario, arguments, arguments.seed + i, outcome);
    bool twice = i < std::size(k_transports) && held && !arguments.log;  // one seed over each transport
    if (twice) held = same_trace(scenario, arguments, arguments.seed + i, outcome);
    failed += held ? 0 : 1;
    events += outcome.events;
    virtual_s += outcome.virtual_s;
    paid += outcome.paid_blocks;
    free_blocks += outcome.free_blocks;
    std::fflush(stdout);
  }
  std::printf("%-8s seeds=%llu failed=%llu events=%llu virtual_s=%lld paid_blocks=%llu free_blocks=%llu cpu_s=%.1f\n", scenario.name,
              static_cast<unsigned long long>(count), static_cast<unsigned long long>(failed), static_cast<unsigned long long>(events),
              static_cast<long long>(virtual_s), static_cast<unsigned long long>(paid), static_cast<unsigned long long>(free_blocks),
              static_cast<double>(clock() - start) / CLOCKS_PER_SEC);
  return failed == 0;
}

// True if a seed found the bug.
bool finds(const Scenario& scenario, const Arguments& arguments) {
  for (uint64_t i = 0; i < arguments.count; ++i) {
    uint64_t seed = arguments.seed + i;
    Run run = arguments.run(seed);
    run.print_log = arguments.log;
    run.planted = arguments.bug->faults;
    Outcome outcome = scenario.run(run);
    if (outcome.breaches.empty()) continue;
    std::printf("%s found by scenario %s, seed %llu: %s\n", arguments.bug->name, scenario.name, static_cast<unsigned long long>(seed),
                outcome.breaches[0].c_str());
    return true;
  }
  std::printf("FAILED: %s not found by %llu seeds of scenario %s\n", arguments.bug->name, static_cast<unsigned long long>(arguments.count),
              scenario.name);
  return false;
}

// Nothing may draw randomness that the seed does not determine.
const char* no_randomness_name() { return "none"; }
void no_randomness(void* const, const size_t) {
  std::fputs("randomness from outside the seed\n", stderr);
  abort();
}
uint32_t no_random_number() {
  no_randomness(nullptr, 0);
  return 0;
}

int run(int count, char** values) {
  Arguments arguments;
  if (!read_arguments(count, values, arguments)) {
    print_usage();
    return 2;
  }
  Status status = crypto_init();
  if (!status) {
    std::fprintf(stderr, "%s\n", status.error().reason.c_str());
    return 3;
  }
  // After crypto_init(): libsodium draws a canary for its guarded memory, which no program of a world sees.
  static randombytes_implementation forbidden = {no_randomness_name, no_random_number, nullptr, nullptr, no_randomness, nullptr};
  randombytes_set_implementation(&forbidden);
  set_check_handler(on_check_failed);
  bool good = true;
  for (const Scenario* scenario = k_scenarios; scenario->name != nullptr; ++scenario) {
    if (arguments.scenario != nullptr && arguments.scenario != scenario) continue;
    good = (arguments.bug != nullptr ? finds(*scenario, arguments) : run_scenario(*scenario, arguments)) && good;
  }
  return good ? 0 : 1;
}

}  // namespace
}  // namespace millet::simtest

int main(int count, char** values) { return millet::simtest::run(count, values); }
