// A rate limit in whole units per second with a burst; integers only. Used for bytes, messages and glitches.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/time.h"

namespace millet {

class TokenBucket {
 public:
  // rate 0: unlimited. Starts full.
  TokenBucket(uint64_t rate_per_second, uint64_t burst) : rate_(rate_per_second), burst_(burst), level_(burst) {}

  bool unlimited() const { return rate_ == 0; }
  // Changes the limit; the level stays within the new burst.
  void set(Instant now, uint64_t rate_per_second, uint64_t burst) {
    refill(now);
    rate_ = rate_per_second;
    burst_ = burst;
    level_ = std::min(level_, burst_);
  }
  // True if at least `units` are there; larger requests than the burst ask for a full bucket.
  bool can_take(Instant now, uint64_t units) {
    if (unlimited()) return true;
    refill(now);
    return level_ >= std::min(units, burst_);
  }
  bool take(Instant now, uint64_t units) {
    if (!can_take(now, units)) return false;
    if (!unlimited()) level_ -= std::min(units, level_);
    return true;
  }
  // Units that are there now; at most the burst. Requires: not unlimited.
  uint64_t level(Instant now) {
    refill(now);
    return level_;
  }
  // Units that were taken and not used.
  void give_back(uint64_t units) { level_ = std::min(burst_, level_ + std::min(units, burst_)); }
  // When can_take(units) will be true.
  Instant ready_at(Instant now, uint64_t units) {
    if (can_take(now, units)) return now;
    uint64_t missing = std::min(units, burst_) - level_;
    return now + Duration::us(static_cast<int64_t>(missing / rate_ * 1'000'000 + (missing % rate_ * 1'000'000 + rate_ - 1) / rate_));
  }

 private:
  void refill(Instant now) {
    if (now <= filled_) return;
    uint64_t us = static_cast<uint64_t>((now - filled_).in_us());
    constexpr uint64_t k_us_max = 3'600'000'000;  // an hour fills any bucket; keeps the product in 64 bits
    if (us >= k_us_max || rate_ > UINT64_MAX / (k_us_max + 1)) {
      level_ = burst_;
      filled_ = now;
      return;
    }
    uint64_t units = rate_ * us / 1'000'000;
    if (units == 0) return;
    level_ = std::min(burst_, level_ + units);
    // Only the time that the whole units took is spent: small steps lose nothing.
    filled_ = filled_ + Duration::us(static_cast<int64_t>(units * 1'000'000 / rate_));
  }
  uint64_t rate_;
  uint64_t burst_;
  uint64_t level_;
  Instant filled_;
};

}  // namespace millet
