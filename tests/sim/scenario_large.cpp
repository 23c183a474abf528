// Up to 300 whole nodes around one torrent, and a ledger. First everything goes wrong: faults of every machine, and up to half of the
// peers cheat. Nothing that the checkers watch may happen then (safety). Then the faults heal: every honest node ends complete, whatever
// the cheats go on doing, and every channel ends (liveness).
#include "sim/scenario_large.h"

#include "sim/cheap_signatures.h"
#include "sim/cheats.h"
#include "sim/scenario_tools.h"

namespace millet::simtest {
namespace {

constexpr uint32_t k_nodes_min = 12;
constexpr uint32_t k_nodes_max = 300;
constexpr Duration k_safety = Duration::seconds(180);
constexpr Duration k_liveness = Duration::minutes(90);
constexpr Duration k_settlement = Duration::minutes(60);
constexpr Duration k_channel_life = Duration::hours(25);  // a day, and what outages of the ledger add

constexpr FaultKind k_kinds[] = {FaultKind::kill,      FaultKind::kill,      FaultKind::power_cut,  FaultKind::power_cut,
                                 FaultKind::partition, FaultKind::slow_disk, FaultKind::slow_store, FaultKind::drop_cache,
                                 FaultKind::step_wall, FaultKind::lossy,     FaultKind::lossy,      FaultKind::full_disk,
                                 FaultKind::drift,     FaultKind::split};

// What a seed makes of the swarm.
struct Plan {
  uint32_t nodes = 0;
  uint32_t cheats = 0;
  uint32_t seeds = 0;
  uint32_t legacy_percent = 0;
  uint32_t faults = 0;
};

// Mostly some dozens, so that many seeds are seen; every eighth seed or so is of hundreds.
uint32_t draw_nodes(Random& random) {
  constexpr uint32_t k_below[] = {16, 16, 24, 24, 40, 60, 100, k_nodes_max};
  uint32_t below = k_below[random.below(8)];
  uint32_t least = below == k_nodes_max ? 200 : k_nodes_min;
  return least + static_cast<uint32_t>(random.below(below - least + 1));
}

Plan draw_plan(const Run& run, Random& random) {
  constexpr uint32_t k_cheat_percents[] = {0, 10, 25, 50};
  Plan plan;
  plan.nodes = draw_nodes(random);
  if (run.nodes) plan.nodes = std::clamp(*run.nodes, k_nodes_min, k_nodes_max);
  plan.cheats = plan.nodes * k_cheat_percents[random.below(4)] / 100;
  plan.seeds = 2 + plan.nodes / 16;
  plan.legacy_percent = static_cast<uint32_t>(random.below(30));
  plan.faults = static_cast<uint32_t>(random.below(plan.nodes + 4));
  return plan;
}

NodeSpec draw_peer(Random& random, const Plan& plan, uint32_t number) {
  constexpr uint64_t k_limits[] = {20'000, 40'000, 100'000, 300'000};
  NodeSpec spec;
  spec.name = "n" + std::to_string(number);
  spec.link = draw_link(random);
  spec.config.memory_mib = 16;
  spec.config.upload_rate = k_limits[random.below(4)];
  spec.config.upload_slots = static_cast<uint32_t>(3 + random.below(6));
  spec.config.peers_max = plan.nodes < 40 ? 40 : static_cast<uint32_t>(16 + random.below(24));
  return spec;
}

void give_money(Random& random, NodeSpec& spec) {
  spec.config.speed_enabled = true;
  spec.funds = Amount::micro(100'000 + random.below(5'000'000));
  spec.budget = Amount::micro(2'000 + random.below(100'000));
  spec.max_rate = Rate::pico_per_byte(1'000 + random.below(20'000));
  spec.config.exposure_pieces = static_cast<uint32_t>(1 + random.below(2));
}

PayloadOptions draw_large_payload(uint64_t seed) {
  Random random(seed ^ 0x6c61726765u);
  PayloadOptions options;
  options.piece_size = uint32_t{16 * 1024} << random.below(3);
  uint64_t pieces = 12 + random.below(12);
  options.size = pieces * options.piece_size + random.below(options.piece_size);
  options.files = static_cast<uint32_t>(1 + random.below(3));
  return options;
}

// Nobody who keeps the rules is banned by somebody who does.
class BanWatch final : public LogWatch {
 public:
  explicit BanWatch(Swarm& swarm) : swarm_(swarm) { swarm_.log().set_watch(this); }
  ~BanWatch() override { swarm_.log().set_watch(nullptr); }
  void add(const std::string& name, const IpAddress& address) { honest_.push_back({name, " address=" + address.to_string() + " "}); }
  void on_line(const std::string& machine, std::string_view line) override {
    if (line.find("peer_banned") == std::string_view::npos) return;
    bool by_honest = false, of_honest = false;
    for (const auto& [name, address] : honest_) {
      by_honest = by_honest || name == machine;
      of_honest = of_honest || line.find(address) != std::string_view::npos;
    }
    if (by_honest && of_honest) swarm_.report().breach(machine + " bans an honest peer: " + std::string(line));
  }

