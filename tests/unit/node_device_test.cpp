// node: what a whole node does with what its device tells.
#include "unit/node_world.h"
#include "unit/test.h"

using namespace millet;
using namespace millet::testing;

namespace {

constexpr uint32_t k_piece = 64 * 1024;
const char* const k_tracker = "http://10.1.1.1/announce";

bool is(Machine& machine, const Payload& payload, TorrentState state) {
  return machine.is_up() && machine.status(payload.hash).state == state;
}

void start_seed(World& world, Machine& seed, const Payload& payload) {
  seed.put(payload);
  seed.start();
  seed.add(payload, {}, true);
  CHECK(world.run_until(Duration::seconds(10), [&] { return is(seed, payload, TorrentState::seeding); }));
}

void tell(World& world, Machine& machine, const DeviceReadings& readings) {
  machine.node->on_device(world.now, readings);
  machine.drain();
}

// As the driver does: every few seconds the same readings.
void keep_telling(World& world, Machine& machine, const DeviceReadings& readings, Duration time) {
  for (Instant end = world.now + time; world.now < end;) {
    tell(world, machine, readings);
    world.run(machine.node->device_orders().next_look);
  }
}

DeviceReadings with_route(bool there) {
  DeviceReadings readings;
  readings.has_route = there;
  return readings;
}

void without_a_way_out_nothing_is_dialled_or_announced_and_then_everything_at_once(void**) {
  World world;
  Payload payload = make_payload(1, k_piece, {3'000'000}, k_tracker);
  Machine& seed = world.add();
  seed.config.upload_rate = 100'000;
  start_seed(world, seed, payload);
  Machine& leecher = world.add();
  leecher.start();
  tell(world, leecher, with_route(true));
  leecher.add(payload);
  assert_true(world.run_until(Duration::seconds(10), [&] { return leecher.status(payload.hash).peers == 1; }));
  // The link goes down: connections die, trackers and peers can't be reached.
  tell(world, leecher, with_route(false));
  world.tracker_up = false;
  seed.crash();
  world.run(Duration::seconds(5));
  size_t urls = leecher.urls.size();
  uint32_t timers = leecher.timer_calls;
  keep_telling(world, leecher, with_route(false), Duration::hours(2));
  assert_int_equal(leecher.urls.size(), urls);
  assert_int_equal(leecher.node->stats(world.now).peers, 0);
  assert_true(leecher.timer_calls - timers < 500);  // two hours
  assert_true(leecher.node->stats(world.now).limits.size() == 1);
  // It comes back; the seed has been started again meanwhile, and does not dial.
  world.tracker_up = true;
  seed.config.trackers = false;
  seed.start();
  world.run(Duration::seconds(5));
  assert_int_equal(leecher.status(payload.hash).peers, 0);
  tell(world, leecher, with_route(true));
  assert_true(world.run_until(Duration::seconds(2), [&] { return leecher.status(payload.hash).peers == 1; }));
  assert_true(leecher.urls.size() > urls);
  assert_true(leecher.log.has("event=device_limits what=network"));
  assert_true(leecher.log.has("event=device_limits_end"));
}

void a_full_table_of_connections_stops_dialling(void**) {
  World world;
  Payload payload = make_payload(1, k_piece, {300'000});
  Machine& seed = world.add();
  start_seed(world, seed, payload);
  Machine& leecher = world.add();
  leecher.start();
  DeviceReadings full;
  full.tracking = {950, 1'000};
  tell(world, leecher, full);
  leecher.add(payload, {seed.endpoint});
  keep_telling(world, leecher, full, Duration::minutes(5));
  assert_int_equal(leecher.node->stats(world.now).peers, 0);
  full.tracking = {100, 1'000};
  tell(world, leecher, full);
  assert_true(world.run_until(Duration::seconds(20), [&] { return is(leecher, payload, TorrentState::seeding); }));
}

void short_memory_sheds_peers_of_least_use_and_refuses_more(void**) {
  World world;
  Payload payload = make_payload(1, k_piece, {3'000'000});
  Machine& seed = world.add();
  seed.config.upload_rate = 20'000;
  seed.config.upload_slots = 2;
  seed.config.peers_per_address = 100;
  start_seed(world, seed, payload);
  Machine& leecher = world.add();
  leecher.start();
  leecher.add(payload, {seed.endpoint});
  assert_true(world.run_until(Duration::seconds(60), [&] { return leecher.status(payload.hash).downloaded > 0; }));
  std::vector<RawPeer*> idle;
  for (int i = 0; i < 20; ++i) idle.push_back(world.dial_raw(seed));
  assert_int_equal(seed.node->stats(world.now).peers, 21);
  DeviceReadings low;
  low.memory = DeviceReadings::Memory{4'000, 57'344, 0, 0};  // tight: below a tenth
  tell(world, seed, low);
  assert_null(world.dial_raw(seed));
  assert_int_equal(seed.node->stats(world.now).peers, 21);
  assert_true(seed.node->device_orders().low_memory);
  low.memory->available_kib = 2'000;  // critical
  tell(world, seed, low);
  assert_int_equal(seed.node->stats(world.now).peers, 10);
  tell(world, seed, low);
  tell(world, seed, low);
  assert_int_equal(seed.node->stats(world.now).peers, DevicePolicy::k_peers_min);
  assert_null(world.dial_raw(seed));
  // Who is served is not among those that went.
  assert_int_equal(seed.status(payload.hash).peers, 1);
  assert_int_equal(leecher.status(payload.hash).peers, 1);
  low.memory->available_kib = 40'000;
  keep_telling(world, seed, low, Duration::minutes(3));
  assert_non_null(world.dial_raw(seed));
  assert_true(seed.node->stats(world.now).limits.empty());
}

void a_hot_board_uploads_less_and_says_why(void**) {
  World world;
  Payload payload = make_payload(1, k_piece, {25'000'000});
  Machine& seed = world.add();
  seed.config.upload_rate = 1'000'000;
  start_seed(world, seed, payload);
  Machine& leecher = world.add();
  leecher.start();
  leecher.add(payload, {seed.endpoint});
  world.run(Duration::seconds(12));
  DeviceReadings hot;
  hot.heat = {94'500, 95'000, "cpu"};
  tell(world, seed, hot);  // a quarter of about 1 MB/s, at once
  world.run(Duration::seconds(1));
  uint64_t before = seed.status(payload.hash).uploaded;
  world.run(Duration::seconds(4));
  uint64_t rate = (seed.status(payload.hash).uploaded - before) / 4;
  assert_in_range(rate, 150'000, 320'000);
  NodeStats stats = seed.node->stats(world.now);
  assert_int_equal(stats.limits.size(), 1);
  assert_string_equal(stats.limits[0].what.c_str(), "upload");
  assert_string_equal(stats.limits[0].value.c_str(), "25 %");
  // A lower limit of the user's stays.
  seed.config.upload_rate = 50'000;
  seed.reconfigure();
  world.run(Duration::seconds(1));
  before = seed.status(payload.hash).uploaded;
  world.run(Duration::seconds(4));
  assert_true((seed.status(payload.hash).uploaded - before) / 4 < 70'000);
  hot.heat->milli_celsius = 60'000;
  keep_telling(world, seed, hot, Duration::minutes(10));
  assert_true(seed.node->stats(world.now).limits.empty());
}

void counters_wait_for_a_sleeping_disk(void**) {
  World world;
  Payload payload = make_payload(1, k_piece, {300'000});
  Machine& seed = world.add();
  start_seed(world, seed, payload);
  Machine& leecher = world.add();
  leecher.start();
  leecher.add(payload, {seed.endpoint});
  assert_true(world.run_until(Duration::seconds(20), [&] { return is(leecher, payload, TorrentState::seeding); }));
  DeviceReadings readings;
  readings.state_disk = DeviceReadings::Disk{true, true, 7};
  tell(world, seed, readings);
  uint32_t commits = seed.commits;
  keep_telling(world, seed, readings, Duration::hours(5));
  assert_int_equal(seed.commits, commits);
  readings.state_disk->suspended = false;  // somebody has woken it
  readings.state_disk->accesses = 8;
  tell(world, seed, readings);
  world.run(Duration::seconds(1));
  assert_int_equal(seed.commits, commits + 1);
  // What somebody waits for does not wait: a torrent is paused.
  readings.state_disk->suspended = true;
  tell(world, seed, readings);
  seed.command(&Node::pause_torrent, payload.hash);
  world.run(Duration::seconds(1));
  assert_true(seed.commits > commits + 1);
}

void free_peers_wait_for_a_sleeping_disk_and_are_served_together(void**) {
  World world;
  Payload payload = make_payload(1, k_piece, {300'000});
  Machine& seed = world.add();
  seed.config.disk_bursts_s = 600;
  seed.config.disk_sleep_s = 60;
  start_seed(world, seed, payload);
  DeviceReadings readings;
  readings.payload_disk = DeviceReadings::Disk{true, false, 7};
  keep_telling(world, seed, readings, Duration::minutes(3));
  Machine& leecher = world.add();
  leecher.start();
  leecher.add(payload, {seed.endpoint});
  keep_telling(world, seed, readings, Duration::minutes(9));
  assert_int_equal(leecher.status(payload.hash).downloaded, 0);
  assert_int_equal(leecher.status(payload.hash).peers, 1);
  keep_telling(world, seed, readings, Duration::minutes(2));
  assert_true(is(leecher, payload, TorrentState::seeding));
}

}  // namespace

int main() {
  CHECK(crypto_init());
  const CMUnitTest tests[] = {
      cmocka_unit_test(without_a_way_out_nothing_is_dialled_or_announced_and_then_everything_at_once),
      cmocka_unit_test(a_full_table_of_connections_stops_dialling),
      cmocka_unit_test(short_memory_sheds_peers_of_least_use_and_refuses_more),
      cmocka_unit_test(a_hot_board_uploads_less_and_says_why),
      cmocka_unit_test(counters_wait_for_a_sleeping_disk),
      cmocka_unit_test(free_peers_wait_for_a_sleeping_disk_and_are_served_together),
  };
  return RUN_TESTS(tests);
}
