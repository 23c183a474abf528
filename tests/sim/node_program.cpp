#include "sim/node_program.h"

#include "codec/peer_wire.h"

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

}  // namespace

NodeProgram::NodeProgram(const NodeSpec& spec, const SigningKey& key, sim::Machine& machine, hal::System& system, LogSink& log)
    : driver_(driver_options(spec, machine, system), key, system, spec.store != nullptr ? *spec.store : machine.store("node"), log) {}

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

std::unique_ptr<sim::Program> NodeFactory::start(sim::Machine& machine, hal::System& system) {
  auto program = std::make_unique<NodeProgram>(spec_, key_, machine, system, log_);
  Status status = program->start(spec_, payload_, system.clock.now());
  if (status) return program;
  LogLine(log_, LogLevel::error, "refused_to_start").add("reason", status.error().reason);
  return nullptr;
}

}  // namespace millet::simtest
