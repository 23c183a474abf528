// speed/bidder.h: the white paper's formula in integers, and when a bid changes.
#include "speed/bidder.h"

#include "base/random.h"
#include "unit/test.h"

using namespace millet;
using namespace millet::speed;

namespace {

Instant at(int64_t seconds) { return Instant::from_us(0) + Duration::seconds(seconds); }
BidderSettings settings(uint32_t ppm = 1'000'000, uint64_t max = Rate::k_max) { return {ppm, Rate::pico_per_byte(max)}; }
uint64_t bid(const BidderSettings& s, uint64_t budget, uint64_t left) { return bid_for(s, Amount::micro(budget), left).in_pico_per_byte(); }

void the_bid_is_spending_rate_times_budget_by_bytes_left(void**) {
  assert_int_equal(bid(settings(), 1'000'000, 1'000'000'000), 1000);  // 1 BTT for 1 GB is 1 BTT per GB
  assert_int_equal(bid(settings(500'000), 1'000'000, 1'000'000'000), 500);
  assert_int_equal(bid(settings(), 3, 1'000'000'000), 0);
  assert_int_equal(bid(settings(), 5'000'000, 139'000'000), 35'971);
  assert_int_equal(bid(settings(0), 5'000'000, 139'000'000), 0);
}

// White paper: "If the number of kilobytes remaining is equal to zero, then the bid automatically stops".
void there_is_no_bid_at_zero_remaining_kilobytes(void**) {
  assert_int_equal(bid(settings(), 1'000'000, 0), 0);
  assert_int_equal(bid(settings(), 1'000'000, 999), 0);
  assert_true(bid(settings(), 1'000'000, 1000) > 0);
}

// Attack 22: kept choked until the end, a requester bids at most its maximum.
void the_bid_never_passes_the_maximum(void**) {
  assert_int_equal(bid(settings(1'000'000, 10'000), k_supply_micro, 1000), 10'000);
  assert_int_equal(bid(settings(), k_supply_micro, 1000), Rate::k_max);
}

// Attack 24: against arithmetic in 128 bits.
void the_formula_is_exact_and_never_wraps(void**) {
#if !defined(__SIZEOF_INT128__)
  skip();  // a 32-bit machine has nothing to hold it against
#else
  Random random(5);
  for (int i = 0; i < 100'000; ++i) {
    uint64_t budget = random.next() >> random.below(64);
    if (budget > k_supply_micro) budget %= k_supply_micro;
    uint64_t left = (random.next() >> 20) >> random.below(44);
    uint32_t ppm = static_cast<uint32_t>(random.below(1'000'001));
    if (left < 1000) continue;
    __extension__ typedef unsigned __int128 Wide;  // src/ has none
    Wide spend = Wide{budget} * ppm / 1'000'000;
    Wide wide = spend * 1'000'000 / left;
    uint64_t expected = wide > Rate::k_max ? Rate::k_max : static_cast<uint64_t>(wide);
    assert_true(bid(settings(ppm), budget, left) == expected);
  }
  assert_true(bid(settings(), k_supply_micro, UINT64_MAX) > 0);
#endif
}

// Attack 23: 9 % is no news; more than 10 % is, once a minute.
void a_bid_changes_by_more_than_ten_percent_and_once_a_minute(void**) {
  Bidder bidder(settings());
  assert_true(bidder.update(at(0), Amount::micro(1'000'000), 1'000'000'000));
  assert_int_equal(bidder.bid().in_pico_per_byte(), 1000);
  assert_false(bidder.update(at(100), Amount::micro(1'090'000), 1'000'000'000));
  assert_false(bidder.update(at(100), Amount::micro(1'100'000), 1'000'000'000));
  assert_true(bidder.next_deadline().is_never());
  assert_true(bidder.update(at(100), Amount::micro(1'101'000), 1'000'000'000));
  assert_false(bidder.update(at(101), Amount::micro(2'000'000), 1'000'000'000));
  assert_true(bidder.next_deadline() == at(160));
  assert_false(bidder.update(at(159), Amount::micro(2'000'000), 1'000'000'000));
  assert_true(bidder.update(at(160), Amount::micro(2'000'000), 1'000'000'000));
  assert_true(bidder.next_deadline().is_never());
}

// White paper: "If the user changes the amount of BTT bid, then the client should send the new bid immediately".
void a_change_by_the_user_counts_at_once(void**) {
  Bidder bidder(settings());
  bidder.update(at(0), Amount::micro(1'000'000), 1'000'000'000);
  bidder.set(settings(990'000));
  assert_true(bidder.update(at(1), Amount::micro(1'000'000), 1'000'000'000));
  assert_int_equal(bidder.bid().in_pico_per_byte(), 990);
}

void a_bid_stops_at_once_when_nothing_is_left(void**) {
  Bidder bidder(settings());
  bidder.update(at(0), Amount::micro(1'000'000), 1'000'000'000);
  assert_true(bidder.update(at(1), Amount::micro(1'000'000), 0));
  assert_true(bidder.bid().is_zero());
  assert_false(bidder.update(at(2), Amount::micro(1'000'000), 0));
  Bidder poor(settings());
  assert_false(poor.update(at(0), Amount(), 1'000'000'000));
}

// Where the price equals the bid, the bid stays what it was; where everything is free, it grows, slowly.
void the_bid_is_constant_if_it_is_paid_in_full(void**) {
  Bidder bidder(settings());
  uint64_t left = 4'000'000'000;
  Amount budget = Amount::micro(4'000'000);
  uint32_t changes = 0;
  for (int second = 0; left > 1'000'000; ++second) {
    if (bidder.update(at(second), budget, left)) ++changes;
    uint64_t bytes = 2'000'000;
    budget = budget.minus_or_zero(price_of(bidder.bid(), bytes));
    left -= bytes;
  }
  assert_int_equal(changes, 1);
  Bidder free(settings());
  changes = 0;
  left = 4'000'000'000;
  for (int second = 0; left > 2'000'000; ++second, left -= 2'000'000) {
    if (free.update(at(second), Amount::micro(4'000'000), left)) ++changes;
  }
  assert_in_range(changes, 15, 34);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(the_bid_is_spending_rate_times_budget_by_bytes_left),
      cmocka_unit_test(there_is_no_bid_at_zero_remaining_kilobytes),
      cmocka_unit_test(the_bid_never_passes_the_maximum),
      cmocka_unit_test(the_formula_is_exact_and_never_wraps),
      cmocka_unit_test(a_bid_changes_by_more_than_ten_percent_and_once_a_minute),
      cmocka_unit_test(a_change_by_the_user_counts_at_once),
      cmocka_unit_test(a_bid_stops_at_once_when_nothing_is_left),
      cmocka_unit_test(the_bid_is_constant_if_it_is_paid_in_full),
  };
  return RUN_TESTS(tests);
}
