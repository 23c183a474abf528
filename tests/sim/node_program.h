// A whole product node as a program of the simulator: src/driver over hal/sim, with its key and its store on the machine.
#pragma once

#include <optional>

#include "crypto/sign.h"
#include "driver/node_driver.h"
#include "hal/sim/machine.h"
#include "sim/log.h"
#include "sim/payload.h"
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
  bool has_board = false;  // the machine's board is the node's
  Store* store = nullptr;  // a store that outlives the world, instead of the machine's
  speed::Faults planted;
  Duration joins;  // when it starts, since the world began
};

class NodeProgram final : public sim::Program {
 public:
  NodeProgram(const NodeSpec& spec, const SigningKey& key, sim::Machine& machine, hal::System& system, LogSink& log);
  // Starts the node and gives it the torrent, if its store does not know it yet. Errors: of both.
  Status start(const NodeSpec& spec, const Payload& payload, Instant now);
  Node& node() { return driver_.node(); }
  NodeDriver& driver() { return driver_; }

 private:
  NodeDriver driver_;
};

inline constexpr uint16_t k_peer_port = 6881;
inline constexpr const char* k_data_root = "/data";

class NodeFactory final : public sim::ProgramFactory {
 public:
  NodeFactory(NodeSpec spec, const Payload& payload, SigningKey key, WorldLog& log)
      : spec_(std::move(spec)), payload_(payload), key_(std::move(key)), log_(log, spec_.name) {}
  std::unique_ptr<sim::Program> start(sim::Machine& machine, hal::System& system) override;

  const NodeSpec& spec() const { return spec_; }
  // Takes effect at the next start.
  NodeSpec& mutable_spec() { return spec_; }
  const PublicKey& key() const { return key_.public_key(); }

 private:
  NodeSpec spec_;
  const Payload& payload_;
  SigningKey key_;
  MachineLog log_;
};

}  // namespace millet::simtest
