#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <vector>

#include "hal/linux/system.h"
#include "unit/test.h"

using namespace millet;
using namespace millet::hal;

namespace {

struct Events final : TimerEvents {
  explicit Events(Loop& loop) : loop_(loop) { loop_.set_events(this); }
  void on_timer() override {
    ++timers;
    loop_.stop();
  }
  void on_shutdown() override {
    ++shutdowns;
    loop_.stop();
  }
  Loop& loop_;
  int timers = 0;
  int shutdowns = 0;
};

class CallJob final : public Job {
 public:
  CallJob(std::function<void()> run, std::function<void()> done) : run_(std::move(run)), done_(std::move(done)) {}
  void run() override { run_(); }
  void done() override { done_(); }

 private:
  std::function<void()> run_;
  std::function<void()> done_;
};

void submit(System& system, Queue queue, std::function<void()> run, std::function<void()> done) {
  system.executor.submit(queue, std::make_unique<CallJob>(std::move(run), std::move(done)));
}

void the_timer_never_rings_early(void**) {
  NullLog log;
  LinuxSystem machine(log);
  Events events(machine.system().loop);
  Instant start = machine.system().clock.now();
  machine.system().loop.arm(start + Duration::us(20'500));
  machine.run();
  assert_int_equal(events.timers, 1);
  Duration waited = machine.system().clock.now() - start;
  assert_true(waited >= Duration::us(20'500));
  assert_true(waited < Duration::seconds(5));
}

void a_moment_in_the_past_rings_at_once_and_a_later_setting_replaces(void**) {
  NullLog log;
  LinuxSystem machine(log);
  Events events(machine.system().loop);
  Instant start = machine.system().clock.now();
  machine.system().loop.arm(start + Duration::hours(1));
  machine.system().loop.arm(start - Duration::seconds(1));
  machine.run();
  assert_int_equal(events.timers, 1);
}

// What is left to do is put off to "now" by its own timer: sockets and workers must get their turn in between.
void a_timer_that_is_always_due_starves_nobody(void**) {
  struct Busy final : TimerEvents {
    explicit Busy(System& system) : system_(system) { system_.loop.set_events(this); }
    void on_timer() override {
      if (++timers == 3'000'000)
        system_.loop.stop();
      else
        system_.loop.arm(system_.clock.now());
    }
    void on_shutdown() override {}
    System& system_;
    int timers = 0;
  };
  NullLog log;
  LinuxSystem machine(log);
  Busy busy(machine.system());
  bool done = false;
  submit(
      machine.system(), Queue::store, [] {},
      [&] {
        done = true;
        machine.system().loop.stop();
      });
  machine.system().loop.arm(machine.system().clock.now());
  machine.run();
  machine.system().loop.set_events(nullptr);
  assert_true(done);
  assert_true(busy.timers < 3'000'000);
}

void a_signal_asks_for_shutdown(void**) {
  for (int number : {SIGTERM, SIGINT, SIGHUP}) {
    NullLog log;
    LinuxSystem machine(log);
    Events events(machine.system().loop);
    kill(getpid(), number);
    machine.run();
    assert_int_equal(events.shutdowns, 1);
    assert_int_equal(events.timers, 0);
  }
}

void a_signal_that_the_caller_ignores_stays_ignored(void**) {
  signal(SIGHUP, SIG_IGN);
  NullLog log;
  LinuxSystem machine(log);
  Events events(machine.system().loop);
  kill(getpid(), SIGHUP);
  machine.system().loop.arm(machine.system().clock.now() + Duration::ms(20));
  machine.run();
  signal(SIGHUP, SIG_DFL);
  assert_int_equal(events.shutdowns, 0);
  assert_int_equal(events.timers, 1);
}

void jobs_of_the_store_queue_run_in_order_and_come_back_to_the_loop(void**) {
  NullLog log;
  LinuxSystem machine(log);
  System& system = machine.system();
  std::vector<int> ran;
  std::vector<int> done;
  uv_thread_t loop_thread = uv_thread_self();
  bool on_worker = true;
  bool back_on_loop = true;
  for (int i = 0; i < 100; ++i) {
    submit(
        system, Queue::store,
        [&, i] {
          uv_thread_t self = uv_thread_self();
          on_worker = on_worker && uv_thread_equal(&self, &loop_thread) == 0;
          ran.push_back(i);
        },
        [&, i] {
          uv_thread_t self = uv_thread_self();
          back_on_loop = back_on_loop && uv_thread_equal(&self, &loop_thread) != 0;
          done.push_back(i);
          if (i == 99) system.loop.stop();
        });
  }
  machine.run();
  assert_int_equal(ran.size(), 100);
  assert_int_equal(done.size(), 100);
  for (int i = 0; i < 100; ++i) assert_true(ran[static_cast<size_t>(i)] == i && done[static_cast<size_t>(i)] == i);
  assert_true(on_worker && back_on_loop);
}

// A disk that sleeps must not delay a commit: each queue has threads of its own.
void a_stuck_queue_does_not_hold_up_another(void**) {
  NullLog log;
  LinuxSystem machine(log);
  System& system = machine.system();
  std::atomic<bool> release = false;
  int reads = 0;
  for (int i = 0; i < 8; ++i) {
    submit(
        system, Queue::disk_read,
        [&] {
          while (!release) usleep(1000);
        },
        [&] {
          if (++reads == 8) system.loop.stop();
        });
  }
  bool committed_first = false;
  submit(
      system, Queue::store, [] {},
      [&] {
        committed_first = reads == 0;
        release = true;
      });
  machine.run();
  assert_true(committed_first);
  assert_int_equal(reads, 8);
}

// A ledger's database may never answer; a node's disk does, and what it writes is waited for.
void a_ledgers_store_that_hangs_does_not_hold_up_the_end(void**) {
  pid_t child = fork();
  if (child == 0) {
    alarm(20);
    NullLog log;
    LinuxSystem machine(log, LinuxExecutor::Use::signatures);
    System& system = machine.system();
    submit(
        system, Queue::store, [] { pause(); }, [] {});
    submit(
        system, Queue::compute, [] { usleep(50'000); }, [&] { system.loop.stop(); });
    machine.run();
    _exit(machine.has_stuck_job() ? 7 : 1);
  }
  int status = 0;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

void jobs_that_wait_when_the_loop_stops_are_dropped(void**) {
  static std::atomic<int> destroyed;
  destroyed = 0;
  struct Counted final : Job {
    explicit Counted(int& done_count) : done_count_(done_count) {}
    ~Counted() override { ++destroyed; }
    void run() override { usleep(20'000); }
    void done() override { ++done_count_; }
    int& done_count_;
  };
  int done = 0;
  {
    NullLog log;
    LinuxSystem machine(log);
    Events events(machine.system().loop);
    for (int i = 0; i < 50; ++i) machine.system().executor.submit(Queue::disk_write, std::make_unique<Counted>(done));
    machine.system().loop.arm(machine.system().clock.now());
    machine.run();
  }
  assert_int_equal(destroyed.load(), 50);
  assert_true(done < 5);
}

void randomness_differs(void**) {
  LinuxRandom random;
  std::array<uint8_t, 32> a{};
  std::array<uint8_t, 32> b{};
  random.fill(a);
  random.fill(b);
  assert_true(a != b);
}

void localhost_resolves_and_nonsense_does_not(void**) {
  LinuxResolver resolver;
  auto addresses = resolver.resolve("localhost");
  assert_true(addresses.has_value());
  assert_true(!addresses->empty() && addresses->front().is_loopback());
  auto none = resolver.resolve("no such host.invalid");
  assert_false(none.has_value());
  assert_non_null(strstr(none.error().reason.c_str(), "no such host.invalid"));
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(the_timer_never_rings_early),
      cmocka_unit_test(a_moment_in_the_past_rings_at_once_and_a_later_setting_replaces),
      cmocka_unit_test(a_timer_that_is_always_due_starves_nobody),
      cmocka_unit_test(a_signal_asks_for_shutdown),
      cmocka_unit_test(a_signal_that_the_caller_ignores_stays_ignored),
      cmocka_unit_test(jobs_of_the_store_queue_run_in_order_and_come_back_to_the_loop),
      cmocka_unit_test(a_stuck_queue_does_not_hold_up_another),
      cmocka_unit_test(a_ledgers_store_that_hangs_does_not_hold_up_the_end),
      cmocka_unit_test(jobs_that_wait_when_the_loop_stops_are_dropped),
      cmocka_unit_test(randomness_differs),
      cmocka_unit_test(localhost_resolves_and_nonsense_does_not),
  };
  return RUN_TESTS(tests);
}
