// What BitTorrent Speed remembers stays bounded, however long it runs and whoever comes by: rows of the store and what is in memory.
#include "unit/speed_duo.h"
#include "unit/test.h"

using namespace millet;
using namespace millet::speed;
using namespace millet::speed::world;

namespace {

size_t rows(const Node& node, const char* table) {
  size_t count = 0;
  for (const auto& [where, value] : node.store) count += where.first == table ? 1 : 0;
  return count;
}

void forget(World& world, Node& node) {
  node.speed->payer().forget(world.now, world.info_hash);
  node.speed->payee().forget(world.info_hash);
  world.drain(node);
}

void a_torrent_that_is_removed_leaves_nothing(void**) {
  Duo duo;
  duo.start();
  assert_true(duo.run_to_end());
  duo.run(15);
  Payer& payer = duo.requester->speed->payer();
  assert_int_equal(rows(*duo.requester, k_table_payer_torrents), 1);
  assert_int_equal(payer.torrents(), 1);
  assert_false(payer.spent(duo.world.info_hash).is_zero());
  assert_false(duo.provider->speed->payee().counted_for(duo.world.info_hash).is_zero());
  forget(duo.world, *duo.requester);
  forget(duo.world, *duo.provider);
  duo.run(15);
  assert_int_equal(rows(*duo.requester, k_table_payer_torrents), 0);
  assert_int_equal(payer.torrents(), 0);
  assert_true(payer.spent(duo.world.info_hash).is_zero());
  assert_true(duo.provider->speed->payee().counted_for(duo.world.info_hash).is_zero());
  assert_int_equal(duo.world.violations.size(), 0);
}

// Its channel is still open: what a crash would leave unresolved needs it until the ledger has the last word.
void a_torrent_that_is_removed_early_goes_with_its_channel(void**) {
  Duo duo;
  duo.start();
  assert_true(duo.run(60, [&] { return duo.counted() > 0; }));
  duo.run(1);
  duo.world.cut(0, Instant::never());
  Payer& payer = duo.requester->speed->payer();
  assert_false(payer.spent(duo.world.info_hash).is_zero());
  forget(duo.world, *duo.requester);
  assert_int_equal(payer.torrents(), 1);
  assert_true(payer.spent(duo.world.info_hash).is_zero());
  duo.run(20 * 60);
  assert_true(duo.world.all_channels_ended());
  assert_int_equal(payer.channels().size(), 0);
  assert_int_equal(rows(*duo.requester, k_table_payer_torrents), 0);
  assert_int_equal(payer.torrents(), 0);
  assert_int_equal(duo.world.violations.size(), 0);
}

// Keys are free: each of these sends one block that it was bid for, and goes.
void providers_that_are_gone_are_forgotten(void**) {
  constexpr uint32_t k_providers = 100;
  Settings settings;
  settings.pieces = 120;
  settings.pipeline = 4;  // a piece of each
  settings.block_time = Duration::hours(24);
  World world(1, settings);
  Node& requester = world.add("requester", false, 10'000);
  requester.max_rate = Rate::pico_per_byte(20'000);
  world.ledger.fund(requester.key, 1'000'000);
  for (uint32_t i = 0; i < k_providers; ++i) {
    Node& provider = world.add("provider", true);
    store_be<uint32_t>(provider.key.raw.data(), i + 1);
    provider.address = IpAddress::v4({10, static_cast<uint8_t>(1 + i / 200), static_cast<uint8_t>(i % 200), 1});
    world.connect(requester, provider);
  }
  for (auto& node : world.nodes) world.start(*node);
  world.run(world.now + Duration::seconds(40));
  const Payer& payer = requester.speed->payer();
  assert_int_equal(payer.providers(), k_providers);
  size_t channels = payer.channels().size();
  assert_in_range(channels, 1, k_providers - Payer::k_gone_max - 1);
  for (auto& node : world.nodes) {
    if (node->provider) world.crash(*node);
  }
  assert_int_equal(payer.providers(), Payer::k_gone_max + channels);
  world.run(world.now + Duration::hours(26));
  assert_int_equal(payer.channels().size(), 0);
  assert_int_equal(payer.providers(), 0);
  assert_int_equal(world.violations.size(), 0);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(a_torrent_that_is_removed_leaves_nothing),
      cmocka_unit_test(a_torrent_that_is_removed_early_goes_with_its_channel),
      cmocka_unit_test(providers_that_are_gone_are_forgotten),
  };
  return RUN_TESTS(tests);
}
