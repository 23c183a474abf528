// The auction over upload slots (PROTOCOL.md section 6; white paper "Matchmaking"): multi-unit, uniform price, one slot per payer. Pure
// functions: who bids is the payee's matter, who is unchoked the choker's. No score that mixes in what a peer uploads: a node auctions
// only what it seeds.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "base/amount.h"
#include "base/endpoint.h"
#include "base/ids.h"
#include "base/time.h"

namespace millet::speed {

inline constexpr uint32_t k_bids_per_address_max = 2;

struct AuctionBidder {
  uint32_t peer = 0;
  PublicKey key;
  IpAddress address;
  uint32_t bid_seq = 0;
  Rate bid;
  bool backed = false;
  bool incumbent = false;  // holds a slot now
  Instant waiting_since;   // without a slot since
};

struct AuctionRules {
  uint32_t slots = 0;
  Rate reserve;
  uint32_t bids_per_address_max = k_bids_per_address_max;
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
};

struct AuctionResult {
  std::vector<AuctionEntry> entries;  // highest bid first
  Rate price;                         // for every winner; at least the reserve, at most every winner's bid
  int price_setter = -1;              // index into entries of the losing bid that set the price; -1: the reserve did
  uint32_t winners = 0;
};

// Errors: none; bids in any order give the same result.
AuctionResult hold_auction(const AuctionRules& rules, std::vector<AuctionBidder> bidders);

// ---- the optimistic slot ----

struct OptimisticCandidate {
  uint32_t peer = 0;
  IpAddress address;
  Instant waiting_since;  // connected or choked last
  Rate backed_bid;        // zero without one
};
// White paper: the optimistic slot is not auctioned; it goes round, and a bid only breaks the tie between peers that wait equally long,
// which means within one rechoke. Candidates must not have had a turn from their address in the last 10 minutes: the caller's matter.
// Nothing if there is no candidate.
std::optional<uint32_t> pick_optimistic(std::span<const OptimisticCandidate> candidates, Duration rechoke_interval);

}  // namespace millet::speed
