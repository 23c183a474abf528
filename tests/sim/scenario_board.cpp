// Each seed is one of five scripts. A script is the device: every second it looks at what the node does, sets what the node will read, and
// says what must not be.
#include "sim/scenario_board.h"

#include <algorithm>

#include "sim/scenario_tools.h"

namespace millet::simtest {
namespace {

// The device of one node.
class Script : public sim::EventTarget {
 public:
  Script(Swarm& swarm, uint32_t machine) : swarm_(swarm), machine_(machine) {
    swarm_.world().add_target(*this);
    swarm_.world().schedule(Duration::seconds(1), *this, 0);
  }
  ~Script() override { swarm_.world().remove_target(*this); }
  void on_event(uint32_t, uint64_t, uint64_t) override {
    ++second_;
    if (Node* node = swarm_.running_node(machine_)) each_second(*node, node->stats(machine().monotonic()));
    swarm_.world().schedule(Duration::seconds(1), *this, 0);
  }

 protected:
  virtual void each_second(Node& node, const NodeStats& stats) = 0;
  sim::Machine& machine() { return swarm_.world().machine(machine_); }
  sim::Board& board() { return machine().board(); }
  DeviceReadings& readings() { return board().readings; }
  void require(bool condition, const std::string& what) { swarm_.report().require(condition, what); }
  uint64_t second() const { return second_; }
  bool is_limited(const NodeStats& stats, std::string_view what) const {
    return std::any_of(stats.limits.begin(), stats.limits.end(), [&](const DeviceLimit& limit) { return limit.what == what; });
  }

  Swarm& swarm_;

 private:
  uint32_t machine_;
  uint64_t second_ = 0;
};

NodeSpec make_spec(const std::string& name) {
  NodeSpec spec;
  spec.name = name;
  spec.config.reserve = {};
  return spec;
}

PayloadOptions payload_of(uint64_t size) {
  PayloadOptions payload;
  payload.size = size;
  payload.piece_size = 64 * 1024;
  return payload;
}

void must_complete(Swarm& swarm, Duration limit) {
  if (swarm.report().clean()) swarm.run_until_complete(limit);
}

// ---- a hot board ----

// The chip takes heat from every byte and gives it to the air. At the rate of the line it would pass the limit within a minute.
class HotBoard final : public Script {
 public:
  static constexpr uint64_t k_line = 300'000;  // bytes per second
  static constexpr int32_t k_limit = 95'000;   // thousandths of a degree
  using Script::Script;
  bool was_limited() const { return was_limited_; }
  int32_t hottest() const { return hottest_; }

 private:
  void each_second(Node&, const NodeStats& stats) override {
    int32_t air = second() < k_cool_from ? 55'000 : 20'000;
    int32_t settles = air + static_cast<int32_t>(stats.upload_rate * 50'000 / k_line);
    heat_ += (settles - heat_) / 30;
    hottest_ = std::max(hottest_, heat_);
    readings().heat = {heat_, k_limit, "cpu"};
    require(heat_ < k_limit, "the chip reaches " + std::to_string(heat_) + " and slows down");
    bool limited = is_limited(stats, "upload");
    was_limited_ = was_limited_ || limited;
    require(second() < 30 || second() >= k_cool_from || stats.upload_rate > k_line / 50, "a hot board uploads nothing at all");
    // In the cold everything is as it was, after a while.
    require(!limited || second() < k_cool_from + 240, "the board is cool, and its uploads are still limited");
  }
  static constexpr uint64_t k_cool_from = 100;
  int32_t heat_ = 55'000;
  int32_t hottest_ = 0;
  bool was_limited_ = false;
};

void run_hot(Swarm& swarm) {
  swarm.add_tracker(sim::LinkOptions{});
  NodeSpec seed = make_spec("seed");
  seed.seeds = seed.has_board = true;
  seed.link.up_rate = HotBoard::k_line;
  HotBoard script(swarm, swarm.add_node(std::move(seed)));
  swarm.add_node(make_spec("leech"));
  must_complete(swarm, Duration::minutes(30));
  swarm.run_for(Duration::minutes(6));
  swarm.report().require(script.was_limited(), "the board was never hot: " + std::to_string(script.hottest()));
}

// ---- a sleeping disk ----

// A disk that spins down when nobody has used it for a minute. Two slow peers come and go; the cache forgets.
class SleepingDisk final : public Script {
 public:
  static constexpr uint64_t k_spin_down = 60;  // seconds
  using Script::Script;
  uint64_t wakes() const { return wakes_; }
  uint64_t slept() const { return slept_; }

