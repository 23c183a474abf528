// node: channels of whole nodes over a long trade, with the real ledger.
#include "unit/node_sale.h"

using namespace millet;
using namespace millet::testing;

// Eight slots, more channels than that: each is closed when it is full, and the trade goes on.
static void two_nodes_trade_over_more_than_twenty_channels(void**) {
  constexpr uint32_t k_small = 16 * 1024;
  Market market;
  Payload payload = make_payload(1, k_small, {uint64_t{22} * 64 * k_small});
  Machine& seed = market.seed_of(payload, 2000);  // a piece in eight seconds: channels of 64 pieces
  Machine& buyer = market.buyer(payload, seed, 100, 50, 1);
  size_t most = 0;
  assert_true(market.world.run_until(Duration::hours(5), [&] {
    most = std::max(most, buyer.node->channels().size());
    return buyer.status(payload.hash).state == TorrentState::seeding;
  }));
  assert_true(Market::count(buyer, "event=speed_channel_open") > 20);
  assert_in_range(most, 2, 4);
  assert_true(market.all_channels_end({&seed, &buyer}));
  assert_int_equal(market.balance(seed), seed.status(payload.hash).earned.in_micro());
  assert_int_equal(market.balance(seed) + market.balance(buyer), market.funded);
}

int main() {
  CHECK(crypto_init().has_value());
  const CMUnitTest tests[] = {
      cmocka_unit_test(two_nodes_trade_over_more_than_twenty_channels),
  };
  return RUN_TESTS(tests);
}
