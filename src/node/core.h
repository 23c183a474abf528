// What all parts of a node share: settings, randomness, log, the tables of torrents and peers, actions for the driver, and tickets. Parts
// do not call each other in circles: they leave marks here (a peer that is to go, a torrent whose peers may be asked for more), and the
// node settles them when an input is over.
#pragma once

#include <algorithm>
#include <set>
#include <vector>

#include "base/log.h"
#include "base/random.h"
#include "node/config.h"
#include "node/deadlines.h"
#include "node/device_policy.h"
#include "node/handle_table.h"
#include "node/memory_plan.h"
#include "node/node.h"
#include "node/peer.h"
#include "node/torrent.h"
#include "speed/faults.h"
#include "swarm/rate_gate.h"

namespace millet {

// Which part asked; the top byte of a ticket.
enum class TicketKind : uint8_t { files = 1, verify, piece, write, sync, announce, payments };

struct Core {
  Core(const NodeConfig& config_in, const NodeIdentity& identity_in, SecureRandom& secure_in, LogSink& log_in);

  NodeConfig config;
  const NodeIdentity identity;
  speed::Faults faults;  // none but in the simulator
  SecureRandom& secure;
  LogSink& log;
  Random random;
  DeviceLimits device;  // what the device's state leaves of the settings
  uint16_t listen_port = 0;
  bool shutting_down = false;
  Instant started;
  WallTime wall;  // as of the last input that told it

  HandleTable<Torrent> torrents;
  HandleTable<Peer> peers;
  Deadlines peer_deadlines;
  Deadlines torrent_deadlines;
  RateGate upload_gate;
  RateGate download_gate;
  RateMeter up;  // payload of the whole node
  RateMeter down;

  // ---- actions ----
  void act(Action action) { actions_.push_back(std::move(action)); }
  bool poll_action(Action& action);
  // Tells the driver that the connection has something to send, once until it has asked for all of it.
  void pull(Peer& peer);

  Ticket new_ticket(TicketKind kind) { return Ticket{static_cast<uint8_t>(kind)} << 56 | ++tickets_; }
  static TicketKind kind_of(Ticket ticket) { return static_cast<TicketKind>(ticket >> 56); }

  // ---- marks, settled when the input is over ----
  // The connection is to be closed. The first reason stays.
  void doom(Peer& peer, Error reason, Duration ban = {});
  std::vector<PeerHandle> doomed;
  std::set<TorrentHandle> hungry;     // its peers may be asked for more blocks
  std::set<TorrentHandle> completed;  // its last piece was verified
  std::set<TorrentHandle> idle;       // its last write or sync has ended
  struct Failure {
    TorrentHandle torrent;
    std::string reason;  // names the file
  };
  std::vector<Failure> failures;  // its payload can't be used
  struct Blame {
    SourceId source;  // may be gone already
    std::string reason;
    Duration ban;
  };
  std::vector<Blame> blamed;
  std::set<InfoHash> money_changed;         // budget, bytes left, or whether it downloads
  std::set<PeerHandle> interest_changed;    // what we want from it
  std::set<PeerHandle> leaving;             // Peer::leave_by is set
  std::set<PeerHandle> extensions_changed;  // an extension handshake was sent
  bool greet_again = false;                 // what the extension handshake says about btt_speed has changed
  bool slots_changed = false;               // somebody became interested, or a slot became free
  bool dial_wanted = false;                 // room for a connection, or a new address

  // What each part may hold in memory.
  const MemoryPlan& plan() const { return memory_plan(config.memory_mib); }

  // ---- settings, as far as the device allows them now ----
  uint32_t peers_max() const { return std::min(config.peers_max != 0 ? config.peers_max : plan().peers, device.peers_max); }
  uint32_t upload_slots() const { return std::min(config.upload_slots, device.upload_slots_max); }
  // Bytes per second; 0: unlimited.
  uint64_t upload_rate() const {
    if (config.upload_rate == 0 || device.upload_rate == 0) return std::max(config.upload_rate, device.upload_rate);
    return std::min(config.upload_rate, device.upload_rate);
  }

  // ---- look-ups ----
  Torrent* find_torrent(const InfoHash& hash);
  // The torrent of an open peer. Requires: it has one.
  Torrent& torrent_of(const Peer& peer);

 private:
  std::vector<Action> actions_;
  size_t next_action_ = 0;
  uint64_t tickets_ = 0;
};

}  // namespace millet