 private:
  void each_second(Node&, const NodeStats& stats) override {
    uint64_t payload = machine().disk().accesses();
    bool payload_used = payload != payload_;
    bool state_used = stats.commits != commits_;
    payload_ = payload;
    commits_ = stats.commits;
    // Both are on this one disk.
    bool asleep = second() - used_at_ >= k_spin_down;
    if (asleep) ++slept_;
    if (asleep && (payload_used || state_used)) ++wakes_;
    // What began before the node could know does not count, nor does the start.
    bool knew = second() - used_at_ >= k_spin_down + 20 && second() >= 300;
    require(!knew || !state_used || payload_used, "a sleeping disk is woken for state that nobody waits for");
    if (payload_used || state_used) used_at_ = second();
    if (second() % 5 == 0) machine().disk().drop_cache();
    readings().payload_disk = readings().state_disk = DeviceReadings::Disk{true, asleep, payload + stats.commits};
  }
  uint64_t payload_ = 0;
  uint64_t commits_ = 0;
  uint64_t used_at_ = 0;
  uint64_t wakes_ = 0;
  uint64_t slept_ = 0;
};

void run_sleepy(Swarm& swarm) {
  swarm.add_tracker(sim::LinkOptions{});
  NodeSpec seed = make_spec("seed");
  seed.seeds = seed.has_board = true;
  seed.config.disk_bursts_s = 600;
  SleepingDisk script(swarm, swarm.add_node(std::move(seed)));
  for (int i = 0; i < 2; ++i) {
    NodeSpec leech = make_spec("leech" + std::to_string(i));
    leech.link.down_rate = 10'000;
    leech.joins = Duration::seconds(30 + 900 * i);
    swarm.add_node(std::move(leech));
  }
  must_complete(swarm, Duration::hours(3));
  swarm.run_for(Duration::hours(2));
  // Awake in bursts: some at the start, then one for each quarter of an hour at most.
  uint64_t seconds = static_cast<uint64_t>((swarm.world().now() - Instant()).in_seconds());
  swarm.report().require(script.slept() > seconds / 2, "the disk slept for " + std::to_string(script.slept()) + " s only");
  swarm.report().require(script.wakes() <= seconds / 600 + 2, "the disk was woken " + std::to_string(script.wakes()) + " times");
}

// ---- connection tracking ----

// The router's table is full of other people's connections for five minutes.
class FullTable final : public Script {
 public:
  using Script::Script;
  static constexpr uint64_t k_full_until = 300;

 private:
  void each_second(Node&, const NodeStats& stats) override {
    readings().tracking = {second() < k_full_until ? 970u : 300u, 1000};
    if (second() >= k_full_until) return;
    require(stats.peers == 0, "a node dials while the table of connections is full");
    require(is_limited(stats, "connecting"), "nobody is told that the table is full");
  }
};

void run_tracked(Swarm& swarm) {
  swarm.add_tracker(sim::LinkOptions{});
  NodeSpec seed = make_spec("seed");
  seed.seeds = true;
  seed.config.trackers = false;  // it can only be dialled
  uint32_t provider = swarm.add_node(std::move(seed));
  NodeSpec leech = make_spec("leech");
  leech.has_board = true;
  leech.joins = Duration::seconds(2);
  leech.peers = {swarm.endpoint(provider)};
  uint32_t machine = swarm.add_node(std::move(leech));
  swarm.world().machine(machine).board().readings.tracking = {970u, 1000};
  FullTable script(swarm, machine);
  must_complete(swarm, Duration::minutes(20));
}

// ---- memory ----

// Something else on the board needs memory: it shrinks for a minute, is nearly gone for another, and comes back.
class ShrinkingMemory final : public Script {
 public:
  using Script::Script;
  uint32_t least() const { return least_; }

