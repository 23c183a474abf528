// A payment channel as commands: a payer's and a payee's engine against each other (unit/speed_world.h), and an input that says what
// happens to them: messages are lost, doubled, held back and overtaken, connections break, power is cut with or without what the disk was
// busy with, stores come back from earlier, clocks leap, the ledger goes away. The idea is that of LDK's chanmon_consistency.
//
//   input:   settings (8 bytes) then commands of 2 bytes: what, and how much
//
// After every event (Watch): 0 <= unpaid <= window, unpaid of unknown payers <= bucket, paid <= sum over (the bid that the RATE named x
// bytes verified), nothing is signed that the durable lease does not cover, sequences and durable amounts grow, the supply holds. In the
// end everything heals, and then the download completes and every channel ends.
#include <cstdio>

#include "fuzz/fuzz.h"
#include "unit/speed_world.h"

using namespace millet;
using namespace millet::speed;
using namespace millet::speed::world;

namespace {

constexpr size_t k_settings_size = 8;
constexpr size_t k_commands_max = 96;
constexpr Duration k_heals_max = Duration::hours(24 * 4);  // bans for what was done to messages run out meanwhile

enum Command : uint8_t {
  k_run_ms,       // 1 to 256
  k_run_s,        // 0.25 to 64
  k_events,       // 1 to 32 events
  k_drop,         // the next message of a node
  k_double,       // the same, it comes twice
  k_hold,         // the same, it comes at k_release
  k_release,      // the oldest or the newest that is held
  k_cut,          // the connection, for up to 8 s
  k_crash,        // power cut; up to 3 commits land all the same
  k_crash_older,  // and the store is the one of some commits ago
  k_vanish,       // it falls silent, and comes back later
  k_restart,      // in good order
  k_ledger_away,
  k_ledger_mute,  // answers are lost
  k_slow_disk,
  k_leap,      // the ledger's clock
  k_suspend,   // both machines sleep
  k_settings,  // the owner changes the reserve or the budget's rate
  k_commands,
};

std::unique_ptr<World> make_world(Bytes settings) {
  Settings set;
  set.piece_size = 32 * 1024u << settings[0] % 3;
  set.pieces = 4 + settings[1] % 28;
  set.pipeline = 1 + settings[2] % 16;
  set.delay = Duration::ms(1 + settings[3] % 64);
  set.block_time = Duration::ms(2 + settings[4] % 128);
  set.commit_time = Duration::ms(1 + settings[5] % 32);
  set.work_time = Duration::us(50 + 40 * settings[6]);
  set.free_slots = settings[7] >> 7;
  auto world = std::make_unique<World>(settings[7], set);
  world->keep_earlier = true;
  Node& provider = world->add("provider", true);
  provider.options.payee.window_pieces = 1u << settings[7] % 3;
  provider.options.payee.risk_pieces = 2 + settings[6] % 64;
  if ((settings[7] & 8) != 0) provider.options.payee.claim_threshold = Amount::micro(500);
  Node& requester = world->add("requester", false, 2'000'000);
  world->ledger.fund(requester.key, 20'000'000);
  world->connect(requester, provider);
  return world;
}

class Life {
 public:
  explicit Life(Bytes settings) : world_(make_world(settings)) {
    world_->on_send = [this](Node& from, PeerHandle to, std::vector<uint8_t>& payload) { return on_send(from, to, payload); };
    for (auto& node : world_->nodes) world_->start(*node);
  }

  void run(uint8_t what, uint8_t much) {
    Node& node = *world_->nodes[much & 1];
    switch (what % k_commands) {
      case k_run_ms: wait(Duration::ms(1 + much)); break;
      case k_run_s: wait(Duration::ms(250 * (1 + much))); break;
      case k_events: {
        uint64_t end = world_->events + 1 + much % 32;
        world_->run(world_->now + Duration::seconds(60), [&] { return world_->events >= end; });
        break;
      }
      case k_drop:
      case k_double:
      case k_hold: next_[much & 1] = what % k_commands; break;
      case k_release: release(much & 2); break;
      case k_cut: world_->cut(0, world_->now + Duration::ms(32 * much)); break;
      case k_crash:
        world_->crash(node, much >> 1 & 3);
        start(node, much >> 3);
        break;
      case k_crash_older: crash_older(node, much >> 1 & 7, much >> 4); break;
      case k_vanish:
        world_->vanish(node);
        wait(Duration::ms(500 * (much >> 1)));
        world_->cut(0, world_->now);
        start(node, 0);
        break;
      case k_restart:
        node.speed->shut_down(world_->now);
        world_->drain(node);
        world_->run(world_->now + Duration::seconds(5), [&] { return node.speed->is_quiet(); });
        world_->crash(node);
        start(node, much >> 1);
        break;
      default: disturb(what % k_commands, much);
    }
  }

  bool is_good() const { return world_->violations.empty(); }

  // Everything heals.
  void finish() {
    next_[0] = next_[1] = 0;
    held_.clear();
    world_->ledger.up = true;
    world_->ledger_loses_replies = false;
    world_->disturbed_commit = Duration();
    world_->cut(0, world_->now + Duration::seconds(1));
    Instant end = world_->now + k_heals_max;
    if (!world_->run(end, [&] { return world_->everybody_complete(); }) && is_good()) world_->violate("the download never ends");
    world_->run(world_->now + Duration::hours(26), [&] { return world_->all_channels_ended(); });
    world_->ledger.expire(world_->ledger_now());
    if (is_good() && !world_->all_channels_ended()) world_->violate("a channel never ends");
  }

