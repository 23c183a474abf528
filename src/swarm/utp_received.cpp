#include "swarm/utp_received.h"

#include <algorithm>

namespace millet {

uint32_t UtpPool::take() {
  if (used_ == blocks_max_) return k_none;
  if (free_.empty()) {
    uint32_t first = static_cast<uint32_t>(slabs_.size() * k_slab_blocks);
    slabs_.emplace_back(new uint8_t[k_slab_blocks * k_block_size]);
    free_.reserve(slabs_.size() * k_slab_blocks);
    for (uint32_t i = k_slab_blocks; i-- > 0;) free_.push_back(first + i);
  }
  uint32_t block = free_.back();
  free_.pop_back();
  ++used_;
  return block;
}

void UtpPool::give(uint32_t block) {
  CHECK(used_ != 0);
  free_.push_back(block);
  if (--used_ == 0) {
    std::vector<std::unique_ptr<uint8_t[]>>().swap(slabs_);
    std::vector<uint32_t>().swap(free_);
  }
}

UtpReceived::UtpReceived(UtpPool& pool, uint16_t next_seq, uint32_t window)
    : pool_(pool), reach_(std::clamp(window / 1024, k_reach_min, k_reach_max)), read_(next_seq), next_(next_seq),
      highest_(static_cast<uint16_t>(next_seq - 1)) {}

void UtpReceived::start(uint16_t next_seq) {
  CHECK(kept_ == 0 && read_ == next_);
  read_ = next_ = next_seq;
  highest_ = static_cast<uint16_t>(next_seq - 1);
}

UtpReceived::~UtpReceived() {
  for (const Slot& slot : slots_) {
    if (slot.block != UtpPool::k_none) pool_.give(slot.block);
  }
}

UtpReceived::Fate UtpReceived::classify(uint16_t seq) const {
  if (utp_distance(seq, next_) < 0) return Fate::duplicate;
  if (has_end_ && utp_distance(seq, end_) >= 0) return Fate::refused;
  if (seq == next_) return Fate::in_order;
  if (static_cast<uint16_t>(seq - read_) >= reach_) return Fate::refused;
  return has(seq) ? Fate::duplicate : Fate::kept;
}

void UtpReceived::took_in_order() {
  CHECK(read_ == next_ && !has(next_));
  ++read_;
  ++next_;
  advance();
}

// Packets that waited behind the hole are in order now.
void UtpReceived::advance() {
  if (kept_ == 0) return;
  while (has(next_)) ++next_;
}

bool UtpReceived::keep(uint16_t seq, Bytes payload) {
  uint16_t ahead = static_cast<uint16_t>(seq - read_);
  if (payload.size() > UtpPool::k_block_size || ahead >= reach_) return false;
  if (kept_ >= k_packets_always && pool_.is_scarce()) return false;
  uint32_t block = UtpPool::k_none;
  if (!payload.empty()) {
    block = pool_.take();
    if (block == UtpPool::k_none) return false;
    std::memcpy(pool_.data(block), payload.data(), payload.size());
  }
  if (ahead >= slots_.size()) {
    size_t capacity = std::max(slots_.size(), k_capacity_min);
    while (capacity <= ahead) capacity *= 2;
    resize(capacity);
  }
  slot(seq) = {block, static_cast<uint16_t>(payload.size())};
  bits_.set(seq);
  buffered_ += static_cast<uint32_t>(payload.size());
  ++kept_;
  if (utp_distance(seq, highest_) > 0) highest_ = seq;
  advance();
  return true;
}

void UtpReceived::resize(size_t capacity) {
  std::vector<Slot> old(capacity);
  old.swap(slots_);
  UtpBits old_bits = std::move(bits_);
  bits_.reset(capacity);
  for (size_t i = 0; i < old.size() && i < capacity; ++i) {
    uint16_t seq = static_cast<uint16_t>(read_ + i);
    if (!old_bits.test(seq)) continue;
    slot(seq) = old[seq & (old.size() - 1)];
    bits_.set(seq);
  }
}

Bytes UtpReceived::front() {
  CHECK(is_readable());
  const Slot& first = slot(read_);
  return first.block == UtpPool::k_none ? Bytes() : Bytes(pool_.data(first.block), first.size);
}

void UtpReceived::pop() {
  CHECK(is_readable());
  Slot& first = slot(read_);
  if (first.block != UtpPool::k_none) pool_.give(first.block);
  buffered_ -= first.size;
  first = {};
  bits_.clear(read_);
  --kept_;
  ++read_;
}

size_t UtpReceived::write_sack(uint8_t* out) const {
  if (!has_hole()) return 0;
  // BEP 29: the first bit is the packet after the first hole.
  uint16_t from = static_cast<uint16_t>(next_ + 1);
  size_t bits = static_cast<uint16_t>(highest_ - next_);
  size_t size = std::min((bits + 31) / 32 * 4, k_sack_size_max);
  for (size_t i = 0; i < size; i += 8) {
    uint64_t word = 0;
    // The ring ends a capacity after read_; what is asked past its end is not there.
    size_t ahead = static_cast<uint16_t>(from + 8 * i - read_);
    if (ahead < slots_.size()) word = bits_.get64(static_cast<uint16_t>(from + 8 * i));
    if (ahead + 64 > slots_.size() && ahead < slots_.size()) word &= (uint64_t{1} << (slots_.size() - ahead)) - 1;
    for (size_t j = 0; j < 8 && i + j < size; ++j) out[i + j] = static_cast<uint8_t>(word >> (8 * j));
  }
  return size;
}

void UtpReceived::trim() {
  if (kept_ != 0) return;
  std::vector<Slot>().swap(slots_);
  bits_.release();
}

}  // namespace millet
