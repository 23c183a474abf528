// Round trip estimate and retransmission timeout (RFC 6298), in whole microseconds.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/time.h"

namespace millet {

class UtpRtt {
 public:
  static constexpr int64_t k_timeout_first_us = 1'000'000;  // RFC 6298 section 2.1
  static constexpr int64_t k_timeout_min_us = 200'000;
  static constexpr int64_t k_timeout_max_us = 30'000'000;
  // libutp delays acknowledgements by up to 100 ms, which its round trip times do not show when it has two packets to acknowledge.
  static constexpr int64_t k_ack_delay_us = 100'000;

  void add(uint32_t rtt_us) {
    int64_t rtt = std::min<int64_t>(rtt_us, k_timeout_max_us);
    if (smoothed_ == 0) {
      smoothed_ = rtt;
      variation_ = rtt / 2;
    } else {
      int64_t error = rtt - smoothed_;
      variation_ += ((error < 0 ? -error : error) - variation_) / 4;
      smoothed_ += error / 8;
    }
    if (smoothed_ == 0) smoothed_ = 1;
  }
  bool is_known() const { return smoothed_ != 0; }
  uint32_t smoothed_us() const { return static_cast<uint32_t>(smoothed_); }
  // After `backoff` timeouts in a row.
  Duration timeout(unsigned backoff) const {
    int64_t us = k_timeout_first_us;
    if (is_known()) us = std::max(k_timeout_min_us, smoothed_ + std::max(4 * variation_, k_ack_delay_us));
    return Duration::us(std::min(us << std::min(backoff, 10u), k_timeout_max_us));
  }
  // When to probe for the loss of the tail (RFC 8985 section 7.2).
  Duration probe_timeout(bool one_packet) const { return Duration::us(2 * smoothed_ + (one_packet ? k_ack_delay_us : 2000)); }

 private:
  int64_t smoothed_ = 0;
  int64_t variation_ = 0;
};

}  // namespace millet
