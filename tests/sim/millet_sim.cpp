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
    "usage: millet_sim [--scenario NAME] [--seed N] [--count N] [--quick] [--log] [--nodes N]\n"
    "                  [--transport tcp|utp|both] [--plant BUG] [--planted] [--traces]\n"
    "\n"
    "  --scenario NAME  one of those below; without it, all\n"
    "  --seed N         the first seed (1)\n"
    "  --count N        how many seeds, one after another (1)\n"
    "  --quick          as many seeds of each scenario as the tests run, of scenario large with few peers\n"
    "  --log            print every log line of every node, with its virtual time\n"
    "  --nodes N        of scenario large: so many peers, 12 to 300, instead of what the seed says\n"
    "  --transport T    what all peers connect over: tcp, utp, or both, raced; without it, each seed another\n"
    "  --plant BUG      give every node a bug: succeeds once a seed has found it, of that bug's scenario or of --scenario\n"
    "  --planted        the same for each of the bugs, in up to 1000 seeds each\n"
    "  --traces         print the trace hashes of some seeds: the same on every compiler and processor\n"
    "\n"
    "scenarios:\n";

// Bugs that the checks must find, and where.
struct Bug {
  const char* name;
  const char* help;
  speed::Bug bug;
  const char* scenario;
};
const Bug k_bugs[] = {
    {"skip_persist", "promises do not wait until they are durable", speed::Bug::skip_persist, "paid"},
    {"exposure", "a block more is sent than the window allows", speed::Bug::exposure, "paid"},
    {"pay_unverified", "blocks are paid before their piece is verified", speed::Bug::pay_unverified, "large"},
    {"pay_twice", "each piece is paid twice", speed::Bug::pay_twice, "paid"},
    {"any_price", "a price above the bid is paid", speed::Bug::any_price, "large"},
    {"reuse_seq", "after a crash a payer uses sequence numbers again", speed::Bug::reuse_seq, "paid"},
    {"replay_counts", "a payment counts again when it comes again", speed::Bug::replay_counts, "large"},
    {"forgery_counts", "a payment counts whatever its signature", speed::Bug::forgery_counts, "large"},
    {"early_durable", "what is counted is called durable", speed::Bug::early_durable, "paid"},
    {"never_close", "channels are never claimed or closed", speed::Bug::never_close, "paid"},
    {"forget_debt", "a new connection begins without debt", speed::Bug::forget_debt, "large"},
    {"forget_voucher", "a payee says that it holds no payment where it does", speed::Bug::forget_voucher, "paid"},
    {"first_price", "winners pay their own bid", speed::Bug::first_price, "auction"},
    {"skip_hash", "pieces are taken without a look at their hashes", speed::Bug::skip_hash, "large"},
};
constexpr uint64_t k_planted_seeds_max = 1000;
constexpr uint32_t k_quick_nodes = 24;  // of scenario large: many small swarms find more in the same time than a few large ones

