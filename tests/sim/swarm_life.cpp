// How long a swarm keeps a file, with and without BitTorrent Speed: the white paper's claim ("swarm longevity"), measured. One run is one
// swarm of whole nodes in virtual time: a publisher that leaves, users who come ever more rarely, download, and go again. Who comes when,
// over which link, and how long each would stay by itself follows from the seed alone, so that runs with other shares of payers compare the
// same users. Prints one line of JSON; swarm_life.py runs many and draws conclusions.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "sim/scenario_tools.h"

namespace millet::simtest {
namespace {

// The assumptions (README.md says them in words).
constexpr Duration k_horizon = Duration::hours(12);
constexpr Duration k_publisher_leaves = Duration::minutes(60);
constexpr Duration k_patience = Duration::hours(2);  // of who still waits for the file
constexpr double k_interest_fades_s = 2.5 * 3600;    // arrivals fall to 1/e in this time
constexpr uint64_t k_size = 16 << 20;
constexpr uint32_t k_piece_size = 64 * 1024;
constexpr uint64_t k_uplinks[] = {12'000, 25'000, 60'000};  // bytes per second
constexpr uint64_t k_downlink_factor = 8;
constexpr uint64_t k_leave_at_once_percent = 40;  // of those who are done
constexpr double k_stay_mean_s = 20 * 60;         // of the others
constexpr uint64_t k_funds_micro = 100'000;       // of who has Speed: the file costs 16,777 at the least price

constexpr Duration k_step = Duration::seconds(5);
constexpr int64_t k_sample_steps = 12;  // one look a minute at which pieces are there

struct Options {
  Run run;
  uint64_t speed_percent = 0;  // of the users
  uint32_t users = 80;
  int64_t stay_minutes = 0;  // that who was paid within this time stays on; 0: nobody stays for money
};

double draw_exponential(Random& random, double mean) {
  return -mean * std::log(1.0 - static_cast<double>(random.below(1 << 30)) / static_cast<double>(1 << 30));
}

// What is drawn for a user, whatever the options.
struct User {
  uint32_t machine = 0;
  bool speed = false;
  Duration joins;
  Duration stays;  // after it is done
  std::vector<bool> pieces;
  uint32_t piece_count = 0;
  bool left = false;
  Instant complete_at = Instant::never();
  Instant leaves_at = Instant::never();
  Amount earned;  // when it was asked last
  bool complete() const { return !complete_at.is_never(); }
};

class Life {
 public:
  explicit Life(const Options& options) : options_(options), swarm_(options.run, payload_options()) {
    swarm_.add_tracker(sim::LinkOptions{});
    publisher_ = add(make_spec("publisher", 100'000, false, Duration()), true);
    for (uint32_t i = 0; i < options_.users; ++i) add_user(i);
    swarm_.add_ledger(sim::LinkOptions{});
  }

  void run() {
    const int64_t steps = k_horizon.in_ms() / k_step.in_ms();
    for (int64_t step = 1; step <= steps && swarm_.report().clean(); ++step) {
      swarm_.run_for(k_step);
      const Instant now = swarm_.world().now();
      if (!publisher_left_ && now >= Instant() + k_publisher_leaves) {
        leave(publisher_);
        publisher_left_ = true;
      }
      for (User& user : users_) live(user, now);
      if (step % k_sample_steps == 0) sample();
    }
  }

  bool print() {
    for (const std::string& breach : swarm_.report().breaches())
      std::fprintf(stderr, "swarm_life: seed %llu: %s\n", seed(), breach.c_str());
    if (!swarm_.report().clean()) return false;
    std::printf("{\"seed\": %llu, \"speed_percent\": %llu, \"stay_minutes\": %lld, \"events\": %llu, \"minutes_after_publisher\": %u, ",
                seed(), static_cast<unsigned long long>(options_.speed_percent), static_cast<long long>(options_.stay_minutes),
                static_cast<unsigned long long>(swarm_.world().events()), minutes_);
    std::printf(
        "\"whole_minutes\": %u, \"last_whole_minute\": %u, \"seedless_minutes\": %u, \"seedless_whole_minutes\": %u, \"whole\": \"%s\", ",
        whole_minutes_, last_whole_minute_, seedless_minutes_, seedless_whole_minutes_, whole_.c_str());
    std::printf("\"paid_mb\": %.3f, ", static_cast<double>(swarm_.money().paid_blocks()) * 16384 / 1e6);
    print_users("speed", true);
    std::printf(", ");
    print_users("legacy", false);
    std::printf("}\n");
    return true;
  }

 private:
  static PayloadOptions payload_options() {
    PayloadOptions payload;
    payload.size = k_size;
    payload.piece_size = k_piece_size;
    return payload;
  }
  unsigned long long seed() const { return options_.run.seed; }

  static NodeSpec make_spec(const std::string& name, uint64_t uplink, bool speed, Duration joins) {
    NodeSpec spec;
    spec.name = name;
    spec.joins = joins;
    spec.link.delay = Duration::ms(20);
    spec.link.up_rate = uplink;
    spec.link.down_rate = uplink * k_downlink_factor;
    spec.config.upload_rate = uplink * 9 / 10;
    spec.config.upload_slots = 4;
    if (speed) {
      spec.config.speed_enabled = true;
      spec.funds = spec.budget.emplace(Amount::micro(k_funds_micro));
    }
    return spec;
  }
  uint32_t add(NodeSpec spec, bool seeds) {
    spec.seeds = seeds;
    return swarm_.add_node(std::move(spec));
  }
  void add_user(uint32_t number) {
    Random& random = swarm_.random();
    const double drawn = static_cast<double>(random.below(1 << 30)) / static_cast<double>(1 << 30);
    const double whole = 1.0 - std::exp(-static_cast<double>(k_horizon.in_ms()) / 1000 / k_interest_fades_s);
    User user;
    user.joins = Duration::ms(static_cast<int64_t>(-k_interest_fades_s * std::log(1.0 - drawn * whole) * 1000));
    const uint64_t uplink = k_uplinks[random.below(std::size(k_uplinks))];
    const bool at_once = random.below(100) < k_leave_at_once_percent;
    const double stays_s = draw_exponential(random, k_stay_mean_s);
    user.stays = Duration::ms(at_once ? 0 : static_cast<int64_t>(stays_s * 1000));
    user.speed = random.below(100) < options_.speed_percent;
    user.pieces.resize(k_size / k_piece_size);
    user.machine = add(make_spec("user" + std::to_string(number), uplink, user.speed, user.joins), false);
    users_.push_back(std::move(user));
  }

  void leave(uint32_t machine) {
    if (swarm_.world().machine(machine).running()) swarm_.world().machine(machine).ask_to_shut_down();
  }

  void live(User& user, Instant now) {
    const Instant joined = Instant() + user.joins;
    if (user.left || now < joined) return;
    Node* node = swarm_.running_node(user.machine);
    if (node == nullptr) return;
    const std::vector<TorrentStatus> torrents = node->torrents(swarm_.world().machine(user.machine).monotonic());
    if (torrents.empty()) return;
    const TorrentStatus& torrent = torrents.front();
    if (!user.complete() && torrent.state == TorrentState::seeding) {
      user.complete_at = now;
      user.leaves_at = now + user.stays;
    }
    if (!user.complete()) {
      user.left = now - joined >= k_patience;
    } else if (now >= user.leaves_at) {
      const bool paid = torrent.earned > user.earned;
      user.earned = torrent.earned;
      if (paid && options_.stay_minutes > 0) {
        user.leaves_at = now + Duration::minutes(options_.stay_minutes);
      } else {
        user.left = true;
      }
    }
    if (user.left) leave(user.machine);
  }

  // Which pieces a user's disk holds; they only become more.
  void look_at_disk(User& user) {
    if (user.piece_count == user.pieces.size()) return;
    const std::vector<uint8_t>& wanted = swarm_.payload().files.front().bytes;
    const std::vector<uint8_t>* there =
        swarm_.world().machine(user.machine).disk().content(std::string(k_data_root) + "/" + swarm_.payload().files.front().path);
    if (there == nullptr) return;
    for (size_t piece = 0; piece < user.pieces.size(); ++piece) {
      const size_t at = piece * k_piece_size;
      if (user.pieces[piece] || there->size() < at + k_piece_size || std::memcmp(there->data() + at, wanted.data() + at, k_piece_size) != 0)
        continue;
      user.pieces[piece] = true;
      ++user.piece_count;
    }
  }

  void sample() {
    if (!publisher_left_) return;
    ++minutes_;
    std::vector<bool> together(k_size / k_piece_size);
    bool anybody = false, seed = false;
    for (User& user : users_) {
      if (user.left || swarm_.running_node(user.machine) == nullptr) continue;
      look_at_disk(user);
      anybody = true;
      seed = seed || user.complete();
      for (size_t piece = 0; piece < together.size(); ++piece) together[piece] = together[piece] || user.pieces[piece];
    }
    const bool whole = std::find(together.begin(), together.end(), false) == together.end();
    whole_ += whole ? '1' : '0';
    if (whole) {
      ++whole_minutes_;
      last_whole_minute_ = minutes_;
    }
    if (anybody && !seed) {
      ++seedless_minutes_;
      if (whole) ++seedless_whole_minutes_;
    }
  }

  void print_users(const char* name, bool speed) {
    uint32_t arrived = 0, complete = 0;
    std::string times;
    for (const User& user : users_) {
      if (user.speed != speed) continue;
      ++arrived;
      if (!user.complete()) continue;
      ++complete;
      times += (times.empty() ? "" : ", ") + std::to_string((user.complete_at - (Instant() + user.joins)).in_ms() / 1000);
    }
    std::printf("\"%s\": {\"arrived\": %u, \"complete\": %u, \"seconds\": [%s]}", name, arrived, complete, times.c_str());
  }

  Options options_;
  Swarm swarm_;
  uint32_t publisher_ = 0;
  bool publisher_left_ = false;
  std::vector<User> users_;
  uint32_t minutes_ = 0;
  uint32_t whole_minutes_ = 0;
  uint32_t last_whole_minute_ = 0;
  uint32_t seedless_minutes_ = 0;
  uint32_t seedless_whole_minutes_ = 0;
  std::string whole_;  // a digit a minute
};

bool parse(int argc, char** argv, Options& options) {
  options.run.forced = Transports::tcp;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    char* end = nullptr;
    const uint64_t value = std::strtoull(argv[i + 1], &end, 10);
    if (*end != 0) return false;
    if (name == "--seed") {
      options.run.seed = value;
    } else if (name == "--speed-percent" && value <= 100) {
      options.speed_percent = value;
    } else if (name == "--users" && value <= 200) {
      options.users = static_cast<uint32_t>(value);
    } else if (name == "--stay-minutes" && value <= 1440) {
      options.stay_minutes = static_cast<int64_t>(value);
    } else {
      return false;
    }
  }
  return argc % 2 == 1;
}

}  // namespace
}  // namespace millet::simtest

int main(int argc, char** argv) {
  millet::simtest::Options options;
  if (!parse(argc, argv, options)) {
    std::fprintf(stderr, "usage: swarm_life [--seed N] [--speed-percent 0..100] [--stay-minutes 0..1440] [--users 0..200]\n");
    return 2;
  }
  millet::simtest::Life life(options);
  life.run();
  return life.print() ? 0 : 1;
}
