// speed/auction.h against a brute-force Vickrey-Clarke-Groves mechanism, and its rules one by one.
#include "speed/auction.h"

#include <algorithm>

#include "base/random.h"
#include "unit/test.h"

using namespace millet;
using namespace millet::speed;

namespace {

Rate pico(uint64_t value) { return Rate::pico_per_byte(value); }
IpAddress ip(const char* text) { return *IpAddress::parse(text); }

AuctionBidder bidder(uint32_t peer, uint64_t bid, bool backed = true) {
  AuctionBidder b;
  b.peer = peer;
  b.key.raw[0] = static_cast<uint8_t>(peer);
  b.key.raw[1] = static_cast<uint8_t>(peer >> 8);
  b.address = IpAddress::v4({10, 0, static_cast<uint8_t>(peer >> 8), static_cast<uint8_t>(peer)});
  b.bid = pico(bid);
  b.backed = backed;
  return b;
}

std::vector<uint32_t> winners(const AuctionResult& result) {
  std::vector<uint32_t> out;
  for (const AuctionEntry& e : result.entries) {
    if (e.outcome == AuctionOutcome::won) out.push_back(e.bidder.peer);
  }
  std::sort(out.begin(), out.end());
  return out;
}

AuctionRules rules(uint32_t slots, uint64_t reserve) {
  AuctionRules r;
  r.slots = slots;
  r.reserve = pico(reserve);
  return r;
}

// A market of a few bidders, with small numbers so that ties are common.
struct Market {
  std::vector<AuctionBidder> bidders;
  AuctionRules rule;
};
uint64_t score(const AuctionBidder& b) { return b.bid.in_pico_per_byte() + b.bonus; }
Rate reserve_of(const AuctionBidder& b, const AuctionRules& r) { return b.reserve.value_or(r.reserve); }

Market random_market(Random& random, size_t bidders_max) {
  Market market;
  market.rule = rules(static_cast<uint32_t>(random.below(5)), random.below(6));
  market.rule.tie_seed[0] = static_cast<uint8_t>(random.below(256));
  size_t n = random.below(bidders_max + 1);
  bool bonuses = random.below(2) == 0;
  bool reserves = random.below(3) == 0;
  for (size_t i = 0; i < n; ++i) {
    AuctionBidder b = bidder(static_cast<uint32_t>(i), 1 + random.below(10));
    b.incumbent = random.below(2) == 0;
    b.waiting_since = Instant::from_us(static_cast<int64_t>(random.below(3)));
    if (bonuses) b.bonus = random.below(8);
    if (reserves && random.below(2) == 0) b.reserve = pico(random.below(9));
    market.bidders.push_back(b);
  }
  return market;
}
std::vector<AuctionBidder> without(std::vector<AuctionBidder> bidders, uint32_t peer) {
  std::erase_if(bidders, [&](const AuctionBidder& b) { return b.peer == peer; });
  return bidders;
}
const AuctionEntry* entry_of(const AuctionResult& result, uint32_t peer) {
  for (const AuctionEntry& e : result.entries) {
    if (e.bidder.peer == peer) return &e;
  }
  return nullptr;
}

// The most that any choice of at most `slots` bidders who pay their reserve is worth. By enumeration.
uint64_t best_welfare(const std::vector<AuctionBidder>& bidders, const AuctionRules& rule) {
  uint64_t best = 0;
  for (uint32_t set = 0; set < (1u << bidders.size()); ++set) {
    uint64_t sum = 0;
    uint32_t count = 0;
    bool allowed = true;
    for (size_t i = 0; i < bidders.size(); ++i) {
      if (((set >> i) & 1) == 0) continue;
      allowed = allowed && bidders[i].bid >= reserve_of(bidders[i], rule);
      sum += score(bidders[i]);
      ++count;
    }
    if (allowed && count <= rule.slots) best = std::max(best, sum);
  }
  return best;
}

// White paper: "a variant of the Vickrey-Clarke-Groves auction": the chosen are worth the most, and each pays what its presence costs the
// others, less what it gives in return; never less than the reserve.
void prices_equal_the_brute_force_vcg_payments(void**) {
  Random random(7);
  uint32_t uniform = 0, composite = 0, at_reserve = 0;
  for (int run = 0; run < 6000; ++run) {
    Market market = random_market(random, 8);
    std::vector<AuctionBidder> shuffled = market.bidders;
    random.shuffle(shuffled);
    AuctionResult result = hold_auction(market.rule, shuffled);
    uint64_t welfare = best_welfare(market.bidders, market.rule);
    uint64_t chosen = 0;
    for (uint32_t peer : winners(result)) chosen += score(market.bidders[peer]);
    assert_int_equal(chosen, welfare);
    for (uint32_t peer : winners(result)) {
      const AuctionBidder& b = market.bidders[peer];
      uint64_t others = welfare - score(b);
      uint64_t harm = best_welfare(without(market.bidders, peer), market.rule) - others;
      uint64_t payment = std::max(harm > b.bonus ? harm - b.bonus : 0, reserve_of(b, market.rule).in_pico_per_byte());
      const AuctionEntry& e = *entry_of(result, peer);
      assert_int_equal(e.price.in_pico_per_byte(), payment);
      assert_true(e.price <= b.bid);
      assert_true(e.price_by_bid == (payment > reserve_of(b, market.rule).in_pico_per_byte()));
      if (b.bonus == 0 && !b.reserve) {
        assert_true(e.price == result.price);
        ++uniform;
      }
      composite += b.bonus > 0 ? 1 : 0;
      at_reserve += e.price_by_bid ? 0 : 1;
    }
    // The order of the bids is no matter.
    AuctionResult again = hold_auction(market.rule, market.bidders);
    assert_true(winners(again) == winners(result) && again.price == result.price);
  }
  assert_true(uniform > 1000 && composite > 1000 && at_reserve > 1000);
}

// A bidder gains nothing by lying: its true value is at least as good a bid as any other, whatever it gives in return.
void no_bid_beats_the_true_value(void**) {
  Random random(8);
  for (int run = 0; run < 1500; ++run) {
    Market market = random_market(random, 6);
    if (market.bidders.empty()) continue;
    uint64_t value = market.bidders[0].bid.in_pico_per_byte();
    auto gain = [&](uint64_t bid) -> int64_t {
      market.bidders[0].bid = pico(bid);
      AuctionResult result = hold_auction(market.rule, market.bidders);
      const AuctionEntry& e = *entry_of(result, 0);
      return e.outcome == AuctionOutcome::won ? static_cast<int64_t>(value) - static_cast<int64_t>(e.price.in_pico_per_byte()) : 0;
    };
    int64_t honest = gain(value);
    assert_true(honest >= 0);
    for (uint64_t lie = 1; lie <= 20; ++lie) assert_true(gain(lie) <= honest);
  }
}

// A winner that leaves: everybody else who won still wins, and nobody pays more. A loser that leaves: the same.
void who_withdraws_makes_it_dearer_for_nobody(void**) {
  Random random(9);
  for (int run = 0; run < 2000; ++run) {
    Market market = random_market(random, 8);
    AuctionResult before = hold_auction(market.rule, market.bidders);
    for (const AuctionBidder& gone : market.bidders) {
      AuctionResult after = hold_auction(market.rule, without(market.bidders, gone.peer));
      assert_true(after.price <= before.price);
      for (uint32_t peer : winners(before)) {
        if (peer == gone.peer) continue;
        const AuctionEntry& now = *entry_of(after, peer);
        assert_true(now.outcome == AuctionOutcome::won && now.price <= entry_of(before, peer)->price);
      }
    }
  }
}

// Bids that somebody adds under other names never make the slot cheaper that it would have had, and never win it one that it had lost.
void other_names_make_no_slot_cheaper(void**) {
  Random random(10);
  for (int run = 0; run < 3000; ++run) {
    Market market = random_market(random, 6);
    if (market.bidders.empty()) continue;
    AuctionResult before = hold_auction(market.rule, market.bidders);
    for (uint32_t i = 0; i <= random.below(4); ++i) market.bidders.push_back(bidder(100 + i, 1 + random.below(12), random.below(4) != 0));
    AuctionResult after = hold_auction(market.rule, market.bidders);
    const AuctionEntry& then = *entry_of(before, 0);
    const AuctionEntry& now = *entry_of(after, 0);
    if (then.outcome != AuctionOutcome::won) assert_true(now.outcome != AuctionOutcome::won);
    if (now.outcome == AuctionOutcome::won) assert_true(now.price >= then.price);
  }
}

// Attack 20, in any market: bids without money behind them change neither who wins nor what it costs.
void phantom_bids_change_nothing_for_backed_ones(void**) {
  Random random(11);
  for (int run = 0; run < 3000; ++run) {
    Market market = random_market(random, 7);
    AuctionResult before = hold_auction(market.rule, market.bidders);
    uint32_t phantoms = static_cast<uint32_t>(1 + random.below(5));
    for (uint32_t i = 0; i < phantoms; ++i) {
      AuctionBidder phantom = bidder(100 + i, 1 + random.below(50), false);
      phantom.bonus = random.below(20);
      market.bidders.push_back(phantom);
    }
    AuctionResult after = hold_auction(market.rule, market.bidders);
    uint32_t phantoms_won = 0;
    for (const AuctionEntry& e : after.entries) {
      if (e.bidder.peer >= 100) {
        if (e.outcome != AuctionOutcome::won) continue;
        ++phantoms_won;
        assert_true(e.price == market.rule.reserve);
        continue;
      }
      const AuctionEntry& then = *entry_of(before, e.bidder.peer);
      assert_true(e.outcome == then.outcome && e.price == then.price);
    }
    assert_true(phantoms_won <= 1 && after.price == before.price);
  }
}

// Without a bid nobody wins, however much it gives: it has the ordinary choker. With one, what it gives counts, and comes off the price.
void what_a_peer_gives_counts_for_its_rank_and_off_its_price(void**) {
  std::vector<AuctionBidder> bidders = {bidder(1, 3000), bidder(2, 4000), bidder(3, 500)};
  bidders[0].bonus = 2000;
  bidders[2].bonus = 9000;
  AuctionResult result = hold_auction(rules(1, 1000), bidders);
  assert_true(winners(result) == (std::vector<uint32_t>{1}));
  assert_int_equal(entry_of(result, 1)->price.in_pico_per_byte(), 2000);
  assert_true(entry_of(result, 3)->outcome == AuctionOutcome::below_reserve);
  // Off the price, but not below the reserve.
  bidders[0].bonus = 3500;
  assert_int_equal(entry_of(hold_auction(rules(1, 1000), bidders), 1)->price.in_pico_per_byte(), 1000);
}

void the_bonus_is_the_own_bid_times_what_came_by_what_went(void**) {
  assert_int_equal(bonus_for(pico(1000), 50'000, 100'000), 500);
  assert_int_equal(bonus_for(pico(1000), 300'000, 100'000), 3000);
  assert_int_equal(bonus_for(pico(1000), 3'000'000, 100'000), 4000);
  assert_int_equal(bonus_for(pico(1000), 3'000'000, 0), 4000);
  assert_int_equal(bonus_for(pico(1000), 0, 0), 0);
  assert_int_equal(bonus_for(Rate(), 3'000'000, 0), 0);
  assert_int_equal(bonus_for(pico(Rate::k_max), UINT64_MAX, 0), k_bonus_max);
  assert_int_equal(bonus_for(pico(1000), UINT64_MAX, UINT64_MAX), 1000);
}

// The torrent's reserve holds for its own bidders, whoever else bids.
void a_torrent_has_its_own_reserve(void**) {
  std::vector<AuctionBidder> bidders = {bidder(1, 5000), bidder(2, 9000), bidder(3, 900)};
  bidders[0].reserve = pico(4000);
  bidders[1].reserve = pico(9500);
  bidders[2].reserve = pico(500);
  AuctionResult result = hold_auction(rules(2, 1000), bidders);
  assert_true(winners(result) == (std::vector<uint32_t>{1, 3}));
  assert_int_equal(entry_of(result, 1)->price.in_pico_per_byte(), 4000);
  assert_int_equal(entry_of(result, 3)->price.in_pico_per_byte(), 500);
}

// Two auctioned slots, four bidders.
void the_result_explains_itself(void**) {
  AuctionResult result = hold_auction(rules(2, 1000), {bidder(1, 5000), bidder(2, 9000), bidder(3, 7000), bidder(4, 500)});
  assert_true(winners(result) == (std::vector<uint32_t>{2, 3}));
  assert_int_equal(result.price.in_pico_per_byte(), 5000);
  assert_int_equal(result.price_setter, 2);
  assert_int_equal(result.entries[2].bidder.peer, 1);
  assert_true(result.entries[3].outcome == AuctionOutcome::below_reserve);
  assert_string_equal(auction_outcome_name(result.entries[3].outcome), "below_reserve");
}

// Attack 21.
void as_many_slots_as_bidders_sell_at_the_reserve(void**) {
  AuctionResult result = hold_auction(rules(4, 1000), {bidder(1, 5000), bidder(2, 9000)});
  assert_int_equal(result.price.in_pico_per_byte(), 1000);
  assert_int_equal(result.price_setter, -1);
  assert_int_equal(hold_auction(rules(4, 0), {bidder(1, 5000)}).price.in_pico_per_byte(), 0);
}

// Attack 20: a phantom bid, however high, changes neither the price nor who wins among the backed.
void unbacked_bids_set_no_price_and_displace_nobody(void**) {
  std::vector<AuctionBidder> honest = {bidder(1, 5000), bidder(2, 9000), bidder(3, 7000)};
  AuctionResult before = hold_auction(rules(2, 1000), honest);
  for (uint32_t i = 0; i < 20; ++i) honest.push_back(bidder(100 + i, 1'000'000, false));
  AuctionResult after = hold_auction(rules(2, 1000), honest);
  assert_true(before.price == after.price);
  assert_true(winners(before) == winners(after));
}

void one_unbacked_bid_wins_a_slot_that_is_left_at_the_reserve(void**) {
  AuctionResult result = hold_auction(rules(3, 1000), {bidder(1, 5000), bidder(10, 9000, false), bidder(11, 8000, false)});
  assert_true(winners(result) == (std::vector<uint32_t>{1, 10}));
  assert_int_equal(result.price.in_pico_per_byte(), 1000);
  assert_true(result.entries[1].outcome == AuctionOutcome::lost_unbacked);
}

void unbacked_bids_do_not_use_up_their_address(void**) {
  std::vector<AuctionBidder> bidders = {bidder(10, 9000, false), bidder(11, 8000, false), bidder(1, 5000)};
  for (AuctionBidder& b : bidders) b.address = ip("10.9.9.9");
  assert_true(winners(hold_auction(rules(1, 1000), bidders)) == (std::vector<uint32_t>{1}));
}

void a_payer_gets_one_slot(void**) {
  std::vector<AuctionBidder> bidders = {bidder(1, 5000), bidder(2, 9000), bidder(3, 7000)};
  bidders[1].key = bidders[2].key;
  AuctionResult result = hold_auction(rules(3, 1000), bidders);
  assert_true(winners(result) == (std::vector<uint32_t>{1, 2}));
  assert_true(result.entries[1].outcome == AuctionOutcome::second_of_key);
}

// The third bid of an address neither wins nor lifts the price of its own first two.
void an_address_gets_two_slots(void**) {
  std::vector<AuctionBidder> bidders = {bidder(1, 9000), bidder(2, 8000), bidder(3, 7000), bidder(4, 2000)};
  for (int i = 0; i < 3; ++i) bidders[static_cast<size_t>(i)].address = ip("10.9.9.9");
  AuctionResult result = hold_auction(rules(2, 1000), bidders);
  assert_int_equal(result.price.in_pico_per_byte(), 2000);
  assert_true(result.entries[2].outcome == AuctionOutcome::address_full);
  bidders[0].address = ip("2001:db8::1");
  bidders[1].address = ip("2001:db8::2");
  bidders[2].address = ip("2001:db8::3");  // one /64
  assert_true(hold_auction(rules(2, 1000), bidders).entries[2].outcome == AuctionOutcome::address_full);
  bidders[2].address = ip("2001:db8:0:1::3");
  assert_true(hold_auction(rules(2, 1000), bidders).entries[2].outcome == AuctionOutcome::lost);
}

void ties_go_to_the_incumbent_then_the_longest_waiting_then_a_keyed_hash(void**) {
  std::vector<AuctionBidder> bidders = {bidder(1, 5000), bidder(2, 5000), bidder(3, 5000)};
  bidders[0].waiting_since = Instant::from_us(50);
  bidders[1].waiting_since = Instant::from_us(20);
  bidders[2].waiting_since = Instant::from_us(90);
  bidders[2].incumbent = true;
  AuctionResult result = hold_auction(rules(2, 1000), bidders);
  assert_true(winners(result) == (std::vector<uint32_t>{2, 3}));
  assert_int_equal(result.price.in_pico_per_byte(), 5000);
  // Equal in everything: the seed of the round decides, so over many rounds both win.
  uint32_t first = 0;
  for (uint8_t seed = 0; seed < 100; ++seed) {
    AuctionRules r = rules(1, 1000);
    r.tie_seed[0] = seed;
    if (winners(hold_auction(r, {bidder(1, 5000), bidder(2, 5000)}))[0] == 1) ++first;
  }
  assert_in_range(first, 20, 80);
}

// Incumbency breaks ties and nothing else.
void an_incumbent_loses_to_a_higher_bid(void**) {
  std::vector<AuctionBidder> bidders = {bidder(1, 5000), bidder(2, 5001)};
  bidders[0].incumbent = true;
  assert_true(winners(hold_auction(rules(1, 1000), bidders)) == (std::vector<uint32_t>{2}));
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(prices_equal_the_brute_force_vcg_payments),
      cmocka_unit_test(no_bid_beats_the_true_value),
      cmocka_unit_test(who_withdraws_makes_it_dearer_for_nobody),
      cmocka_unit_test(other_names_make_no_slot_cheaper),
      cmocka_unit_test(phantom_bids_change_nothing_for_backed_ones),
      cmocka_unit_test(what_a_peer_gives_counts_for_its_rank_and_off_its_price),
      cmocka_unit_test(the_bonus_is_the_own_bid_times_what_came_by_what_went),
      cmocka_unit_test(a_torrent_has_its_own_reserve),
      cmocka_unit_test(the_result_explains_itself),
      cmocka_unit_test(as_many_slots_as_bidders_sell_at_the_reserve),
      cmocka_unit_test(unbacked_bids_set_no_price_and_displace_nobody),
      cmocka_unit_test(one_unbacked_bid_wins_a_slot_that_is_left_at_the_reserve),
      cmocka_unit_test(unbacked_bids_do_not_use_up_their_address),
      cmocka_unit_test(a_payer_gets_one_slot),
      cmocka_unit_test(an_address_gets_two_slots),
      cmocka_unit_test(ties_go_to_the_incumbent_then_the_longest_waiting_then_a_keyed_hash),
      cmocka_unit_test(an_incumbent_loses_to_a_higher_bid),
  };
  return RUN_TESTS(tests);
}