 private:
  Swarm& swarm_;
  std::vector<std::pair<std::string, std::string>> honest_;
};

class Large {
 public:
  Large(const Run& run, Swarm& swarm)
      : swarm_(swarm), random_(swarm.random()), plan_(draw_plan(run, swarm.random())), comings_(swarm), bans_(swarm) {}

  void build() {
    swarm_.log().set_quiet();
    machines_.push_back(swarm_.add_tracker(sim::LinkOptions{}));
    for (uint32_t i = 0; i < plan_.nodes - plan_.cheats; ++i) add_honest(i);
    for (uint32_t i = 0; i < plan_.cheats; ++i) add_cheat(i);
    machines_.push_back(swarm_.add_ledger(sim::LinkOptions{}));
    swarm_.faults().draw(random_, k_kinds, machines_, k_safety, plan_.faults);
  }

  void run() {
    swarm_.run_for(k_safety);
    swarm_.run_until_complete(k_safety + k_liveness);
    for (uint32_t machine : cheats_) swarm_.take_away(machine);
    if (Tracker* tracker = swarm_.tracker()) tracker->set_interval(1800);
    swarm_.run_until_settled(k_settlement);
    swarm_.run_ledger_alone(k_channel_life);
  }

  std::string describe() const {
    return std::to_string(plan_.nodes) + " peers, " + std::to_string(plan_.cheats) + " of them cheat (" + trades_ + "), " +
           std::to_string(plan_.faults) + " faults";
  }

 private:
  void add_honest(uint32_t number) {
    NodeSpec spec = draw_peer(random_, plan_, number);
    spec.seeds = number < plan_.seeds;
    bool legacy = random_.below(100) < plan_.legacy_percent;
    if (!legacy) give_money(random_, spec);
    if (!spec.seeds) spec.joins = Duration::ms(static_cast<int64_t>(random_.below(60'000)));
    std::string name = spec.name;
    uint32_t machine = swarm_.add_node(std::move(spec));
    machines_.push_back(machine);
    bans_.add(name, swarm_.world().machine(machine).address());
  }

  void add_cheat(uint32_t number) {
    Trade trade = static_cast<Trade>(random_.below(k_trades));
    trades_ += (trades_.empty() ? "" : " ") + std::string(trade_name(trade));
    Duration joins = Duration::ms(static_cast<int64_t>(random_.below(60'000)));
    if (trade == Trade::flooder) {
      cheats_.push_back(swarm_.add_flooder(draw_link(random_), joins));
      return;
    }
    NodeSpec spec = draw_peer(random_, plan_, plan_.nodes - plan_.cheats + number);
    give_money(random_, spec);
    make_cheat(spec, trade, random_);
    spec.joins = joins;
    uint32_t machine = swarm_.add_node(std::move(spec));
    cheats_.push_back(machine);
    if (trade == Trade::dodger) comings_.renew_every(machine, Duration::seconds(static_cast<int64_t>(5 + random_.below(15))));
    if (trade == Trade::sybil) comings_.renew_every(machine, Duration::seconds(static_cast<int64_t>(20 + random_.below(60))));
    bool leaves = trade == Trade::never_closer && random_.below(2) == 0;
    if (leaves) comings_.take_away(machine, Duration::seconds(static_cast<int64_t>(30 + random_.below(150))));
  }

  Swarm& swarm_;
  Random& random_;
  Plan plan_;
  Comings comings_;
  BanWatch bans_;
  std::vector<uint32_t> machines_;  // that faults may meet
  std::vector<uint32_t> cheats_;
  std::string trades_;
};

}  // namespace

Outcome run_large(const Run& run) {
  CheapSignatures cheap;
  Run with_streams = run;
  // Cheats speak TCP only.
  if (run.transports() == Transports::utp) with_streams.forced = Transports::both;
  Swarm swarm(with_streams, draw_large_payload(run.seed));
  Large large(run, swarm);
  large.build();
  large.run();
  Outcome outcome = outcome_of(swarm);
  outcome.config = large.describe();
  return outcome;
}

}  // namespace millet::simtest
