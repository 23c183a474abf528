// Two kinds of time that never convert into each other: Instant is monotonic and means nothing outside the process, WallTime is what a
// calendar shows and may jump. Engines take `Instant now` as an argument and never read a clock.
#pragma once

#include <compare>
#include <cstdint>
#include <limits>

namespace millet {

// A span of monotonic time, in microseconds.
class Duration {
 public:
  constexpr Duration() = default;
  static constexpr Duration us(int64_t value) { return Duration(value); }
  static constexpr Duration ms(int64_t value) { return Duration(value * 1000); }
  static constexpr Duration seconds(int64_t value) { return Duration(value * 1'000'000); }
  static constexpr Duration minutes(int64_t value) { return seconds(value * 60); }
  static constexpr Duration hours(int64_t value) { return seconds(value * 3600); }
  constexpr int64_t in_us() const { return us_; }
  constexpr int64_t in_ms() const { return us_ / 1000; }
  constexpr int64_t in_seconds() const { return us_ / 1'000'000; }
  constexpr auto operator<=>(const Duration&) const = default;
  constexpr Duration operator+(Duration other) const { return Duration(us_ + other.us_); }
  constexpr Duration operator-(Duration other) const { return Duration(us_ - other.us_); }
  constexpr Duration operator*(int64_t factor) const { return Duration(us_ * factor); }
  constexpr Duration operator/(int64_t divisor) const { return Duration(us_ / divisor); }

 private:
  explicit constexpr Duration(int64_t value) : us_(value) {}
  int64_t us_ = 0;
};

// A moment of monotonic time.
class Instant {
 public:
  constexpr Instant() = default;
  static constexpr Instant from_us(int64_t value) { return Instant(value); }
  // Later than every moment: "no deadline".
  static constexpr Instant never() { return Instant(std::numeric_limits<int64_t>::max()); }
  constexpr bool is_never() const { return us_ == never().us_; }
  constexpr int64_t in_us() const { return us_; }
  constexpr auto operator<=>(const Instant&) const = default;
  constexpr Instant operator+(Duration d) const { return is_never() ? *this : Instant(us_ + d.in_us()); }
  constexpr Instant operator-(Duration d) const { return is_never() ? *this : Instant(us_ - d.in_us()); }
  constexpr Duration operator-(Instant other) const { return Duration::us(us_ - other.us_); }

 private:
  explicit constexpr Instant(int64_t value) : us_(value) {}
  int64_t us_ = 0;
};

constexpr Instant earlier(Instant a, Instant b) { return a < b ? a : b; }

// Calendar time: milliseconds since 1970-01-01 UTC.
class WallTime {
 public:
  constexpr WallTime() = default;
  static constexpr WallTime from_ms(int64_t value) { return WallTime(value); }
  static constexpr WallTime from_seconds(int64_t value) { return WallTime(value * 1000); }
  constexpr int64_t in_ms() const { return ms_; }
  constexpr int64_t in_seconds() const { return ms_ / 1000; }
  constexpr auto operator<=>(const WallTime&) const = default;

 private:
  explicit constexpr WallTime(int64_t value) : ms_(value) {}
  int64_t ms_ = 0;
};

// The ledger's own clock, which every channel decision is made by (src/speed/PROTOCOL.md): whole seconds since 1970-01-01 UTC. It never
// runs backwards. Values come from the wire, so sums saturate.
class LedgerTime {
 public:
  constexpr LedgerTime() = default;
  static constexpr LedgerTime from_seconds(uint64_t value) { return LedgerTime(value); }
  constexpr uint64_t in_seconds() const { return seconds_; }
  constexpr auto operator<=>(const LedgerTime&) const = default;
  constexpr LedgerTime plus_seconds(uint64_t seconds) const {
    return LedgerTime(seconds > std::numeric_limits<uint64_t>::max() - seconds_ ? std::numeric_limits<uint64_t>::max()
                                                                                : seconds_ + seconds);
  }
  // Seconds from `earlier` to this, 0 if `earlier` is later.
  constexpr uint64_t seconds_since(LedgerTime earlier) const { return seconds_ > earlier.seconds_ ? seconds_ - earlier.seconds_ : 0; }

 private:
  explicit constexpr LedgerTime(uint64_t value) : seconds_(value) {}
  uint64_t seconds_ = 0;
};

}  // namespace millet
