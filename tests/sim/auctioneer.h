// A second auctioneer: sees on the wire who bids a provider what, and says who must win at which price (PROTOCOL.md section 6). For worlds
// in which every bid is backed and nobody downloads from a bidder.
#pragma once

#include <map>

#include "hal/sim/world.h"
#include "sim/report.h"
#include "sim/wiretap.h"

namespace millet::simtest {

struct AuctionSpec {
  uint32_t provider = 0;  // its machine
  uint32_t slots = 0;     // that it sells
  uint64_t reserve = 0;   // pBTT per byte
};

class Auctioneer final : public WireListener {
 public:
  Auctioneer(sim::World& world, Report& report, const AuctionSpec& spec) : world_(world), report_(report), spec_(spec) {}
  // RATEs with a price.
  uint64_t sold() const { return sold_; }

  void on_received(PeerSide& side, const wire::Message& message) override;
  void on_speed_received(PeerSide& side, const speed::Message& message) override;
  void on_speed_sent(PeerSide& side, const speed::Message& message) override;
  void on_sent(PeerSide&, const wire::Message&) override {}
  void on_end(PeerSide& side) override;
  void on_garbage(PeerSide&, bool, const std::string&) override {}

 private:
  struct Bidder {
    uint64_t bid = 0;
    bool interested = false;
  };
  void check(const PeerSide& side, const speed::RateMessage& rate);

  sim::World& world_;
  Report& report_;
  AuctionSpec spec_;
  uint64_t sold_ = 0;
  std::map<hal::StreamId, Bidder> bidders_;
};

}  // namespace millet::simtest
