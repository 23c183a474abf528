// Delay of one uTP connection's path from its timestamps: what of it is queue. One-way delays are differences of two clocks that nobody has
// set, so only their change means something: the least of the last minutes is the path itself (RFC 6817 section 3.4.2), the rest is queue.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "base/time.h"

namespace millet {

// The least value of the last ten minutes, by minutes; values are on the circle of 32 bits.
class UtpBase {
 public:
  static constexpr size_t k_minutes = 10;  // RFC 6817: BASE_HISTORY

  bool is_known() const { return used_ != 0; }
  // Requires: is_known().
  uint32_t least() const { return least_; }
  void add(Instant now, uint32_t value) {
    if (used_ == 0 || now >= turn_) {
      turn_ = now + Duration::minutes(1);
      std::copy_backward(minutes_.begin(), minutes_.end() - 1, minutes_.end());
      minutes_[0] = value;
      used_ = std::min(used_ + 1, k_minutes);
      least_ = value;
      for (size_t i = 1; i < used_; ++i) least_ = lesser(least_, minutes_[i]);
      return;
    }
    minutes_[0] = lesser(minutes_[0], value);
    least_ = lesser(least_, value);
  }
  void shift(int32_t by) {
    for (size_t i = 0; i < used_; ++i) minutes_[i] += static_cast<uint32_t>(by);
    least_ += static_cast<uint32_t>(by);
  }

 private:
  static uint32_t lesser(uint32_t a, uint32_t b) { return static_cast<int32_t>(a - b) < 0 ? a : b; }
  std::array<uint32_t, k_minutes> minutes_{};
  Instant turn_;
  size_t used_ = 0;
  uint32_t least_ = 0;
};

class UtpDelay {
 public:
  // Microseconds since the timestamp of a packet that has just come, on our clock; what the next packet reports back.
  uint32_t report() const { return report_; }

  // A packet has come that was sent at `sent_us` on the sender's clock.
  void on_timestamp(Instant now, uint32_t sent_us) {
    report_ = static_cast<uint32_t>(now.in_us()) - sent_us;
    bool was_known = theirs_.is_known();
    uint32_t before = was_known ? theirs_.least() : 0;
    theirs_.add(now, report_);
    // Their clock runs slower than ours if what we measure shrinks: what they measure grows by as much, and is no queue.
    int32_t change = static_cast<int32_t>(theirs_.least() - before);
    if (was_known && change < 0 && change > -k_drift_max_us && ours_.is_known()) ours_.shift(-change);
  }

  // They measured `delay_us` for a packet of ours. The round trip that ended now was `over_base_us` longer than the shortest (UINT32_MAX:
  // unknown); the queue that others measure on the path is `path_queue_us`.
  void on_report(Instant now, uint32_t delay_us, uint32_t over_base_us, uint32_t path_queue_us) {
    if (delay_us == 0 || delay_us == INT32_MAX) return;  // "unknown", in two ways that are in use
    // A connection that joins others on a path finds their queue there and must not take it for the path.
    if (!ours_.is_known()) ours_.add(now, delay_us - path_queue_us);
    ours_.add(now, delay_us);
    if (over_base_us != UINT32_MAX) correct_drift(now, static_cast<int32_t>(over_base_us - (delay_us - ours_.least())));
    // The queue is part of the round trip: a clock that drifts or lies can't report more.
    samples_[next_sample_] = std::min(delay_us - ours_.least(), over_base_us);
    next_sample_ = (next_sample_ + 1) % samples_.size();
    samples_known_ = std::min(samples_known_ + 1, samples_.size());
  }
  bool is_known() const { return samples_known_ != 0; }
  // Microseconds of queue: the least of the last samples, because noise only adds (RFC 6817: CURRENT_FILTER).
  uint32_t queue_us() const {
    uint32_t out = samples_[0];
    for (size_t i = 1; i < samples_known_; ++i) out = std::min(out, samples_[i]);
    return out;
  }

 private:
  static constexpr Duration k_drift_turn = Duration::seconds(1);
  static constexpr Duration k_drift_turn_max = Duration::seconds(10);  // with fewer samples in it nothing is known
  static constexpr int64_t k_drift_ppm_max = 200;                      // twice what clocks of routers do
  static constexpr unsigned k_drift_samples_min = 16;

  // If their clock is slower, what they measure shrinks, and a queue that never empties hides it. The round trip knows: it is longer than
  // the one-way delay says, by what the way back and delayed acknowledgements take; the least difference of a turn is drift. A way back
  // that is never empty looks like drift, too; so no more is believed than clocks do, and more than the round trip is never believed.
  void correct_drift(Instant now, int32_t missing_us) {
    if (drift_samples_ == 0) drift_since_ = now;
    least_missing_us_ = drift_samples_ == 0 ? missing_us : std::min(least_missing_us_, missing_us);
    ++drift_samples_;
    Duration turn = now - drift_since_;
    bool is_over = turn >= k_drift_turn && drift_samples_ >= k_drift_samples_min;
    if (!is_over && turn < k_drift_turn_max) return;
    int64_t most = std::min(turn, k_drift_turn_max).in_us() * k_drift_ppm_max / 1'000'000;
    if (is_over && least_missing_us_ > 0) ours_.shift(-static_cast<int32_t>(std::min<int64_t>(least_missing_us_, most)));
    drift_samples_ = 0;
  }

  static constexpr int32_t k_drift_max_us = 10'000;  // a larger step is no drift but another path or a clock that was set
  UtpBase ours_;                                     // what they report of our packets
  UtpBase theirs_;                                   // what we measure of theirs
  std::array<uint32_t, 4> samples_{};
  size_t next_sample_ = 0;
  size_t samples_known_ = 0;
  uint32_t report_ = 0;
  int32_t least_missing_us_ = 0;
  unsigned drift_samples_ = 0;
  Instant drift_since_;
};

}  // namespace millet
