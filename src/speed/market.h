// What upload slots cost, estimated from what providers were paid for pieces that verified (white paper "Automatic Bidding": "the client
// will be able to estimate a market rate for bandwidth"). It caps own bids: whoever pays the highest losing bid loses nothing by bidding
// little more than the usual price, and an auctioneer that makes prices up has less to take. Prices that somebody only names count for
// nothing, and each provider has one value, the newest: saying many prices moves nothing.
#pragma once

#include <algorithm>
#include <optional>

#include "base/amount.h"
#include "base/time.h"

namespace millet::speed {

class MarketRate {
 public:
  static constexpr uint32_t k_sellers_min = 5;
  static constexpr uint32_t k_pieces_max = 64;
  static constexpr Duration k_value_life = Duration::minutes(60);
  static constexpr Duration k_lift_interval = Duration::minutes(1);
  static constexpr int64_t k_lifts_max = 64;  // a quarter more each: 10^6-fold

  // Of one provider.
  struct Sales {
    Rate price;           // of the newest piece
    uint32_t pieces = 0;  // at most k_pieces_max
    Instant at;
  };

  // A piece that verified was bought from one of `sellers`, values of which have a member `sales`. The average is by money spent: who sells
  // next to nothing for next to nothing does not pull the bids down that others are to win.
  // Requires: price not zero.
  template <typename Sellers>
  void sold(Instant now, Sales& sales, Rate price, const Sellers& sellers) {
    sales = {price, std::min(sales.pieces + 1, k_pieces_max), now};
    auto counts = [now](const Sales& one) { return one.pieces > 0 && now - one.at <= k_value_life; };
    uint64_t highest = 0;
    for (const auto& [key, seller] : sellers) {
      if (counts(seller.sales)) highest = std::max(highest, seller.sales.price.in_pico_per_byte());
    }
    uint64_t average = 0;
    uint64_t weights = 0;
    sellers_ = 0;
    for (const auto& [key, seller] : sellers) {
      if (!counts(seller.sales)) continue;
      ++sellers_;
      uint64_t value = seller.sales.price.in_pico_per_byte();
      uint64_t weight = value * 256 / highest * seller.sales.pieces;  // at most 2^14, and a price at most 2^46: products fit
      if (weight == 0) continue;
      weights += weight;
      average = value > average ? average + (value - average) * weight / weights : average - (average - value) * weight / weights;
    }
    average_ = average;
    // Crumbs are no sale that keeps the cap where it is.
    if (price.in_pico_per_byte() >= average_ / 2) seen_at_ = now;
  }

  // Nothing until k_sellers_min sold something within k_value_life.
  std::optional<Rate> estimate() const {
    if (sellers_ < k_sellers_min) return std::nullopt;
    return Rate::pico_per_byte(average_);
  }
  // A quarter above the estimate; another quarter for each minute in which nobody sold us anything, so that a market that has become
  // dearer is found again. At least 1 pBTT per byte.
  std::optional<Rate> cap(Instant now) const {
    if (sellers_ < k_sellers_min) return std::nullopt;
    int64_t lifts = 1 + std::clamp<int64_t>((now - seen_at_).in_us() / k_lift_interval.in_us(), 0, k_lifts_max);
    uint64_t value = std::max<uint64_t>(average_, 4);
    for (; lifts > 0 && value < Rate::k_max; --lifts) value += value / 4;
    return Rate::pico_per_byte(std::min(value, Rate::k_max));
  }

 private:
  uint64_t average_ = 0;
  uint32_t sellers_ = 0;
  Instant seen_at_;
};

}  // namespace millet::speed
