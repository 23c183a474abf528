// The peers that break the rules in a large swarm: one trade each.
#pragma once

#include "sim/swarm.h"

namespace millet::simtest {

enum class Trade : uint8_t {
  // requesters
  forger,      // forges payments
  replayer,    // repeats payments, of this channel and of others
  withholder,  // pays with what it paid before
  overdrawer,  // pays more than its channels hold
  misnamer,    // announces channels that are not those of the ledger
  phantom,     // bids without money
  sybil,       // takes pieces, never pays, comes back as somebody else
  dodger,      // the same, but comes back as itself, soon
  // providers
  corrupter,     // sends wrong bytes
  greedy,        // asks for more than was bid
  liar,          // acknowledges what is not so
  never_closer,  // sells, and never closes a channel; some are gone for ever
  // both
  babbler,  // says far too much
  flooder,  // no node at all (flooder.h)
};
inline constexpr uint64_t k_trades = 14;
const char* trade_name(Trade trade);

// What a cheat is made of; `spec` comes with a link and limits.
void make_cheat(NodeSpec& spec, Trade trade, Random& random);

// Gives sybils new identities, and takes providers away that never close.
class Comings final : public sim::EventTarget {
 public:
  // Requires: outlives the run.
  explicit Comings(Swarm& swarm) : swarm_(swarm) { swarm_.world().add_target(*this); }
  ~Comings() override { swarm_.world().remove_target(*this); }
  void renew_every(uint32_t machine, Duration interval);
  void take_away(uint32_t machine, Duration after) { swarm_.world().schedule(after, *this, k_take_away, machine); }
  void on_event(uint32_t kind, uint64_t a, uint64_t b) override;

 private:
  enum EventKind : uint32_t { k_renew, k_take_away };
  Swarm& swarm_;
};

}  // namespace millet::simtest
