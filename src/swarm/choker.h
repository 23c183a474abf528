// Who may download from us: a number of slots for the whole node, given out every ten seconds.
//
//   regular     by rate: while a torrent seeds, to those that take the most; while it downloads, to those that give the most (BEP 3)
//   optimistic  one slot that goes round, thirty seconds each, to whoever has waited longest: how a newcomer gets its first pieces, and how
//               we find better partners
//   auction     sold by BitTorrent Speed (src/speed); they come in as decided and take their slots away from the regular ones
//
// A slot that becomes free in between is given at once, by the same order. Peers with nothing to download get none.
#pragma once

#include <cstdint>
#include <vector>

#include "base/endpoint.h"
#include "base/time.h"

namespace millet {

enum class SlotKind : uint8_t { none, regular, optimistic, auction };
// "", "regular", "optimistic", "auction"
const char* slot_name(SlotKind kind);

struct ChokeCandidate {
  uint32_t peer = 0;
  IpAddress address;
  SlotKind slot = SlotKind::none;  // that it has now; auction: keeps it, whatever else is decided here
  uint64_t rate = 0;               // bytes per second that count for its rank
  bool snubbed = false;            // gives nothing although asked: no regular slot
  bool bidding = false;            // has a bid that did not win: gets a regular slot that nobody without one wants
  uint64_t bid = 0;                // breaks ties between those that wait equally long, to a round; 0: none, or not backed
  Instant waiting_since;           // connected, or lost its last slot
};

struct ChokeDecision {
  uint32_t peer = 0;
  SlotKind slot = SlotKind::none;
};

class Choker {
 public:
  static constexpr Duration k_round = Duration::seconds(10);
  static constexpr Duration k_optimistic_time = Duration::seconds(30);
  // One optimistic turn per address in this time, as long as somebody else waits; a bidder waits it out in any case, so that nobody
  // downloads for nothing by coming back.
  static constexpr Duration k_optimistic_again = Duration::minutes(10);
  static constexpr size_t k_turns_max = 512;

  // Decides for all peers that are interested in something we have; `out` gets one entry per candidate, in their order. slots: of the
  // whole node. `full`: a new round, everything may change; else only free slots are filled.
  void decide(Instant now, uint32_t slots, bool full, const std::vector<ChokeCandidate>& candidates, std::vector<ChokeDecision>& out);

  // The optimistic slot moves on at the first full round from then on.
  Instant optimistic_until() const { return optimistic_until_; }

 private:
  struct Turn {
    IpAddress address;
    Instant at;
  };
  const ChokeCandidate* choose_optimistic(Instant now, const std::vector<ChokeCandidate>& candidates,
                                          const std::vector<SlotKind>& taken) const;
  bool had_turn(Instant now, const IpAddress& address) const;
  void remember_turn(Instant now, const IpAddress& address);

  std::vector<Turn> turns_;  // oldest first
  Instant optimistic_until_;
};

}  // namespace millet
