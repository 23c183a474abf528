// What a node gives up for its device, reading by reading.
#include "node/device_policy.h"

#include "unit/test.h"

using namespace millet;

namespace {

struct Device {
  explicit Device(DevicePolicyOptions options = {}) : policy(options) {}
  // Readings every few seconds, as the driver takes them.
  void pass(Duration time) {
    for (Instant end = now + time; now < end;) {
      now = now + policy.next_look();
      policy.on_readings(now, readings, use);
    }
  }
  void look() {
    now = now + policy.next_look();
    policy.on_readings(now, readings, use);
  }
  bool says(std::string_view what, std::string_view value, std::string_view why) const {
    for (const DeviceLimit& limit : policy.explain()) {
      if (limit.what == what && limit.value == value && limit.why.find(why) != std::string::npos) return true;
    }
    return false;
  }
  const DeviceLimits& limits() const { return policy.limits(); }
  DevicePolicy policy;
  DeviceReadings readings;
  DeviceUse use{.upload_rate = 1'000'000, .upload_slots = 8, .peers = 40, .seeds = true};
  Instant now = Instant::from_us(5'000'000);
};

void a_device_that_tells_nothing_limits_nothing(void**) {
  Device device;
  device.pass(Duration::hours(2));
  assert_true(device.limits() == DeviceLimits());
  assert_true(device.policy.explain().empty());
  assert_true(device.policy.next_look() == DevicePolicy::k_look);
}

// ---- heat ----

DeviceReadings::Heat heat(int32_t celsius) { return {celsius * 1000, 95'000, "cpu-thermal"}; }

void the_rate_steps_down_before_the_chip_slows_down_and_up_again_later(void**) {
  Device device;
  device.readings.heat = heat(84);
  device.pass(Duration::minutes(5));
  assert_int_equal(device.limits().upload_rate, 0);
  device.readings.heat = heat(91);  // four below
  device.look();
  assert_int_equal(device.limits().upload_rate, 750'000);
  assert_true(device.says("upload", "75 %", "board at 91 \u00b0C (cpu-thermal), it slows down at 95 \u00b0C"));
  assert_true(device.policy.next_look() == DevicePolicy::k_look_closely);
  device.look();
  assert_int_equal(device.limits().upload_rate, 560'000);
  device.use.upload_rate = 560'000;  // the base stays what it was
  device.readings.heat = heat(88);   // between: as it is
  device.pass(Duration::minutes(10));
  assert_int_equal(device.limits().upload_rate, 560'000);
  device.readings.heat = heat(84);
  device.pass(Duration::seconds(20));
  assert_int_equal(device.limits().upload_rate, 660'000);
  device.pass(Duration::minutes(3));
  assert_int_equal(device.limits().upload_rate, 0);
  assert_true(device.policy.explain().empty());
}

void a_board_that_stays_hot_still_uploads_a_little(void**) {
  Device device;
  device.readings.heat = heat(96);
  device.look();
  assert_int_equal(device.limits().upload_rate, 250'000);
  device.pass(Duration::hours(1));
  assert_int_equal(device.limits().upload_rate, 1'000'000 / 100 * DevicePolicy::k_upload_percent_min);
  // The sensor goes away: back to normal, not at once.
  device.readings.heat.reset();
  device.look();
  assert_true(device.limits().upload_rate < 200'000 && device.limits().upload_rate != 0);
  assert_false(device.policy.explain().empty());
  device.pass(Duration::minutes(10));
  assert_int_equal(device.limits().upload_rate, 0);
}

void who_uploads_little_is_not_choked_off_by_the_heat_of_others(void**) {
  Device device;
  device.use.upload_rate = 1'000;
  device.readings.heat = heat(92);
  device.look();
  assert_true(device.limits().upload_rate >= DevicePolicy::k_upload_base_min / 2);
}

// ---- memory ----

DeviceReadings::Memory memory(uint64_t available_kib, uint32_t stalled = 0) { return {available_kib, 57'344, 0, stalled}; }

void short_memory_refuses_then_sheds_then_recovers(void**) {
  Device device;
  device.readings.memory = memory(20'000);
  device.pass(Duration::minutes(1));
  assert_int_equal(device.limits().peers_max, UINT32_MAX);
  device.readings.memory = memory(5'000);  // a tenth is 5,734
  device.look();
  assert_int_equal(device.limits().peers_max, 40);  // no more than there are
  assert_int_equal(device.limits().upload_slots_max, 4);
  assert_true(device.limits().low_memory);
  assert_true(device.says("peers", "at most 40", "memory runs short: 5000 KiB of 56 MiB are left"));
  device.pass(Duration::minutes(10));
  assert_int_equal(device.limits().peers_max, 40);
  device.readings.memory = memory(2'500);  // a twentieth is 2,867
  device.look();
  assert_int_equal(device.limits().peers_max, 20);
  assert_int_equal(device.limits().upload_slots_max, 2);
  device.use.peers = 20;
  device.look();
  assert_int_equal(device.limits().peers_max, 10);
  device.use.peers = 10;
  device.pass(Duration::minutes(1));
  assert_int_equal(device.limits().peers_max, DevicePolicy::k_peers_min);
  device.use.peers = 4;
  // A little more is not enough; step by step when there is plenty.
  device.readings.memory = memory(6'000);
  device.pass(Duration::seconds(20));
  assert_int_equal(device.limits().upload_slots_max, 2);
  device.pass(Duration::seconds(30));
  assert_int_equal(device.limits().upload_slots_max, 4);
  device.pass(Duration::minutes(10));
  assert_true(device.limits().low_memory);
  device.readings.memory = memory(20'000);
  device.look();
  assert_true(device.limits().low_memory);
  device.pass(Duration::minutes(1));
  assert_true(device.limits() == DeviceLimits());
}

void stalls_count_where_free_memory_does_not_tell(void**) {
  Device device;
  device.readings.memory = memory(20'000, 1'500);
  device.look();
  assert_true(device.limits().low_memory && device.limits().peers_max == 40);
  assert_true(device.says("upload slots", "at most 4", "tasks wait for it 15 % of the time"));
  device.readings.memory = memory(20'000, 4'500);
  device.look();
  assert_int_equal(device.limits().peers_max, 20);
}

void a_large_machine_keeps_a_bounded_reserve(void**) {
  Device device;
  device.readings.memory = DeviceReadings::Memory{400 * 1024, 64 * 1024 * 1024, 0, 0};
  device.look();
  assert_true(device.limits() == DeviceLimits());
}

// ---- connection tracking ----

void a_full_table_stops_dialling_until_there_is_room(void**) {
  Device device;
  auto at = [&](uint64_t count) {
    device.readings.tracking = {count, 1'000};
    device.look();
    return device.limits().dialling_max;
  };
  assert_int_equal(at(690), UINT32_MAX);
  assert_int_equal(at(700), DevicePolicy::k_dialling_few);
  assert_int_equal(at(650), DevicePolicy::k_dialling_few);
  assert_int_equal(at(900), 0);
  assert_true(device.says("connecting", "none", "the kernel tracks 900 of at most 1000 connections"));
  assert_int_equal(at(850), 0);
  assert_int_equal(at(799), DevicePolicy::k_dialling_few);
  assert_int_equal(at(599), UINT32_MAX);
  assert_int_equal(at(5'000), 0);  // the limit was lowered
  device.readings.tracking.reset();
  device.look();
  assert_int_equal(device.limits().dialling_max, UINT32_MAX);
}

void peers_fill_their_share_of_the_table_at_most(void**) {
  Device device;
  device.readings.tracking = {10, 512};
  device.look();
  assert_int_equal(device.limits().peers_max, 128);
  device.policy.set_options({.tracking_percent = 10, .disk_sleep = {}, .disk_bursts = {}});
  device.look();
  assert_int_equal(device.limits().peers_max, 51);
  device.readings.tracking = {1, 10};
  device.look();
  assert_int_equal(device.limits().peers_max, DevicePolicy::k_tracked_peers_min);
}

// ---- disks ----

DevicePolicyOptions with_disks(Duration bursts = {}) {
  return {.tracking_percent = 25, .disk_sleep = Duration::minutes(10), .disk_bursts = bursts};
}

void state_that_can_wait_waits_for_a_sleeping_disk_but_not_for_ever(void**) {
  Device device(with_disks());
  device.readings.state_disk = DeviceReadings::Disk{true, false, 100};
  device.pass(Duration::minutes(9));
  assert_false(device.limits().hold_writes);
  device.pass(Duration::minutes(2));
  assert_true(device.limits().hold_writes);
  assert_true(device.says("state", "held", "its disk sleeps"));
  device.readings.state_disk->accesses = 101;  // somebody else woke it
  device.look();
  assert_false(device.limits().hold_writes);
  device.readings.state_disk->suspended = true;  // the kernel knows better than the counters
  device.look();
  assert_true(device.limits().hold_writes);
  int wakes = 0;
  for (Instant end = device.now + Duration::hours(24); device.now < end;) {
    device.look();
    wakes += device.limits().hold_writes ? 0 : 1;
  }
  assert_in_range(wakes, 3, 4);
  device.readings.state_disk = DeviceReadings::Disk{false, false, 100};  // flash does not sleep
  device.look();
  assert_false(device.limits().hold_writes);
}

void peers_without_a_bid_wait_for_a_burst(void**) {
  Device device(with_disks(Duration::minutes(15)));
  device.readings.payload_disk = DeviceReadings::Disk{true, false, 100};
  device.use = {.upload_rate = 20'000, .upload_slots = 8, .peers = 2, .served_free = 1, .seeds = true};
  device.pass(Duration::seconds(100));
  assert_false(device.limits().paid_only);
  device.pass(Duration::minutes(1));
  assert_true(device.limits().paid_only);
  assert_true(device.says("free slots", "none", "board.disk_bursts"));
  // One that waits is served after a quarter of an hour, for two minutes.
  device.use = {.upload_slots = 8, .peers = 2, .waiting = 1, .seeds = true};
  device.pass(Duration::minutes(14));
  assert_true(device.limits().paid_only);
  device.pass(Duration::minutes(2));
  assert_false(device.limits().paid_only);
  device.use = {.upload_rate = 20'000, .upload_slots = 8, .peers = 2, .served_free = 1, .seeds = true};
  device.pass(Duration::minutes(3));
  assert_true(device.limits().paid_only);
  // Four are worth a wake, and so is one who pays.
  device.use = {.upload_slots = 8, .peers = 5, .waiting = 4, .seeds = true};
  device.look();
  assert_false(device.limits().paid_only);
  device.use = {.upload_rate = 20'000, .upload_slots = 8, .peers = 2, .served_free = 1, .seeds = true};
  device.pass(Duration::minutes(3));
  assert_true(device.limits().paid_only);
  device.use.paid = true;
  device.look();
  assert_false(device.limits().paid_only);
}

void a_busy_disk_is_not_put_to_sleep(void**) {
  Device device(with_disks(Duration::minutes(15)));
  device.readings.payload_disk = DeviceReadings::Disk{true, false, 100};
  device.use = {.upload_rate = 5'000'000, .upload_slots = 8, .peers = 2, .served_free = 2, .seeds = true};
  device.pass(Duration::hours(1));
  assert_false(device.limits().paid_only);
  // Nor is one that does not rotate.
  device.readings.payload_disk->rotating = false;
  device.use.upload_rate = 10;
  device.pass(Duration::hours(1));
  assert_false(device.limits().paid_only);
}

// ---- link ----

void a_lost_way_out_is_waited_for_and_its_return_told_once(void**) {
  Device device;
  device.readings.has_route = false;  // from the start: a network of its own
  device.pass(Duration::minutes(5));
  assert_true(device.limits().has_network);
  device.readings.has_route = true;
  device.look();
  assert_false(device.policy.take_network_back());
  device.readings.has_route = false;
  device.look();
  assert_false(device.limits().has_network);
  assert_true(device.says("network", "neither connecting nor announcing", "no default route"));
  device.pass(Duration::hours(1));
  assert_false(device.policy.take_network_back());
  device.readings.has_route = true;
  device.look();
  assert_true(device.limits().has_network);
  assert_true(device.policy.take_network_back());
  assert_false(device.policy.take_network_back());
  // Who can't tell any more is taken to have one.
  device.readings.has_route = false;
  device.look();
  device.readings.has_route.reset();
  device.look();
  assert_true(device.limits().has_network);
}

// ---- light ----

void the_light_shows_trouble_before_earnings_before_seeding(void**) {
  Device device;
  device.use = {};
  device.look();
  assert_true(device.policy.led() == LedPattern::off);
  device.use.seeds = true;
  device.look();
  assert_true(device.policy.led() == LedPattern::seeding);
  device.use.paid = true;
  device.look();
  assert_true(device.policy.led() == LedPattern::earning);
  device.use.has_trouble = true;
  device.look();
  assert_true(device.policy.led() == LedPattern::error);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(a_device_that_tells_nothing_limits_nothing),
      cmocka_unit_test(the_rate_steps_down_before_the_chip_slows_down_and_up_again_later),
      cmocka_unit_test(a_board_that_stays_hot_still_uploads_a_little),
      cmocka_unit_test(who_uploads_little_is_not_choked_off_by_the_heat_of_others),
      cmocka_unit_test(short_memory_refuses_then_sheds_then_recovers),
      cmocka_unit_test(stalls_count_where_free_memory_does_not_tell),
      cmocka_unit_test(a_large_machine_keeps_a_bounded_reserve),
      cmocka_unit_test(a_full_table_stops_dialling_until_there_is_room),
      cmocka_unit_test(peers_fill_their_share_of_the_table_at_most),
      cmocka_unit_test(state_that_can_wait_waits_for_a_sleeping_disk_but_not_for_ever),
      cmocka_unit_test(peers_without_a_bid_wait_for_a_burst),
      cmocka_unit_test(a_busy_disk_is_not_put_to_sleep),
      cmocka_unit_test(a_lost_way_out_is_waited_for_and_its_return_told_once),
      cmocka_unit_test(the_light_shows_trouble_before_earnings_before_seeding),
  };
  return RUN_TESTS(tests);
}