struct Arguments {
  const Scenario* scenario = nullptr;  // null: all
  uint64_t seed = 1;
  uint64_t count = 1;
  bool quick = false;
  bool log = false;
  bool planted = false;
  bool traces = false;
  const Bug* bug = nullptr;
  std::optional<Transports> transports;
  std::optional<uint32_t> nodes;
  Run run(uint64_t of_seed) const { return {of_seed, false, {}, transports, nodes}; }
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
    uint64_t number = 0;
    if (name == "--quick") {
      out.quick = true;
    } else if (name == "--log") {
      out.log = true;
    } else if (name == "--planted") {
      out.planted = true;
    } else if (name == "--traces") {
      out.traces = true;
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
    } else if (name == "--nodes" && read_number(value, number)) {
      out.nodes = static_cast<uint32_t>(number);
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
  for (const Bug& bug : k_bugs) std::fprintf(stderr, "  %-14s %s (scenario %s)\n", bug.name, bug.help, bug.scenario);
}

void print_failure(const Scenario& scenario, uint64_t seed, const Outcome& outcome) {
  for (const std::string& line : outcome.log) std::printf("  %s\n", line.c_str());
  std::printf("FAILED scenario %s seed %llu\n", scenario.name, static_cast<unsigned long long>(seed));
  if (!outcome.config.empty()) std::printf("  %s\n", outcome.config.c_str());
  for (const std::string& breach : outcome.breaches) std::printf("  %s\n", breach.c_str());
  std::printf("  %s", g_replay);
}

// The line that repeats a run: what a newcomer types, then what the program itself takes.
void note_replay(const Scenario& scenario, const Run& run) {
  char nodes[24] = "";
  if (run.nodes) std::snprintf(nodes, sizeof nodes, " --nodes %u", *run.nodes);
  std::snprintf(g_replay, sizeof g_replay, "replay: ./toolchains/dev sim --scenario %s --seed %llu%s --transport %s --log\n", scenario.name,
                static_cast<unsigned long long>(run.seed), nodes, k_transports[static_cast<size_t>(run.transports())]);
}

// True if the seed held.
bool run_seed(const Scenario& scenario, const Arguments& arguments, uint64_t seed, Outcome& outcome) {
  Run run = arguments.run(seed);
  run.print_log = arguments.log;
  note_replay(scenario, run);
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
  uint64_t failed = 0, events = 0, handled = 0, paid = 0, free_blocks = 0;
  int64_t virtual_s = 0;
  clock_t start = clock();
  for (uint64_t i = 0; i < count; ++i) {
    Outcome outcome;
    bool held = run_seed(scenario, arguments, arguments.seed + i, outcome);
    bool twice = i < std::size(k_transports) && held && !arguments.log;  // one seed over each transport
    if (twice) held = same_trace(scenario, arguments, arguments.seed + i, outcome);
    if (twice) handled += outcome.events;
    failed += held ? 0 : 1;
    events += outcome.events;
    handled += outcome.events;
    virtual_s += outcome.virtual_s;
    paid += outcome.paid_blocks;
    free_blocks += outcome.free_blocks;
    std::fflush(stdout);
  }
  double cpu_s = static_cast<double>(clock() - start) / CLOCKS_PER_SEC;
  std::printf("%-8s seeds=%llu failed=%llu events=%llu virtual_s=%lld paid_blocks=%llu free_blocks=%llu cpu_s=%.1f events_per_cpu_s=%.0f\n",
              scenario.name, static_cast<unsigned long long>(count), static_cast<unsigned long long>(failed),
              static_cast<unsigned long long>(events), static_cast<long long>(virtual_s), static_cast<unsigned long long>(paid),
              static_cast<unsigned long long>(free_blocks), cpu_s, cpu_s > 0 ? static_cast<double>(handled) / cpu_s : 0);
  return failed == 0;
}

// True if a seed found the bug.
bool finds(const Bug& bug, const Arguments& arguments, uint64_t count) {
  const Scenario& scenario = arguments.scenario != nullptr ? *arguments.scenario : *find_scenario(bug.scenario);
  for (uint64_t i = 0; i < count; ++i) {
    Run run = arguments.run(arguments.seed + i);
    run.print_log = arguments.log;
    run.planted.bug = bug.bug;
    if (!run.nodes) run.nodes = k_quick_nodes;
    note_replay(scenario, run);
    Outcome outcome = scenario.run(run);
    if (outcome.breaches.empty()) continue;
    std::printf("%s found by scenario %s, seed %llu: %s\n", bug.name, scenario.name, static_cast<unsigned long long>(run.seed),
                outcome.breaches[0].c_str());
    return true;
  }
  std::printf("FAILED: %s not found by %llu seeds of scenario %s\n", bug.name, static_cast<unsigned long long>(count), scenario.name);
  return false;
}

bool finds_all(const Arguments& arguments) {
  bool good = true;
  for (const Bug& bug : k_bugs) {
    good = finds(bug, arguments, k_planted_seeds_max) && good;
    std::fflush(stdout);
  }
  return good;
}

// Some of every scenario, small enough for an emulated processor. What stands on the lines is to be the same for every build.
bool print_traces(const Arguments& arguments) {
  struct Sample {
    const char* scenario;
    uint64_t seed;
    uint32_t nodes;
  };
  constexpr Sample k_samples[] = {{"free", 1, 0}, {"free", 2, 0},    {"free", 3, 0},   {"paid", 1, 0},   {"paid", 2, 0},
                                  {"paid", 3, 0}, {"auction", 1, 0}, {"large", 1, 12}, {"large", 2, 16}, {"large", 3, 20}};
  bool good = true;
  for (const Sample& sample : k_samples) {
    const Scenario& scenario = *find_scenario(sample.scenario);
    if (arguments.scenario != nullptr && arguments.scenario != &scenario) continue;
    Run run = arguments.run(sample.seed);
    if (sample.nodes != 0) run.nodes = sample.nodes;
    note_replay(scenario, run);
    Outcome outcome = scenario.run(run);
    if (!outcome.breaches.empty()) print_failure(scenario, sample.seed, outcome);
    good = good && outcome.breaches.empty();
    std::printf("trace %s seed=%llu nodes=%u events=%llu hash=%016llx\n", sample.scenario, static_cast<unsigned long long>(sample.seed),
                sample.nodes, static_cast<unsigned long long>(outcome.events), static_cast<unsigned long long>(outcome.trace));
    std::fflush(stdout);
  }
  return good;
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
  if (arguments.quick && !arguments.nodes) arguments.nodes = k_quick_nodes;
  Status status = crypto_init();
  if (!status) {
    std::fprintf(stderr, "%s\n", status.error().reason.c_str());
    return 3;
  }
  // After crypto_init(): libsodium draws a canary for its guarded memory, which no program of a world sees.
  static randombytes_implementation forbidden = {no_randomness_name, no_random_number, nullptr, nullptr, no_randomness, nullptr};
  randombytes_set_implementation(&forbidden);
  set_check_handler(on_check_failed);
  if ((arguments.planted || arguments.bug != nullptr) && !speed::k_planted_bugs) {
    std::fputs("this build has no bugs to plant: configure with -DMILLET_PLANTED_BUGS=ON\n", stderr);
    return 2;
  }
  if (arguments.traces) return print_traces(arguments) ? 0 : 1;
  if (arguments.planted) return finds_all(arguments) ? 0 : 1;
  if (arguments.bug != nullptr) return finds(*arguments.bug, arguments, arguments.count) ? 0 : 1;
  bool good = true;
  for (const Scenario* scenario = k_scenarios; scenario->name != nullptr; ++scenario) {
    if (arguments.scenario != nullptr && arguments.scenario != scenario) continue;
    good = run_scenario(*scenario, arguments) && good;
  }
  return good ? 0 : 1;
}

}  // namespace
}  // namespace millet::simtest

int main(int count, char** values) { return millet::simtest::run(count, values); }
