// Who has an upload slot, for the whole node: collects those that want something, lets BitTorrent Speed sell its share of the slots, asks
// the choker about the rest, and tells the peers.
#pragma once

#include "node/core.h"
#include "node/payments.h"
#include "node/uploads.h"

namespace millet {

class Choking {
 public:
  Choking(Core& core, Payments& payments) : core_(core), payments_(payments) {}

  // Fills free slots after a change.
  void fill(Instant now);
  // A round, when it is due.
  void on_timer(Instant now);
  // The next round; never while nobody wants anything.
  Instant next_deadline() const { return next_round_; }
  // Slots were configured anew: everything is decided again at the next settling.
  void restart(Instant now) { next_round_ = now; }

 private:
  void decide(Instant now, bool full);
  bool is_candidate(const Peer& peer) const;
  bool may_have_slot(Instant now, const Peer& peer) const;
  uint32_t slots_for_sale() const;
  bool needs_auction() const;
  void hold_auction(Instant now);
  void drop_others(Instant now);
  ChokeCandidate candidate_of(Instant now, Peer& peer);
  void apply(Instant now, const ChokeDecision& decision);

  Core& core_;
  Payments& payments_;
  Choker choker_;
  Instant next_round_ = Instant::never();
  std::vector<ChokeCandidate> candidates_;  // kept for their memory
  std::vector<ChokeDecision> decisions_;
};

}  // namespace millet
