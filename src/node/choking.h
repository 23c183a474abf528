// Who has an upload slot, for the whole node: collects those that want something, asks the choker, and tells the peers.
#pragma once

#include "node/core.h"
#include "node/uploads.h"

namespace millet {

class Choking {
 public:
  Choking(Core& core, Uploads& uploads) : core_(core), uploads_(uploads) {}

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

  Core& core_;
  Uploads& uploads_;
  Choker choker_;
  Instant next_round_ = Instant::never();
  std::vector<ChokeCandidate> candidates_;  // kept for their memory
  std::vector<ChokeDecision> decisions_;
};

}  // namespace millet
