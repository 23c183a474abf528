#include "hal/linux/clock.h"

#include <time.h>

#include "base/check.h"

namespace millet::hal {

Instant LinuxClock::now() {
  timespec time = {};
  CHECK(clock_gettime(CLOCK_MONOTONIC, &time) == 0);
  Instant now = Instant::from_us(int64_t{time.tv_sec} * 1'000'000 + time.tv_nsec / 1000);
  CHECK(now >= last_);
  last_ = now;
  return now;
}

WallTime LinuxClock::wall() {
  timespec time = {};
  CHECK(clock_gettime(CLOCK_REALTIME, &time) == 0);
  return WallTime::from_ms(int64_t{time.tv_sec} * 1000 + time.tv_nsec / 1'000'000);
}

int64_t thread_time_ns() {
  timespec time = {};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

}  // namespace millet::hal
