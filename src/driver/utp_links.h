// Peer connections over uTP: the engine (swarm/utp.h) joined to the UDP socket, the node and the disk. The same face as PeerLinks.
//
//   socket -> on_datagrams() -> Utp -> node        node.next_send() -> UtpJournal -> Utp::offer()
//   Utp::plan() -> run -> payload from the cache, by name from the journal -> commit() -> up to k_runs_max runs by one call of the socket
//
// Sent bytes are not kept: a retransmission reads the block again. A block that is not in memory stalls its stream, never the loop.
#pragma once

#include <memory>
#include <unordered_map>
#include <vector>

#include "base/fifo.h"
#include "driver/dial_rival.h"
#include "driver/storage.h"
#include "driver/utp_journal.h"
#include "hal/datagrams.h"
#include "node/node.h"
#include "swarm/utp.h"

namespace millet {

class UtpLinks final : public DialRival {
 public:
  static constexpr size_t k_runs_max = 32;
  static constexpr size_t k_cold_parts_max = 8;  // of one stream

  struct Memory {
    size_t staging_size = 256 * 1024;  // bytes of packets that go out by one call; one run at least
    size_t cold_reads = 32;            // buffers of cold blocks, of all peers together
  };

  // Requires: all outlive it.
  UtpLinks(const UtpOptions& options, const Memory& memory, Node& node, Storage& storage, hal::Datagrams& datagrams, SecureRandom& random,
           const IpAddress& listen);
  ~UtpLinks() override;
  UtpLinks(const UtpLinks&) = delete;
  void set_rival(DialRival& rival) { rival_ = &rival; }

  // The socket.
  void on_datagrams(Instant now, std::span<const hal::IncomingRun> runs);
  void on_writable() { blocked_ = false; }
  void on_unreachable(Instant now, const Endpoint& remote);
  void on_timer(Instant now);
  Instant next_deadline() const { return utp_.next_deadline(); }

  // Actions of the node; those about peers that are not ours do nothing. connect(): false if there is no room.
  bool connect(Instant now, const ConnectPeer& action);
  void close(Instant now, PeerHandle peer);
  void set_reading(Instant now, PeerHandle peer, bool reading);
  void pull(PeerHandle peer);

  // Storage. False: the read was not ours.
  bool on_block_read(Instant now, PeerHandle peer, const BlockRef& block, const Status& status, std::vector<uint8_t>& data);

  // Sends what may go out now, at most Memory::staging_size bytes. True if there is more to do at once.
  bool send_some(Instant now);

  bool is_dialling(PeerHandle peer) const override;
  void stop_dialling(Instant now, PeerHandle peer) override;

  size_t count() const { return by_stream_.size(); }
  // Blocks on their way from a disk, or kept for a stream.
  size_t cold_buffers() const { return cold_buffers_; }
  // Bytes of the engine and of what streams have been offered.
  size_t memory() const;
  // Nothing: nothing is on its way.
  std::optional<UplinkUse> uplink_use(Instant now) const { return utp_.uplink_use(now); }
  const Utp::Counters& counters() const { return utp_.counters(); }

 private:
  struct Link;
  struct Cold {
    BlockRef block;
    std::vector<uint8_t> data;
  };

  Link* find(UtpId stream) const;
  Link* find_peer(PeerHandle peer) const;
  Link& add(PeerHandle peer, UtpId stream);
  void forget(Link& link);
  void make_ready(Link& link);
  void poll_events(Instant now);
  void on_accepted(Instant now, const UtpEvent& event);
  void on_connected(Instant now, UtpId stream);
  void on_closed(Instant now, UtpId stream, Error reason);
  void offer_some(Instant now, Link& link);
  void offer_held(Instant now, Link& link);
  bool plan_some(Instant now);
  bool fill(Link& link, const UtpRun& run, MutBytes place);
  void take_cold(Link& link);
  void note_missing(Link& link, size_t from);
  void start_cold_reads();
  void release_cold(Link& link);
  bool flush(Instant now);

  const Memory memory_;
  Node& node_;
  Storage& storage_;
  hal::Datagrams& datagrams_;
  const IpAddress listen_;
  Utp utp_;
  DialRival* rival_ = nullptr;
  std::unordered_map<UtpId, std::unique_ptr<Link>> by_stream_;
  std::unordered_map<PeerHandle, Link*> by_peer_;
  Fifo<UtpId> ready_;
  bool blocked_ = false;  // the socket is full

  // Runs that are committed and not yet taken by the socket.
  std::unique_ptr<uint8_t[]> staging_;
  std::unique_ptr<UtpRun[]> planned_;
  std::vector<hal::OutgoingRun> runs_;
  // Of the run that is filled now.
  std::vector<BlockRef> blocks_;
  std::vector<MutBytes> places_;

  Fifo<UtpId> waiting_for_read_;
  Fifo<UtpId> holding_;                               // have what they waited for, the longest first
  std::unordered_map<PeerHandle, uint32_t> reading_;  // reads under way, also of peers that are gone
  size_t cold_buffers_ = 0;                           // being read, or kept by a stream
};

}  // namespace millet
