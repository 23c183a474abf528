#include "sim/cheats.h"

namespace millet::simtest {

const char* trade_name(Trade trade) {
  constexpr const char* k_names[] = {"forger", "replayer",  "withholder", "overdrawer", "misnamer",     "phantom", "sybil",
                                     "dodger", "corrupter", "greedy",     "liar",       "never_closer", "babbler", "flooder"};
  static_assert(std::size(k_names) == k_trades);
  return k_names[static_cast<size_t>(trade)];
}

void make_cheat(NodeSpec& spec, Trade trade, Random& random) {
  constexpr uint32_t k_often[] = {10, 50, 100};
  uint32_t often = k_often[random.below(3)];
  Mischief& mischief = spec.mischief;
  spec.honest = false;
  spec.config.speed_enabled = true;
  spec.name = trade_name(trade) + std::string("-") + spec.name;
  switch (trade) {
    case Trade::forger: mischief.forges = often; break;
    case Trade::replayer: mischief.replays = often; break;
    case Trade::withholder: mischief.withholds = often; break;
    case Trade::overdrawer: mischief.overdraws = often; break;
    case Trade::misnamer: mischief.misnames = often; break;
    case Trade::phantom: mischief.phantoms = 100; break;
    case Trade::sybil:
      mischief.defaults = 100;
      spec.identities = 6;
      break;
    case Trade::dodger: mischief.defaults = 100; break;
    case Trade::corrupter: mischief.corrupts = often; break;
    case Trade::greedy: mischief.raises = often; break;
    case Trade::liar: mischief.lies = often; break;
    case Trade::never_closer: mischief.never_says = 100; break;
    case Trade::babbler: mischief.floods = often / 2; break;
    case Trade::flooder: break;
  }
  bool provides = trade == Trade::corrupter || trade == Trade::greedy || trade == Trade::liar || trade == Trade::never_closer;
  spec.seeds = provides;
  if (provides) spec.budget = Amount();
}

void Comings::renew_every(uint32_t machine, Duration interval) {
  swarm_.world().schedule(interval, *this, k_renew, machine, static_cast<uint64_t>(interval.in_us()));
}

void Comings::on_event(uint32_t kind, uint64_t a, uint64_t b) {
  uint32_t machine = static_cast<uint32_t>(a);
  if (kind == k_take_away) return swarm_.take_away(machine);
  swarm_.renew(machine);
  swarm_.world().schedule(Duration::us(static_cast<int64_t>(b)), *this, k_renew, a, b);
}

}  // namespace millet::simtest
