// A swarm without money: one seed, leechers that come one by one, and everything that goes wrong on the way. Everybody ends complete.
#include "sim/scenario_free.h"

#include "sim/scenario_tools.h"

namespace millet::simtest {
namespace {

constexpr FaultKind k_kinds[] = {FaultKind::kill,      FaultKind::power_cut,  FaultKind::partition, FaultKind::slow_store,
                                 FaultKind::slow_disk, FaultKind::drop_cache, FaultKind::step_wall};

NodeSpec draw_node(Random& random, const std::string& name) {
  NodeSpec spec;
  spec.name = name;
  spec.link = draw_link(random);
  // Slow enough that the faults meet a download.
  constexpr uint64_t k_limits[] = {20'000, 40'000, 100'000, 1'000'000};
  spec.config.upload_rate = k_limits[random.below(4)];
  spec.config.upload_slots = static_cast<uint32_t>(3 + random.below(6));
  bool tells_cached = random.below(4) != 0;
  spec.disk.knows_cached = tells_cached;
  spec.has_folder = random.below(4) != 0;
  return spec;
}

}  // namespace

Outcome run_free(const Run& run) {
  Swarm swarm(run, draw_payload(run.seed));
  Random& random = swarm.random();
  std::vector<uint32_t> machines = {swarm.add_tracker(sim::LinkOptions{})};
  NodeSpec seeder = draw_node(random, "seed");
  seeder.seeds = true;
  machines.push_back(swarm.add_node(std::move(seeder)));
  uint64_t leechers = 1 + random.below(4);
  for (uint64_t i = 0; i < leechers; ++i) {
    NodeSpec spec = draw_node(random, "leech" + std::to_string(i));
    spec.joins = Duration::ms(static_cast<int64_t>(random.below(30'000)));
    machines.push_back(swarm.add_node(std::move(spec)));
  }
  uint64_t faults = random.below(10);
  swarm.faults().draw(random, k_kinds, machines, Duration::seconds(120), static_cast<uint32_t>(faults));
  swarm.run_for(swarm.faults().healed_at());
  // Whatever happened: a minute to the next announce, a while for peers' own time-outs, and the slowest node sends 20 kB/s.
  swarm.run_until_complete(swarm.faults().healed_at() + Duration::minutes(30));
  return outcome_of(swarm);
}

}  // namespace millet::simtest
