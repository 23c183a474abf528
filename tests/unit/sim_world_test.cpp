// hal/sim: virtual time, the executor, crashes, clocks, randomness; one seed, one trace.
#include "unit/test.h"

#include "unit/sim_fixture.h"

namespace millet::sim {
namespace {

struct NoteJob final : hal::Job {
  NoteJob(std::string given, std::vector<std::string>& out) : name(std::move(given)), notes(out) {}
  ~NoteJob() override { notes.push_back("~" + name); }
  void run() override { notes.push_back("run " + name); }
  void done() override { notes.push_back("done " + name); }
  std::string name;
  std::vector<std::string>& notes;
};

struct CommitJob final : hal::Job {
  CommitJob(Store& given, uint8_t id, bool& out) : store(given), key(id), reported(out) {}
  void run() override {
    StoreBatch batch;
    batch.push_back({"t", {key}, std::vector<uint8_t>{1}});
    batch.push_back({"t", {key, 1}, std::vector<uint8_t>{1}});
    if (!commit_batch(store, batch)) key = 0;
  }
  void done() override { reported = true; }
  Store& store;
  uint8_t key;
  bool& reported;
};

void timer_fires_at_its_time_and_only_the_last_setting_counts(void**) {
  TestWorld test(1);
  Instant now = test.system(0).clock.now();
  test.system(0).loop.arm(now + Duration::seconds(1));
  test.system(0).loop.arm(now + Duration::seconds(3));
  test.world.run_for(Duration::seconds(2));
  assert_true(test.program(0).log.empty());
  test.world.run_for(Duration::seconds(1));
  assert_string_equal(test.program(0).last().c_str(), "timer");
  test.system(0).loop.arm(now + Duration::seconds(4));
  test.system(0).loop.arm(Instant::never());
  test.world.run_for(Duration::seconds(10));
  assert_int_equal(test.program(0).log.size(), 1);
  test.system(0).loop.arm(now);  // the past is now
  test.world.run_for(Duration());
  assert_int_equal(test.program(0).log.size(), 2);
}

void jobs_of_one_queue_are_done_in_order_and_queues_do_not_wait_for_each_other(void**) {
  TestWorld test(1);
  test.world.machine(0).executor().queue(hal::Queue::resolve).cost_min = Duration::seconds(30);
  test.world.machine(0).executor().queue(hal::Queue::resolve).cost_max = Duration::seconds(30);
  std::vector<std::string> notes;
  hal::Executor& executor = test.system(0).executor;
  executor.submit(hal::Queue::resolve, std::make_unique<NoteJob>("slow", notes));
  executor.submit(hal::Queue::store, std::make_unique<NoteJob>("a", notes));
  executor.submit(hal::Queue::store, std::make_unique<NoteJob>("b", notes));
  assert_true(notes.empty());
  test.world.run_for(Duration::seconds(29));
  std::erase_if(notes, [](const std::string& note) { return note.starts_with("~") || note == "run slow"; });
  const std::vector<std::string> expected = {"run a", "done a", "run b", "done b"};
  assert_true(notes == expected);
  test.world.run_for(Duration::seconds(2));
  assert_string_equal(notes[notes.size() - 2].c_str(), "done slow");
}

// Killed while commits are under way: each is there as a whole or not at all, and what was reported is there.
void commit_at_a_crash_is_durable_or_lost_never_half(void**) {
  uint32_t there = 0, lost = 0, unreported = 0;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    TestWorld test(seed);
    test.world.machine(0).executor().queue(hal::Queue::store).cost_max = Duration::ms(10);
    MemoryStore& store = test.world.machine(0).store("node");
    bool reported[6] = {};
    for (uint8_t i = 0; i < 6; ++i) {
      test.system(0).executor.submit(hal::Queue::store, std::make_unique<CommitJob>(store, static_cast<uint8_t>(i + 1), reported[i]));
    }
    test.world.run_for(Duration::ms(static_cast<int64_t>(seed % 40)));
    test.world.machine(0).crash(seed % 2 == 0 ? CrashKind::kill : CrashKind::power_cut);
    test.world.run_for(Duration::seconds(1));
    auto transaction = store.begin_read().value();
    bool previous = true;
    for (uint8_t i = 0; i < 6; ++i) {
      const uint8_t key[] = {static_cast<uint8_t>(i + 1), 1};
      bool first = transaction->get("t", Bytes(key).first(1))->has_value();
      bool second = transaction->get("t", Bytes(key))->has_value();
      assert_true(first == second);
      assert_true(first || !reported[i]);
      assert_true(!first || previous);  // in order
      previous = first;
      (first ? there : lost) += 1;
      unreported += first && !reported[i] ? 1 : 0;
    }
  }
  assert_true(there > 20 && lost > 20 && unreported > 5);
}

void crash_drops_jobs_and_events(void**) {
  TestWorld test(1);
  std::vector<std::string> notes;
  test.system(0).executor.submit(hal::Queue::compute, std::make_unique<NoteJob>("a", notes));
  test.system(0).loop.arm(test.system(0).clock.now() + Duration::ms(1));
  test.world.machine(0).crash(CrashKind::kill);
  const std::vector<std::string> expected = {"~a"};
  assert_true(notes == expected);
  assert_false(test.world.machine(0).running());
  test.world.run_for(Duration::seconds(1));
  assert_true(notes == expected);
  test.world.machine(0).start();
  test.world.run_for(Duration::seconds(1));
  assert_true(test.program(0).log.empty());
}

void program_ends_when_it_stops_its_loop(void**) {
  TestWorld test(1);
  test.world.machine(0).ask_to_shut_down();
  test.world.run_for(Duration());
  assert_false(test.world.machine(0).running());
  assert_int_equal(test.world.machine(0).ends(), 1);
}

void power_cut_starts_the_monotonic_clock_anew_and_a_kill_does_not(void**) {
  TestWorld test(1);
  test.world.run_for(Duration::hours(10));
  Instant before = test.system(0).clock.now();
  WallTime wall = test.system(0).clock.wall();
  test.world.machine(0).crash(CrashKind::kill);
  test.world.machine(0).start();
  assert_true(test.system(0).clock.now() == before);
  test.world.machine(0).crash(CrashKind::power_cut);
  test.world.machine(0).start();
  assert_true(test.system(0).clock.now() < before);
  assert_true(test.system(0).clock.wall() == wall);
}

void randomness_differs_between_machines_and_between_runs_of_one(void**) {
  TestWorld test(1);
  uint8_t a[32], b[32], c[32];
  test.system(0).random.fill(a);
  test.system(1).random.fill(b);
  test.world.machine(0).crash(CrashKind::kill);
  test.world.machine(0).start();
  test.system(0).random.fill(c);
  assert_memory_not_equal(a, b, 32);
  assert_memory_not_equal(a, c, 32);
  TestWorld again(1);
  uint8_t d[32];
  again.system(0).random.fill(d);
  assert_memory_equal(a, d, 32);
}

// A busy hour: traffic with loss and jitter, jobs, a partition, both kinds of crash.
uint64_t busy_trace(uint64_t seed, uint64_t& events) {
  LinkOptions link;
  link.jitter = Duration::ms(20);
  link.loss_ppm = 10'000;
  link.up_rate = 500'000;
  TestWorld test(seed, link, 3);
  std::vector<std::string> notes;
  for (int round = 0; round < 10; ++round) {
    for (uint32_t i = 0; i < 3; ++i) {
      if (!test.world.machine(i).running()) test.world.machine(i).start();
      if (round == 0 || test.program(i).log.empty()) {
        if (!test.system(i).streams.listen(1, {IpAddress(), 1000})) continue;
      }
      hal::StreamId stream = test.system(i).streams.connect({test_address(static_cast<uint8_t>((i + 1) % 3 + 1)), 1000}, std::nullopt);
      test.world.run_for(Duration::ms(200));
      uint8_t noise[1000];
      test.system(i).random.fill(noise);
      test.program(i).say(stream, as_text(noise));
      test.system(i).executor.submit(hal::Queue::compute, std::make_unique<NoteJob>("x", notes));
    }
    uint32_t isolated[] = {static_cast<uint32_t>(round % 3)};
    if (round % 2 == 1)
      test.world.network().partition(isolated);
    else
      test.world.network().heal();
    test.world.run_for(Duration::seconds(20));
    if (round == 4) test.world.machine(2).crash(CrashKind::power_cut);
    if (round == 7) test.world.machine(1).crash(CrashKind::kill);
  }
  events = test.world.events();
  return test.world.trace().value();
}

void one_seed_gives_one_trace(void**) {
  uint64_t events[3] = {};
  uint64_t first = busy_trace(42, events[0]);
  uint64_t second = busy_trace(42, events[1]);
  uint64_t other = busy_trace(43, events[2]);
  assert_true(first == second && events[0] == events[1]);
  assert_true(first != other);
  assert_true(events[0] > 200);
}

// The trace is words in a fixed byte order: the same number on every machine and compiler.
void trace_is_canonical(void**) {
  TraceHash trace;
  trace.add(1);
  const uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
  trace.add(bytes);
  assert_true(trace.value() == 0xe5296f0b37ba8e3au);
}

void endless_loop_in_one_instant_is_reported(void**) {
  struct Busy final : EventTarget {
    explicit Busy(World& in) : world(in) {}
    void on_event(uint32_t, uint64_t, uint64_t) override { world.schedule(Duration(), *this, 0); }
    World& world;
  };
  World world(1);
  Busy busy(world);
  world.add_target(busy);
  world.schedule(Duration::seconds(1), busy, 0);
  assert_int_equal(static_cast<int>(world.run_for(Duration::seconds(2))), static_cast<int>(StopReason::livelock));
}

void blocking_calls_on_the_loop_are_counted(void**) {
  TestWorld test(1);
  assert_int_equal(test.world.machine(0).blocking_calls(), 0);
  assert_true(test.system(0).files.open("/data", "a", hal::OpenMode::create).has_value());
  assert_int_equal(test.world.machine(0).blocking_calls(), 1);
}

}  // namespace
}  // namespace millet::sim

int main() {
  using namespace millet::sim;
  const CMUnitTest tests[] = {
      cmocka_unit_test(timer_fires_at_its_time_and_only_the_last_setting_counts),
      cmocka_unit_test(jobs_of_one_queue_are_done_in_order_and_queues_do_not_wait_for_each_other),
      cmocka_unit_test(commit_at_a_crash_is_durable_or_lost_never_half),
      cmocka_unit_test(crash_drops_jobs_and_events),
      cmocka_unit_test(program_ends_when_it_stops_its_loop),
      cmocka_unit_test(power_cut_starts_the_monotonic_clock_anew_and_a_kill_does_not),
      cmocka_unit_test(randomness_differs_between_machines_and_between_runs_of_one),
      cmocka_unit_test(one_seed_gives_one_trace),
      cmocka_unit_test(trace_is_canonical),
      cmocka_unit_test(endless_loop_in_one_instant_is_reported),
      cmocka_unit_test(blocking_calls_on_the_loop_are_counted),
  };
  return RUN_TESTS(tests);
}
