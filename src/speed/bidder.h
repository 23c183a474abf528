// The automatic bid for one torrent (PROTOCOL.md section 5; white paper "Automatic Bidding", "Bidding Revisions and Frequency"). It knows
// neither peers nor messages; what the market rate is, it is told (market.h).
#pragma once

#include <optional>

#include "base/amount.h"
#include "base/time.h"

namespace millet::speed {

struct BidderSettings {
  uint32_t spending_ppm = 1'000'000;            // the white paper's spending rate 0.0 to 1.0, in millionths
  Rate max_rate = Rate::pico_per_byte(10'000);  // 10 BTT per GB; there is no "unlimited"
  bool operator==(const BidderSettings&) const = default;
};

// White paper: spending rate x budget left / bytes left, at most max_rate; zero below 1000 bytes left.
Rate bid_for(const BidderSettings& settings, Amount budget_left, uint64_t bytes_left);

// What a bid was computed from, for people.
struct BidBasis {
  Amount budget_left;
  uint64_t bytes_left = 0;
  uint32_t spending_ppm = 0;
  Rate formula;                             // spending rate x budget left / bytes left
  Rate max_rate;                            // the user's
  std::optional<Rate> market;               // the most that the market rate makes sensible; nothing: too few prices were seen
  Rate bid;                                 // the least of the three
  const char* limited_by = "nothing_left";  // "formula", "max_rate", "market"; "nothing_left": no bid
};
BidBasis basis_for(const BidderSettings& settings, Amount budget_left, uint64_t bytes_left, std::optional<Rate> market);

class Bidder {
 public:
  static constexpr Duration k_rebid_interval = Duration::seconds(60);
  static constexpr uint32_t k_rebid_percent = 10;

  explicit Bidder(const BidderSettings& settings) : settings_(settings) {}

  const BidderSettings& settings() const { return settings_; }
  // The user changed something (settings, budget): the next update() bids anew at once.
  void set(const BidderSettings& settings) {
    settings_ = settings;
    user_changed_ = true;
  }
  void budget_changed() { user_changed_ = true; }

  // Computes the bid anew; true if the one to send has changed. To be called when an input changes and at next_deadline().
  // market: the highest bid that the market rate makes sensible.
  bool update(Instant now, Amount budget_left, uint64_t bytes_left, std::optional<Rate> market = std::nullopt);
  // Of bid(), when it was computed.
  const BidBasis& basis() const { return basis_; }
  // What every provider is to be told; zero: no bid, or withdraw it.
  Rate bid() const { return bid_; }
  // When a change that is held back by the interval may go out; never if there is none.
  Instant next_deadline() const { return pending_ ? last_change_ + k_rebid_interval : Instant::never(); }

 private:
  BidderSettings settings_;
  Rate bid_;
  BidBasis basis_;
  Instant last_change_;
  bool has_bid_ = false;
  bool user_changed_ = false;
  bool pending_ = false;
};

}  // namespace millet::speed
