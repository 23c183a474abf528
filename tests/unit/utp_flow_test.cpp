// uTP streams over modelled links: windows, pace, packet sizes, what owners do.
#include "unit/utp_pair.h"

#include "unit/test.h"

using namespace millet;

namespace {

// ---- windows ----

void a_reader_that_stops_stops_the_sender(void**) {
  UtpOptions options;
  options.window = 100'000;
  Pair pair({}, options);
  pair.world.connect(pair.a, pair.b, 1'000'000);
  pair.world.run(at_seconds(60), [&] { return pair.b_received() > 200'000; });
  UtpId stream = pair.at_b().id;
  pair.b.engine->set_reading(pair.world.local(pair.b), stream, false);
  uint64_t at_stop = pair.b_received();
  pair.world.run_for(Duration::seconds(20));
  assert_int_equal(pair.b_received(), at_stop);
  assert_in_range(pair.a.engine->acknowledged(pair.at_a().id) - at_stop, 50'000, 100'000 + 1500);
  pair.b.engine->set_reading(pair.world.local(pair.b), stream, true);
  pair.world.pump(pair.b);
  assert_true(pair.world.run(pair.world.now() + Duration::seconds(40), [&] { return pair.b_received() == 1'000'000; }));
  assert_false(pair.at_b().bad || pair.at_a().closed);
}

void the_pool_for_holes_is_bounded_and_all_arrives(void**) {
  UtpOptions options;
  options.reassembly_max = 128 * 1024;
  UtpLink link;
  link.loss_ppm = 50'000;
  link.bits_per_second = 20'000'000;
  Pair pair(link, options);
  for (int i = 0; i < 8; ++i) pair.world.connect(pair.a, pair.b, 200'000);
  size_t most = 0;
  bool done = pair.world.run(at_seconds(300), [&] {
    most = std::max(most, pair.b.engine->memory());
    uint64_t all = 0;
    for (const auto& [id, stream] : pair.b.streams) all += stream.received;
    return all == 8 * 200'000;
  });
  assert_true(done);
  for (const auto& [id, stream] : pair.b.streams) assert_false(stream.bad);
  assert_true(most < 128 * 1024 + 8 * 64 * 1024);
}

void a_packet_far_ahead_grows_nothing(void**) {
  UtpWorld world(8);
  UtpWorld::Node& node = world.add();
  Wire wire;
  wire.watch(world);
  world.inject(node, k_stranger, packet_bytes({UtpType::syn, 100, 1, 0, 1 << 20, 1000, 0}));
  uint16_t ack = static_cast<uint16_t>(first_of(wire, node, UtpType::state).seq - 1);
  world.inject(node, k_stranger, packet_bytes({UtpType::data, 101, 1, 0, 1 << 20, 1001, ack}, 10));
  size_t before = node.engine->memory();
  for (uint16_t ahead = 20'000; ahead < 32'000; ++ahead) {
    world.inject(node, k_stranger, packet_bytes({UtpType::data, 101, 1, 0, 1 << 20, static_cast<uint16_t>(1001 + ahead), ack}, 1000));
  }
  assert_in_range(node.engine->memory(), before, before + 64);
}

void a_long_fast_path_is_filled(void**) {
  UtpOptions options;
  options.window = 64u << 20;
  options.ledbat.window_max = 60u << 20;
  UtpLink link;
  link.bits_per_second = 2'000'000'000;
  link.delay = Duration::ms(200);
  link.queue_max = 100'000'000;
  Pair pair(link, options);
  pair.world.tap = nullptr;
  pair.world.connect(pair.a, pair.b, 200'000'000);
  uint64_t most = 0;
  bool done = pair.world.run(at_seconds(60), [&] {
    most = std::max(most, pair.a.engine->counters().payload_out - pair.a.engine->acknowledged(pair.at_a().id));
    return pair.b_received() == 200'000'000;
  });
  assert_true(done);
  assert_false(pair.at_b().bad);
  // 100 MB would fit on the path; sequence numbers end at 2^15 packets.
  assert_in_range(most / 1452, 30'000, UtpSent::k_packets_max);
  assert_int_equal(pair.a.engine->counters().payload_again, 0);
}

void packets_leave_at_the_pace_of_the_path(void**) {
  UtpLink link;
  link.bits_per_second = 20'000'000;
  link.delay = Duration::ms(25);
  Pair pair(link);
  pair.world.connect(pair.a, pair.b, 100'000'000);
  pair.world.run_for(Duration::seconds(8));
  pair.wire.packets.clear();
  pair.world.run_for(Duration::seconds(20));
  std::vector<Wire::Sent> sent = pair.wire.of(pair.a, UtpType::data);
  size_t most = 0;
  size_t first = 0;
  size_t bytes = 0;
  for (const Wire::Sent& packet : sent) {
    bytes += packet.payload;
    for (; packet.at - sent[first].at > Duration::ms(1); ++first) bytes -= sent[first].payload;
    most = std::max(most, bytes);
  }
  assert_true(sent.size() > 20'000'000 / 8 * 20 / 1500 * 8 / 10);
  // A millisecond of the path is two packets; catching up after a late timer and a doubled rate in slow start are some more. A window would
  // be 180.
  assert_in_range(most, 2 * 1452, 10 * 1452);
}

// ---- packet sizes ----

void packets_grow_to_what_the_path_takes(void**) {
  const struct {
    uint32_t packet_max;
    bool v6;
    uint32_t expected;
  } rows[] = {{1500, false, 1472}, {1500, true, 1452},  {1492, false, 1464}, {1492, true, 1444},
              {1420, true, 1372},  {1280, false, 1252}, {1280, true, 1232}};
  for (const auto& row : rows) {
    UtpLink link;
    link.packet_max = row.packet_max;
    link.overhead = row.v6 ? 48 : 28;
    Pair pair(link, {}, row.v6);
    assert_true(pair.transfer(1'000'000));
    assert_int_equal(pair.a.engine->packet_size(pair.at_a().id), row.expected);
    // Probes that are lost are no congestion: the transfer takes as long as without them.
    assert_true(pair.world.now() < at_seconds(8));
  }
}

void a_black_hole_is_found(void**) {
  for (bool v6 : {false, true}) {
    UtpLink link;
    link.overhead = v6 ? 48 : 28;
    link.bits_per_second = 10'000'000;
    Pair pair(link, {}, v6);
    pair.world.connect(pair.a, pair.b, 6'000'000);
    pair.world.run_for(Duration::seconds(2));
    assert_int_equal(pair.a.engine->packet_size(pair.at_a().id), v6 ? 1452 : 1472);
    pair.there.packet_max = pair.back.packet_max = 1280;
    assert_true(pair.world.run(at_seconds(30), [&] { return pair.b_received() == 6'000'000; }));
    assert_false(pair.at_b().bad);
    assert_int_equal(pair.a.engine->packet_size(pair.at_a().id), v6 ? 1232 : 1252);
  }
}

// ---- owners ----

void bytes_that_are_cold_are_asked_for_later(void**) {
  UtpLink link;
  link.loss_ppm = 20'000;
  Pair pair(link);
  for (uint64_t offset = 10'000; offset < 300'000; offset += 7'000) pair.a.cold.push_back(offset);
  assert_true(pair.transfer(300'000));
  assert_true(pair.a.cold.empty());
}

void runs_are_of_equal_packets_and_bounded(void**) {
  UtpLink link;
  link.bits_per_second = 800'000'000;
  link.delay = Duration::ms(2);
  Pair pair(link);
  assert_true(pair.transfer(50'000'000));
  assert_true(pair.a.run_bytes_max <= UtpRun::k_size_max);
  // Most of what goes out goes out in runs.
  assert_true(pair.a.run_packets > 4 * pair.a.runs);
}

// Each of them sends less than a packet in a millisecond; of the uplink a millisecond is eight packets.
void many_paths_take_turns_of_whole_runs(void**) {
  constexpr size_t k_paths = 20;
  UtpWorld world(1);
  UtpWorld::Node& seeder = world.add();
  UtpLink link;
  link.bits_per_second = 100'000'000;
  link.delay = Duration::ms(1);
  UtpLink& up = world.add_link(link);
  UtpLink rest;
  for (size_t i = 0; i < k_paths; ++i) {
    UtpWorld::Node& leecher = world.add();
    world.route(seeder, leecher, {&up, &world.add_link(rest)});
    world.route(leecher, seeder, {&world.add_link(rest)});
    world.connect(seeder, leecher, 100'000'000);
  }
  world.run_for(Duration::seconds(8));
  uint64_t runs = seeder.runs;
  uint64_t packets = seeder.run_packets;
  world.run_for(Duration::seconds(2));
  packets = seeder.run_packets - packets;
  assert_true(packets > 100'000'000 / 8 * 2 / 1500 * 8 / 10);
  assert_true(packets > 3 * (seeder.runs - runs));
  assert_true(up.queue_percentile_ms(95) < 80);
}

void connections_of_one_path_share_it_evenly(void**) {
  UtpLink link;
  link.bits_per_second = 20'000'000;
  Pair pair(link);
  for (int i = 0; i < 10; ++i) pair.world.connect(pair.a, pair.b, 100'000'000);
  pair.world.run_for(Duration::seconds(20));
  uint64_t all = 0;
  uint64_t least = UINT64_MAX;
  uint64_t most = 0;
  for (const auto& [id, stream] : pair.b.streams) {
    all += stream.received;
    least = std::min(least, stream.received);
    most = std::max(most, stream.received);
  }
  assert_int_equal(pair.b.streams.size(), 10);
  assert_true(all > 20'000'000 / 8 * 20 * 8 / 10);
  assert_true(least * 10 > most * 8);
  // One queue, not ten.
  assert_true(pair.there.queue_percentile_ms(95) < 80);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(a_reader_that_stops_stops_the_sender),
      cmocka_unit_test(the_pool_for_holes_is_bounded_and_all_arrives),
      cmocka_unit_test(a_packet_far_ahead_grows_nothing),
      cmocka_unit_test(a_long_fast_path_is_filled),
      cmocka_unit_test(packets_leave_at_the_pace_of_the_path),
      cmocka_unit_test(packets_grow_to_what_the_path_takes),
      cmocka_unit_test(a_black_hole_is_found),
      cmocka_unit_test(bytes_that_are_cold_are_asked_for_later),
      cmocka_unit_test(runs_are_of_equal_packets_and_bounded),
      cmocka_unit_test(many_paths_take_turns_of_whole_runs),
      cmocka_unit_test(connections_of_one_path_share_it_evenly),
  };
  return RUN_TESTS(tests);
}
