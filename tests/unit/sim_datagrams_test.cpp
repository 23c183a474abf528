// hal/sim: what a program sees of datagrams. Delay, rate, bounded and managed queues, loss, duplicates, reordering, MTU, refusals.
#include "unit/test.h"

#include "hal/sim/udp.h"
#include "unit/sim_fixture.h"

namespace millet::sim {
namespace {

struct Inbox final : hal::DatagramEvents {
  explicit Inbox(World& given) : world(given) {}
  void on_datagrams(std::span<const hal::IncomingRun> runs) override {
    for (const hal::IncomingRun& run : runs) {
      from = run.from;
      local = run.local;
      datagrams.emplace_back(run.bytes.begin(), run.bytes.end());
      at.push_back(world.now());
      bytes += run.bytes.size();
    }
  }
  void on_datagrams_writable() override { ++writable; }
  void on_unreachable(const Endpoint& remote) override { unreachable.push_back(remote); }
  void on_path_mtu(const Endpoint&, uint32_t size) override { mtu = size; }

  World& world;
  std::vector<std::vector<uint8_t>> datagrams;
  std::vector<Instant> at;
  std::vector<Endpoint> unreachable;
  Endpoint from;
  IpAddress local;
  size_t bytes = 0;
  uint32_t mtu = 0;
  int writable = 0;
};

// Machines 0 and 1, each with a socket on port 1000.
struct Pair {
  explicit Pair(uint64_t seed, const LinkOptions& link = {}, const NetworkOptions& network = {})
      : test(seed, link, 2, network), inbox{Inbox(test.world), Inbox(test.world)} {
    for (uint32_t i = 0; i < 2; ++i) {
      test.system(i).datagrams.set_events(&inbox[i]);
      good = test.system(i).datagrams.bind({IpAddress(), 1000}, {}).has_value() && good;
    }
  }
  // One run from machine 0 to machine 1; each datagram begins with its number.
  hal::OutgoingRun send(size_t count, size_t size, bool may_fragment = false) {
    bytes.assign(count * size, 0);
    for (size_t i = 0; i < count; ++i) store_be<uint32_t>(bytes.data() + i * size, next++);
    hal::OutgoingRun run{{test_address(2), 1000}, Bytes(bytes), size, may_fragment, 0, hal::SendOutcome::sent};
    took_all = test.system(0).datagrams.send(std::span(&run, 1));
    return run;
  }
  std::vector<uint32_t> numbers() const {
    std::vector<uint32_t> out;
    for (const std::vector<uint8_t>& one : inbox[1].datagrams) out.push_back(load_be<uint32_t>(one.data()));
    return out;
  }
  const UdpCounters& counters() { return test.world.udp().counters(); }

