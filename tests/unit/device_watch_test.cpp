// driver: how a device is looked after: when its sensors are read, and who feeds its watchdogs.
#include "driver/device_watch.h"

#include <unistd.h>

#include "hal/linux/system.h"
#include "hal/openwrt/board.h"
#include "hal/sim/board.h"
#include "hal/sim/world.h"
#include "unit/inline_executor.h"
#include "unit/temp_folder.h"

#include "unit/test.h"

using namespace millet;

namespace {

struct TestClock final : hal::Clock {
  Instant now() override { return time; }
  WallTime wall() override { return {}; }
  Instant time = Instant::from_us(1'000'000);
};

// A watch whose node always wants the same.
struct Watched final : DeviceWatchEvents {
  explicit Watched(hal::Board& board, hal::Executor& executor, hal::Clock& with) : clock(with), watch(board, executor, with, *this) {}
  void on_device(const DeviceReadings& readings) override {
    last = readings;
    ++reads;
    watch.follow(clock.now(), orders);
  }
  void on_device_changed() override { ++changes; }
  // Rings the timer as often as it asks to be rung; how often that was.
  uint32_t pass(TestClock& time, InlineExecutor& executor, Duration span) {
    uint32_t rings = 0;
    Instant end = time.time + span;
    while (watch.next_deadline() <= end) {
      time.time = std::max(time.time, watch.next_deadline());
      watch.on_timer(time.time);
      executor.run_all();
      ++rings;
    }
    time.time = end;
    return rings;
  }
  hal::Clock& clock;
  DeviceWatch watch;
  DeviceOrders orders{Duration::seconds(15), LedPattern::seeding, false};
  DeviceReadings last;
  uint32_t reads = 0;
  uint32_t changes = 0;
};

// A board of the simulator, watched from now on.
struct Device {
  Device() { watched.watch.start(clock.time); }
  sim::World world{1};
  sim::Board board{world};
  InlineExecutor executor;
  TestClock clock;
  Watched watched{board, executor, clock};
};

void a_quiet_device_wakes_the_loop_every_quarter_of_a_minute(void**) {
  Device device;
  auto& [world, board, executor, clock, watched] = device;
  assert_int_equal(watched.reads, 1);  // before anything is served
  uint32_t rings = watched.pass(clock, executor, Duration::hours(1));
  assert_in_range(rings, 230, 500);  // looks, and the watchdog's meals, which are every twenty seconds here
  assert_in_range(board.looks(), 230, 250);
  assert_in_range(board.feeds(), 180, 260);
  assert_true(board.shown() == LedPattern::seeding);
}

void what_the_board_reports_is_looked_at_soon_and_together(void**) {
  Device device;
  auto& [world, board, executor, clock, watched] = device;
  watched.pass(clock, executor, Duration::seconds(3));
  board.readings.has_route = false;
  for (int i = 0; i < 50; ++i) board.alarm();
  world.run_for(Duration::seconds(1));
  assert_int_equal(watched.changes, 50);
  uint64_t looks = board.looks();
  watched.pass(clock, executor, Duration::seconds(2));
  assert_int_equal(board.looks(), looks + 1);
  assert_true(watched.last.has_route == false);
}

void short_memory_is_given_back_once(void**) {
  Device device;
  auto& [world, board, executor, clock, watched] = device;
  watched.orders = {Duration::seconds(5), LedPattern::error, true};
  watched.pass(clock, executor, Duration::minutes(5));
  assert_int_equal(board.trims(), 1);
  assert_true(board.shown() == LedPattern::error);
  watched.watch.stop();
  assert_true(board.released());
  assert_true(board.shown() == LedPattern::off);
  assert_true(watched.watch.next_deadline().is_never());
}

// With the real loop and a file for the device: while the loop turns it is fed, while it stands still it is not.
void a_loop_that_stands_still_feeds_no_watchdog(void**) {
  TempFolder folder;
  const std::string path = folder / "watchdog";
  FILE* file = fopen(path.c_str(), "w");
  fclose(file);
  NullLog log;
  hal::LinuxSystem machine(log);
  hal::BoardOptions options;
  options.root = folder.path();
  options.watchdog = path;
  hal::LinuxBoard board(options, machine.uv(), log);
  auto meals = [&] {
    FILE* fed = fopen(path.c_str(), "r");
    char text[64] = {};
    size_t size = fread(text, 1, sizeof text, fed);
    fclose(fed);
    return size;
  };
  struct Timer final : hal::TimerEvents {
    void on_timer() override {
      watched->watch.on_timer(machine->system().clock.now());

      machine->system().loop.arm(watched->watch.next_deadline());
    }
    void on_shutdown() override {}
    Watched* watched = nullptr;
    hal::LinuxSystem* machine = nullptr;

  } timer;
  Watched watched(board, machine.system().executor, machine.system().clock);
  timer.watched = &watched;
  timer.machine = &machine;
  machine.system().loop.set_events(&timer);
  watched.watch.start(machine.system().clock.now());
  machine.system().loop.arm(watched.watch.next_deadline());
  assert_int_equal(meals(), 1);
  Instant begin = machine.system().clock.now();
  while (machine.system().clock.now() - begin < Duration::ms(5'500)) {
    uv_run(machine.uv(), UV_RUN_NOWAIT);
    usleep(10'000);
  }
  assert_int_equal(meals(), 2);  // a device that tells no timeout is fed every five seconds
  usleep(5'500'000);             // the loop is not turned
  assert_int_equal(meals(), 2);
  uv_run(machine.uv(), UV_RUN_NOWAIT);
  assert_int_equal(meals(), 3);
  watched.watch.stop();
  assert_int_equal(meals(), 4);  // and the magic close
  machine.system().loop.set_events(nullptr);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(a_quiet_device_wakes_the_loop_every_quarter_of_a_minute),
      cmocka_unit_test(what_the_board_reports_is_looked_at_soon_and_together),
      cmocka_unit_test(short_memory_is_given_back_once),
      cmocka_unit_test(a_loop_that_stands_still_feeds_no_watchdog),
  };
  return RUN_TESTS(tests);
}
