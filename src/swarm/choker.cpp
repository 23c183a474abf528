#include "swarm/choker.h"

#include "base/heap_sort.h"

#include <algorithm>

namespace millet {

const char* slot_name(SlotKind kind) {
  switch (kind) {
    case SlotKind::none: return "";
    case SlotKind::regular: return "regular";
    case SlotKind::optimistic: return "optimistic";
    case SlotKind::auction: return "auction";
  }
  return "";
}

bool Choker::had_turn(Instant now, const IpAddress& address) const {
  return std::any_of(turns_.begin(), turns_.end(),
                     [&](const Turn& turn) { return turn.address == address && now - turn.at < k_optimistic_again; });
}

void Choker::remember_turn(Instant now, const IpAddress& address) {
  std::erase_if(turns_, [&](const Turn& turn) { return turn.address == address || now - turn.at >= k_optimistic_again; });
  if (turns_.size() == k_turns_max) turns_.erase(turns_.begin());
  turns_.push_back({address, now});
}

// Longest waiting first; between those that began to wait within one round of the longest, bids decide (white paper "Matchmaking"). Those
// whose address had its turn come last, and not at all if they bid.
const ChokeCandidate* Choker::choose_optimistic(Instant now, const std::vector<ChokeCandidate>& candidates,
                                                const std::vector<SlotKind>& taken) const {
  // Whoever has had the slot until now starts to wait now.
  auto since = [now](const ChokeCandidate& candidate) { return candidate.slot == SlotKind::optimistic ? now : candidate.waiting_since; };
  struct Waiting {
    const ChokeCandidate* candidate;
    bool had_turn;
  };
  std::vector<Waiting> waiting;
  Instant oldest = Instant::never();
  bool all_had_turn = true;
  for (size_t i = 0; i < candidates.size(); ++i) {
    if (taken[i] != SlotKind::none) continue;
    bool turn = had_turn(now, candidates[i].address);
    if (turn && candidates[i].bidding) continue;
    waiting.push_back({&candidates[i], turn});
    if (turn && !all_had_turn) continue;
    oldest = !turn && all_had_turn ? since(candidates[i]) : earlier(oldest, since(candidates[i]));
    all_had_turn = turn;
  }
  const ChokeCandidate* best = nullptr;
  for (const Waiting& w : waiting) {
    const ChokeCandidate& candidate = *w.candidate;
    if (w.had_turn != all_had_turn || since(candidate) - oldest >= k_round) continue;
    auto better = [&] {
      if (best == nullptr) return true;
      if (candidate.bid != best->bid) return candidate.bid > best->bid;
      if (since(candidate) != since(*best)) return since(candidate) < since(*best);
      return candidate.peer < best->peer;
    };
    if (better()) best = &candidate;
  }
  return best;
}

void Choker::decide(Instant now, uint32_t slots, bool full, const std::vector<ChokeCandidate>& candidates,
                    std::vector<ChokeDecision>& out) {
  std::vector<SlotKind> taken(candidates.size(), SlotKind::none);
  uint32_t used = 0;
  auto give = [&](size_t i, SlotKind kind) {
    taken[i] = kind;
    ++used;
  };
  size_t optimistic = candidates.size();
  for (size_t i = 0; i < candidates.size(); ++i) {
    if (candidates[i].slot == SlotKind::auction) give(i, SlotKind::auction);
    if (candidates[i].slot == SlotKind::optimistic) optimistic = i;
  }
  // The optimistic slot stays where it is until its time is over and somebody else waits.
  if (optimistic < candidates.size() && used < slots && (!full || now < optimistic_until_)) give(optimistic, SlotKind::optimistic);
  bool optimistic_open = !(optimistic < candidates.size() && taken[optimistic] == SlotKind::optimistic);

  // Between rounds those that have a regular slot keep it, as long as the auction leaves enough of them.
  auto keeps = [&](const ChokeCandidate& candidate) { return !full && candidate.slot == SlotKind::regular; };
  std::vector<size_t> order;
  for (size_t i = 0; i < candidates.size(); ++i) {
    const ChokeCandidate& candidate = candidates[i];
    if (taken[i] != SlotKind::none) continue;
    if (keeps(candidate) || !candidate.snubbed) order.push_back(i);
  }
  heap_sort(order, [&](size_t a, size_t b) {
    const ChokeCandidate& x = candidates[a];
    const ChokeCandidate& y = candidates[b];
    if (keeps(x) != keeps(y)) return keeps(x);
    // A bidder has its chance in the auction: it gets what nobody else wants.
    if (x.bidding != y.bidding) return y.bidding;
    if (x.rate != y.rate) return x.rate > y.rate;
    bool x_has = x.slot != SlotKind::none;
    bool y_has = y.slot != SlotKind::none;
    if (x_has != y_has) return x_has;  // without a reason to change, nothing changes
    if (x.waiting_since != y.waiting_since) return x.waiting_since < y.waiting_since;
    return x.peer < y.peer;
  });
  uint32_t regular_end = optimistic_open && slots > 0 ? slots - 1 : slots;
  for (size_t i : order) {
    if (used >= regular_end) break;
    give(i, SlotKind::regular);
  }
  if (optimistic_open && used < slots) {
    if (const ChokeCandidate* chosen = choose_optimistic(now, candidates, taken)) {
      give(static_cast<size_t>(chosen - candidates.data()), SlotKind::optimistic);
      optimistic_until_ = now + k_optimistic_time;
      remember_turn(now, chosen->address);
    }
  }
  for (size_t i = 0; i < candidates.size(); ++i) out.push_back({candidates[i].peer, taken[i]});
}

}  // namespace millet
