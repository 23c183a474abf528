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

// The most that any choice of at most `slots` bidders is worth, the seller keeping a slot at its reserve. By enumeration.
uint64_t best_welfare(const std::vector<uint64_t>& bids, uint32_t slots, uint64_t reserve, int without) {
  uint64_t best = 0;
  for (uint32_t set = 0; set < (1u << bids.size()); ++set) {
    uint64_t sum = 0;
    uint32_t count = 0;
    for (size_t i = 0; i < bids.size(); ++i) {
      if (((set >> i) & 1) == 0) continue;
      if (static_cast<int>(i) == without) {
        count = slots + 1;
        break;
      }
      sum += bids[i];
      ++count;
    }
    if (count > slots) continue;
    best = std::max(best, sum + uint64_t{slots - count} * reserve);
  }
  return best;
}

// White paper: "a variant of the Vickrey-Clarke-Groves auction": each winner pays what its presence costs the others.
void price_equals_the_brute_force_vcg_payment_of_every_winner(void**) {
  Random random(7);
  for (int run = 0; run < 4000; ++run) {
    size_t n = random.below(8);
    uint32_t slots = static_cast<uint32_t>(random.below(5));
    uint64_t reserve = random.below(6);
    std::vector<AuctionBidder> bidders;
    std::vector<uint64_t> bids;
    for (size_t i = 0; i < n; ++i) {
      uint64_t bid = 1 + random.below(10);
      bids.push_back(bid);
      bidders.push_back(bidder(static_cast<uint32_t>(i), bid));
      bidders.back().incumbent = random.below(2) == 0;
      bidders.back().waiting_since = Instant::from_us(static_cast<int64_t>(random.below(3)));
    }
    std::vector<AuctionBidder> shuffled = bidders;
    random.shuffle(shuffled);
    AuctionResult result = hold_auction(rules(slots, reserve), shuffled);
    // Efficient: the chosen bidders are worth as much as the best choice.
    uint64_t welfare = best_welfare(bids, slots, reserve, -1);
    uint64_t chosen = uint64_t{slots - result.winners} * reserve;
    for (uint32_t peer : winners(result)) chosen += bids[peer];
    assert_int_equal(chosen, welfare);
    for (uint32_t peer : winners(result)) {
      uint64_t others = welfare - bids[peer];
      uint64_t payment = best_welfare(bids, slots, reserve, static_cast<int>(peer)) - others;
      assert_int_equal(result.price.in_pico_per_byte(), payment);
    }
    // The order of the bids is no matter.
    AuctionResult again = hold_auction(rules(slots, reserve), bidders);
    assert_true(winners(again) == winners(result) && again.price == result.price);
  }
}

// With price-setting losers a bidder gains nothing by lying: truth is at least as good as any other bid, for every value.
void no_bid_beats_the_true_value(void**) {
  Random random(8);
  for (int run = 0; run < 500; ++run) {
    std::vector<AuctionBidder> bidders;
    for (uint32_t i = 0; i < 5; ++i) bidders.push_back(bidder(i, 1 + random.below(10)));
    uint64_t value = bidders[0].bid.in_pico_per_byte();
    AuctionRules r = rules(2, 2);
    auto gain = [&](uint64_t bid) -> int64_t {
      bidders[0].bid = pico(bid);
      AuctionResult result = hold_auction(r, bidders);
      bool won = false;
      for (uint32_t peer : winners(result)) won = won || peer == 0;
      return won ? static_cast<int64_t>(value) - static_cast<int64_t>(result.price.in_pico_per_byte()) : 0;
    };
    int64_t honest = gain(value);
    for (uint64_t lie = 1; lie <= 12; ++lie) assert_true(gain(lie) <= honest);
  }
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

void the_optimistic_slot_goes_to_the_longest_waiting_and_bids_break_ties_only(void**) {
  std::vector<OptimisticCandidate> candidates = {
      {1, ip("10.0.0.1"), Instant::from_us(0) + Duration::seconds(100), pico(9000)},
      {2, ip("10.0.0.2"), Instant::from_us(0) + Duration::seconds(50), Rate()},
      {3, ip("10.0.0.3"), Instant::from_us(0) + Duration::seconds(59), pico(10)},
  };
  assert_int_equal(*pick_optimistic(candidates, Duration::seconds(10)), 3);
  candidates[2].waiting_since = candidates[2].waiting_since + Duration::seconds(1);
  assert_int_equal(*pick_optimistic(candidates, Duration::seconds(10)), 2);
  assert_false(pick_optimistic({}, Duration::seconds(10)).has_value());
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(price_equals_the_brute_force_vcg_payment_of_every_winner),
      cmocka_unit_test(no_bid_beats_the_true_value),
      cmocka_unit_test(the_result_explains_itself),
      cmocka_unit_test(as_many_slots_as_bidders_sell_at_the_reserve),
      cmocka_unit_test(unbacked_bids_set_no_price_and_displace_nobody),
      cmocka_unit_test(one_unbacked_bid_wins_a_slot_that_is_left_at_the_reserve),
      cmocka_unit_test(unbacked_bids_do_not_use_up_their_address),
      cmocka_unit_test(a_payer_gets_one_slot),
      cmocka_unit_test(an_address_gets_two_slots),
      cmocka_unit_test(ties_go_to_the_incumbent_then_the_longest_waiting_then_a_keyed_hash),
      cmocka_unit_test(an_incumbent_loses_to_a_higher_bid),
      cmocka_unit_test(the_optimistic_slot_goes_to_the_longest_waiting_and_bids_break_ties_only),
  };
  return RUN_TESTS(tests);
}
