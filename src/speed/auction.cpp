#include "speed/auction.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/heap_sort.h"
#include "crypto/hash.h"

namespace millet::speed {
namespace {

struct Ranked {
  AuctionBidder bidder;
  Hash32 tie;
};

// Total order: no two keys have the same hash, and of one key only the first counts.
bool before(const Ranked& a, const Ranked& b) {
  if (a.bidder.bid != b.bidder.bid) return a.bidder.bid > b.bidder.bid;
  if (a.bidder.incumbent != b.bidder.incumbent) return a.bidder.incumbent;
  if (a.bidder.waiting_since != b.bidder.waiting_since) return a.bidder.waiting_since < b.bidder.waiting_since;
  if (a.tie != b.tie) return a.tie < b.tie;
  return a.bidder.peer < b.bidder.peer;
}

// What an address is for the cap: one IPv4 address, or the /64 that one IPv6 host has for itself.
std::array<uint8_t, 9> address_unit(const IpAddress& address) {
  std::array<uint8_t, 9> out{};
  out[0] = address.is_v4() ? 4 : 6;
  Bytes raw = address.raw();
  std::copy_n(raw.begin(), std::min<size_t>(raw.size(), 8), out.begin() + 1);
  return out;
}

void check_prices(const AuctionResult& result, const AuctionRules& rules) {
  for (const AuctionEntry& entry : result.entries) {
    if (entry.outcome == AuctionOutcome::won) CHECK(result.price <= entry.bidder.bid && result.price >= rules.reserve);
  }
  CHECK(result.winners <= rules.slots);
}

}  // namespace

const char* auction_outcome_name(AuctionOutcome outcome) {
  switch (outcome) {
    case AuctionOutcome::won: return "won";
    case AuctionOutcome::lost: return "lost";
    case AuctionOutcome::lost_unbacked: return "lost_unbacked";
    case AuctionOutcome::below_reserve: return "below_reserve";
    case AuctionOutcome::second_of_key: return "second_of_key";
    case AuctionOutcome::address_full: return "address_full";
  }
  return "unknown";
}

AuctionResult hold_auction(const AuctionRules& rules, std::vector<AuctionBidder> bidders) {
  std::vector<Ranked> order;
  order.reserve(bidders.size());
  for (AuctionBidder& bidder : bidders) {
    Hash32 tie = blake2b_256_keyed(rules.tie_seed, bidder.key.bytes());
    order.push_back({std::move(bidder), tie});
  }
  heap_sort(order, before);

  AuctionResult result;
  result.price = rules.reserve;
  for (Ranked& ranked : order) result.entries.push_back({std::move(ranked.bidder), AuctionOutcome::lost});

  std::set<PublicKey> keys;
  std::map<std::array<uint8_t, 9>, uint32_t> per_address;
  // Backed bids first, so that unbacked ones neither displace them nor use up their address.
  auto eligible = [&](AuctionEntry& entry) {
    if (entry.bidder.bid < rules.reserve || entry.bidder.bid.is_zero()) {
      entry.outcome = AuctionOutcome::below_reserve;
      return false;
    }
    if (keys.contains(entry.bidder.key)) {
      entry.outcome = AuctionOutcome::second_of_key;
      return false;
    }
    uint32_t& count = per_address[address_unit(entry.bidder.address)];
    if (count >= rules.bids_per_address_max) {
      entry.outcome = AuctionOutcome::address_full;
      return false;
    }
    keys.insert(entry.bidder.key);
    ++count;
    return true;
  };
  for (size_t i = 0; i < result.entries.size(); ++i) {
    AuctionEntry& entry = result.entries[i];
    if (!entry.bidder.backed || !eligible(entry)) continue;
    if (result.winners < rules.slots) {
      entry.outcome = AuctionOutcome::won;
      ++result.winners;
    } else if (result.price_setter < 0 && rules.slots > 0) {
      // The first loser in the order is the highest. At the reserve itself it changes nothing.
      if (entry.bidder.bid > rules.reserve) {
        result.price = entry.bidder.bid;
        result.price_setter = static_cast<int>(i);
      }
    }
  }
  bool unbacked_won = false;
  for (AuctionEntry& entry : result.entries) {
    if (entry.bidder.backed || !eligible(entry)) continue;
    if (!unbacked_won && result.winners < rules.slots) {
      entry.outcome = AuctionOutcome::won;
      ++result.winners;
      unbacked_won = true;
    } else {
      entry.outcome = AuctionOutcome::lost_unbacked;
    }
  }
  check_prices(result, rules);
  return result;
}

std::optional<uint32_t> pick_optimistic(std::span<const OptimisticCandidate> candidates, Duration rechoke_interval) {
  if (candidates.empty()) return std::nullopt;
  Instant oldest = Instant::never();
  for (const OptimisticCandidate& c : candidates) oldest = earlier(oldest, c.waiting_since);
  const OptimisticCandidate* best = nullptr;
  for (const OptimisticCandidate& c : candidates) {
    if (c.waiting_since - oldest >= rechoke_interval) continue;
    if (best == nullptr || c.backed_bid > best->backed_bid ||
        (c.backed_bid == best->backed_bid &&
         (c.waiting_since < best->waiting_since || (c.waiting_since == best->waiting_since && c.peer < best->peer)))) {
      best = &c;
    }
  }
  return best->peer;
}

}  // namespace millet::speed
