// Bytes per second over the last seconds: an exponential average with a time constant of five seconds, in integers, brought up to date
// only when it is asked or fed, so that an idle connection costs nothing.
#pragma once

#include <cstdint>

#include "base/time.h"

namespace millet {

class RateMeter {
 public:
  void add(Instant now, uint64_t bytes) {
    advance(now);
    pending_ += bytes;
    total_ += bytes;
  }
  // Bytes per second.
  uint64_t rate(Instant now) const {
    RateMeter copy = *this;
    copy.advance(now);
    return copy.average_ / k_scale;
  }
  uint64_t total() const { return total_; }

 private:
  static constexpr int64_t k_step_us = 1'000'000;
  static constexpr uint64_t k_weight = 5;     // a second counts a fifth of the average
  static constexpr uint64_t k_scale = 256;    // fraction bits, so that slow rates decay to zero and fast ones do not get stuck
  static constexpr int64_t k_steps_max = 60;  // after a minute of nothing the average is zero in any case

  void advance(Instant now) {
    int64_t steps = (now - at_).in_us() / k_step_us;
    if (steps <= 0) return;
    if (steps > k_steps_max) {
      average_ = 0;
      pending_ = 0;
      at_ = now;
      return;
    }
    at_ = at_ + Duration::us(steps * k_step_us);
    for (; steps > 0; --steps) {
      average_ = (average_ * (k_weight - 1) + pending_ * k_scale) / k_weight;
      pending_ = 0;
    }
  }

  Instant at_;
  uint64_t pending_ = 0;
  uint64_t average_ = 0;  // times k_scale
  uint64_t total_ = 0;
};

}  // namespace millet
