// The pump between a Node and a machine: every event of the machine becomes an input of the node, every action of the node is done. The
// same for hal/linux and hal/sim.
//
//   sockets, timer, signals ---> NodeDriver ---> Node          after each event: poll all actions, send what can be sent, re-arm the timer
//   workers (disk, store,   <---            <---
//            signatures)
//
// It decides nothing but order and bounds. LMDB and the machine are passed in.
#pragma once

#include <memory>
#include <string>

#include "control/rpc.h"
#include "driver/commit_queue.h"
#include "driver/control_server.h"
#include "driver/crypto_work.h"
#include "driver/device_watch.h"
#include "driver/evidence_file.h"
#include "driver/http_client.h"
#include "driver/peer_links.h"
#include "driver/storage.h"
#include "driver/utp_links.h"
#include "driver/wallet_lock.h"
#include "hal/system.h"
#include "node/node.h"

namespace millet {

struct NodeDriverOptions {
  NodeConfig config;
  PeerId peer_id;
  std::string state;            // folder for evidence against the ledger, and of the key; empty: evidence stays in the store
  hal::Board* board = nullptr;  // null: nothing is known of the device
  // Of a wallet whose key is locked: what listings show. The key that the driver gets signs nothing then; unlock() brings the right one.
  std::optional<PublicKey> locked_address = std::nullopt;
};

class NodeDriver final : public TransportSource,
                         public WalletOpener,
                         private hal::StreamEvents,
                         private hal::DatagramEvents,
                         private hal::TimerEvents,
                         private StorageEvents,
                         private CommitEvents,
                         private CryptoEvents,
                         private HttpEvents,
                         private DeviceWatchEvents,
                         private WalletLockEvents {
 public:
  // When a shutdown takes longer, the program ends without it: what is durable is durable.
  static constexpr Duration k_shutdown_max = Duration::seconds(10);

  // Requires: all outlive it; it is destroyed when no job runs any more (after LinuxSystem::run()).
  NodeDriver(const NodeDriverOptions& options, const SigningKey& key, hal::System& system, Store& store, LogSink& log);
  ~NodeDriver() override;
  NodeDriver(const NodeDriver&) = delete;

  // Reads the durable state into the node: first of all, and on the calling thread, because nothing is served yet.
  // Errors: those of the store and of Node::restore.
  Status restore();
  // Listens for peers, on one port for TCP and uTP as far as they are on, and lets the node begin. Returns the address. Requires: restored.
  // Errors: as Streams::listen and Datagrams::bind.
  Result<Endpoint> listen();
  // Serves a control socket. Requires: the handler outlives this. Errors: as Streams::listen_local.
  Status serve_control(const std::string& path, RequestHandler& handler, size_t request_bytes_max);

  TransportStatus transport_status() const override;
  void add_memory(std::vector<MemoryShare>& budget) const override;
  uint64_t state_written() const override { return commits_.written_bytes(); }

  // Opens the locked wallet: payments begin, without a new start. The control socket's clients are told the outcome.
  Status unlock(Secret passphrase) override;

  // For commands. After calls of the node from outside, settle() does what the node wants.
  Node& node() { return node_; }
  void settle();
  // As the signal does: ends with Loop::stop(), at the latest after k_shutdown_max.
  void shut_down();
  // The shutdown ended with everything durable.
  bool ended_well() const { return ended_well_; }

 private:
  static constexpr hal::ListenerId k_peer_listener = 1;
  static constexpr hal::ListenerId k_control_listener = 2;

  void on_accepted(hal::ListenerId listener, hal::StreamId stream, const Endpoint& remote) override;
  void on_connected(hal::StreamId stream) override;
  void on_received(hal::StreamId stream, Bytes bytes) override;
  void on_writable(hal::StreamId stream) override;
  void on_closed(hal::StreamId stream, const Error& reason) override;
  void on_datagrams(std::span<const hal::IncomingRun> runs) override;
  void on_datagrams_writable() override;
  void on_unreachable(const Endpoint& remote) override;
  void on_path_mtu(const Endpoint& remote, uint32_t mtu) override;
  void on_timer() override;
  void on_shutdown() override;
  void on_block_read(PeerHandle peer, const BlockRef& block, const Status& status, std::vector<uint8_t> data) override;
  void on_block_written(Ticket ticket, const Status& status) override;
  void on_piece_hashed(Ticket ticket, const Result<Sha1Digest>& digest) override;
  void on_files_checked(Ticket ticket, const Result<FileStates>& files) override;
  void on_files_deleted(const std::string& root, const Status& status) override;
  void on_durable(uint64_t sequence) override;
  void on_commit_failed(uint64_t sequence, const Error& reason) override;
  void on_signed(Ticket ticket, const Signature& signature) override;
  void on_verified(Ticket ticket, bool valid) override;
  void on_http_done(Ticket ticket, const Result<HttpReply>& reply) override;
  void on_device(const DeviceReadings& readings) override;
  void on_device_changed() override { settle(); }
  void on_key_opened(Result<SigningKey> key) override;

  Result<Endpoint> open_ports();
  void begin_payments(Instant now);
  void tell_unlocked(Instant now, const Status& outcome);
  void settle(Instant now);
  void do_actions(Instant now);
  void arm(Instant now, bool more_to_send);
  void end(bool well);
  // One for each action (node/io.h).
  void act(Instant now, ConnectPeer& action);
  void act(Instant now, ClosePeer& action);
  void act(Instant now, PullPeer& action);
  void choose_payload_way();
  std::string_view payload_way_name() const;
  void act(Instant now, SetReading& action);
  void act(Instant now, OpenTorrent& action);
  void act(Instant now, CloseTorrent& action);
  void act(Instant now, CheckFiles& action);
  void act(Instant now, HashPiece& action);
  void act(Instant now, WriteBlock& action);
  void act(Instant now, SyncTorrent& action);
  void act(Instant now, Commit& action);
  void act(Instant now, SignBytes& action);
  void act(Instant now, VerifyBytes& action);
  void act(Instant now, HttpExchange& action);
  void act(Instant now, CancelHttp& action);
  void act(Instant now, KeepEvidence& action);
  void act(Instant now, ShutDownDone& action);

  hal::System& system_;
  Store& store_;
  const SigningKey* key_;             // that signs
  std::optional<WalletLock> wallet_;  // nothing: it was open at the start
  std::optional<SigningKey> opened_;  // its key, once it was opened
  LogSink& log_;
  const Endpoint listen_;
  const std::string state_;
  Node node_;
  Storage storage_;
  PeerLinks peers_;
  std::unique_ptr<UtpLinks> utp_;  // null: off
  CommitQueue commits_;
  HttpClient http_;
  std::unique_ptr<ControlServer> control_;
  std::unique_ptr<DeviceWatch> device_;  // null: there is no board
  Instant shutdown_deadline_ = Instant::never();
  bool commit_failing_ = false;  // one line in the log for a row of failures
  bool ended_ = false;
  bool ended_well_ = false;
};

}  // namespace millet
