// The auction over upload slots (PROTOCOL.md section 6; white paper "Matchmaking"): multi-unit, one slot per payer, and whoever wins pays
// the lowest bid with which it would still have won. Where nobody uploads to us, as on a torrent that we seed, that is one price for all. A
// pure function: who bids is the payee's matter, who is unchoked the choker's.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "base/amount.h"
#include "base/endpoint.h"
#include "base/ids.h"
#include "base/time.h"
#include "speed/faults.h"

namespace millet::speed {

inline constexpr uint32_t k_bids_per_address_max = 2;
inline constexpr uint64_t k_bonus_max = Rate::k_max;

struct AuctionBidder {
  uint32_t peer = 0;
  PublicKey key;
  IpAddress address;
  uint32_t bid_seq = 0;
  Rate bid;
  // White paper: "a combination of highest eligible bid and most data received": what the peer gives us in return, as if it were money. It
  // counts for the rank, and off the price. In pBTT per byte, at most k_bonus_max.
  uint64_t bonus = 0;
  std::optional<Rate> reserve;  // of its torrent; nothing: AuctionRules::reserve
  bool backed = false;
  bool incumbent = false;  // holds a slot now
  Instant waiting_since;   // without a slot since
};

struct AuctionRules {
  uint32_t slots = 0;
  Rate reserve;
  uint32_t bids_per_address_max = k_bids_per_address_max;
  Faults faults;                       // planted by tests
  std::array<uint8_t, 32> tie_seed{};  // new for every round: nobody can choose a key that wins ties
};

enum class AuctionOutcome : uint8_t {
  won,
  lost,
  lost_unbacked,  // nothing backs it: at most one such bid wins, and only a slot that is left over
  below_reserve,
  second_of_key,  // its payer has a higher bid in this round
  address_full,   // its address has bids_per_address_max higher bids in this round
};
const char* auction_outcome_name(AuctionOutcome outcome);

struct AuctionEntry {
  AuctionBidder bidder;
  AuctionOutcome outcome = AuctionOutcome::lost;
  Rate price;                 // of a winner: its reserve, or what the highest loser's score leaves after its own bonus; never above its bid
  bool price_by_bid = false;  // the latter is the higher
};

struct AuctionResult {
  std::vector<AuctionEntry> entries;  // highest score (bid and bonus) first
  Rate price;                         // for every winner without a bonus or a reserve of its own
  int price_setter = -1;              // index into entries of the losing bid that set the price; -1: the reserve did
  uint32_t winners = 0;
};

// AuctionBidder::bonus for a peer that a download gets data from: our own bid there, times what came by what went, at most fourfold. In
// bytes per second, of the same time. A peer that gives, and got next to nothing, counts fourfold.
uint64_t bonus_for(Rate own_bid, uint64_t received, uint64_t sent);

// Errors: none; bids in any order give the same result.
AuctionResult hold_auction(const AuctionRules& rules, std::vector<AuctionBidder> bidders);

}  // namespace millet::speed
