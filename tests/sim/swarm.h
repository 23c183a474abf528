// One simulated swarm: a torrent, a tracker, nodes, and what watches them. Everything follows from the seed and from what the scenario asks
// for.
//
//   10.0.0.1 tracker   10.0.0.2 ledger   10.0.N.1 nodes, a /24 of its own each: limits per network do not meet
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "hal/sim/machine.h"
#include "hal/sim/world.h"
#include "sim/faults.h"
#include "sim/ledger_program.h"
#include "sim/ledger_view.h"
#include "sim/log.h"
#include "sim/money.h"
#include "sim/node_program.h"
#include "sim/payload.h"
#include "sim/report.h"
#include "sim/run.h"
#include "sim/tracker.h"
#include "sim/wiretap.h"

namespace millet::simtest {

class Swarm final : public sim::EventTarget, public sim::Observer {
 public:
  Swarm(const Run& run, const PayloadOptions& payload);
  ~Swarm() override;

  // Each adds a machine and returns its number; it starts at its time.
  uint32_t add_tracker(const sim::LinkOptions& link);
  uint32_t add_node(NodeSpec spec);
  // The last of the machines: funds the accounts of the nodes that were added, and tells those with speed_enabled of the ledger.
  uint32_t add_ledger(const sim::LinkOptions& link);

  sim::World& world() { return world_; }
  Random& random() { return random_; }
  Report& report() { return report_; }
  MoneyChecker& money() { return money_; }
  Wiretap& wiretap() { return wiretap_; }
  // Requires: add_ledger().
  LedgerView& ledger() { return *ledger_view_; }
  FaultPlan& faults() { return faults_; }
  WorldLog& log() { return log_; }
  const Payload& payload() const { return payload_; }
  NodeFactory& node(uint32_t machine) { return *nodes_.at(machine); }
  std::vector<uint32_t> node_machines() const;
  // The node of a machine; null while it does not run.
  Node* running_node(uint32_t machine);
  Endpoint endpoint(uint32_t machine) { return {world_.machine(machine).address(), k_peer_port}; }

  // Runs until every node has the whole payload on its disk and says so; a breach or `limit` (since the world began) ends it, the latter
  // as a breach.
  void run_until_complete(Duration limit);
  // Goes on for this long, or until a breach.
  void run_for(Duration duration) { run_until(world_.now() + duration); }
  bool complete();
  // Runs until no channel is open at the ledger, at most this long; one that still is, and whoever was banned, is a breach. Requires:
  // add_ledger().
  void run_until_settled(Duration limit);

  void on_event(uint32_t kind, uint64_t a, uint64_t b) override;
  void after_event(Instant now) override;
  bool finished() const override {
    return (waiting_for_completion_ && complete_) || (waiting_for_settlement_ && ledger_view_->open_channels() == 0);
  }

 private:
  enum EventKind : uint32_t { k_join, k_look };
  void run_until(Instant deadline);
  uint32_t add_machine(const std::string& name, const IpAddress& address, const NodeSpec& spec);
  bool node_seeds(uint32_t machine);

  sim::World world_;
  Random random_;
  WorldLog log_;
  Report report_;
  MoneyChecker money_;
  WireLog wire_log_;
  Wiretap wiretap_;
  FaultPlan faults_;
  speed::Faults planted_;
  Transports transports_;
  PayloadOptions payload_options_;
  Payload payload_;
  std::unique_ptr<TrackerFactory> tracker_;
  std::map<uint32_t, std::unique_ptr<NodeFactory>> nodes_;
  std::unique_ptr<LedgerFactory> ledger_;
  std::unique_ptr<LedgerView> ledger_view_;
  uint32_t next_host_ = 1;
  bool waiting_for_completion_ = false;
  bool complete_ = false;
  bool waiting_for_settlement_ = false;
};

}  // namespace millet::simtest