  void report() const {
    for (const std::string& violation : world_->violations) std::fprintf(stderr, "%s\n", violation.c_str());
  }

 private:
  struct Held {
    Node* from;
    PeerHandle to;
    std::vector<uint8_t> payload;
  };

  void wait(Duration time) { world_->run(world_->now + time); }
  void start(Node& node, uint64_t after) {
    wait(Duration::ms(static_cast<int64_t>(after * 100)));
    world_->start(node);
    Link& link = world_->links[0];
    if (!link.up) link.reconnect_at = earlier(link.reconnect_at, world_->now + Duration::ms(50));
  }
  // What the engines promised in between is void: a backup is older than promises.
  void crash_older(Node& node, size_t commits, uint64_t after) {
    world_->crash(node);
    if (!node.earlier.empty() && commits > 0) {
      node.store = node.earlier[node.earlier.size() - std::min(commits, node.earlier.size())];
      node.earlier.clear();
      if (node.provider) {
        world_->forget_promises();
      } else {
        world_->forgive_lease = true;
      }
    }
    start(node, after);
  }
  void disturb(uint8_t what, uint8_t much) {
    switch (what) {
      case k_ledger_away: world_->ledger.up = !world_->ledger.up; break;
      case k_ledger_mute: world_->ledger_loses_replies = !world_->ledger_loses_replies; break;
      case k_slow_disk: world_->disturbed_commit = Duration::ms(16 * much); break;
      case k_leap: world_->ledger_leap_s += 20 * much; break;
      case k_suspend: world_->now = world_->now + Duration::seconds(much); break;
      default: {
        Node& provider = *world_->nodes[0];
        provider.options.payee.reserve = Rate::pico_per_byte(250 * (1 + much % 16));
        provider.speed->set_options(world_->now, provider.options);
        world_->drain(provider);
      }
    }
  }
  bool on_send(Node& from, PeerHandle to, std::vector<uint8_t>& payload) {
    uint8_t& what = next_[from.provider ? 0 : 1];
    switch (std::exchange(what, uint8_t{0})) {
      case k_drop: return false;
      case k_hold:
        if (held_.size() < 16) held_.push_back({&from, to, payload});
        return false;
      case k_double:
        if (Result<Message> message = decode(payload)) world_->inject(from, to, *message);
        return true;
      default: return true;
    }
  }
  void release(bool newest) {
    if (held_.empty()) return;
    auto at = newest ? held_.end() - 1 : held_.begin();
    Held held = std::move(*at);
    held_.erase(at);
    Result<Message> message = decode(held.payload);
    if (message && held.from->running) world_->inject(*held.from, held.to, *message);
  }

  std::unique_ptr<World> world_;
  uint8_t next_[2] = {0, 0};  // what happens to the next message of the provider, the requester
  std::vector<Held> held_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Bytes input(data, size);
  if (size < k_settings_size) return 0;
  Life life(input.first(k_settings_size));
  for (size_t at = k_settings_size, i = 0; at + 1 < size && i < k_commands_max && life.is_good(); at += 2, ++i) {
    life.run(input[at], input[at + 1]);
  }
  if (life.is_good()) life.finish();
  if (!life.is_good()) life.report();
  CHECK(life.is_good());
  return 0;
}

std::vector<std::string> fuzz_samples() {
  auto sample = [](std::initializer_list<int> bytes) {
    std::string out;
    for (int byte : bytes) out += static_cast<char>(byte);
    return out;
  };
  return {sample({1,        20, 6,       20, 10,     5, 10,      0, k_run_s,   8, k_drop,  1,  k_run_ms, 200,
                  k_double, 1,  k_run_s, 4,  k_hold, 0, k_run_s, 2, k_release, 0, k_run_s, 40, k_cut,    30}),
          sample({0,
                  27,
                  12,
                  5,
                  60,
                  20,
                  0,
                  8,
                  k_run_s,
                  20,
                  k_crash,
                  3,
                  k_run_s,
                  20,
                  k_crash,
                  4,
                  k_run_s,
                  30,
                  k_crash_older,
                  5,
                  k_run_s,
                  30,
                  k_crash_older,
                  6,
                  k_run_s,
                  30,
                  k_vanish,
                  40,
                  k_restart,
                  0,
                  k_restart,
                  1,
                  k_run_s,
                  200}),
          sample({2,
                  27,
                  3,
                  60,
                  120,
                  30,
                  255,
                  2,
                  k_events,
                  20,
                  k_ledger_away,
                  0,
                  k_run_s,
                  30,
                  k_ledger_away,
                  0,
                  k_ledger_mute,
                  0,
                  k_run_s,
                  60,
                  k_slow_disk,
                  250,
                  k_ledger_mute,
                  0,
                  k_run_s,
                  60,
                  k_leap,
                  200,
                  k_run_s,
                  60,
                  k_suspend,
                  90,
                  k_settings,
                  9,
                  k_run_s,
                  100})};
}
