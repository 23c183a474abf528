// uTP streams over modelled links: connecting, order, losses, the end; the rules of BEP 29 one by one.
#include "unit/utp_pair.h"

#include "unit/test.h"

using namespace millet;

namespace {

// ---- handshake ----

void both_directions_arrive_whole(void**) {
  Pair pair;
  pair.b.serve = 300'000;
  UtpWorld::Stream& out = pair.world.connect(pair.a, pair.b, 200'000);
  assert_true(pair.world.run(at_seconds(60), [&] { return out.received == 300'000 && pair.b_received() == 200'000; }));
  assert_false(out.bad || pair.at_b().bad);
  assert_false(out.closed || pair.at_b().closed);
  assert_int_equal(pair.a.engine->counters().payload_again, 0);
  assert_int_equal(pair.b.engine->counters().payload_again, 0);
}

void handshake_uses_the_ids_and_numbers_of_bep_29(void**) {
  Pair pair;
  pair.b.serve = 10;
  assert_true(pair.transfer(10));
  pair.world.run_for(Duration::seconds(1));
  UtpHeader syn = first_of(pair.wire, pair.a, UtpType::syn);
  UtpHeader state = first_of(pair.wire, pair.b, UtpType::state);
  UtpHeader data = first_of(pair.wire, pair.a, UtpType::data);
  UtpHeader reply = first_of(pair.wire, pair.b, UtpType::data);
  assert_int_equal(pair.wire.of(pair.a, UtpType::syn).size(), 1);
  assert_int_equal(state.connection, syn.connection);
  assert_int_equal(state.ack, syn.seq);
  assert_int_equal(data.connection, static_cast<uint16_t>(syn.connection + 1));
  assert_int_equal(data.seq, static_cast<uint16_t>(syn.seq + 1));
  // As libutp and libtorrent have it: a STATE has the number of the next packet, so nothing of theirs is acknowledged yet.
  assert_int_equal(data.ack, static_cast<uint16_t>(state.seq - 1));
  assert_int_equal(reply.connection, syn.connection);
  assert_int_equal(reply.seq, state.seq);
}

void a_syn_is_sent_again_and_then_given_up(void**) {
  Pair pair;
  pair.there.loss_ppm = 1'000'000;
  UtpWorld::Stream& out = pair.world.connect(pair.a, pair.b, 10);
  assert_true(pair.world.run(at_seconds(60), [&] { return out.closed; }));
  assert_int_equal(out.reason, Errc::timed_out);
  assert_string_equal(out.what.c_str(), "does not answer");
  std::vector<Wire::Sent> syns = pair.wire.of(pair.a, UtpType::syn);
  assert_int_equal(syns.size(), UtpConnection::k_syns_max);
  // RFC 6298: one second at first, doubled each time.
  for (size_t i = 1; i < syns.size(); ++i) assert_in_range((syns[i].at - syns[i - 1].at).in_ms(), 1000 << (i - 1), (1000 << (i - 1)) + 10);
  assert_int_equal(pair.a.engine->count(), 0);
}

void a_lost_answer_to_a_syn_makes_one_connection(void**) {
  Pair pair;
  pair.back.loss_ppm = 1'000'000;
  pair.world.connect(pair.a, pair.b, 5000);
  pair.world.run_for(Duration::ms(1500));
  pair.back.loss_ppm = 0;
  assert_true(pair.world.run(at_seconds(60), [&] { return pair.b_received() == 5000; }));
  assert_int_equal(pair.b.streams.size(), 1);
  assert_int_equal(pair.b.engine->count(), 1);
}

void syns_leave_no_state_and_get_no_more_than_they_send(void**) {
  UtpWorld world(3);
  UtpWorld::Node& node = world.add();
  Wire wire;
  wire.watch(world);
  size_t before = node.engine->memory();
  size_t sent = 0;
  for (uint32_t i = 0; i < 20'000; ++i) {
    Endpoint forged = {IpAddress::v4({11, static_cast<uint8_t>(i >> 16), static_cast<uint8_t>(i >> 8), static_cast<uint8_t>(i)}), 7000};
    std::vector<uint8_t> syn = packet_bytes({UtpType::syn, static_cast<uint16_t>(i), 1, 0, 1 << 20, static_cast<uint16_t>(i * 7), 0});
    sent += syn.size();
    world.inject(node, forged, syn);
  }
  assert_int_equal(node.engine->count(), 0);
  assert_int_equal(node.engine->memory(), before);
  assert_true(node.engine->next_deadline().is_never());
  assert_true(wire.packets.size() * k_utp_header_size <= sent);
  for (const Wire::Sent& packet : wire.packets) assert_int_equal(packet.payload + packet.sack, 0);
  assert_true(wire.packets.size() <= 250);  // answers have a rate
}

void strangers_get_a_reset_and_no_more_than_they_send(void**) {
  UtpWorld world(4);
  UtpWorld::Node& node = world.add();
  Wire wire;
  wire.watch(world);
  world.inject(node, k_stranger, packet_bytes({UtpType::data, 77, 1, 0, 1 << 20, 500, 600}, 100));
  assert_int_equal(wire.packets.size(), 1);
  assert_int_equal(wire.packets[0].header.type, UtpType::reset);
  assert_int_equal(wire.packets[0].header.connection, 77);
  assert_int_equal(wire.packets[0].header.ack, 500);
  // A RESET is not answered, or two ends would answer each other for ever.
  world.inject(node, k_stranger, packet_bytes({UtpType::reset, 78, 1, 0, 0, 1, 1}));
  assert_int_equal(wire.packets.size(), 1);
  assert_int_equal(node.engine->count(), 0);
}

void guessed_cookies_make_no_connection(void**) {
  UtpWorld world(5);
  UtpWorld::Node& node = world.add();
  Wire wire;
  wire.watch(world);
  world.inject(node, k_stranger, packet_bytes({UtpType::syn, 100, 1, 0, 1 << 20, 1000, 0}));
  uint16_t cookie = first_of(wire, node, UtpType::state).seq;
  for (uint16_t wrong = 1; wrong < 2000; ++wrong) {
    world.inject(node, k_stranger, packet_bytes({UtpType::data, 101, 1, 0, 1 << 20, 1001, static_cast<uint16_t>(cookie - 1 + wrong)}, 10));
  }
  // Eight numbers would do for each packet, of 65,536; from another port all would be wrong.
  assert_true(node.engine->count() <= 2);
  size_t before = node.engine->count();
  world.inject(node, k_stranger, packet_bytes({UtpType::data, 101, 1, 0, 1 << 20, 1001, static_cast<uint16_t>(cookie - 1)}, 10));
  assert_true(node.engine->count() >= std::max<size_t>(before, 1));
}

void a_cookie_holds_for_a_minute_and_not_for_three(void**) {
  for (int64_t wait : {60, 200}) {
    UtpWorld world(6);
    UtpWorld::Node& node = world.add();
    Wire wire;
    wire.watch(world);
    world.inject(node, k_stranger, packet_bytes({UtpType::syn, 100, 1, 0, 1 << 20, 1000, 0}));
    uint16_t cookie = first_of(wire, node, UtpType::state).seq;
    world.run_for(Duration::seconds(wait));
    // Their second packet comes first: the first was lost.
    world.inject(node, k_stranger, packet_bytes({UtpType::data, 101, 1, 0, 1 << 20, 1002, static_cast<uint16_t>(cookie - 1)}, 10));
    assert_int_equal(node.engine->count(), wait == 60 ? 1 : 0);
  }
}

void connections_have_a_bound(void**) {
  UtpOptions options;
  options.connections_max = 3;
  UtpWorld world(7);
  UtpWorld::Node& a = world.add();
  UtpWorld::Node& b = world.add(options);
  world.join(a, b, {}, {});
  for (int i = 0; i < 5; ++i) world.connect(a, b, 1000);
  world.run_for(Duration::seconds(5));
  assert_int_equal(b.engine->count(), 3);
  assert_true(b.engine->counters().refused >= 2);
  unsigned closed = 0;
  for (const auto& [id, stream] : a.streams) closed += stream.closed;
  assert_int_equal(closed, 2);
  UtpWorld::Node& c = world.add(options);
  for (int i = 0; i < 3; ++i) assert_true(c.engine->connect(world.now(), b.address).has_value());
  Result<UtpId> more = c.engine->connect(world.now(), b.address);
  assert_false(more.has_value());
  assert_int_equal(more.error().code, Errc::no_room);
}

void a_late_first_packet_makes_no_second_connection(void**) {
  UtpWorld world(9);
  UtpWorld::Node& node = world.add();
  Wire wire;
  wire.watch(world);
  world.inject(node, k_stranger, packet_bytes({UtpType::syn, 100, 1, 0, 1 << 20, 1000, 0}));
  uint16_t ack = static_cast<uint16_t>(first_of(wire, node, UtpType::state).seq - 1);
  std::vector<uint8_t> first = packet_bytes({UtpType::data, 101, 1, 0, 1 << 20, 1001, ack}, 10);
  world.inject(node, k_stranger, first);
  assert_int_equal(node.streams.size(), 1);
  node.engine->abandon(world.local(node), node.only().id);
  world.inject(node, k_stranger, first);
  assert_int_equal(node.streams.size(), 1);
  assert_int_equal(node.engine->count(), 0);
}

// ---- order, loss, numbers ----

void sequence_numbers_wrap(void**) {
  UtpLink link;
  link.delay = Duration::ms(1);
  Pair pair(link);
  assert_true(pair.transfer(100'000'000, 600));  // more than 65,536 packets
  assert_true(pair.a.engine->counters().packets_out > 66'000);
  assert_int_equal(pair.a.engine->counters().payload_out, 100'000'000);
}

void clocks_wrap(void**) {
  Pair pair;
  pair.a.clock_offset_us = (int64_t{1} << 32) - 1'500'000;
  pair.b.clock_offset_us = (int64_t{1} << 33) - 2'500'000;
  pair.there.bits_per_second = 4'000'000;
  assert_true(pair.transfer(3'000'000));
  assert_int_equal(pair.a.engine->counters().payload_again, 0);
  assert_true(pair.there.queue_percentile_ms(95) < 100);
}

void what_is_lost_is_sent_again_and_nothing_else(void**) {
  Pair pair;
  pair.there.bits_per_second = 10'000'000;
  pair.world.connect(pair.a, pair.b, 1'000'000);
  pair.world.run(at_seconds(60), [&] { return pair.b_received() > 500'000; });
  pair.there.drop_next = 1;
  pair.world.run(at_seconds(60), [&] { return pair.there.drop_next == 0; });
  Instant lost_at = pair.world.now();
  assert_true(pair.world.run(at_seconds(60), [&] { return pair.a.engine->counters().payload_again != 0; }));
  // By selective acknowledgement within about a round trip (20 ms and a queue of up to 60 ms), not by a timeout.
  assert_in_range((pair.world.now() - lost_at).in_ms(), 1, 150);
  assert_true(pair.world.run(at_seconds(60), [&] { return pair.b_received() == 1'000'000; }));
  assert_false(pair.at_b().bad);
  assert_in_range(pair.a.engine->counters().payload_again, 1, 1500);
  bool has_sack = false;
  for (const Wire::Sent& packet : pair.wire.of(pair.b, UtpType::state)) has_sack = has_sack || packet.sack != 0;
  assert_true(has_sack);
}

void the_last_packet_lost_comes_again_before_a_timeout(void**) {
  Pair pair;
  pair.world.connect(pair.a, pair.b, 100'000);
  pair.world.run(at_seconds(60), [&] { return pair.b_received() == 100'000; });
  pair.world.run_for(Duration::seconds(1));
  pair.there.loss_ppm = 1'000'000;
  Instant sent_at = pair.world.now();
  pair.at_a().to_send = 100'500;
  pair.at_a().offered = 100'500;
  pair.a.engine->offer(pair.world.local(pair.a), pair.at_a().id, 500);
  pair.world.pump(pair.a);
  pair.there.loss_ppm = 0;
  assert_true(pair.world.run(at_seconds(60), [&] { return pair.b_received() == 100'500; }));
  // RFC 8985 section 7: two round trips and what an acknowledgement may be delayed, not a timeout's 200 ms at least.
  assert_in_range((pair.world.now() - sent_at).in_ms(), 100, 190);
}

void reordering_alone_sends_little_again(void**) {
  UtpLink link;
  link.bits_per_second = 20'000'000;
  link.reorder_ppm = 100'000;
  link.reorder_delay = Duration::ms(8);
  Pair pair(link);
  assert_true(pair.transfer(3'000'000));
  assert_true(pair.a.engine->counters().payload_again < 3'000'000 / 20);
}

void duplicates_are_dropped(void**) {
  UtpLink link;
  link.duplicate_ppm = 300'000;
  Pair pair(link);
  assert_true(pair.transfer(500'000));
  assert_int_equal(pair.b.engine->counters().payload_in, 500'000);
}

void acknowledgements_are_delayed_and_shared(void**) {
  Pair pair;
  assert_true(pair.transfer(300'000));
  pair.world.run_for(Duration::ms(100));
  size_t data = pair.wire.of(pair.a, UtpType::data).size();
  size_t states = pair.wire.of(pair.b, UtpType::state).size();
  assert_in_range(states, 2, data / 2 + 3);
  // One packet alone is acknowledged after the delay.
  pair.wire.packets.clear();
  Instant sent_at = pair.world.now();
  pair.at_a().offered += 100;
  pair.at_a().to_send += 100;
  pair.a.engine->offer(pair.world.local(pair.a), pair.at_a().id, 100);
  pair.world.pump(pair.a);
  assert_true(pair.world.run(at_seconds(60), [&] { return !pair.wire.of(pair.b, UtpType::state).empty(); }));
  assert_in_range((pair.world.now() - sent_at).in_ms(), 10 + 20, 10 + 22);
}

void data_acknowledges_too(void**) {
  Pair pair;
  pair.b.serve = 300'000;
  UtpWorld::Stream& out = pair.world.connect(pair.a, pair.b, 300'000);
  assert_true(pair.world.run(at_seconds(60), [&] { return out.received == 300'000 && pair.b_received() == 300'000; }));
  size_t data = pair.wire.of(pair.b, UtpType::data).size();
  assert_true(pair.wire.of(pair.b, UtpType::state).size() < data / 2);
}

void idle_connections_keep_their_nat_mapping_with_shared_wakes(void**) {
  Pair pair;
  assert_true(pair.transfer(1000));
  pair.world.run_for(Duration::seconds(1));
  pair.wire.packets.clear();
  pair.world.run_for(Duration::seconds(120));
  std::vector<Wire::Sent> kept = pair.wire.of(pair.a, UtpType::state);
  assert_in_range(kept.size(), 4, 7);
  for (size_t i = 1; i < kept.size(); ++i) assert_true((kept[i].at - kept[i - 1].at).in_seconds() < 30);
  for (const Wire::Sent& packet : kept) assert_in_range(packet.at.in_us() % UtpConnection::k_keep_alive_grid.in_us(), 0, 50'000);
  assert_false(pair.at_a().closed);
}

// ---- the end ----

void a_fin_comes_after_everything(void**) {
  UtpLink link;
  link.loss_ppm = 50'000;
  Pair pair(link);
  UtpWorld::Stream& out = pair.world.connect(pair.a, pair.b, 400'000, true);
  assert_true(pair.world.run(at_seconds(120), [&] { return out.closed && !pair.b.streams.empty() && pair.at_b().closed; }));
  assert_int_equal(pair.b_received(), 400'000);
  assert_false(pair.at_b().bad);
  assert_string_equal(pair.at_b().what.c_str(), "closed by the peer");
  pair.world.run_for(Duration::seconds(10));
  assert_int_equal(pair.a.engine->count(), 0);
  assert_int_equal(pair.b.engine->count(), 0);
}

void a_reset_ends_at_once(void**) {
  Pair pair;
  pair.world.connect(pair.a, pair.b, 400'000);
  pair.world.run(at_seconds(60), [&] { return pair.b_received() > 50'000; });
  pair.b.engine->abandon(pair.world.local(pair.b), pair.at_b().id);
  pair.world.pump(pair.b);
  assert_true(pair.world.run(at_seconds(60), [&] { return pair.at_a().closed; }));
  assert_string_equal(pair.at_a().what.c_str(), "reset by the peer");
  assert_int_equal(pair.b.engine->count(), 0);
  assert_int_equal(pair.a.engine->count(), 0);
}

void a_forged_reset_is_ignored(void**) {
  Pair pair;
  pair.world.connect(pair.a, pair.b, 400'000);
  pair.world.run(at_seconds(60), [&] { return pair.b_received() > 50'000; });
  UtpHeader data = pair.wire.of(pair.a, UtpType::data).back().header;
  UtpHeader syn = first_of(pair.wire, pair.a, UtpType::syn);
  // Right addresses and id, but what it acknowledges was never sent, or long ago.
  for (int off : {200, 5000, 30'000, -30'000, -5000}) {
    uint16_t ack = static_cast<uint16_t>(data.seq + off);
    pair.world.inject(pair.a, pair.b.address, packet_bytes({UtpType::reset, syn.connection, 1, 0, 0, 1, ack}));
  }
  assert_false(pair.at_a().closed);
  // An end that lost its state answers with the id that we send to.
  pair.world.inject(pair.a, pair.b.address, packet_bytes({UtpType::reset, data.connection, 1, 0, 0, 1, data.seq}));
  assert_true(pair.at_a().closed);
}

void a_peer_that_vanishes_is_given_up(void**) {
  Pair pair;
  pair.world.connect(pair.a, pair.b, 400'000);
  pair.world.run(at_seconds(60), [&] { return pair.b_received() > 50'000; });
  pair.there.loss_ppm = pair.back.loss_ppm = 1'000'000;
  Instant gone_at = pair.world.now();
  assert_true(pair.world.run(at_seconds(300), [&] { return pair.at_a().closed; }));
  assert_int_equal(pair.at_a().reason, Errc::timed_out);
  assert_in_range((pair.world.now() - gone_at).in_seconds(), 30, 180);
  assert_int_equal(pair.a.engine->count(), 0);
}

void a_peer_whose_port_is_closed_is_given_up_soon(void**) {
  Pair pair;
  pair.world.connect(pair.a, pair.b, 400'000);
  pair.world.run(at_seconds(60), [&] { return pair.b_received() > 50'000; });
  pair.there.loss_ppm = pair.back.loss_ppm = 1'000'000;
  Instant gone_at = pair.world.now();
  // Another port of that address means nothing.
  pair.a.engine->on_unreachable({pair.b.address.address, 1});
  pair.world.run_for(Duration::seconds(8));
  assert_false(pair.at_a().closed);
  pair.a.engine->on_unreachable(pair.b.address);
  assert_true(pair.world.run(at_seconds(300), [&] { return pair.at_a().closed; }));
  assert_int_equal(pair.at_a().reason, Errc::timed_out);
  assert_in_range((pair.world.now() - gone_at).in_seconds(), 8, 20);

  // From the first packet on that nobody takes.
  Pair other;
  other.world.connect(other.a, other.b, 400'000);
  other.world.run(at_seconds(60), [&] { return other.b_received() > 50'000; });
  other.there.loss_ppm = other.back.loss_ppm = 1'000'000;
  gone_at = other.world.now();
  other.world.run_for(Duration::ms(100));
  other.a.engine->on_unreachable(other.b.address);
  assert_true(other.world.run(at_seconds(300), [&] { return other.at_a().closed; }));
  assert_in_range((other.world.now() - gone_at).in_ms(), 500, 6000);
}

void a_forged_unreachable_ends_nothing(void**) {
  UtpLink link;
  link.loss_ppm = 20'000;
  Pair pair(link);
  pair.world.connect(pair.a, pair.b, 4'000'000);
  bool done = false;
  for (int i = 0; i < 1000 && !done; ++i) {
    pair.a.engine->on_unreachable(pair.b.address);
    done = pair.world.run(pair.world.now() + Duration::ms(50), [&] { return pair.b_received() == 4'000'000; });
  }
  assert_true(done);
  // Nor a stream on which nothing is on its way.
  for (int i = 0; i < 100; ++i) {
    pair.a.engine->on_unreachable(pair.b.address);
    pair.world.run_for(Duration::ms(500));
  }
  assert_false(pair.at_a().closed);
}

// Its earlier streams are asked at once whether they still live, not at the next keep-alive.
void an_endpoint_that_began_anew_loses_its_earlier_streams(void**) {
  Pair pair;
  pair.world.connect(pair.b, pair.a, 10'000);
  pair.world.connect(pair.b, pair.a, 10'000);
  pair.world.run_for(Duration::seconds(3));
  assert_int_equal(pair.a.streams.size(), 2);
  pair.b.streams.clear();
  pair.b.engine = std::make_unique<Utp>(UtpOptions(), *pair.b.secure, 4711);
  Instant at = pair.world.now();
  pair.world.connect(pair.b, pair.a, 10'000);
  auto closed = [&] {
    size_t out = 0;
    for (const auto& [id, stream] : pair.a.streams) out += stream.closed;
    return out;
  };
  assert_true(pair.world.run(at + Duration::seconds(2), [&] { return pair.a.streams.size() == 3 && closed() == 2; }));
  // The new one lives, and so do streams of an endpoint that goes on.
  pair.world.connect(pair.b, pair.a, 10'000);
  pair.world.run_for(Duration::seconds(3));
  assert_int_equal(pair.a.streams.size(), 4);
  assert_int_equal(closed(), 2);
  assert_int_equal(pair.a.engine->count(), 2);
}

void a_closed_window_does_not_stop_others_of_its_address(void**) {
  UtpLink link;
  link.bits_per_second = 20'000'000;
  Pair pair(link);
  pair.world.connect(pair.a, pair.b, 20'000'000);
  pair.world.connect(pair.a, pair.b, 20'000'000);
  pair.world.run_for(Duration::seconds(3));
  // One of them is read no more.
  UtpWorld::Stream* other = nullptr;
  for (auto& [id, stream] : pair.b.streams) {
    if (stream.received != 0 && id != pair.b.streams.begin()->first) other = &stream;
  }
  assert_non_null(other);
  pair.b.engine->set_reading(pair.world.local(pair.b), other->id, false);
  uint64_t before = pair.b_received();
  pair.world.run_for(Duration::seconds(4));
  assert_true(pair.b_received() - before > 4 * 20'000'000 / 8 / 2);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(both_directions_arrive_whole),
      cmocka_unit_test(handshake_uses_the_ids_and_numbers_of_bep_29),
      cmocka_unit_test(a_syn_is_sent_again_and_then_given_up),
      cmocka_unit_test(a_lost_answer_to_a_syn_makes_one_connection),
      cmocka_unit_test(syns_leave_no_state_and_get_no_more_than_they_send),
      cmocka_unit_test(strangers_get_a_reset_and_no_more_than_they_send),
      cmocka_unit_test(guessed_cookies_make_no_connection),
      cmocka_unit_test(a_cookie_holds_for_a_minute_and_not_for_three),
      cmocka_unit_test(connections_have_a_bound),
      cmocka_unit_test(a_late_first_packet_makes_no_second_connection),
      cmocka_unit_test(sequence_numbers_wrap),
      cmocka_unit_test(clocks_wrap),
      cmocka_unit_test(what_is_lost_is_sent_again_and_nothing_else),
      cmocka_unit_test(the_last_packet_lost_comes_again_before_a_timeout),
      cmocka_unit_test(reordering_alone_sends_little_again),
      cmocka_unit_test(duplicates_are_dropped),
      cmocka_unit_test(acknowledgements_are_delayed_and_shared),
      cmocka_unit_test(data_acknowledges_too),
      cmocka_unit_test(idle_connections_keep_their_nat_mapping_with_shared_wakes),
      cmocka_unit_test(a_fin_comes_after_everything),
      cmocka_unit_test(a_reset_ends_at_once),
      cmocka_unit_test(a_forged_reset_is_ignored),
      cmocka_unit_test(a_peer_that_vanishes_is_given_up),
      cmocka_unit_test(a_peer_whose_port_is_closed_is_given_up_soon),
      cmocka_unit_test(a_forged_unreachable_ends_nothing),
      cmocka_unit_test(an_endpoint_that_began_anew_loses_its_earlier_streams),
      cmocka_unit_test(a_closed_window_does_not_stop_others_of_its_address),
  };
  return RUN_TESTS(tests);
}
