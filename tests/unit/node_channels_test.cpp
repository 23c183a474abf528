// node: channels of whole nodes over a long trade, and what stays of a torrent, with the real ledger.
#include "speed/records.h"
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

// The budget is of the download: a torrent that was removed and is added again has spent nothing.
static void a_torrent_added_again_has_spent_nothing(void**) {
  Sale sale;
  sale.start();
  auto rows = [&] {
    size_t count = 0;
    auto state = sale.buyer->store.begin_read();
    std::vector<uint8_t> from;
    for (auto entry = (*state)->seek(speed::k_table_payer_torrents, from); entry && *entry;
         entry = (*state)->seek(speed::k_table_payer_torrents, from)) {
      from.assign((*entry)->key.begin(), (*entry)->key.end());
      from.push_back(0);
      ++count;
    }
    return count;
  };
  assert_true(sale.market.completes(*sale.buyer, sale.payload));
  uint64_t spent = sale.buyer->status(sale.payload.hash).spent.in_micro();
  assert_true(spent > 0);
  assert_true(sale.market.all_channels_end({sale.seed, sale.buyer}));
  sale.run(70);
  assert_int_equal(rows(), 1);
  sale.buyer->command(&Node::remove_torrent, sale.payload.hash, false);
  sale.run(70);
  assert_int_equal(rows(), 0);
  sale.buyer->disk.clear();
  sale.buyer->add(sale.payload, {sale.seed->endpoint});
  assert_int_equal(sale.buyer->status(sale.payload.hash).spent.in_micro(), 0);
  assert_true(sale.market.completes(*sale.buyer, sale.payload));
  assert_int_equal(sale.buyer->status(sale.payload.hash).spent.in_micro(), spent);
}

int main() {
  CHECK(crypto_init().has_value());
  const CMUnitTest tests[] = {
      cmocka_unit_test(two_nodes_trade_over_more_than_twenty_channels),
      cmocka_unit_test(a_torrent_added_again_has_spent_nothing),
  };
  return RUN_TESTS(tests);
}
