// Trade that goes on: one slot, two bidders, and more bytes than any single channel, statement of funds or clock lasts for. The provider
// earns at the price that the waiting bidder sets, from the first minute to the last.
#include "sim/scenario_market.h"

#include "sim/auctioneer.h"
#include "sim/scenario_tools.h"

namespace millet::simtest {
namespace {

constexpr uint32_t k_slots = 1;
constexpr uint64_t k_reserve = 1'000, k_waiting_bid = 2'500, k_winning_bid = 4'000;  // pBTT per byte
constexpr uint64_t k_funds = 50'000'000;
constexpr uint64_t k_upload_rate = 30'000;
constexpr Duration k_window = Duration::minutes(4), k_trade = Duration::minutes(40);

NodeSpec make_bidder(Swarm& swarm, uint32_t provider, const char* name, uint64_t bid) {
  NodeSpec spec;
  spec.name = name;
  spec.config.trackers = false;
  spec.config.speed_enabled = true;
  spec.link.delay = Duration::us(static_cast<int64_t>(swarm.random().below(40'000)));
  spec.peers = {swarm.endpoint(provider)};
  spec.funds = spec.budget.emplace(Amount::micro(k_funds));
  spec.max_rate = Rate::pico_per_byte(bid);
  return spec;
}

}  // namespace

Outcome run_market(const Run& run) {
  PayloadOptions payload;
  payload.size = k_upload_rate * 3600;
  payload.piece_size = 16 * 1024;
  Swarm swarm(run, payload);
  NodeSpec seller;
  seller.name = "provider";
  seller.config.trackers = false;
  seller.seeds = true;
  seller.config.speed_enabled = true;
  seller.config.upload_slots = k_slots + 2;  // one is optimistic, one is for peers without a bid
  seller.config.upload_rate = k_upload_rate;
  seller.config.reserve = Rate::pico_per_byte(k_reserve);
  uint32_t provider = swarm.add_node(std::move(seller));
  uint32_t winner = swarm.add_node(make_bidder(swarm, provider, "winner", k_winning_bid));
  NodeSpec waiting = make_bidder(swarm, provider, "waiting", k_waiting_bid);
  waiting.link.down_rate = 1'000;  // whatever it is given: it never has it all
  swarm.add_node(std::move(waiting));
  uint32_t ledger = swarm.add_ledger(sim::LinkOptions{});
  Auctioneer auctioneer(swarm.world(), swarm.report(), {provider, k_slots, k_reserve});
  swarm.wiretap().add(auctioneer);

  // Somebody sets the ledger's clock back: it stands still until its time comes again, and the nodes are ahead of it for good.
  Duration set_back_at = Duration::seconds(static_cast<int64_t>(300 + swarm.random().below(900)));
  bool set_back = swarm.random().below(2) == 0;
  auto cost = [&] { return swarm.money().sales()[{swarm.node(winner).key(), swarm.node(provider).key()}].cost_pico; };
  for (Duration passed; passed < k_trade && swarm.report().clean(); passed = passed + k_window) {
    uint64_t before = cost();
    swarm.run_for(k_window);
    if (set_back && passed >= set_back_at) {
      swarm.world().machine(ledger).step_wall(Duration::minutes(-2));
      set_back = false;
    }
    // Of the three slots at least the sold one's share, and not below what is waiting for it.
    uint64_t least = k_upload_rate * static_cast<uint64_t>(k_window.in_seconds()) / 4 * k_waiting_bid;
    uint64_t earned = cost() - before;
    swarm.report().require(earned >= least, "in the last minutes the provider earned " + std::to_string(earned / 1'000'000) +
                                                " micro-BTT, where " + std::to_string(least / 1'000'000) + " are the least");
  }
  return outcome_of(swarm);
}

}  // namespace millet::simtest
