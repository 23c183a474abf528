// The time by which channels are judged (PROTOCOL.md section 9): the last time that the ledger signed, and monotonic time since. Routers
// boot without a clock, so a calendar is never asked. Before the first signed reply of this process the time is unknown, and nothing is
// served for money.
//
// Where our own clock runs fast, or the ledger's was set back, the ledger is right: after several answers in a row that say so, the time
// follows. What had passed once stays a floor, for what must never happen twice or too late: it stands still until the time has caught up.
// Both count answers to requests of ours only, each with its nonce: a time that was signed long ago and is shown again sets nothing back.
#pragma once

#include <algorithm>
#include <optional>

#include "base/time.h"

namespace millet::speed {

class LedgerClock {
 public:
  static constexpr uint64_t k_delay_s = 5;     // that an answer may be under way, and the time in it old
  static constexpr uint32_t k_behind_max = 3;  // answers in a row that are behind by more: they are right

  // From the store. Until the ledger answers, the floor goes on from there with monotonic time: nobody stays banned for ever because the
  // ledger is gone.
  void restore(Instant now, LedgerTime floor) {
    floor_ = std::max(floor_, floor);
    base_at_ = now;
  }
  // A reply that the ledger signed came in.
  void observe(Instant now, LedgerTime time) {
    LedgerTime estimate = known_ ? at(now) : floor(now);
    floor_ = std::max({floor_, estimate, time});
    known_ = true;
    reached_ = now;
    base_at_ = now;
    base_ = std::max(estimate, time);
    if (estimate.seconds_since(time) <= k_delay_s || time.in_seconds() == 0) {
      behind_ = 0;
      return;
    }
    // The latest of the row was under way for the shortest time.
    uint64_t passed = static_cast<uint64_t>(std::max<int64_t>((now - behind_at_).in_seconds(), 0));
    behind_time_ = behind_ == 0 ? time : std::max(time, behind_time_.plus_seconds(passed));
    behind_at_ = now;
    if (++behind_ < k_behind_max) return;
    behind_ = 0;
    base_ = behind_time_;
  }

  std::optional<LedgerTime> now(Instant instant) const {
    if (!known_) return std::nullopt;
    return at(instant);
  }
  // The latest time that is certain to have passed once: for bans, for the end of channels, and for the store.
  LedgerTime floor(Instant instant) const { return known_ ? std::max(floor_, at(instant)) : floor_.plus_seconds(since_base(instant)); }
  // What the ledger's clock says, as far as anybody can tell here.
  LedgerTime best(Instant instant) const { return known_ ? at(instant) : floor(instant); }
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
  uint64_t since_base(Instant now) const { return static_cast<uint64_t>(std::max<int64_t>((now - base_at_).in_seconds(), 0)); }
  LedgerTime at(Instant now) const { return base_.plus_seconds(since_base(now)); }
  LedgerTime floor_;
  LedgerTime base_;
  Instant base_at_;  // of base_, or of floor_ while the time is unknown
  Instant reached_;
  uint32_t behind_ = 0;  // answers in a row
  LedgerTime behind_time_;
  Instant behind_at_;
  bool known_ = false;
};

}  // namespace millet::speed
