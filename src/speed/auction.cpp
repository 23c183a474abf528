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

uint64_t score_of(const AuctionBidder& bidder) { return bidder.bid.in_pico_per_byte() + bidder.bonus; }

// Total order: no two keys have the same hash, and of one key only the first counts.
bool before(const Ranked& a, const Ranked& b) {
  if (score_of(a.bidder) != score_of(b.bidder)) return score_of(a.bidder) > score_of(b.bidder);
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

// What each winner pays: the least that it could have bid and still won. `barrier`: the score of the highest backed bid that lost; 0: none.
void set_prices(AuctionResult& result, const AuctionRules& rules, uint64_t barrier) {
  for (AuctionEntry& entry : result.entries) {
    if (entry.outcome != AuctionOutcome::won) continue;
    Rate reserve = entry.bidder.reserve.value_or(rules.reserve);
    uint64_t beaten = barrier > entry.bidder.bonus ? barrier - entry.bidder.bonus : 0;
    entry.price_by_bid = beaten > reserve.in_pico_per_byte();
    CHECK(beaten <= entry.bidder.bid.in_pico_per_byte() && reserve <= entry.bidder.bid);
    entry.price = entry.price_by_bid ? Rate::pico_per_byte(beaten) : reserve;
    if (rules.faults.has(Bug::first_price)) entry.price = entry.bidder.bid;
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

uint64_t bonus_for(Rate own_bid, uint64_t received, uint64_t sent) {
  constexpr uint64_t k_ratio_max = 4;
  constexpr uint64_t k_steps = 256;                   // of the ratio, so that the product stays below 2^56
  constexpr uint64_t k_sent_min = 1024;               // bytes per second: less than that is nothing
  constexpr uint64_t k_rate_max = uint64_t{1} << 48;  // no link is faster: keeps the product in 64 bits
  uint64_t whole = std::clamp(sent, k_sent_min, k_rate_max);
  uint64_t ratio = std::min(std::min(received, k_rate_max) * k_steps / whole, k_ratio_max * k_steps);
  return std::min(own_bid.in_pico_per_byte() * ratio / k_steps, k_bonus_max);
}

AuctionResult hold_auction(const AuctionRules& rules, std::vector<AuctionBidder> bidders) {
  std::vector<Ranked> order;
  order.reserve(bidders.size());
  for (AuctionBidder& bidder : bidders) {
    CHECK(bidder.bonus <= k_bonus_max);
    Hash32 tie = blake2b_256_keyed(rules.tie_seed, bidder.key.bytes());
    order.push_back({std::move(bidder), tie});
  }
  heap_sort(order, before);

  AuctionResult result;
  result.price = rules.reserve;
  for (Ranked& ranked : order) result.entries.push_back({std::move(ranked.bidder), AuctionOutcome::lost, Rate(), false});

  std::set<PublicKey> keys;
  std::map<std::array<uint8_t, 9>, uint32_t> per_address;
  // Backed bids first, so that unbacked ones neither displace them nor use up their address.
  auto eligible = [&](AuctionEntry& entry) {
    if (entry.bidder.bid < entry.bidder.reserve.value_or(rules.reserve) || entry.bidder.bid.is_zero()) {
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
  uint64_t barrier = 0;
  for (size_t i = 0; i < result.entries.size(); ++i) {
    AuctionEntry& entry = result.entries[i];
    if (!entry.bidder.backed || !eligible(entry)) continue;
    if (result.winners < rules.slots) {
      entry.outcome = AuctionOutcome::won;
      ++result.winners;
    } else if (barrier == 0) {
      // The first loser in the order is the highest. At the reserve itself it changes nothing.
      barrier = score_of(entry.bidder);
      if (barrier > rules.reserve.in_pico_per_byte() && rules.slots > 0) {
        result.price = Rate::pico_per_byte(std::min(barrier, Rate::k_max));
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
  set_prices(result, rules, barrier);
  return result;
}

}  // namespace millet::speed
