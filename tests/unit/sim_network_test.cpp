// hal/sim: what a program sees of the network. Delay, rate, loss as lateness, flow control, partitions, refusal, half-open connections.
#include "unit/test.h"

#include "unit/sim_fixture.h"

namespace millet::sim {
namespace {

std::vector<uint8_t> pattern(size_t size) {
  std::vector<uint8_t> out(size);
  for (size_t i = 0; i < size; ++i) out[i] = static_cast<uint8_t>(i * 31 + i / 251);
  return out;
}

LinkOptions link_of(int64_t delay_ms) {
  LinkOptions link;
  link.delay = Duration::ms(delay_ms);
  return link;
}

void connection_and_bytes_take_the_delay_of_the_path(void**) {
  TestWorld test(1, link_of(20));
  assert_true(test.system(1).streams.listen(1, {IpAddress(), 1000}).has_value());
  hal::StreamId stream = test.system(0).streams.connect({test_address(2), 1000}, std::nullopt);
  assert_true(test.program(0).log.empty());  // never before connect() returns
  Instant start = test.world.now();
  test.world.run_until(start + Duration::ms(79));
  assert_true(test.program(0).log.empty());
  test.world.run_until(start + Duration::ms(80));
  assert_string_equal(test.program(0).last().c_str(), "connected");
  test.world.run_until(start + Duration::ms(119));
  assert_true(test.program(1).log.empty());
  test.world.run_until(start + Duration::ms(120));
  assert_string_equal(test.program(1).last().c_str(), "accepted 10.0.0.1");
  test.program(0).say(stream, "hello");
  test.world.run_for(Duration::ms(40));
  assert_string_equal(test.program(1).heard(test.program(1).accepted[0]).c_str(), "hello");
}

void bytes_arrive_whole_and_in_order_through_loss(void**) {
  LinkOptions link = link_of(10);
  link.loss_ppm = 30'000;
  link.jitter = Duration::ms(30);
  TestWorld test(7, link);
  hal::StreamId stream = test.connect();
  test.world.run_for(Duration::seconds(60));  // a SYN may be lost, too
  std::vector<uint8_t> sent = pattern(3'000'000);
  test.program(0).outgoing = sent;
  test.program(0).push(stream);
  test.world.run_for(Duration::seconds(600));
  assert_true(test.program(1).received[test.program(1).accepted[0]] == sent);
}

// Loss makes the same transfer slower, and nothing else.
void loss_is_lateness(void**) {
  int64_t took[2];
  for (int i = 0; i < 2; ++i) {
    LinkOptions link = link_of(10);
    link.loss_ppm = i == 0 ? 0 : 20'000;
    TestWorld test(7, link);
    hal::StreamId stream = test.connect();
    test.world.run_for(Duration::seconds(60));
    Instant start = test.program(1).system.clock.now();
    test.program(0).outgoing = pattern(1'000'000);
    test.program(0).push(stream);
    test.world.run_for(Duration::seconds(600));
    took[i] = (test.program(1).last_received - start).in_ms();
  }
  assert_true(took[1] > took[0] * 2);
}

void rate_serialises_and_is_shared_fairly(void**) {
  LinkOptions link = link_of(1);
  link.up_rate = 1'000'000;
  TestWorld test(3, link, 3);
  for (uint32_t i = 1; i < 3; ++i) assert_true(test.system(i).streams.listen(1, {IpAddress(), 1000}).has_value());
  hal::StreamId a = test.system(0).streams.connect({test_address(2), 1000}, std::nullopt);
  hal::StreamId b = test.system(0).streams.connect({test_address(3), 1000}, std::nullopt);
  test.world.run_for(Duration::seconds(1));
  // 100 kB of each fit the socket: 200 kB at 1 MB/s take 200 ms, and neither waits for the other.
  std::string text(100'000, 'x');
  assert_int_equal(test.program(0).say(a, text), 100'000);
  assert_int_equal(test.program(0).say(b, text), 100'000);
  test.world.run_for(Duration::ms(110));
  size_t got_a = test.program(1).received[test.program(1).accepted[0]].size();
  size_t got_b = test.program(2).received[test.program(2).accepted[0]].size();
  assert_true(got_a > 32'000 && got_a < 68'000);
  assert_true(got_b > 32'000 && got_b < 68'000);
  test.world.run_for(Duration::ms(110));
  assert_int_equal(test.program(1).received[test.program(1).accepted[0]].size(), 100'000);
  assert_int_equal(test.program(2).received[test.program(2).accepted[0]].size(), 100'000);
}

void down_rate_limits_several_senders(void**) {
  TestWorld test(3, link_of(1), 3);
  LinkOptions slow = link_of(1);
  slow.down_rate = 100'000;
  test.world.network().set_link(2, slow);
  assert_true(test.system(2).streams.listen(1, {IpAddress(), 1000}).has_value());
  for (uint32_t i = 0; i < 2; ++i) {
    hal::StreamId stream = test.system(i).streams.connect({test_address(3), 1000}, std::nullopt);
    test.world.run_for(Duration::ms(10));
    test.program(i).say(stream, std::string(50'000, 'x'));
  }
  test.world.run_for(Duration::ms(500));
  size_t got = 0;
  for (auto& [stream, bytes] : test.program(2).received) got += bytes.size();
  assert_true(got > 25'000 && got <= 55'000);
  test.world.run_for(Duration::ms(600));
  got = 0;
  for (auto& [stream, bytes] : test.program(2).received) got += bytes.size();
  assert_int_equal(got, 100'000);
}

void socket_takes_what_fits_and_says_when_there_is_room(void**) {
  TestWorld test(1, link_of(5));
  hal::StreamId stream = test.connect();
  std::string text(1'000'000, 'x');
  assert_int_equal(test.program(0).say(stream, text), 128 * 1024);
  assert_int_equal(test.program(0).say(stream, text), 0);
  assert_int_equal(test.program(0).writable, 0);
  test.world.run_for(Duration::ms(100));
  assert_int_equal(test.program(0).writable, 1);
  assert_int_equal(test.program(0).say(stream, text), 128 * 1024);
}

void reader_that_stops_fills_the_window(void**) {
  TestWorld test(1, link_of(5));
  hal::StreamId stream = test.connect();
  hal::StreamId other = test.program(1).accepted[0];
  test.system(1).streams.set_reading(other, false);
  test.program(0).outgoing = pattern(1'000'000);
  test.program(0).push(stream);
  test.world.run_for(Duration::seconds(5));
  // Both sockets are full: 128 KiB at the receiver, 128 KiB at the sender.
  assert_int_equal(test.program(0).outgoing.size(), 1'000'000 - 2 * 128 * 1024);
  assert_true(test.program(1).received[other].empty());
  test.system(1).streams.set_reading(other, true);
  assert_true(test.program(1).received[other].empty());  // not from within the call
  test.world.run_for(Duration::seconds(5));
  assert_true(test.program(1).received[other] == pattern(1'000'000));
}

void close_flushes_and_the_peer_learns_it_after_the_last_byte(void**) {
  TestWorld test(1, link_of(5));
  hal::StreamId stream = test.connect();
  std::string text(100'000, 'x');
  test.program(0).say(stream, text);
  test.system(0).streams.close(stream);
  test.world.run_for(Duration::seconds(1));
  assert_int_equal(test.program(1).received[test.program(1).accepted[0]].size(), 100'000);
  assert_string_equal(test.program(1).last().c_str(), "closed unavailable closed by the peer");
  assert_string_equal(test.program(0).last().c_str(), "connected");  // no event after close()
  assert_int_equal(test.world.tcp().connection_count(), 0);
}

void nobody_listens(void**) {
  TestWorld test(1, link_of(5));
  test.system(0).streams.connect({test_address(2), 1000}, std::nullopt);
  test.world.run_for(Duration::ms(20));
  assert_string_equal(test.program(0).last().c_str(), "closed unavailable connection refused");
}

void nobody_answers(void**) {
  TestWorld test(1, link_of(5));
  test.world.machine(1).crash(CrashKind::power_cut);
  test.system(0).streams.connect({test_address(2), 1000}, std::nullopt);
  test.system(0).streams.connect({test_address(99), 1000}, std::nullopt);
  test.world.run_for(Duration::seconds(59));
  assert_true(test.program(0).log.empty());
  test.world.run_for(Duration::seconds(2));
  assert_int_equal(test.program(0).log.size(), 2);
  assert_string_equal(test.program(0).last().c_str(), "closed timed_out no answer to the connection attempt");
}

void port_in_use(void**) {
  TestWorld test(1);
  assert_true(test.system(0).streams.listen(1, {IpAddress(), 1000}).has_value());
  Result<Endpoint> again = test.system(0).streams.listen(2, {test_address(1), 1000});
  assert_true(!again.has_value() && again.error().code == Errc::conflict);
  assert_non_null(strstr(again.error().reason.c_str(), "10.0.0.1:1000"));
  assert_true(test.system(1).streams.listen(1, {IpAddress(), 1000}).has_value());  // another machine
  Result<Endpoint> free_one = test.system(0).streams.listen(3, {IpAddress(), 0});
  assert_true(free_one.has_value() && free_one->port != 0);
  // The kernel frees the port with the process.
  test.world.machine(0).crash(CrashKind::kill);
  test.world.machine(0).start();
  assert_true(test.system(0).streams.listen(1, {IpAddress(), 1000}).has_value());
}

void backlog_waits_while_accepting_is_off(void**) {
  TestWorld test(1, link_of(5));
  assert_true(test.system(1).streams.listen(1, {IpAddress(), 1000}).has_value());
  test.system(1).streams.set_accepting(1, false);
  hal::StreamId stream = test.system(0).streams.connect({test_address(2), 1000}, std::nullopt);
  test.world.run_for(Duration::seconds(1));
  assert_string_equal(test.program(0).last().c_str(), "connected");
  assert_true(test.program(1).accepted.empty());
  test.program(0).say(stream, "early");
  test.world.run_for(Duration::seconds(1));
  test.system(1).streams.set_accepting(1, true);
  test.world.run_for(Duration::seconds(1));
  assert_int_equal(test.program(1).accepted.size(), 1);
  assert_string_equal(test.program(1).heard(test.program(1).accepted[0]).c_str(), "early");
}

void partition_stalls_and_healing_delivers(void**) {
  TestWorld test(1, link_of(5));
  hal::StreamId stream = test.connect();
  uint32_t isolated[] = {1};
  test.world.network().partition(isolated);
  test.program(0).say(stream, "first ");
  test.world.run_for(Duration::seconds(10));
  test.program(0).say(stream, "second");
  test.world.run_for(Duration::seconds(10));
  hal::StreamId other = test.program(1).accepted[0];
  assert_true(test.program(1).received[other].empty());
  test.world.network().heal();
  test.world.run_for(Duration::seconds(10));
  assert_string_equal(test.program(1).heard(other).c_str(), "first second");
  assert_string_equal(test.program(0).last().c_str(), "connected");
}

void partition_that_lasts_resets_the_sender_only(void**) {
  TestWorld test(1, link_of(5));
  hal::StreamId stream = test.connect();
  uint32_t isolated[] = {1};
  test.world.network().partition(isolated);
  test.program(0).say(stream, "lost");
  test.world.run_for(Duration::seconds(80));
  assert_string_equal(test.program(0).last().c_str(), "closed timed_out no answer from the peer");
  hal::StreamId other = test.program(1).accepted[0];
  assert_string_equal(test.program(1).last().c_str(), "accepted 10.0.0.1");  // half-open: it knows nothing
  test.world.network().heal();
  test.program(1).say(other, "are you there");
  test.world.run_for(Duration::seconds(1));
  assert_string_equal(test.program(1).last().c_str(), "closed io connection reset by the peer");
}

void killed_process_closes_its_connections(void**) {
  TestWorld test(1, link_of(5));
  hal::StreamId stream = test.connect();
  test.program(1).say(test.program(1).accepted[0], "last words");
  test.world.machine(1).crash(CrashKind::kill);
  test.world.run_for(Duration::seconds(1));
  assert_string_equal(test.program(0).heard(stream).c_str(), "last words");
  assert_string_equal(test.program(0).last().c_str(), "closed unavailable closed by the peer");
}

void power_cut_leaves_a_half_open_connection(void**) {
  TestWorld test(1, link_of(5));
  hal::StreamId stream = test.connect();
  test.world.machine(1).crash(CrashKind::power_cut);
  test.world.run_for(Duration::seconds(300));
  assert_string_equal(test.program(0).last().c_str(), "connected");  // silence tells it nothing
  test.world.machine(1).start();
  test.program(0).say(stream, "hello?");
  test.world.run_for(Duration::seconds(1));
  assert_string_equal(test.program(0).last().c_str(), "closed io connection reset by the peer");
}

void power_cut_and_a_sender_time_out(void**) {
  TestWorld test(1, link_of(5));
  hal::StreamId stream = test.connect();
  test.world.machine(1).crash(CrashKind::power_cut);
  test.program(0).say(stream, "hello?");
  test.world.run_for(Duration::seconds(80));
  assert_string_equal(test.program(0).last().c_str(), "closed timed_out no answer from the peer");
}

void names_resolve_in_a_job(void**) {
  TestWorld test(1);
  test.world.network().add_name("tracker.example", {test_address(2)});
  struct ResolveJob final : hal::Job {
    ResolveJob(hal::Resolver& given, const char* text, std::string& answer) : resolver(given), name(text), out(answer) {}
    void run() override {
      Result<std::vector<IpAddress>> found = resolver.resolve(name);
      out = found ? (*found)[0].to_string() : errc_name(found.error().code);
    }
    void done() override {}
    hal::Resolver& resolver;
    const char* name;
    std::string& out;
  };
  std::string good, bad, literal;
  hal::System& system = test.system(0);
  system.executor.submit(hal::Queue::resolve, std::make_unique<ResolveJob>(system.resolver, "tracker.example", good));
  system.executor.submit(hal::Queue::resolve, std::make_unique<ResolveJob>(system.resolver, "nowhere.example", bad));
  system.executor.submit(hal::Queue::resolve, std::make_unique<ResolveJob>(system.resolver, "10.1.2.3", literal));
  test.world.run_for(Duration::seconds(1));
  assert_string_equal(good.c_str(), "10.0.0.2");
  assert_string_equal(bad.c_str(), "not_found");
  assert_string_equal(literal.c_str(), "10.1.2.3");
}

}  // namespace
}  // namespace millet::sim

int main() {
  using namespace millet::sim;
  const CMUnitTest tests[] = {
      cmocka_unit_test(connection_and_bytes_take_the_delay_of_the_path),
      cmocka_unit_test(bytes_arrive_whole_and_in_order_through_loss),
      cmocka_unit_test(loss_is_lateness),
      cmocka_unit_test(rate_serialises_and_is_shared_fairly),
      cmocka_unit_test(down_rate_limits_several_senders),
      cmocka_unit_test(socket_takes_what_fits_and_says_when_there_is_room),
      cmocka_unit_test(reader_that_stops_fills_the_window),
      cmocka_unit_test(close_flushes_and_the_peer_learns_it_after_the_last_byte),
      cmocka_unit_test(nobody_listens),
      cmocka_unit_test(nobody_answers),
      cmocka_unit_test(port_in_use),
      cmocka_unit_test(backlog_waits_while_accepting_is_off),
      cmocka_unit_test(partition_stalls_and_healing_delivers),
      cmocka_unit_test(partition_that_lasts_resets_the_sender_only),
      cmocka_unit_test(killed_process_closes_its_connections),
      cmocka_unit_test(power_cut_leaves_a_half_open_connection),
      cmocka_unit_test(power_cut_and_a_sender_time_out),
      cmocka_unit_test(names_resolve_in_a_job),
  };
  return RUN_TESTS(tests);
}
