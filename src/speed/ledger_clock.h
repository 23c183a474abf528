// The time by which channels are judged (PROTOCOL.md): the last time that the ledger signed, and monotonic time since. Routers boot
// without a clock, so a calendar is never asked. What was known at the last commit is a floor; before the first signed reply of this
// process the time itself is unknown, and nothing is served for money.
#pragma once

#include <algorithm>
#include <optional>

#include "base/time.h"

namespace millet::speed {

class LedgerClock {
 public:
  // From the store.
  void restore(LedgerTime floor) { floor_ = std::max(floor_, floor); }
  // A reply that the ledger signed came in.
  void observe(Instant now, LedgerTime time) {
    LedgerTime estimate = known_ ? at(now) : floor_;
    base_ = std::max(estimate, time);
    base_at_ = now;
    known_ = true;
    reached_ = now;
    floor_ = std::max(floor_, base_);
  }

  std::optional<LedgerTime> now(Instant instant) const {
    if (!known_) return std::nullopt;
    return at(instant);
  }
  // The latest time that is certain to have passed: for bans and for the store.
  LedgerTime floor(Instant instant) const { return known_ ? at(instant) : floor_; }
  // When now() will be `time`; never while the time is unknown.
  Instant when(Instant instant, LedgerTime time) const {
    if (!known_) return Instant::never();
    uint64_t seconds = time.seconds_since(at(instant));
    constexpr uint64_t k_year = 366u * 24 * 3600;
    return instant + Duration::seconds(static_cast<int64_t>(std::min(seconds, k_year)));
  }
  bool known() const { return known_; }
  // True if a signed reply came within this time.
  bool reached_within(Instant now, Duration age) const { return known_ && now - reached_ <= age; }

 private:
  LedgerTime at(Instant now) const {
    int64_t passed = (now - base_at_).in_seconds();
    return base_.plus_seconds(passed > 0 ? static_cast<uint64_t>(passed) : 0);
  }
  LedgerTime floor_;
  LedgerTime base_;
  Instant base_at_;
  Instant reached_;
  bool known_ = false;
};

}  // namespace millet::speed
