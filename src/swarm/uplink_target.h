// The queue on our own uplink that we aim at: one rule for uTP's windows (utp_ledbat.h) and TCP's rate (tcp_uplink.h), so that both leave
// the link to others at the same point, and share it with each other as two of one kind do.
//
// The target is that of a window of two packets; every doubling of what is in flight lowers it. With one target for all, what makes two
// senders even is how fast each grows against how fast each gives way near it: of two of a kind that takes minutes, of two kinds it never
// comes, and if one of them measures the queue a millisecond shorter it gets nearly everything. Here a millisecond is worth a seventh of
// a window. Swift (SIGCOMM 2020, section 3.5) lowers its target with the window for the same reason. LEDBAT++ wants no more than 60 ms.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include "base/time.h"

namespace millet {

inline constexpr Duration k_uplink_target_most = Duration::ms(60);  // draft-irtf-iccrg-ledbat-plus-plus section 4.5
// Doublings of what is in flight, over which the target would go down to nothing: 5 ms each of 60.
inline constexpr uint64_t k_uplink_target_doublings = 12;

// Microseconds of queue that a sender with `window` in flight aims at, at least half of `most`; `least` is a window of two packets, in the
// same unit. The least of a few measurements is a little less than the queue: aimed at is so much less. Requires: least is not 0, and
// window < 2^47.
constexpr uint64_t uplink_target_us(Duration most, uint64_t window, uint64_t least) {
  uint64_t most_us = static_cast<uint64_t>(most.in_us());
  // Logarithm to base 2 in 1/256, straight between powers.
  uint64_t ratio = (std::max(window, least) << 8) / least;
  uint64_t whole = static_cast<uint64_t>(std::bit_width(ratio)) - 1;
  uint64_t log = (whole - 8) * 256 + (((ratio << 8) >> whole) - 256);
  return most_us - most_us / 32 - std::min(most_us / 2, most_us * log / (256 * k_uplink_target_doublings));
}

// What uTP knows of the uplink that it shares with TCP.
struct UplinkUse {
  uint32_t queue_us = 0;  // that it measures
  uint32_t window = 0;    // bytes that it may have in flight, between slowdowns; 0: something else holds it back
};

}  // namespace millet
