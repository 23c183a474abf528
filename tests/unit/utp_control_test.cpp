// Parts of the uTP engine by themselves: delay, windows, packet size, timers.
#include <algorithm>
#include <vector>

#include "base/random.h"
#include "swarm/utp_delay.h"
#include "swarm/utp_ledbat.h"
#include "swarm/utp_mtu.h"
#include "swarm/utp_path.h"
#include "swarm/utp_rtt.h"
#include "swarm/utp_timers.h"
#include "unit/test.h"

using namespace millet;

namespace {

// ---- delay ----

void the_least_delay_is_the_path_and_the_rest_queue(void**) {
  UtpDelay delay;
  Instant now = Instant::from_us(1'000'000);
  uint32_t offset = 0xfffffff0;  // clocks that nobody has set
  for (int i = 0; i < 10; ++i) delay.on_report(now, offset + 20'000, UINT32_MAX, 0);
  assert_int_equal(delay.queue_us(), 0);
  for (int i = 0; i < 10; ++i) delay.on_report(now, offset + 50'000, UINT32_MAX, 0);
  assert_int_equal(delay.queue_us(), 30'000);
  // A single spike says nothing, and no report is longer than the round trip.
  delay.on_report(now, offset + 900'000, UINT32_MAX, 0);
  assert_int_equal(delay.queue_us(), 30'000);
  for (int i = 0; i < 10; ++i) delay.on_report(now, offset + 500'000'000, 12'000, 0);
  assert_int_equal(delay.queue_us(), 12'000);
  // Unknown, as others say it.
  delay.on_report(now, 0, UINT32_MAX, 0);
  delay.on_report(now, INT32_MAX, UINT32_MAX, 0);
  assert_int_equal(delay.queue_us(), 12'000);
}

void a_path_that_becomes_longer_is_learnt_within_minutes(void**) {
  UtpDelay delay;
  Instant now;
  delay.on_report(now, 20'000, UINT32_MAX, 0);
  for (int minute = 0; minute < 12; ++minute) {
    now = now + Duration::minutes(1);
    for (int i = 0; i < 5; ++i) delay.on_report(now, 70'000, UINT32_MAX, 0);
  }
  assert_int_equal(delay.queue_us(), 0);
}

void drift_of_the_clocks_is_no_queue(void**) {
  UtpDelay delay;
  Instant now = Instant::from_us(0);
  // Their clock is 500 ppm faster: what they measure grows, what we measure shrinks.
  for (int64_t ms = 0; ms < 300'000; ms += 100) {
    now = Instant::from_us(ms * 1000);
    uint32_t theirs_now = static_cast<uint32_t>(ms * 1000 + ms / 2);
    delay.on_timestamp(now, theirs_now);
    delay.on_report(now, theirs_now - static_cast<uint32_t>(ms * 1000) + 10'000, UINT32_MAX, 0);
  }
  assert_true(delay.queue_us() < 1000);
}

void drift_that_a_standing_queue_hides_is_seen_by_the_round_trip(void**) {
  UtpDelay delay;
  Instant now = Instant::from_us(1'000'000);
  delay.on_report(now, 1'000'000, 0, 0);
  // 50 ms of queue for five minutes, and their clock falls behind by 50 ppm.
  for (int64_t ms = 0; ms < 300'000; ms += 100) {
    now = Instant::from_us(1'000'000 + ms * 1000);
    delay.on_report(now, static_cast<uint32_t>(1'050'000 - ms / 20), 50'000, 0);
  }
  assert_in_range(delay.queue_us(), 47'000, 50'000);
  // A way back with a queue of its own is no drift beyond what clocks do.
  UtpDelay busy;
  now = Instant::from_us(1'000'000);
  busy.on_report(now, 1'000'000, 0, 0);
  for (int64_t ms = 0; ms < 60'000; ms += 100) {
    now = Instant::from_us(1'000'000 + ms * 1000);
    busy.on_report(now, 1'020'000, 120'000, 0);
  }
  assert_in_range(busy.queue_us(), 20'000, 20'000 + 7 * 2000);
}

void a_connection_that_joins_a_queue_sees_it(void**) {
  UtpDelay delay;
  for (int i = 0; i < 4; ++i) delay.on_report(Instant(), 75'000, UINT32_MAX, 55'000);
  assert_int_equal(delay.queue_us(), 55'000);
}

// ---- timers of RFC 6298 ----

void retransmission_timeouts_follow_rfc_6298(void**) {
  UtpRtt rtt;
  assert_int_equal(rtt.timeout(0).in_ms(), 1000);
  assert_int_equal(rtt.timeout(2).in_ms(), 4000);
  rtt.add(40'000);
  assert_int_equal(rtt.smoothed_us(), 40'000);
  assert_int_equal(rtt.timeout(0).in_ms(), 200);  // the floor
  for (int i = 0; i < 100; ++i) rtt.add(300'000);
  assert_in_range(rtt.timeout(0).in_ms(), 390, 410);
  assert_in_range(rtt.timeout(1).in_ms(), 780, 820);
  assert_int_equal(rtt.timeout(200).in_ms(), 30'000);
}

// ---- window ----

UtpLedbat::Ack ack_of(uint32_t bytes, uint32_t queue_ms, uint32_t base_ms = 120) {
  UtpLedbat::Ack out;
  out.bytes = bytes;
  out.queue_us = queue_ms * 1000;
  out.base_rtt_us = base_ms * 1000;
  out.rtt_us = (base_ms + queue_ms) * 1000;
  out.limited = true;
  return out;
}

// One round trip: the whole window is acknowledged by packets.
Instant round(UtpLedbat& ledbat, Instant now, uint32_t queue_ms, uint32_t base_ms = 120) {
  uint32_t window = ledbat.window();
  for (uint32_t done = 0; done < window; done += 1000) {
    ledbat.on_ack(now + Duration::us(int64_t{base_ms + queue_ms} * 1000 * done / window),
                  ack_of(std::min<uint32_t>(1000, window - done), queue_ms, base_ms));
  }
  return now + Duration::ms(base_ms + queue_ms);
}

void slow_start_grows_by_the_gain(void**) {
  UtpLedbat fast({}, 1000);
  assert_int_equal(fast.window(), 2000);  // LEDBAT++ section 4.1: two packets
  round(fast, Instant(), 0, 120);
  assert_in_range(fast.window(), 3900, 4100);  // gain 1
  UtpLedbat slow({}, 1000);
  for (int i = 0; i < 10; ++i) slow.on_ack(Instant(), ack_of(1000, 0, 2));
  assert_in_range(slow.window(), 2600, 2640);  // gain 1/16
  UtpLedbat::Ack idle = ack_of(1000, 0);
  idle.limited = false;
  uint32_t before = slow.window();
  slow.on_ack(Instant(), idle);
  assert_int_equal(slow.window(), before);  // a window that is not used does not grow
}

void slow_start_ends_at_three_quarters_of_the_target(void**) {
  UtpLedbat ledbat({}, 1000);
  Instant now;
  for (int i = 0; i < 4; ++i) now = round(ledbat, now, 28);
  assert_in_range(ledbat.target_us(), 37'000, 41'000);
  assert_true(ledbat.in_slow_start());
  ledbat.on_ack(now, ack_of(1000, 32));
  assert_false(ledbat.in_slow_start());
}

void the_target_is_lower_for_larger_windows(void**) {
  UtpLedbat ledbat({}, 1000);
  uint64_t last = ledbat.target_us();
  assert_in_range(last, 58'000, 60'000);
  Instant now;
  for (int i = 1; i <= 12; ++i) {
    now = round(ledbat, now, 0);  // doubles
    if (i <= 5) assert_in_range(last - ledbat.target_us(), 4900, 5100);
    last = ledbat.target_us();
  }
  assert_in_range(last, 28'000, 29'000);  // never below half of it
  UtpLedbat::Options options;
  options.classic = true;
  options.target = Duration::ms(100);
  UtpLedbat classic(options, 1000);
  for (int i = 0; i < 5; ++i) now = round(classic, now, 0);
  assert_int_equal(classic.target_us(), 100'000);  // RFC 6817 has one
}

// What decides over fairness: of two on one queue, one of which measures a millisecond less, neither gets much more.
void a_millisecond_measured_wrong_decides_nothing(void**) {
  constexpr uint32_t k_bytes_per_ms = 2500;
  UtpLedbat right({}, 1000);
  UtpLedbat wrong({}, 1000);
  Instant now = Instant::from_us(1'000'000);
  right.on_loss(now, now, 2000, false);  // both in avoidance, from the least window
  wrong.on_loss(now, now, 2000, false);
  for (int i = 0; i < 3000; ++i) {
    uint32_t queue_ms = std::max<uint32_t>((right.window() + wrong.window()) / k_bytes_per_ms, 1);
    now = now + Duration::ms(queue_ms);
    right.on_ack(now, ack_of(right.window(), queue_ms, 1));
    wrong.on_ack(now, ack_of(wrong.window(), queue_ms - 1, 1));
  }
  uint64_t sum = right.window() + wrong.window();
  assert_in_range(sum, 35 * k_bytes_per_ms, 50 * k_bytes_per_ms);
  assert_in_range(uint64_t{wrong.window()} * 100 / sum, 48, 57);
}

// A controller in congestion avoidance with a large window.
UtpLedbat avoiding(Instant& now) {
  UtpLedbat ledbat({}, 1000);
  now = Instant::from_us(1'000'000);
  for (int i = 0; i < 6; ++i) now = round(ledbat, now, 0);
  ledbat.on_loss(now, now, ledbat.window(), false);  // half, and out of slow start
  return ledbat;
}

void avoidance_adds_the_gain_and_takes_off_by_excess(void**) {
  Instant now;
  UtpLedbat ledbat = avoiding(now);
  uint32_t before = ledbat.window();
  assert_in_range(before, 60'000, 70'000);
  uint32_t target_ms = static_cast<uint32_t>(ledbat.target_us() / 1000);
  assert_in_range(target_ms, 32, 35);
  now = round(ledbat, now, target_ms - 1);
  assert_in_range(ledbat.window(), before + 950, before + 1050);  // one packet: gain 1, not faded near the target
  before = ledbat.window();
  now = round(ledbat, now, target_ms + target_ms / 10);  // a tenth above: a tenth off, less the gain, and the target goes up
  assert_in_range(ledbat.window(), before * 90 / 100 + 500, before * 94 / 100 + 1000);
  before = ledbat.window();
  round(ledbat, now, 300);  // never more than half a round trip
  assert_in_range(ledbat.window(), before / 2 - 1000, before * 62 / 100);
}

void a_slowdown_comes_after_two_round_trips_and_then_at_nine_times_its_length(void**) {
  UtpLedbat ledbat({}, 1000);
  Instant now = Instant::from_us(1'000'000);
  for (int i = 0; i < 5; ++i) now = round(ledbat, now, 0);
  uint32_t peak = ledbat.window();
  ledbat.on_ack(now, ack_of(1000, 50));
  Instant ended_slow_start = now;
  Instant slow_at;
  while (!ledbat.in_slowdown()) now = round(ledbat, now, 0);
  assert_in_range((now - ended_slow_start).in_ms(), 240, 700);
  slow_at = now;
  assert_int_equal(ledbat.window(), 2000);
  while (ledbat.in_slowdown()) now = round(ledbat, now, 0);
  assert_true(ledbat.window() >= peak);
  Duration length = now - slow_at;
  Instant resumed = now;
  while (!ledbat.in_slowdown()) now = round(ledbat, now, 0);
  assert_in_range((now - resumed).in_ms() * 100 / length.in_ms(), 750, 1050);
}

void a_slowdown_that_empties_nothing_comes_seldom(void**) {
  UtpLedbat ledbat({}, 1000);
  Instant now = Instant::from_us(1'000'000);
  for (int i = 0; i < 5; ++i) now = round(ledbat, now, 0);
  ledbat.on_ack(now, ack_of(1000, 50));
  while (!ledbat.in_slowdown()) now = round(ledbat, now, 50);
  Instant slow_at = now;
  while (ledbat.in_slowdown()) now = round(ledbat, now, 50);  // the queue is another's
  Duration length = now - slow_at;
  Instant resumed = now;
  while (!ledbat.in_slowdown()) now = round(ledbat, now, 0);
  assert_in_range((now - resumed).in_ms() * 100 / length.in_ms(), 3300, 4700);
}

void losses_of_one_event_count_once(void**) {
  Instant now;
  UtpLedbat ledbat = avoiding(now);
  uint32_t before = ledbat.window();
  Instant sent = now + Duration::ms(10);
  now = now + Duration::ms(200);
  ledbat.on_loss(now, sent, before, false);
  assert_int_equal(ledbat.window(), before / 2);
  ledbat.on_loss(now + Duration::ms(20), sent + Duration::ms(5), before, false);
  assert_int_equal(ledbat.window(), before / 2);
  ledbat.on_loss(now + Duration::ms(300), now + Duration::ms(100), before, false);
  assert_int_equal(ledbat.window(), before / 4);
}

void a_loss_without_a_queue_costs_little(void**) {
  Instant now;
  UtpLedbat ledbat = avoiding(now);
  uint32_t before = ledbat.window();
  ledbat.on_loss(now + Duration::ms(200), now + Duration::ms(100), before, true);
  assert_in_range(ledbat.window(), before * 91 / 100, before * 92 / 100);
}

void a_window_that_nothing_filled_is_cut_from_what_was_in_flight(void**) {
  Instant now;
  UtpLedbat ledbat = avoiding(now);
  ledbat.on_loss(now + Duration::ms(200), now + Duration::ms(100), 20'000, false);
  assert_int_equal(ledbat.window(), 10'000);
}

void a_path_knows_losses_that_no_queue_made(void**) {
  UtpUplink uplink({}, 1252);
  UtpPath path(IpAddress::v4({10, 0, 0, 1}), 0, uplink, {}, 1500);
  Instant now = Instant::from_us(1'000'000);
  path.take_queue(now, 1000);
  assert_true(path.is_loss_random());
  path.take_queue(now, 40'000);
  assert_false(path.is_loss_random());  // at its longest: it overflowed
  path.last_rtt_us = 50'000;
  path.take_queue(now + Duration::ms(10), 20'000);
  assert_false(path.is_loss_random());  // what is found lost now met the queue of a round trip ago
  for (int i = 1; i < 10; ++i) path.take_queue(now + Duration::ms(50 * i), 20'000);
  assert_true(path.is_loss_random());  // it was longer, and nothing was lost
  path.take_queue(now + Duration::seconds(11), 20'000);
  assert_false(path.is_loss_random());
}

void the_uplinks_queue_is_the_least_that_any_path_sees(void**) {
  UtpUplink uplink({}, 1252);
  uplink.in_flight = 1;
  Instant now = Instant::from_us(1'000'000);
  assert_int_equal(uplink.add_queue(now, 1, 80'000), 80'000);
  assert_int_equal(uplink.add_queue(now, 1, 90'000), 90'000);  // alone: its newest
  assert_int_equal(uplink.add_queue(now, 2, 30'000), 30'000);
  assert_int_equal(uplink.add_queue(now, 1, 85'000), 30'000);
  assert_int_equal(uplink.add_queue(now, 2, 95'000), 80'000);
  assert_int_equal(uplink.queue_us(), 80'000);
  assert_int_equal(uplink.add_queue(now + Duration::ms(150), 2, 50'000), 50'000);
  assert_int_equal(uplink.add_queue(now + Duration::seconds(1), 1, 70'000), 70'000);  // the rest is old
}

void a_loss_from_before_a_slowdown_halves_where_it_leads(void**) {
  Instant now;
  UtpLedbat ledbat = avoiding(now);
  Instant before_slowdown;
  while (!ledbat.in_slowdown()) {
    before_slowdown = now;
    now = round(ledbat, now, 0);
  }
  for (int i = 0; i < 3; ++i) now = round(ledbat, now, 0);
  uint32_t window = ledbat.window();
  ledbat.on_loss(now, before_slowdown, window, false);
  assert_int_equal(ledbat.window(), window);
  assert_true(ledbat.in_slowdown());
}

void a_spurious_loss_is_taken_back(void**) {
  Instant now;
  UtpLedbat ledbat = avoiding(now);
  uint32_t before = ledbat.window();
  ledbat.on_loss(now + Duration::ms(200), now + Duration::ms(100), before, false);
  ledbat.undo();
  assert_int_equal(ledbat.window(), before);
  ledbat.on_timeout(now + Duration::ms(500), before);
  assert_int_equal(ledbat.window(), 2000);
  ledbat.undo();
  assert_int_equal(ledbat.window(), before);
}

void rfc_6817_fades_towards_the_target(void**) {
  UtpLedbat::Options options;
  options.classic = true;
  options.target = Duration::ms(100);
  UtpLedbat ledbat(options, 1000);
  Instant now;
  for (int i = 0; i < 6; ++i) now = round(ledbat, now, 0);
  ledbat.on_loss(now, now, ledbat.window(), false);
  uint32_t before = ledbat.window();
  now = round(ledbat, now, 50);
  assert_in_range(ledbat.window(), before + 400, before + 600);
  before = ledbat.window();
  now = round(ledbat, now, 100);
  assert_in_range(ledbat.window(), before - 10, before + 10);
  now = round(ledbat, now, 500);
  assert_in_range(ledbat.window(), before - 1100, before - 900);
  for (int i = 0; i < 500; ++i) now = round(ledbat, now, 0);
  assert_false(ledbat.in_slowdown());
}

// ---- packet size ----

uint16_t search(UtpMtu& mtu, Instant& now, uint16_t passes) {
  for (int i = 0; i < 50; ++i) {
    uint16_t size = mtu.probe(now);
    if (size == 0) break;
    mtu.on_probe_sent(now);
    now = now + Duration::ms(50);
    if (size <= passes)
      mtu.on_probe_arrived(now);
    else
      mtu.on_probe_lost(now);
  }
  return mtu.size();
}

void the_search_finds_what_passes(void**) {
  Instant now;
  for (uint16_t packet : {1280, 1360, 1400, 1420, 1460, 1480, 1492, 1500}) {
    UtpMtu mtu(true, 1500);
    assert_int_equal(mtu.size(), 1280 - 28);
    assert_int_equal(search(mtu, now, static_cast<uint16_t>(packet - 28)), packet - 28);
  }
  UtpMtu pppoe(true, 1492);
  assert_int_equal(pppoe.probe(now), 1492 - 28);
  UtpMtu v6(false, 1500);
  assert_int_equal(v6.size(), 1280 - 48);
  assert_int_equal(search(v6, now, 1452), 1452);
}

void the_search_begins_again_after_a_while(void**) {
  Instant now;
  UtpMtu mtu(true, 1500);
  search(mtu, now, 1400);
  assert_int_equal(mtu.probe(now), 0);
  now = now + Duration::minutes(11);
  assert_int_equal(search(mtu, now, 1472), 1472);
}

void two_timeouts_of_full_packets_are_a_black_hole(void**) {
  Instant now;
  UtpMtu mtu(true, 1500);
  search(mtu, now, 1472);
  assert_false(mtu.on_timeout(now, 1472));
  mtu.on_arrived(1472);  // one passed: no black hole
  assert_false(mtu.on_timeout(now, 1472));
  assert_false(mtu.on_timeout(now, 600));  // a small one says nothing about size
  mtu.on_arrived(600);
  assert_true(mtu.on_timeout(now, 1472));
  assert_int_equal(mtu.size(), 1280 - 28);
  assert_true(mtu.probe(now) < 1472);
}

void what_our_own_system_refuses_is_not_tried_again(void**) {
  Instant now;
  UtpMtu mtu(true, 1500);
  mtu.on_probe_sent(now);
  mtu.on_refused(now, 1472);
  assert_int_equal(mtu.probe(now), 1492 - 28);
}

// ---- lines and timers ----

void timers_give_the_earliest_first(void**) {
  Random random(5);
  UtpTimers timers;
  std::vector<Instant> armed(300, Instant::never());
  for (int i = 0; i < 20'000; ++i) {
    uint16_t key = static_cast<uint16_t>(random.below(armed.size()));
    if (random.below(4) == 0) {
      timers.disarm(key);
      armed[key] = Instant::never();
    } else {
      Instant when = Instant::from_us(static_cast<int64_t>(random.below(1'000'000)));
      timers.arm(key, when);
      armed[key] = earlier(armed[key], when);
    }
    Instant first = *std::min_element(armed.begin(), armed.end());
    assert_true(timers.next() == first);
    if (random.below(3) != 0 || first.is_never()) continue;
    assert_true(timers.pop(first, key));
    assert_true(armed[key] == first);
    armed[key] = Instant::never();
  }
}

void a_line_keeps_its_order(void**) {
  UtpLine line;
  for (uint16_t i = 0; i < 100; ++i) line.push(i);
  for (uint16_t i = 0; i < 50; ++i) assert_int_equal(line.pop(), i);
  for (uint16_t i = 100; i < 200; ++i) line.push(i);
  line.erase(60);
  for (uint16_t i = 50; i < 200; ++i) {
    if (i != 60) assert_int_equal(line.pop(), i);
  }
  assert_true(line.empty());
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(the_least_delay_is_the_path_and_the_rest_queue),
      cmocka_unit_test(a_path_that_becomes_longer_is_learnt_within_minutes),
      cmocka_unit_test(drift_of_the_clocks_is_no_queue),
      cmocka_unit_test(drift_that_a_standing_queue_hides_is_seen_by_the_round_trip),
      cmocka_unit_test(a_connection_that_joins_a_queue_sees_it),
      cmocka_unit_test(retransmission_timeouts_follow_rfc_6298),
      cmocka_unit_test(slow_start_grows_by_the_gain),
      cmocka_unit_test(slow_start_ends_at_three_quarters_of_the_target),
      cmocka_unit_test(the_target_is_lower_for_larger_windows),
      cmocka_unit_test(a_millisecond_measured_wrong_decides_nothing),
      cmocka_unit_test(avoidance_adds_the_gain_and_takes_off_by_excess),
      cmocka_unit_test(a_slowdown_comes_after_two_round_trips_and_then_at_nine_times_its_length),
      cmocka_unit_test(a_slowdown_that_empties_nothing_comes_seldom),
      cmocka_unit_test(losses_of_one_event_count_once),
      cmocka_unit_test(a_loss_without_a_queue_costs_little),
      cmocka_unit_test(a_window_that_nothing_filled_is_cut_from_what_was_in_flight),
      cmocka_unit_test(a_path_knows_losses_that_no_queue_made),
      cmocka_unit_test(the_uplinks_queue_is_the_least_that_any_path_sees),
      cmocka_unit_test(a_loss_from_before_a_slowdown_halves_where_it_leads),
      cmocka_unit_test(a_spurious_loss_is_taken_back),
      cmocka_unit_test(rfc_6817_fades_towards_the_target),
      cmocka_unit_test(the_search_finds_what_passes),
      cmocka_unit_test(the_search_begins_again_after_a_while),
      cmocka_unit_test(two_timeouts_of_full_packets_are_a_black_hole),
      cmocka_unit_test(what_our_own_system_refuses_is_not_tried_again),
      cmocka_unit_test(timers_give_the_earliest_first),
      cmocka_unit_test(a_line_keeps_its_order),
  };
  return RUN_TESTS(tests);
}
