// A damaged state, opened as milletd opens it: pages of its file that are zeroed, filled, changed in one bit, exchanged, and the file cut
// off anywhere; the key's file likewise. Each ends in a refusal with a reason, or the node goes on; a process that dies is the failure.
//
//   damage [COUNT [SEED]]
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>

#include "crash/node_subject.h"
#include "driver/key_file.h"
#include "driver/state_file.h"
#include "unit/temp_folder.h"

namespace millet::crash {
namespace {

constexpr size_t k_page = 4096;
constexpr unsigned k_seconds_max = 60;  // a state that is opened for longer hangs
constexpr int k_refused = 0, k_went_on = 1, k_no_reason = 2;

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}
void write_file(const std::string& path, const std::string& bytes) { std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes; }

// What was done, for the report.
std::string damage(std::string& bytes, Random& random) {
  const size_t pages = std::max<size_t>(bytes.size() / k_page, 1);
  const size_t at = random.below(pages) * k_page, size = std::min(k_page, bytes.size() - at);
  const std::string where = " at " + std::to_string(at) + " of " + std::to_string(bytes.size());
  switch (random.below(6)) {
    case 0: return bytes.replace(at, size, size, '\0'), "a page of zeros" + where;
    case 1: return bytes.replace(at, size, size, '\xff'), "a page of ones" + where;
    case 2: {
      size_t bit = random.below(size * 8);
      bytes[at + bit / 8] = static_cast<char>(bytes[at + bit / 8] ^ (1 << bit % 8));
      return "bit " + std::to_string(bit) + where;
    }
    case 3: {
      // The head of a page says what is where in it.
      size_t offset = random.below(std::min<size_t>(size, 64));
      bytes[at + offset] = static_cast<char>(random.below(256));
      return "byte " + std::to_string(offset) + where;
    }
    case 4: {
      std::string page = bytes.substr(random.below(pages) * k_page, size);
      return bytes.replace(at, page.size(), page), "another page" + where;
    }
    default: {
      size_t left = random.below(bytes.size());
      return bytes.resize(left), "cut off after " + std::to_string(left) + " of " + where;
    }
  }
}

// As milletd's main function does it.
Status start(const std::string& state, const NodeConfig& config) {
  TRY_ASSIGN(std::unique_ptr<LmdbStore> store, LmdbStore::open(state));
  TRY(handed_over_to(*store));
  TRY_ASSIGN(SigningKey key, load_key(state + "/" + k_key_file_name));
  return run_node(*store, config, key);
}

// How the child that starts a node on the state ended: one of the three, or below 0 for a signal.
int try_state(const std::string& state, const NodeConfig& config) {
  std::fflush(nullptr);
  pid_t child = fork();
  if (child == 0) {
    const rlimit none{0, 0};
    setrlimit(RLIMIT_CORE, &none);
    alarm(k_seconds_max);
    Status status = start(state, config);
    _exit(status ? k_went_on : status.error().reason.size() > 20 ? k_refused : k_no_reason);
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child) return k_no_reason;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

int run(uint64_t count, uint64_t seed) {
  TempFolder folder(TempFolder::memory_base());
  NodeWork::Options options;
  options.seed = seed;
  std::array<NodeConfig, k_roles> configs;
  {
    NodeWork work(folder.path(), options);
    Status worked = work.run();
    if (!worked) return std::fprintf(stderr, "damage: %s\n", worked.error().reason.c_str()), 1;
    for (Role role : {k_payee, k_payer}) configs[role] = work.config(role);
  }
  Random random(seed);
  uint64_t refused = 0, went_on = 0;
  for (uint64_t i = 0; i < count; ++i) {
    const Role role = random.below(2) == 0 ? k_payee : k_payer;
    const std::string state = folder / k_role_names[role], of_key = state + "/" + k_key_file_name, of_data = state + "/data.mdb";
    const std::string key = read_file(of_key), data = read_file(of_data);
    bool hits_key = random.below(16) == 0;
    std::string bytes = hits_key ? key : data;
    std::string what = damage(bytes, random);
    write_file(hits_key ? of_key : of_data, bytes);
    int ended = try_state(state, configs[role]);
    (ended == k_refused ? refused : went_on) += 1;
    if (ended != k_refused && ended != k_went_on) {
      std::fprintf(stderr, "damage: state %llu of seed %llu, %s of the %s's %s: %s\n", static_cast<unsigned long long>(i),
                   static_cast<unsigned long long>(seed), what.c_str(), k_role_names[role], hits_key ? "key" : "state",
                   ended < 0 ? strsignal(-ended) : "refused without a reason");
      return 1;
    }
    write_file(of_key, key);
    write_file(of_data, data);
  }
  std::printf("%llu damaged states: %llu refused with a reason, on %llu the node goes on\n", static_cast<unsigned long long>(count),
              static_cast<unsigned long long>(refused), static_cast<unsigned long long>(went_on));
  return refused == 0 ? 1 : 0;
}

}  // namespace
}  // namespace millet::crash

int main(int argc, char** argv) {
  if (!millet::crypto_init()) return 1;
  return millet::crash::run(argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 400, argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1);
}
