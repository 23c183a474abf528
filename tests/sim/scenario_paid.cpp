// A provider that sells its slots, bidders with budgets of their own, a peer without BitTorrent Speed, and the ledger; every machine may
// fail. When all is healed everybody ends complete, nobody honest is banned, and every channel is closed or refunded.
#include "sim/scenario_paid.h"

#include "sim/scenario_tools.h"

namespace millet::simtest {
namespace {

constexpr FaultKind k_kinds[] = {FaultKind::kill,       FaultKind::power_cut, FaultKind::partition, FaultKind::slow_store,
                                 FaultKind::drop_cache, FaultKind::step_wall, FaultKind::kill,      FaultKind::power_cut};

NodeSpec draw_node(Random& random, const std::string& name) {
  constexpr uint64_t k_limits[] = {30'000, 60'000, 150'000, 1'000'000};
  NodeSpec spec;
  spec.name = name;
  spec.link = draw_link(random);
  spec.config.upload_rate = k_limits[random.below(4)];
  spec.config.upload_slots = static_cast<uint32_t>(3 + random.below(4));
  return spec;
}

NodeSpec draw_bidder(Random& random, uint64_t number) {
  NodeSpec spec = draw_node(random, "bidder" + std::to_string(number));
  spec.config.speed_enabled = true;
  spec.funds = Amount::micro(100'000 + random.below(5'000'000));
  spec.budget = Amount::micro(2'000 + random.below(100'000));
  spec.max_rate = Rate::pico_per_byte(1'000 + random.below(20'000));
  spec.joins = Duration::ms(static_cast<int64_t>(random.below(40'000)));
  return spec;
}

}  // namespace

Outcome run_paid(const Run& run) {
  Swarm swarm(run, draw_payload(run.seed));
  Random& random = swarm.random();
  std::vector<uint32_t> machines = {swarm.add_tracker(sim::LinkOptions{})};
  NodeSpec provider = draw_node(random, "provider");
  provider.seeds = true;
  provider.config.speed_enabled = true;
  machines.push_back(swarm.add_node(std::move(provider)));
  uint64_t bidders = 1 + random.below(4);
  for (uint64_t i = 0; i < bidders; ++i) machines.push_back(swarm.add_node(draw_bidder(random, i)));
  bool legacy = random.below(2) == 0;
  if (legacy) machines.push_back(swarm.add_node(draw_node(random, "legacy")));
  machines.push_back(swarm.add_ledger(sim::LinkOptions{}));
  uint64_t faults = random.below(8);
  swarm.faults().draw(random, k_kinds, machines, Duration::seconds(120), static_cast<uint32_t>(faults));
  swarm.run_for(swarm.faults().healed_at());
  swarm.run_until_complete(swarm.faults().healed_at() + Duration::minutes(40));
  swarm.run_until_settled(Duration::hours(1));
  swarm.run_ledger_alone(Duration::hours(26));
  return outcome_of(swarm);
}

}  // namespace millet::simtest