 private:
  void each_second(Node& node, const NodeStats& stats) override {
    bool tight = second() >= 60 && second() < 120, critical = second() >= 120 && second() < 180;
    readings().memory = {tight ? 5'000u : critical ? 2'000u : 24'000u, 57'344, 0, 0};
    if (second() == 60) peers_ = stats.peers;
    if (second() == 60 || second() == 120) board().alarm();  // the kernel's trigger
    if (second() > 63 && second() < 180) {
      require(stats.peers <= peers_, "peers are taken while memory is short");
      require(board().trims() > 0, "memory is not given back");
    }
    if (second() > 150 && second() < 180) require(stats.peers <= std::max(peers_ / 4, DevicePolicy::k_peers_min), "too many peers stay");
    if (second() > 125) least_ = std::min(least_, stats.peers);
    require(second() < 300 || !node.device_orders().low_memory, "there is memory again, and the node does not use it");
  }
  uint32_t peers_ = UINT32_MAX;
  uint32_t least_ = UINT32_MAX;
};

void run_shrinking(Swarm& swarm) {
  swarm.add_tracker(sim::LinkOptions{});
  NodeSpec seed = make_spec("seed");
  seed.seeds = seed.has_board = true;
  seed.link.up_rate = 150'000;
  uint32_t machine = swarm.add_node(std::move(seed));
  ShrinkingMemory script(swarm, machine);
  for (int i = 0; i < 12; ++i) {
    NodeSpec leech = make_spec("leech" + std::to_string(i));
    leech.config.trackers = false;  // a star: all need the seed
    leech.peers = {swarm.endpoint(machine)};
    swarm.add_node(std::move(leech));
  }
  must_complete(swarm, Duration::minutes(60));
  swarm.report().require(script.least() <= DevicePolicy::k_peers_min, "the node kept " + std::to_string(script.least()) + " peers");
}

// ---- link ----

// The way out is gone for twenty minutes, in which everybody forgets the node.
class LostLink final : public Script {
 public:
  static constexpr uint64_t k_down = 20;
  static constexpr uint64_t k_up = 1220;
  using Script::Script;
  uint64_t reached_at() const { return reached_at_; }

 private:
  void each_second(Node& node, const NodeStats& stats) override {
    bool down = second() >= k_down && second() < k_up;
    readings().has_route = !down;
    if (second() == k_down || second() == k_up) {
      uint32_t alone = machine().index();
      down ? swarm_.world().network().partition(std::span(&alone, 1)) : swarm_.world().network().rejoin(alone);
      board().alarm();
    }
    // Whoever was connected is found dead within the time-outs of the transports; nobody is dialled.
    if (second() > k_down + 240 && down) require(stats.peers == 0, "a node without a way out dials");
    if (second() == k_down + 240) urls_ = announces(node);
    if (second() == k_up - 1) require(announces(node) == urls_, "a node without a way out announces");
    if (!down && second() >= k_up && reached_at_ == 0 && connected(node)) reached_at_ = second();
    if (second() == k_up + 15) require(reached_at_ != 0, "a node whose link is back is alone after 15 s");
  }
  // Connections of the torrent, without those half open.
  bool connected(Node& node) {
    std::vector<TorrentStatus> torrents = node.torrents(machine().monotonic());
    return !torrents.empty() && torrents[0].peers > 0;
  }
  // Each failed attempt is a warning in the log.
  uint64_t announces(Node&) { return swarm_.log().count(LogLevel::warn); }
  uint64_t reached_at_ = 0;
  uint64_t urls_ = 0;
};

void run_unplugged(Swarm& swarm) {
  swarm.add_tracker(sim::LinkOptions{});
  NodeSpec seed = make_spec("seed");
  seed.seeds = true;
  seed.config.upload_rate = 20'000;
  swarm.add_node(std::move(seed));
  NodeSpec leech = make_spec("leech");
  leech.has_board = true;
  LostLink script(swarm, swarm.add_node(std::move(leech)));
  must_complete(swarm, Duration::minutes(60));
  swarm.report().require(script.reached_at() != 0, "the link never came back");
}

}  // namespace

Outcome run_board(const Run& run) {
  using Play = void (*)(Swarm&);
  struct Part {
    Play play;
    uint64_t size;
  };
  constexpr Part k_parts[] = {
      {run_hot, 40'000'000}, {run_sleepy, 3'000'000}, {run_tracked, 500'000}, {run_shrinking, 4'000'000}, {run_unplugged, 2'000'000}};
  const Part& part = k_parts[run.seed % std::size(k_parts)];
  Swarm swarm(run, payload_of(part.size));
  part.play(swarm);
  return outcome_of(swarm);
}

}  // namespace millet::simtest
