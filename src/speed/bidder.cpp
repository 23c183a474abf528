#include "speed/bidder.h"

#include <algorithm>

namespace millet::speed {
namespace {

constexpr uint64_t k_million = 1'000'000;
constexpr uint64_t k_bytes_left_max = uint64_t{1} << 44;  // 16 TiB: keeps r * 10^6 below 2^64

}  // namespace

Rate bid_for(const BidderSettings& settings, Amount budget_left, uint64_t bytes_left) {
  // White paper: no bid at zero remaining kilobytes (of 1000 bytes).
  if (bytes_left < 1000) return Rate();
  uint64_t left = std::min(bytes_left, k_bytes_left_max);
  uint64_t ppm = std::min<uint64_t>(settings.spending_ppm, k_million);
  uint64_t budget = budget_left.in_micro();
  uint64_t spend = budget / k_million * ppm + budget % k_million * ppm / k_million;
  uint64_t q = spend / left;
  uint64_t r = spend % left;
  uint64_t max = settings.max_rate.in_pico_per_byte();
  if (q > Rate::k_max / k_million) return settings.max_rate;
  return Rate::pico_per_byte(std::min(q * k_million + r * k_million / left, max));
}

BidBasis basis_for(const BidderSettings& settings, Amount budget_left, uint64_t bytes_left, std::optional<Rate> market) {
  BidderSettings unlimited = settings;
  unlimited.max_rate = Rate::pico_per_byte(Rate::k_max);
  BidBasis basis;
  basis.budget_left = budget_left;
  basis.bytes_left = bytes_left;
  basis.spending_ppm = settings.spending_ppm;
  basis.formula = basis.bid = bid_for(unlimited, budget_left, bytes_left);
  basis.max_rate = settings.max_rate;
  basis.market = market;
  if (!basis.bid.is_zero()) basis.limited_by = "formula";
  if (basis.bid > settings.max_rate) {
    basis.bid = settings.max_rate;
    basis.limited_by = "max_rate";
  }
  if (market && basis.bid > *market) {
    basis.bid = *market;
    basis.limited_by = "market";
  }
  return basis;
}

bool Bidder::update(Instant now, Amount budget_left, uint64_t bytes_left, std::optional<Rate> market) {
  BidBasis basis = basis_for(settings_, budget_left, bytes_left, market);
  Rate fresh = basis.bid;
  pending_ = false;
  bool at_once = user_changed_ || !has_bid_ || fresh.is_zero();
  user_changed_ = false;
  if (fresh == bid_) return false;
  if (!at_once) {
    uint64_t old = bid_.in_pico_per_byte();
    uint64_t value = fresh.in_pico_per_byte();
    uint64_t difference = value > old ? value - old : old - value;
    if (difference * 100 <= old * k_rebid_percent) return false;
    if (now - last_change_ < k_rebid_interval) {
      pending_ = true;
      return false;
    }
  }
  bid_ = fresh;
  basis_ = basis;
  has_bid_ = !fresh.is_zero();
  last_change_ = now;
  return true;
}

}  // namespace millet::speed
