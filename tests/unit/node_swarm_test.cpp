// node: whole nodes in one process: seeding, downloading, swarms, restarts, damaged payload, full disks.
#include "unit/node_world.h"
#include "unit/test.h"

using namespace millet;
using namespace millet::testing;

namespace {

constexpr uint32_t k_piece = 64 * 1024;
const char* const k_tracker = "http://10.1.1.1/announce";

bool is(Machine& machine, const Payload& payload, TorrentState state) { return machine.status(payload.hash).state == state; }

}  // namespace

static void a_seed_serves_a_leecher(void**) {
  World world;
  Payload payload = make_payload(1, k_piece, {300'000, 0, 70'000, 1'000'000});
  Machine& seed = world.add();
  Machine& leecher = world.add();
  seed.put(payload);
  seed.start();
  leecher.start();
  seed.add(payload, {}, true);
  assert_true(world.run_until(Duration::seconds(5), [&] { return is(seed, payload, TorrentState::seeding); }));
  leecher.add(payload, {seed.endpoint});
  assert_true(world.run_until(Duration::seconds(60), [&] { return is(leecher, payload, TorrentState::seeding); }));
  world.run(Duration::seconds(1));
  TorrentStatus up = seed.status(payload.hash);
  TorrentStatus down = leecher.status(payload.hash);
  assert_int_equal(up.uploaded, payload.size);
  assert_int_equal(down.downloaded, payload.size);
  assert_int_equal(down.done, payload.size);
  Payload wanted = payload;
  wanted.files.erase("data/file1");  // empty: made by the driver's sync
  assert_true(leecher.holds(wanted));
  assert_int_equal(leecher.pieces_hashed, payload.pieces);
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(a_seed_serves_a_leecher),
  };
  return RUN_TESTS(tests);
}
