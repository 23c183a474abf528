// A whole product node as a program of the simulator: src/driver over hal/sim, with its key and its store on the machine.
#pragma once

#include <optional>

#include "crypto/sign.h"
#include "driver/node_driver.h"
#include "hal/sim/machine.h"
#include "sim/log.h"
#include "sim/payload.h"
#include "sim/saboteur.h"
#include "speed/faults.h"

namespace millet::simtest {

struct NodeSpec {
  std::string name;
  NodeConfig config;  // listen and data are filled in
  sim::LinkOptions link;
  sim::DiskOptions disk;
  bool seeds = false;
  bool has_folder = true;  // the payload's folder is there before the node first starts
  Amount funds;            // that its account has at the start
  std::optional<Amount> budget;
  std::optional<Rate> max_rate;
  std::vector<Endpoint> peers;  // that it is told, beside those of the tracker
  bool has_board = false;       // the machine's board is the node's
  bool honest = true;           // false: what it sends is held against nobody
  Mischief mischief;
  uint32_t identities = 1;  // keys that it takes one after another, each with the same funds (NodeFactory::renew)
  Store* store = nullptr;   // a store that outlives the world, instead of the machine's
  speed::Faults planted;
  Duration joins;  // when it starts, since the world began
};

class NodeProgram final : public sim::Program {
 public:
  // `store`: what the machine calls its durable state, unless the spec brings one.
  struct Identity {
    const SigningKey& key;
    std::string store;
  };
  NodeProgram(const NodeSpec& spec, const Identity& identity, sim::Machine& machine, hal::System& system, LogSink& log);
  // Starts the node and gives it the torrent, if its store does not know it yet. Errors: of both.
  Status start(const NodeSpec& spec, const Payload& payload, Instant now);
  Node& node() { return driver_.node(); }
  NodeDriver& driver() { return driver_; }

 private:
  std::unique_ptr<Saboteur> saboteur_;  // null: an honest peer
  hal::System system_;
  NodeDriver driver_;
};

inline constexpr uint16_t k_peer_port = 6881;
inline constexpr const char* k_data_root = "/data";

class NodeFactory final : public sim::ProgramFactory {
 public:
  // Requires: as many keys as the spec has identities.
  NodeFactory(NodeSpec spec, const Payload& payload, std::vector<SigningKey> keys, WorldLog& log)
      : spec_(std::move(spec)), payload_(payload), keys_(std::move(keys)), log_(log, spec_.name) {}
  std::unique_ptr<sim::Program> start(sim::Machine& machine, hal::System& system) override;

  const NodeSpec& spec() const { return spec_; }
  // Takes effect at the next start.
  NodeSpec& mutable_spec() { return spec_; }
  const PublicKey& key() const { return keys_[identity_].public_key(); }
  const std::vector<SigningKey>& keys() const { return keys_; }
  // The next start is somebody else's: another key, no state. False if there are no more identities.
  bool renew();

 private:
  NodeSpec spec_;
  const Payload& payload_;
  std::vector<SigningKey> keys_;
  size_t identity_ = 0;
  MachineLog log_;
};

}  // namespace millet::simtest
