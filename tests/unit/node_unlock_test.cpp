// node: what a node does whose key is locked, and what begins when it is opened while the node runs.
#include "speed/records.h"
#include "unit/node_market.h"
#include "unit/test.h"

using namespace millet;
using namespace millet::testing;

namespace {

Status unlock(Machine& machine) {
  Status unlocked = ok;
  {
    auto state = machine.store.begin_read();
    unlocked = machine.node->unlock(machine.world.now, **state);
  }
  machine.drain();
  return unlocked;
}

// Counts what a node with a locked key must not do.
void watch(Machine& machine, int& signs_or_asks) {
  machine.on_act = [&](const Action& action) {
    signs_or_asks += std::holds_alternative<SignBytes>(action) || std::holds_alternative<HttpExchange>(action);
  };
}

bool is_locked(const Machine& machine) {
  const NodeStats stats = machine.node->stats(machine.world.now);
  assert_int_equal(stats.wallet_locked, stats.ledger == "wallet locked: millet unlock");
  assert_true(stats.address == machine.key.public_key());
  return stats.wallet_locked;
}

// A seller whose state has a channel of an earlier run, on which it has earned; it is down.
struct LateSeller {
  Market market;
  Payload payload = make_payload(1, k_piece, {6'000'000});
  Machine& seed = market.seed_of(payload, 200'000);
  Machine& buyer = market.buyer(payload, seed, 100, 50);
  LateSeller() {
    assert_true(market.world.run_until(Duration::seconds(60), [&] {
      auto channels = seed.node->channels();
      return !channels.empty() && !channels[0].durable.is_zero();
    }));
    seed.crash();
    seed.identity.locked = true;
  }
};

}  // namespace

// Peers that are there already are told, and go on with payments.
static void a_locked_node_sells_only_after_it_was_unlocked(void**) {
  Market market;
  Payload payload = make_payload(1, k_piece, {6'000'000});
  Machine& seed = market.add();
  seed.identity.locked = true;
  int forbidden = 0;
  watch(seed, forbidden);
  seed.config.upload_rate = 100'000;
  seed.put(payload);
  seed.start();
  seed.add(payload, {}, true);
  market.world.run(Duration::seconds(3));
  Machine& buyer = market.buyer(payload, seed, 100, 50);
  market.world.run(Duration::seconds(20));
  TorrentStatus bought = buyer.status(payload.hash);
  assert_true(is_locked(seed) && bought.downloaded > 0 && bought.bytes_paid_down == 0 && forbidden == 0);
  seed.on_act = nullptr;
  assert_true(unlock(seed).has_value());
  assert_false(is_locked(seed));
  assert_true(market.completes(buyer, payload));
  bought = buyer.status(payload.hash);
  assert_true(bought.bytes_free_down > 0 && bought.bytes_paid_down > payload.size / 4);
  assert_int_equal(Market::count(buyer, "event=peer_closed"), 0);
  assert_true(market.all_channels_end({&seed, &buyer}));
  assert_int_equal(market.balance(seed), bought.spent.in_micro());
}

static void a_locked_node_buys_only_after_it_was_unlocked(void**) {
  Market market;
  Payload payload = make_payload(1, k_piece, {6'000'000});
  Machine& seed = market.seed_of(payload, 100'000);
  Machine& buyer = market.add(100);
  buyer.identity.locked = true;
  int forbidden = 0;
  watch(buyer, forbidden);
  buyer.config.budget = Amount::micro(50 * k_btt);
  buyer.config.max_rate = Rate::pico_per_byte(1'000'000'000);
  buyer.start();
  buyer.add(payload, {seed.endpoint});
  market.world.run(Duration::seconds(20));
  assert_true(is_locked(buyer) && buyer.node->own_bids().empty() && forbidden == 0);
  buyer.on_act = nullptr;
  assert_true(unlock(buyer).has_value());
  assert_true(market.completes(buyer, payload));
  assert_true(buyer.status(payload.hash).bytes_paid_down > payload.size / 4);
}

static void an_unlocked_node_settles_the_channels_of_earlier_runs(void**) {
  LateSeller late;
  late.seed.start();
  late.market.world.run(Duration::minutes(30));
  assert_true(is_locked(late.seed) && late.seed.node->channels().empty());
  assert_int_equal(late.market.balance(late.seed), 0);
  assert_true(unlock(late.seed).has_value());
  assert_int_equal(late.seed.node->channels().size(), 1);
  assert_true(late.market.all_channels_end({&late.seed}));
  assert_true(late.market.balance(late.seed) > 0);
}

// A state that payments can't begin with is told, and changes nothing; when it is right they begin.
static void a_node_that_can_not_begin_payments_stays_locked(void**) {
  LateSeller late;
  late.seed.start();
  const std::string_view key = "torn";
  auto change = [&](bool put) {
    auto transaction = late.seed.store.begin_write();
    const char* table = speed::k_table_payer_torrents;
    assert_true((put ? (*transaction)->put(table, as_bytes(key), as_bytes(key)) : (*transaction)->erase(table, as_bytes(key))).has_value());
    assert_true((*transaction)->commit().has_value());
  };
  change(true);
  for (int tries = 0; tries < 2; ++tries) {
    Status refused = unlock(late.seed);
    assert_true(!refused && refused.error().code == Errc::bad_input);
    assert_non_null(strstr(refused.error().reason.c_str(), speed::k_table_payer_torrents));
    late.market.world.run(Duration::minutes(1));
    assert_true(is_locked(late.seed) && late.seed.node->channels().empty());
  }
  change(false);
  assert_true(unlock(late.seed).has_value());
  assert_true(late.market.all_channels_end({&late.seed}));
  assert_true(late.market.balance(late.seed) > 0);
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(a_locked_node_sells_only_after_it_was_unlocked),
      cmocka_unit_test(a_locked_node_buys_only_after_it_was_unlocked),
      cmocka_unit_test(an_unlocked_node_settles_the_channels_of_earlier_runs),
      cmocka_unit_test(a_node_that_can_not_begin_payments_stays_locked),
  };
  return RUN_TESTS(tests);
}