  TestWorld test;
  Inbox inbox[2];
  std::vector<uint8_t> bytes;
  uint32_t next = 0;
  bool took_all = false;
  bool good = true;
};

LinkOptions link_of(int64_t delay_ms) {
  LinkOptions link;
  link.delay = Duration::ms(delay_ms);
  return link;
}

void a_run_arrives_as_datagrams_after_the_delay(void**) {
  Pair pair(1, link_of(20));
  assert_true(pair.good);
  Instant start = pair.test.world.now();
  std::vector<uint8_t> text = {'h', 'e', 'l', 'l', 'o'};
  hal::OutgoingRun run{{test_address(2), 1000}, Bytes(text), 2, false, 0, hal::SendOutcome::sent};
  assert_true(pair.test.system(0).datagrams.send(std::span(&run, 1)));
  assert_int_equal(run.done, 3);
  pair.test.world.run_until(start + Duration::us(39'999));
  assert_int_equal(pair.inbox[1].datagrams.size(), 0);
  pair.test.world.run_until(start + Duration::ms(40));
  assert_int_equal(pair.inbox[1].datagrams.size(), 3);
  assert_true(pair.inbox[1].datagrams[1] == std::vector<uint8_t>({'l', 'l'}));
  assert_true(pair.inbox[1].datagrams[2] == std::vector<uint8_t>({'o'}));
  assert_string_equal(pair.inbox[1].from.to_string().c_str(), "10.0.0.1:1000");
  assert_int_equal(pair.test.system(0).datagrams.counters().sent_bytes, 5);
  assert_int_equal(pair.test.system(1).datagrams.counters().received, 3);
}

void rate_spaces_packets_by_their_size_on_the_wire(void**) {
  LinkOptions link = link_of(0);
  link.up_rate = 1'000'000;
  Pair pair(1, link);
  pair.send(10, 972);  // 1000 bytes with headers: one millisecond each
  pair.test.world.run_for(Duration::seconds(1));
  for (size_t i = 0; i < 10; ++i) assert_int_equal(pair.inbox[1].at[i].in_us(), static_cast<int64_t>(i + 1) * 1000);
  // At 1 Gbit/s the twelve microseconds of a packet do not add up to fewer or more.
  link.up_rate = 125'000'000;
  Pair fast(1, link);
  fast.send(1000, 1472);
  fast.test.world.run_for(Duration::seconds(1));
  assert_int_equal(fast.inbox[1].at.back().in_us(), 12'000);
}

void a_full_queue_drops_the_tail(void**) {
  LinkOptions link = link_of(1);
  link.up_rate = 1'000'000;
  link.queue_bytes = 10'000;
  Pair pair(1, link);
  pair.send(30, 972);
  pair.test.world.run_for(Duration::seconds(1));
  std::vector<uint32_t> got = pair.numbers();
  assert_int_equal(got.size(), 10);
  for (uint32_t i = 0; i < 10; ++i) assert_int_equal(got[i], i);
  assert_int_equal(pair.counters().queue_drops, 20);
  pair.send(5, 972);  // the queue is empty again
  pair.test.world.run_for(Duration::seconds(1));
  assert_int_equal(pair.numbers().size(), 15);
}

// A sender at 1.25 times the rate: without management the queue grows to its bound, with it the wait stays near the target.
void a_managed_queue_stays_short(void**) {
  int64_t longest_ms[2] = {};
  for (int managed = 0; managed < 2; ++managed) {
    LinkOptions link = link_of(1);
    link.up_rate = 1'000'000;
    link.queue_bytes = 1'000'000;
    if (managed == 1) link.aqm_target = Duration::ms(5);
    Pair pair(1, link);
    for (int i = 0; i < 6000; ++i) {
      pair.send(1, 972);
      pair.test.world.run_for(Duration::us(900));
      if (i > 3000) longest_ms[managed] = std::max(longest_ms[managed], pair.test.world.udp().uplink_wait(0).in_ms());
    }
    if (managed == 0) assert_int_equal(pair.counters().aqm_drops, 0);
    // CoDel: ever more often while the queue stands.
    if (managed == 1) assert_true(pair.counters().aqm_drops > 50 && pair.counters().aqm_drops < 1200);
  }
  assert_true(longest_ms[0] > 400);
  assert_true(longest_ms[1] < longest_ms[0] / 2);
}

void loss_duplicates_and_reordering_happen_as_often_as_told(void**) {
  LinkOptions link = link_of(5);
  link.loss_ppm = 10'000;
  link.duplicate_ppm = 5'000;
  link.reorder_ppm = 10'000;
  link.reorder_delay = Duration::ms(3);
  link.jitter = Duration::ms(2);
  Pair pair(3, link);
  for (int i = 0; i < 20'000; ++i) {
    pair.send(1, 100);
    pair.test.world.run_for(Duration::us(200));
  }
  pair.test.world.run_for(Duration::seconds(1));
  const UdpCounters& counters = pair.counters();
  assert_true(counters.lost > 300 && counters.lost < 500);              // both links: 2 %
  assert_true(counters.duplicated > 140 && counters.duplicated < 260);  // 1 %
  assert_true(counters.reordered > 300 && counters.reordered < 500);    // 2 %
  assert_int_equal(counters.delivered, 20'000 - counters.lost + counters.duplicated);
  assert_int_equal(pair.numbers().size(), counters.delivered);
  // Jitter alone overtakes nothing: only those told to be late are out of order, and their duplicates.
  std::vector<uint32_t> numbers = pair.numbers();
  uint64_t late = 0;
  uint32_t highest = 0;
  for (uint32_t number : numbers) {
    late += number < highest;
    highest = std::max(highest, number);
  }
  assert_true(late > 200 && late <= counters.reordered);
}

void one_seed_is_one_run(void**) {
  uint64_t traces[3];
  for (int i = 0; i < 3; ++i) {
    LinkOptions link = link_of(5);
    link.loss_ppm = 50'000;
    link.jitter = Duration::ms(4);
    Pair pair(i == 2 ? 8 : 7, link);
    pair.send(100, 100);
    pair.test.world.run_for(Duration::seconds(1));
    traces[i] = pair.test.world.trace().value();
  }
  assert_true(traces[0] == traces[1]);
  assert_true(traces[0] != traces[2]);
}

void packets_above_our_own_link_are_told_at_once(void**) {
  LinkOptions link = link_of(1);
  link.mtu = 1300;
  Pair pair(1, link);
  hal::OutgoingRun run = pair.send(3, 1273);
  assert_true(run.outcome == hal::SendOutcome::too_big && run.done == 3);
  assert_int_equal(pair.test.system(0).datagrams.counters().too_big, 3);
  assert_true(pair.send(1, 1272).outcome == hal::SendOutcome::sent);
  assert_true(pair.send(1, 1273, true).outcome == hal::SendOutcome::sent);
  pair.test.world.run_for(Duration::seconds(1));
  assert_int_equal(pair.numbers().size(), 2);
}

void packets_above_the_path_vanish_or_are_reported(void**) {
  for (bool reports : {false, true}) {
    Pair pair(1, link_of(1));
    LinkOptions narrow = link_of(1);
    narrow.mtu = 1400;
    narrow.reports_mtu = reports;
    pair.test.world.network().set_link(1, narrow);
    assert_true(pair.send(2, 1400).outcome == hal::SendOutcome::sent);
    pair.send(1, 1372);
    pair.send(1, 1400, true);  // in fragments
    pair.test.world.run_for(Duration::seconds(1));
    assert_int_equal(pair.numbers().size(), 2);
    assert_int_equal(pair.counters().above_mtu, 2);
    assert_int_equal(pair.inbox[0].mtu, reports ? 1400 : 0);
  }
}

void a_port_that_nobody_has_is_reported(void**) {
  Pair pair(1, link_of(10));
  pair.test.system(1).datagrams.close();
  pair.send(1, 100);
  pair.test.world.run_for(Duration::ms(39));
  assert_int_equal(pair.inbox[0].unreachable.size(), 0);
  pair.test.world.run_for(Duration::ms(1));
  assert_int_equal(pair.inbox[0].unreachable.size(), 1);
  assert_string_equal(pair.inbox[0].unreachable[0].to_string().c_str(), "10.0.0.2:1000");
  // A machine that is off, a path that is cut and an address of nobody say nothing.
  pair.test.world.machine(1).crash(CrashKind::power_cut);
  pair.send(1, 100);
  pair.test.world.run_for(Duration::seconds(1));
  std::vector<uint8_t> bytes(10);
  hal::OutgoingRun run{{test_address(99), 1000}, Bytes(bytes), 10, false, 0, hal::SendOutcome::sent};
  assert_true(pair.test.system(0).datagrams.send(std::span(&run, 1)));
  pair.test.world.run_for(Duration::seconds(1));
  assert_int_equal(pair.inbox[0].unreachable.size(), 1);
}

void a_cut_path_takes_everything_and_gives_nothing_back(void**) {
  Pair pair(1, link_of(10));
  uint32_t cut[] = {0};
  pair.test.world.network().partition(cut);
  pair.send(5, 100);
  pair.test.world.run_for(Duration::seconds(1));
  pair.test.world.network().heal();
  pair.send(3, 100);
  pair.test.world.run_for(Duration::seconds(1));
  assert_true(pair.numbers() == std::vector<uint32_t>({5, 6, 7}));
}

void a_full_socket_keeps_the_rest_for_later(void**) {
  LinkOptions link = link_of(1);
  link.up_rate = 1'000'000;
  NetworkOptions network;
  network.datagram_send_buffer = 20'000;
  Pair pair(1, link, network);
  hal::OutgoingRun run = pair.send(100, 972);
  assert_false(pair.took_all);
  assert_true(run.done >= 20 && run.done < 25);
  size_t first = run.done;
  assert_false(pair.test.system(0).datagrams.send(std::span(&run, 1)));
  assert_int_equal(run.done, first);
  int rounds = 0;
  for (; run.done < run.count() && rounds < 50; ++rounds) {
    int before = pair.inbox[0].writable;
    pair.test.world.run_for(Duration::ms(12));
    assert_int_equal(pair.inbox[0].writable, before + 1);
    pair.test.system(0).datagrams.send(std::span(&run, 1));
  }
  pair.test.world.run_for(Duration::seconds(1));
  std::vector<uint32_t> numbers = pair.numbers();
  assert_int_equal(numbers.size(), 100);
  for (uint32_t i = 0; i < 100; ++i) assert_int_equal(numbers[i], i);
}

void a_port_is_taken_once_and_free_after_the_end_of_the_program(void**) {
  Pair pair(1);
  Result<Endpoint> any = pair.test.system(0).streams.listen(1, {IpAddress(), 1000});  // TCP has ports of its own
  assert_true(any.has_value());
  Udp::Owner other{1, nullptr, false, false, {}, {}};
  Result<Endpoint> second = pair.test.world.udp().bind(other, {test_address(2), 1000});
  assert_true(!second && second.error().code == Errc::conflict);
  pair.test.world.machine(1).crash(CrashKind::kill);
  pair.test.world.machine(1).start();
  Inbox inbox(pair.test.world);
  pair.test.system(1).datagrams.set_events(&inbox);
  assert_true(pair.test.system(1).datagrams.bind({IpAddress(), 1000}, {}).has_value());
  pair.send(1, 10);
  pair.test.world.run_for(Duration::seconds(1));
  assert_int_equal(inbox.datagrams.size(), 1);
  pair.test.system(1).datagrams.set_events(nullptr);
}

// A machine with two addresses: it is told which one was asked, and answers from there if it says so, else from its first.
void a_machine_with_two_addresses_answers_from_either(void**) {
  Pair pair(1, link_of(1));
  MachineOptions options;
  options.name = "multi-homed";
  options.addresses = {test_address(3), test_address(4)};
  pair.test.world.add_machine(options).set_factory(pair.test.factory);
  pair.test.world.machine(2).start();
  hal::Datagrams& datagrams = pair.test.system(2).datagrams;
  Inbox inbox(pair.test.world);
  datagrams.set_events(&inbox);
  assert_true(datagrams.bind({IpAddress(), 1000}, {}).has_value());
  std::vector<uint8_t> text = {'?'};
  hal::OutgoingRun question{{test_address(4), 1000}, Bytes(text), 1};
  assert_true(pair.test.system(0).datagrams.send(std::span(&question, 1)));
  pair.test.world.run_for(Duration::seconds(1));
  assert_true(inbox.local == test_address(4));
  for (const IpAddress& from : {IpAddress(), inbox.local, test_address(3), test_address(9)}) {
    hal::OutgoingRun answer{inbox.from, Bytes(text), 1};
    answer.from = from;
    assert_true(datagrams.send(std::span(&answer, 1)));
    bool is_ours = from != test_address(9);
    assert_true(answer.outcome == (is_ours ? hal::SendOutcome::sent : hal::SendOutcome::unreachable));
    pair.test.world.run_for(Duration::seconds(1));
    if (is_ours) assert_true(pair.inbox[0].from.address == (from.is_any() ? test_address(3) : from));
  }
  assert_int_equal(pair.inbox[0].datagrams.size(), 3);
  datagrams.close();
  assert_true(datagrams.bind({test_address(4), 1000}, {}).has_value());  // bound to one: nothing to tell
  assert_true(pair.test.system(0).datagrams.send(std::span(&(question = {{test_address(4), 1000}, Bytes(text), 1}), 1)));
  pair.test.world.run_for(Duration::seconds(1));
  assert_true(inbox.local == IpAddress());
  datagrams.set_events(nullptr);
}

}  // namespace
}  // namespace millet::sim

using namespace millet::sim;

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(a_run_arrives_as_datagrams_after_the_delay),
      cmocka_unit_test(rate_spaces_packets_by_their_size_on_the_wire),
      cmocka_unit_test(a_full_queue_drops_the_tail),
      cmocka_unit_test(a_managed_queue_stays_short),
      cmocka_unit_test(loss_duplicates_and_reordering_happen_as_often_as_told),
      cmocka_unit_test(one_seed_is_one_run),
      cmocka_unit_test(packets_above_our_own_link_are_told_at_once),
      cmocka_unit_test(packets_above_the_path_vanish_or_are_reported),
      cmocka_unit_test(a_port_that_nobody_has_is_reported),
      cmocka_unit_test(a_cut_path_takes_everything_and_gives_nothing_back),
      cmocka_unit_test(a_machine_with_two_addresses_answers_from_either),
      cmocka_unit_test(a_full_socket_keeps_the_rest_for_later),
      cmocka_unit_test(a_port_is_taken_once_and_free_after_the_end_of_the_program),
  };
  return RUN_TESTS(tests);
}
