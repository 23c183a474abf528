// What one uTP connection has received and its owner has not: packets beyond a hole, and packets in order while the owner does not read.
// What arrives in order while the owner reads never comes here.
//
//   given to the owner          in order, waiting        with holes
//   --------------------|-------------------------|------------------------> sequence numbers
//                   read_                      next_
//
// Payload waits in blocks of a pool that all connections share. The pool has a bound: beyond it packets are dropped unacknowledged, and
// come again.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/bytes.h"
#include "swarm/utp_bits.h"
#include "swarm/utp_packet.h"

namespace millet {

// Blocks of one size, allocated in slabs; all slabs are freed when no block is used.
class UtpPool {
 public:
  static constexpr size_t k_block_size = 2048;  // holds the payload of any packet of a path up to 2 KB; larger ones must come in order
  static constexpr size_t k_slab_blocks = 16;
  static constexpr uint32_t k_none = UINT32_MAX;

  explicit UtpPool(size_t bytes_max) : blocks_max_(static_cast<uint32_t>(bytes_max / k_block_size)) {}

  // k_none: the bound is reached.
  uint32_t take();
  void give(uint32_t block);
  uint8_t* data(uint32_t block) { return slabs_[block / k_slab_blocks].get() + block % k_slab_blocks * k_block_size; }
  // Blocks that can still be taken.
  uint32_t left() const { return blocks_max_ - used_; }
  // The last quarter is for those who have little.
  bool is_scarce() const { return left() <= blocks_max_ / 4; }
  // Bytes that may be promised to anybody.
  uint64_t room() const { return is_scarce() ? 0 : uint64_t{left() - blocks_max_ / 4} * k_block_size; }
  size_t memory() const { return slabs_.size() * k_slab_blocks * k_block_size + free_.capacity() * sizeof(uint32_t); }

 private:
  std::vector<std::unique_ptr<uint8_t[]>> slabs_;
  std::vector<uint32_t> free_;
  uint32_t blocks_max_;
  uint32_t used_ = 0;
};

class UtpReceived {
 public:
  enum class Fate : uint8_t { in_order, kept, duplicate, refused };

  // Packets beyond `next_seq` that are remembered: as many as fit the window in packets of 1 KiB, and never fewer than other
  // implementations keep.
  static constexpr uint32_t k_reach_min = 1024;
  static constexpr uint32_t k_reach_max = 1 << 14;
  static constexpr uint16_t k_packets_always = 64;  // that a connection may keep while the pool is scarce

  UtpReceived(UtpPool& pool, uint16_t next_seq, uint32_t window);
  ~UtpReceived();
  UtpReceived(const UtpReceived&) = delete;

  // Their first packet has that number. Requires: nothing has come.
  void start(uint16_t next_seq);
  // The first packet that has not arrived; what we acknowledge is the one before.
  uint16_t next() const { return next_; }
  // What becomes of a packet. in_order: the caller gives the payload on and calls took_in_order(), or keep().
  Fate classify(uint16_t seq) const;
  // The packet next() has gone straight to the owner. Requires: nothing waits to be read.
  void took_in_order();
  // Copies the packet into the pool. False: there is no room, it counts as not arrived. Requires: classify(seq) is in_order or kept.
  bool keep(uint16_t seq, Bytes payload);
  // A FIN has that number; nothing follows it.
  void set_end(uint16_t seq) {
    has_end_ = true;
    end_ = seq;
  }
  bool has_end() const { return has_end_; }
  uint16_t end() const { return end_; }
  // Everything up to the FIN has been given to the owner.
  bool is_at_end() const { return has_end_ && read_ == end_; }

  bool is_readable() const { return read_ != next_; }
  bool has_hole() const { return kept_ != static_cast<uint16_t>(next_ - read_); }
  // The next payload in order; valid until pop(). Requires: is_readable().
  Bytes front();
  void pop();
  // Bytes that wait here.
  uint32_t buffered() const { return buffered_; }

  // Selective acknowledgement: its size, a multiple of 4 and 0 if there is no hole. Requires: out has k_sack_size_max bytes.
  static constexpr size_t k_sack_size_max = 128;  // 1024 packets: as many as other implementations keep
  size_t write_sack(uint8_t* out) const;

  void trim();
  size_t memory() const { return slots_.capacity() * sizeof(Slot) + bits_.memory(); }

 private:
  static constexpr size_t k_capacity_min = 64;
  struct Slot {
    uint32_t block = UtpPool::k_none;
    uint16_t size = 0;
  };
  Slot& slot(uint16_t seq) { return slots_[seq & (slots_.size() - 1)]; }
  bool has(uint16_t seq) const { return !slots_.empty() && static_cast<uint16_t>(seq - read_) < slots_.size() && bits_.test(seq); }
  void advance();
  void resize(size_t capacity);

  UtpPool& pool_;
  std::vector<Slot> slots_;  // from read_ on
  UtpBits bits_;             // arrived, by slot
  uint32_t reach_;
  uint32_t buffered_ = 0;
  uint16_t kept_ = 0;  // packets
  uint16_t read_;
  uint16_t next_;
  uint16_t highest_;  // of the packets that are kept
  bool has_end_ = false;
  uint16_t end_ = 0;
};

}  // namespace millet
