// A whole node, without I/O: torrents, peers, choker, payments, schedules. The only object that a driver turns; the simulator turns
// hundreds of them. The boundary is described in node/io.h.
//
// After every call with an Instant the driver polls all actions and re-arms its timer with next_deadline().
#pragma once

#include <memory>

#include "base/device.h"
#include "base/log.h"
#include "base/random.h"
#include "base/time.h"
#include "node/config.h"
#include "node/io.h"
#include "node/status.h"

namespace millet {

struct AddTorrent {
  Bytes metainfo;               // the .torrent file
  std::string root;             // payload folder; empty: node.data
  std::vector<Endpoint> peers;  // to connect to beside those of the trackers
  std::optional<Amount> budget;
  std::optional<Rate> max_rate;
  bool paused = false;
  // The payload is said to be there: what is missing or wrong stops the torrent with an error that says so, instead of being downloaded.
  bool seed = false;
};

// Per-torrent settings that can change while it runs.
struct TorrentSettings {
  std::optional<Amount> budget;
  std::optional<Rate> max_rate;
  std::optional<bool> speed_enabled;
  std::optional<Rate> reserve;
};

struct NodeIdentity {
  PublicKey key;   // account and channel key; signing is an action
  PeerId peer_id;  // made at start (BEP 20)
  // The key can't sign yet: nothing is paid, sold or asked of the ledger until Node::unlock().
  bool locked = false;
};

// What the driver does for the node's device.
struct DeviceOrders {
  Duration next_look;
  LedPattern led = LedPattern::off;
  bool low_memory = false;  // keep no buffers for later, read nothing ahead
};

namespace speed {
struct Faults;
}

class Node {
 public:
  Node(const NodeConfig& config, const NodeIdentity& identity, SecureRandom& random, LogSink& log);
  ~Node();
  Node(const Node&) = delete;

  // Bugs that the simulator plants, to see that its checks find them. Before restore(); never in the product.
  void plant(const speed::Faults& faults);

  // ---- life ----
  // Reads everything durable, once, before any other input. Errors: io, bad_input (a record that this version can't read).
  Status restore(Instant now, WallTime wall, StoreTransaction& state);
  // The key can sign from now on: payments begin. Requires: no commit is under way. Errors: as restore; it stays locked then.
  Status unlock(Instant now, StoreTransaction& state);
  // Goes on serving nothing, makes state durable, tells trackers; ends with ShutDownDone.
  void shut_down(Instant now);
  // The port that the driver listens on, for announces and the extension handshake.
  void set_listen_port(uint16_t port);

  // ---- peers ----
  // A connection came in. Nothing: refused, close it.
  std::optional<PeerHandle> on_accepted(Instant now, const Endpoint& remote, const IpAddress& local, Transport transport);
  void on_connected(Instant now, PeerHandle peer, const IpAddress& local, Transport transport);
  // Ended by the other side, by an error, or never came up.
  void on_closed(Instant now, PeerHandle peer, const Error& reason);
  void on_received(Instant now, PeerHandle peer, Bytes bytes);
  // The next item for this connection; false: nothing now (a PullPeer action says when to ask again). Without `with_block` messages only:
  // then blocks may be left, and it is the caller's to ask again.
  bool next_send(Instant now, PeerHandle peer, SendItem& item, bool with_block = true);
  // `bytes` payload and protocol bytes of earlier items have been taken by the socket.
  void on_sent(Instant now, PeerHandle peer, uint32_t bytes);
  // A block of an item could not be read; the connection has been closed by the driver. The torrent stops with a clear error.
  void on_read_failed(Instant now, PeerHandle peer, const BlockRef& block, const Error& reason);

  // ---- work ----
  void on_files_checked(Instant now, Ticket ticket, const Result<FileStates>& files);
  void on_piece_hashed(Instant now, Ticket ticket, const Result<Sha1Digest>& digest);
  void on_block_written(Instant now, Ticket ticket, const Status& status);
  void on_signed(Instant now, Ticket ticket, const Signature& signature);
  void on_verified(Instant now, Ticket ticket, bool valid);
  void on_durable(Instant now, uint64_t sequence);
  // The store refuses (full, read-only): nothing that depends on it goes out; the driver tries again and on_durable may still come.
  void on_commit_failed(Instant now, uint64_t sequence, const Error& reason);
  void on_http_done(Instant now, WallTime wall, Ticket ticket, const Result<HttpReply>& reply);

  // What the device tells (base/device.h). Until the first call the node follows its settings only.
  void on_device(Instant now, const DeviceReadings& readings);
  // What the device is to do now: when it is to be read again, what its light shows, whether memory is short.
  DeviceOrders device_orders() const;

  // ---- time and outputs ----
  Instant next_deadline() const;
  void on_timer(Instant now, WallTime wall);
  bool poll_action(Action& action);

  // ---- commands (control) ----
  // Errors: bad_input (not a torrent), conflict (there already: the same root is not an error), no_room.
  Result<InfoHash> add_torrent(Instant now, const AddTorrent& request);
  Status remove_torrent(Instant now, const InfoHash& hash, bool delete_data);
  Status verify_torrent(Instant now, const InfoHash& hash);
  Status pause_torrent(Instant now, const InfoHash& hash);
  Status resume_torrent(Instant now, const InfoHash& hash);
  Status set_torrent(Instant now, const InfoHash& hash, const TorrentSettings& settings);
  // Takes effect at once where it can (rates, slots, reserve, speed.*). Errors: unsupported for what needs a restart (listen).
  Status set_config(Instant now, const NodeConfig& config);
  const NodeConfig& config() const;
  // With this commit everything that commands have changed so far is durable; 0: nothing was changed. Whoever confirms a command to
  // somebody waits for on_durable() of it.
  uint64_t commands_commit() const;
  // Commits up to this one are durable.
  uint64_t durable_commit() const;

  // ---- listings (control); `now` for rates ----
  std::vector<TorrentStatus> torrents(Instant now) const;
  std::vector<PeerStatus> peers(Instant now, const std::optional<InfoHash>& torrent) const;
  std::vector<AuctionRound> auctions() const;
  std::vector<OwnBid> own_bids() const;
  std::vector<NoBid> no_bids() const;
  std::vector<ChannelStatus> channels() const;
  // Newest day first.
  std::vector<HistoryDay> history() const;
  NodeStats stats(Instant now) const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace millet
