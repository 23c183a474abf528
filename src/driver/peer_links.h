// Peer connections: which stream is which peer, and sending. What goes out is pulled from the node while the socket takes bytes: several
// items are gathered in one staging buffer, message headers between the blocks, and handed over by one system call.
//
//   node.next_send() -> items   |hdr|block 16 KiB|hdr|block 16 KiB|...|    read_cached() fills the blocks, all in one read where they
//                               `------------ staging -----------------'   follow each other in a file
//
// A block that is not in memory is read by a job first; the connection waits for it, the loop does not. What the socket does not take is
// remembered as items and an offset, not as bytes, and read again later: a reader that does not read costs a few hundred bytes.
#pragma once

#include <memory>
#include <unordered_map>
#include <vector>

#include "base/fifo.h"
#include "driver/dial_rival.h"
#include "driver/storage.h"
#include "driver/uplink_gate.h"
#include "hal/streams.h"
#include "node/node.h"

namespace millet {

class PeerLinks final : public DialRival {
 public:
  static constexpr size_t k_items_max = 32;  // gathered at once: small messages, or 15 blocks

  struct Memory {
    size_t staging_size = 256 * 1024;  // bytes of one system call; measured best between 128 and 512 KiB
    size_t cold_reads = 32;            // buffers of cold blocks, of all peers together
  };

  // `listen`: where our connections come from (source_address.h). Requires: the others outlive it.
  PeerLinks(const Memory& memory, Node& node, Storage& storage, hal::Streams& streams, const IpAddress& listen);
  // From now on connections over the uplink give way there (uplink_gate.h). Requires: there are none yet.
  void set_background() { gate_ = std::make_unique<UplinkGate>(streams_); }
  ~PeerLinks() override;
  PeerLinks(const PeerLinks&) = delete;
  void set_rival(DialRival& rival) { rival_ = &rival; }

  // How cached blocks go out.
  void set_payload_way(hal::PayloadWay way) { payload_way_ = way; }
  hal::PayloadWay payload_way() const { return payload_way_; }

  // Streams.
  void on_accepted(Instant now, hal::StreamId stream, const Endpoint& remote);
  bool on_connected(Instant now, hal::StreamId stream);
  bool on_received(Instant now, hal::StreamId stream, Bytes bytes);
  bool on_writable(hal::StreamId stream);
  bool on_closed(Instant now, hal::StreamId stream, const Error& reason);

  // Actions of the node.
  void connect(const ConnectPeer& action);
  void close(PeerHandle peer);
  void set_reading(PeerHandle peer, bool reading);
  void pull(PeerHandle peer);

  // Storage.
  void on_block_read(Instant now, PeerHandle peer, const BlockRef& block, const Status& status, std::vector<uint8_t> data);

  // Sends for those whose turn on the uplink has come. `utp`: what uTP knows of it, if anything.
  void on_timer(Instant now, const std::optional<UplinkUse>& utp);
  Instant next_deadline(Instant now) { return gate_ == nullptr ? Instant::never() : gate_->next_deadline(now); }

  // Sends for every connection that had something to send when it was called, one gather each. True if there is more to do at once.
  bool send_some(Instant now);

  // While memory is short no buffer is kept for the next read.
  void set_low_memory(bool low);

  bool is_dialling(PeerHandle peer) const override;
  void stop_dialling(Instant now, PeerHandle peer) override;

  size_t count() const { return by_peer_.size(); }
  // Blocks on their way from a disk, and buffers that are kept for the next.
  size_t cold_buffers() const { return cold_reads_ + free_buffers_.size(); }
  const UplinkGate* gate() const { return gate_.get(); }  // null: off

 private:
  struct Link;
  // One thing to send: `head_size` bytes of the heads, then the block. `sent` counts over both.
  struct Item {
    uint32_t head_size = 0;
    uint32_t sent = 0;
    BlockRef block;  // length 0: none
    uint32_t size() const { return head_size + block.length; }
  };
  // What one gather found.
  struct Gathered {
    size_t size = 0;         // bytes of staging to send
    size_t messages = 0;     // of them, before the first block
    bool cold = false;       // the item after them needs a read from the disk
    bool exhausted = false;  // the node has nothing more for this connection now
    bool held = false;       // it may have blocks, for which there is no room on the uplink
  };

  Link* find(hal::StreamId stream);
  Link* find_peer(PeerHandle peer);
  void add(PeerHandle peer, hal::StreamId stream);
  void forget(Link& link);
  void make_ready(Link& link);
  void open(Link& link);
  void pump(Instant now, Link& link);
  void pump(Instant now, Link& link, uint64_t room);
  void hold(Link& link);
  size_t send_from_files(Instant now, Link& link, uint64_t room);
  Gathered gather(Instant now, Link& link, uint64_t room);
  bool pull_item(Instant now, PeerHandle peer, bool with_block);
  void take_sent(size_t bytes);
  void keep_rest(Link& link);
  void read_cold(Link& link);
  void release_cold(Link& link);
  void start_cold_reads();
  void keep_buffer(std::vector<uint8_t> buffer);

  const Memory memory_;
  Node& node_;
  Storage& storage_;
  hal::Streams& streams_;
  const IpAddress listen_;
  DialRival* rival_ = nullptr;
  std::unique_ptr<UplinkGate> gate_;
  hal::PayloadWay payload_way_ = hal::PayloadWay::copy;
  std::unordered_map<hal::StreamId, PeerHandle> by_stream_;
  std::unordered_map<PeerHandle, std::unique_ptr<Link>> by_peer_;
  Fifo<PeerHandle> ready_;
  Fifo<PeerHandle> waiting_for_read_;  // cold, and all buffers are in use
  std::vector<std::vector<uint8_t>> free_buffers_;
  size_t cold_reads_ = 0;
  bool low_memory_ = false;
  // Of the gather under way; a connection's own rest is swapped in and out, so that nothing is allocated block by block.
  std::unique_ptr<uint8_t[]> staging_;
  std::vector<Item> items_;
  std::vector<uint8_t> heads_;
};

}  // namespace millet
