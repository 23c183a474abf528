// One simulated swarm: a torrent, a tracker, nodes, and what watches them. Everything follows from the seed and from what the scenario asks
// for.
//
//   10.0.0.1 tracker   10.0.0.2 ledger   10.M.N.1 peers, a /24 of its own each: limits per network do not meet
//
// Nodes that keep the rules (NodeSpec::honest) must come to a good end; what the others do is held against nobody.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "hal/sim/machine.h"
#include "hal/sim/world.h"
#include "sim/faults.h"
#include "sim/flooder.h"
#include "sim/integrity.h"
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

// The key that a swarm gives to a machine; one machine may have several, by other indices.
SigningKey node_key(const sim::World& world, uint32_t index);

class Swarm final : public sim::EventTarget, public sim::Observer {
 public:
  Swarm(const Run& run, const PayloadOptions& payload);
  ~Swarm() override;

  // Each adds a machine and returns its number; it starts at its time.
  uint32_t add_tracker(const sim::LinkOptions& link);
  uint32_t add_node(NodeSpec spec);
  // A peer that only costs others something (flooder.h); it knows those that were added before it.
  uint32_t add_flooder(const sim::LinkOptions& link, Duration joins);
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
  // Kills the node, takes what it had on its disk, and starts it as somebody else, as long as it has other identities; as itself if it
  // never had any.
  void renew(uint32_t machine);
  // Takes a machine away for ever.
  void take_away(uint32_t machine);
  Tracker* tracker();
  // The node of a machine; null while it does not run.
  Node* running_node(uint32_t machine);
  Endpoint endpoint(uint32_t machine) { return {world_.machine(machine).address(), k_peer_port}; }

  // Runs until every node has the whole payload on its disk and says so; a breach or `limit` (since the world began) ends it, the latter
  // as a breach.
  void run_until_complete(Duration limit);
  // Goes on for this long, or until a breach.
  void run_for(Duration duration) { run_until(world_.now() + duration); }
  bool complete();
  // Runs until no channel is open at the ledger that its payee must end, at most this long; one that still is is a breach. Requires:
  // add_ledger().
  void run_until_settled(Duration limit);
  // Takes away everybody but the ledger, which ends by itself what nobody else has ended, at most so long. Requires: add_ledger().
  void run_ledger_alone(Duration limit);

  void on_event(uint32_t kind, uint64_t a, uint64_t b) override;
  void after_event(Instant now) override;
  bool finished() const override {
    return (waiting_for_completion_ && complete_) || (waiting_for_settlement_ && settled_) ||
           (waiting_for_ledger_ && ledger_view_->open_channels() == 0);
  }

 private:
  enum EventKind : uint32_t { k_join, k_look };
  void run_until(Instant deadline);
  IpAddress next_address();
  uint32_t add_machine(const std::string& name, const IpAddress& address, const NodeSpec& spec);
  bool node_seeds(uint32_t machine);

  sim::World world_;
  Random random_;
  WorldLog log_;
  Report report_;
  MoneyChecker money_;
  WireLog wire_log_;
  Wiretap wiretap_;
  IntegrityChecker integrity_;
  FaultPlan faults_;
  speed::Faults planted_;
  Transports transports_;
  PayloadOptions payload_options_;
  Payload payload_;
  std::unique_ptr<TrackerFactory> tracker_;
  uint32_t tracker_machine_ = 0;
  std::vector<std::unique_ptr<FlooderFactory>> flooders_;
  std::vector<uint32_t> others_;  // machines of flooders
  std::set<uint32_t> gone_;
  std::map<uint32_t, std::unique_ptr<NodeFactory>> nodes_;
  std::unique_ptr<LedgerFactory> ledger_;
  std::unique_ptr<LedgerView> ledger_view_;
  uint32_t next_host_ = 1;
  bool waiting_for_completion_ = false;
  bool complete_ = false;
  bool waiting_for_settlement_ = false;
  bool settled_ = false;
  bool waiting_for_ledger_ = false;
  uint64_t seen_blocking_calls_ = 0;
};

}  // namespace millet::simtest
