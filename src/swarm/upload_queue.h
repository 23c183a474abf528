// The requests of one peer that we have not served yet, in the order in which it asked. Bounded: what does not fit is refused, and the
// owner rejects it (BEP 6). A range that is asked twice is served twice: it costs the one who asks, while looking for it would cost
// everybody.
#pragma once

#include <vector>

#include "codec/peer_wire.h"

namespace millet {

class UploadQueue {
 public:
  // 8 MiB ahead covers 64 Mbit/s at a second of delay; the largest that clients send without asking is 500 (libtorrent).
  static constexpr uint32_t k_requests_max = 512;

  bool empty() const { return count_ == 0; }
  uint32_t size() const { return count_; }
  // The oldest. Requires: not empty.
  const wire::BlockRange& front() const { return ring_[head_]; }
  // The one `index` places behind it. Requires: index < size().
  const wire::BlockRange& at(uint32_t index) const { return ring_[place(index)]; }

  // False: full.
  bool push(const wire::BlockRange& range);
  void pop();
  // BEP 3: the peer takes a request back. False if it is not there (it may have been served already).
  bool cancel(const wire::BlockRange& range);
  size_t memory() const { return ring_.capacity() * sizeof(wire::BlockRange); }
  // Empties it; memory goes back too.
  void clear();

 private:
  static constexpr uint32_t k_first_capacity = 16;
  uint32_t place(uint32_t index) const { return (head_ + index) & (static_cast<uint32_t>(ring_.size()) - 1); }
  void grow();

  std::vector<wire::BlockRange> ring_;  // its size is 0 or a power of two
  uint32_t head_ = 0;
  uint32_t count_ = 0;
};

}  // namespace millet
