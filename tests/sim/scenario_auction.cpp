// The auction, exactly: two auctioned slots, four bidders, one peer without BitTorrent Speed, nothing fails. A second auctioneer watches
// the bids that the provider gets and says who must win at which price; at the end every bidder has paid what its blocks cost, to the
// micro-BTT, and the ledger holds the same amounts.
#include "sim/scenario_auction.h"

#include <algorithm>

#include "sim/auctioneer.h"
#include "sim/scenario_tools.h"

namespace millet::simtest {
namespace {

constexpr uint64_t k_rates[] = {8'000, 6'000, 4'000, 2'500};  // what the bidders offer at most; their budgets allow more
constexpr uint32_t k_slots = 2;
constexpr uint64_t k_reserve = 1'000;
constexpr uint64_t k_funds = 50'000'000;
NodeSpec make_spec(const std::string& name) {
  NodeSpec spec;
  spec.name = name;
  spec.config.trackers = false;  // a star: everybody knows the provider and nobody else
  return spec;
}

// The provider's own account of its rounds, against the rule.
void check_rounds(Swarm& swarm, uint32_t provider) {
  Node* node = swarm.running_node(provider);
  if (node == nullptr) return;
  uint64_t contested = 0;
  for (const AuctionRound& round : node->auctions()) {
    std::vector<Rate> losers;
    uint32_t winners = 0;
    for (const AuctionBid& bid : round.bids) {
      if (bid.won)
        ++winners;
      else if (bid.backed)
        losers.push_back(bid.rate);
      if (bid.won) swarm.report().require(round.price <= bid.rate, "a round's price is above a winner's bid");
    }
    Rate price = losers.empty() ? round.reserve : std::max(round.reserve, *std::max_element(losers.begin(), losers.end()));
    swarm.report().require(winners <= k_slots && round.slots == k_slots, "a round sold more slots than there are");
    swarm.report().require(round.price == price, "a listed round has the wrong price");
    contested += losers.empty() ? 0 : 1;
  }
  swarm.report().require(contested > 0, "no listed round was contested");
}

// What each bidder bought, paid and has left, on the wire and at the ledger.
void check_payments(Swarm& swarm, uint32_t provider, const std::vector<uint32_t>& bidders) {
  uint64_t earned = 0;
  for (uint32_t bidder : bidders) {
    const PublicKey& payer = swarm.node(bidder).key();
    MoneyChecker::Sale sale = swarm.money().sales()[{payer, swarm.node(provider).key()}];
    uint64_t cost = (sale.cost_pico + 999'999) / 1'000'000;
    std::string name = swarm.node(bidder).spec().name;
    swarm.report().require(sale.bytes > 0, name + " bought nothing");
    swarm.report().require(sale.paid_micro == cost,
                           name + " paid " + std::to_string(sale.paid_micro) + " for what costs " + std::to_string(cost));
    uint64_t left = swarm.ledger().balance(payer).in_micro();
    swarm.report().require(left == k_funds - sale.paid_micro, name + " has " + std::to_string(left) + " left at the ledger");
    earned += sale.paid_micro;
    for (const auto& [rate, bytes] : sale.bytes_at) {
      bool known = rate == k_reserve || rate == k_rates[2] || rate == k_rates[3];
      swarm.report().require(known, name + " bought at " + std::to_string(rate) + ", which no losing bid set");
    }
  }
  uint64_t balance = swarm.ledger().balance(swarm.node(provider).key()).in_micro();
  swarm.report().require(balance == earned, "the provider has " + std::to_string(balance) + " and was paid " + std::to_string(earned));
}

}  // namespace

Outcome run_auction(const Run& run) {
  PayloadOptions payload;
  payload.size = 2'500'000;
  payload.piece_size = 32 * 1024;
  Swarm swarm(run, payload);
  NodeSpec seller = make_spec("provider");
  seller.seeds = true;
  seller.config.speed_enabled = true;
  seller.config.upload_slots = k_slots + 2;  // one is optimistic, one is for peers without a bid
  seller.config.upload_rate = 100'000;
  seller.config.reserve = Rate::pico_per_byte(k_reserve);
  uint32_t provider = swarm.add_node(std::move(seller));
  std::vector<uint64_t> rates(std::begin(k_rates), std::end(k_rates));
  swarm.random().shuffle(rates);
  std::vector<uint32_t> bidders;
  for (uint64_t rate : rates) {
    NodeSpec spec = make_spec("bids" + std::to_string(rate));
    spec.config.speed_enabled = true;
    spec.link.delay = Duration::us(static_cast<int64_t>(swarm.random().below(40'000)));
    spec.peers = {swarm.endpoint(provider)};
    spec.funds = Amount::micro(k_funds);
    spec.budget = Amount::micro(k_funds);
    spec.max_rate = Rate::pico_per_byte(rate);
    bidders.push_back(swarm.add_node(std::move(spec)));
  }
  NodeSpec legacy = make_spec("legacy");
  legacy.peers = {swarm.endpoint(provider)};
  swarm.add_node(std::move(legacy));
  swarm.add_ledger(sim::LinkOptions{});
  Auctioneer auctioneer(swarm.world(), swarm.report(), {provider, k_slots, k_reserve});
  swarm.wiretap().add(auctioneer);
  swarm.run_until_complete(Duration::minutes(20));
  check_rounds(swarm, provider);
  swarm.run_until_settled(Duration::hours(3));
  check_payments(swarm, provider, bidders);
  swarm.report().require(auctioneer.sold() >= 4, "hardly a slot was sold");
  swarm.report().require(swarm.money().free_blocks() > 0, "nobody got a block for nothing");
  return outcome_of(swarm);
}

}  // namespace millet::simtest
