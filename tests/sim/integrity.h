// Every block that a peer sends which keeps the rules is what the torrent says: nobody serves a piece that has not passed its hash, and no
// crash or full disk makes a node believe that it has what it lost.
#pragma once

#include <set>

#include "sim/payload.h"
#include "sim/report.h"
#include "sim/wiretap.h"

namespace millet::simtest {

class IntegrityChecker final : public WireListener {
 public:
  // Requires: both outlive it.
  IntegrityChecker(const Payload& payload, Report& report) : payload_(payload), report_(report) {}
  void set_dishonest(uint32_t machine) { dishonest_.insert(machine); }

  void on_sent(PeerSide& side, const wire::Message& message) override;
  void on_received(PeerSide&, const wire::Message&) override {}
  void on_speed_sent(PeerSide&, const speed::Message&) override {}
  void on_speed_received(PeerSide&, const speed::Message&) override {}
  void on_end(PeerSide&) override {}
  void on_garbage(PeerSide&, bool, const std::string&) override {}

 private:
  const Payload& payload_;
  Report& report_;
  std::set<uint32_t> dishonest_;
};

}  // namespace millet::simtest
