#include "sim/scenario_tools.h"

namespace millet::simtest {

sim::LinkOptions draw_link(Random& random) {
  constexpr uint64_t k_rates[] = {0, 200'000, 1'000'000, 5'000'000};
  constexpr uint32_t k_losses[] = {0, 0, 1'000, 20'000};
  sim::LinkOptions link;
  link.delay = Duration::us(static_cast<int64_t>(random.below(60'000)));
  bool jittery = random.below(2) == 0;
  if (jittery) link.jitter = Duration::us(static_cast<int64_t>(random.below(30'000)));
  link.up_rate = k_rates[random.below(4)];
  link.down_rate = k_rates[random.below(4)];
  link.loss_ppm = k_losses[random.below(4)];
  return link;
}

PayloadOptions draw_payload(uint64_t seed) {
  Random random(seed ^ 0x7061796c6f6164u);
  PayloadOptions options;
  options.piece_size = uint32_t{16 * 1024} << random.below(4);
  options.size = 64 * 1024 + random.below(1'000'000);
  options.files = static_cast<uint32_t>(1 + random.below(5));
  return options;
}

Outcome outcome_of(Swarm& swarm) {
  Outcome outcome;
  outcome.breaches = swarm.report().breaches();
  outcome.log = swarm.log().kept();
  outcome.trace = swarm.world().trace().value();
  outcome.events = swarm.world().events();
  outcome.virtual_s = swarm.world().now().in_us() / 1'000'000;
  outcome.paid_blocks = swarm.money().paid_blocks();
  outcome.free_blocks = swarm.money().free_blocks();
  return outcome;
}

}  // namespace millet::simtest
