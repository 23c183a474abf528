// What upload slots cost, estimated from the prices that providers ask of us (white paper "Automatic Bidding": "the client will be able to
// estimate a market rate for bandwidth"). It caps own bids: whoever pays the highest losing bid loses nothing by bidding little more than
// the usual price, and an auctioneer that makes prices up has less to take.
#pragma once

#include <algorithm>
#include <optional>

#include "base/amount.h"
#include "base/time.h"

namespace millet::speed {

class MarketRate {
 public:
  static constexpr uint32_t k_observations_min = 5;
  static constexpr Duration k_lift_interval = Duration::minutes(1);
  static constexpr int64_t k_lifts_max = 64;  // a quarter more each: 10^6-fold

  // A provider asked for this price. Requires: not zero.
  void observe(Instant now, Rate price) {
    uint64_t value = price.in_pico_per_byte();
    average_ = observations_ == 0 ? value : average_ - average_ / k_weight + value / k_weight;
    if (observations_ < k_observations_min) ++observations_;
    seen_at_ = now;
  }
  // Somebody serves us at a price that was observed: the estimate is up to date.
  void confirm(Instant now) { seen_at_ = now; }

  // Nothing until there are k_observations_min.
  std::optional<Rate> estimate() const {
    if (observations_ < k_observations_min) return std::nullopt;
    return Rate::pico_per_byte(average_);
  }
  // A quarter above the estimate; another quarter for each minute in which nobody sold us anything, so that a market that has become
  // dearer is found again. At least 1 pBTT per byte.
  std::optional<Rate> cap(Instant now) const {
    if (observations_ < k_observations_min) return std::nullopt;
    int64_t lifts = 1 + std::clamp<int64_t>((now - seen_at_).in_us() / k_lift_interval.in_us(), 0, k_lifts_max);
    uint64_t value = std::max<uint64_t>(average_, 4);
    for (; lifts > 0 && value < Rate::k_max; --lifts) value += value / 4;
    return Rate::pico_per_byte(std::min(value, Rate::k_max));
  }

 private:
  static constexpr uint64_t k_weight = 8;  // an eighth for the newest
  uint64_t average_ = 0;
  uint32_t observations_ = 0;
  Instant seen_at_;
};

}  // namespace millet::speed
