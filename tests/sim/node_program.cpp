#include "sim/node_program.h"

#include "codec/peer_wire.h"
#include "hal/sim/world.h"

namespace millet::simtest {
namespace {

NodeDriverOptions driver_options(const NodeSpec& spec, sim::Machine& machine, hal::System& system) {
  NodeDriverOptions options;
  options.config = spec.config;
  options.config.listen = {IpAddress(), k_peer_port};
  options.config.data = k_data_root;
  if (spec.has_board) options.board = &machine.board();
  options.peer_id = wire::make_peer_id(system.random);
  return options;
}

// The program's streams, with somebody between it and them who spoils what it says.
std::unique_ptr<Saboteur> make_saboteur(const NodeSpec& spec, const SigningKey& key, sim::Machine& machine, hal::System& system) {
  if (!spec.mischief.any()) return nullptr;
  Random random = machine.world().random("saboteur", (uint64_t{machine.index()} << 32) | machine.starts());
  return std::make_unique<Saboteur>(spec.mischief, system.streams, key, random);
}

hal::System through(Saboteur* saboteur, hal::System& system) {
  hal::Streams* streams = saboteur == nullptr ? &system.streams : static_cast<hal::Streams*>(saboteur);
  return {system.clock, system.random, *streams, system.datagrams, system.files, system.executor, system.resolver, system.loop, system.cpu};
}

}  // namespace

NodeProgram::NodeProgram(const NodeSpec& spec, const Identity& identity, sim::Machine& machine, hal::System& system, LogSink& log)
    : saboteur_(make_saboteur(spec, identity.key, machine, system)), system_(through(saboteur_.get(), system)),
      driver_(driver_options(spec, machine, system), identity.key, system_,
              spec.store != nullptr ? *spec.store : machine.store(identity.store), log) {}

Status NodeProgram::start(const NodeSpec& spec, const Payload& payload, Instant now) {
  node().plant(spec.planted);
  TRY(driver_.restore());
  TRY(driver_.listen());
  AddTorrent request;
  request.metainfo = payload.metainfo;
  request.root = k_data_root;
  request.peers = spec.peers;
  request.budget = spec.budget;
  request.max_rate = spec.max_rate;
  request.seed = spec.seeds;
  for (const TorrentStatus& torrent : node().torrents(now)) {
    if (torrent.info_hash == payload.info_hash) return ok;
  }
  TRY(node().add_torrent(now, request));
  driver_.settle();
  return ok;
}

bool NodeFactory::renew() {
  if (identity_ + 1 >= keys_.size()) return false;
  ++identity_;
  return true;
}

std::unique_ptr<sim::Program> NodeFactory::start(sim::Machine& machine, hal::System& system) {
  NodeProgram::Identity identity{keys_[identity_], identity_ == 0 ? "node" : "node " + std::to_string(identity_)};
  auto program = std::make_unique<NodeProgram>(spec_, identity, machine, system, log_);
  Status status = program->start(spec_, payload_, system.clock.now());
  if (status) return program;
  LogLine(log_, LogLevel::error, "refused_to_start").add("reason", status.error().reason);
  return nullptr;
}

}  // namespace millet::simtest
