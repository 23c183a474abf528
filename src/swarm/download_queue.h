// The requests that one peer has not answered yet, and how many it should have: enough to keep its line full for two seconds at the rate
// that it shows, at first doubling from a few (as TCP does), never more than it says it accepts.
//
// A request that we took back (cancel, choke, silence) may still be answered, because the two crossed on the line: its block is then late,
// not unasked.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/fifo.h"
#include "base/time.h"
#include "codec/peer_wire.h"
#include "torrent/layout.h"

namespace millet {

class DownloadQueue {
 public:
  static constexpr uint32_t k_requests_min = 4;
  // The window grows by one with every block for so long; then the measured rate is worth something.
  static constexpr Duration k_slow_start = Duration::seconds(3);
  // 8 MiB: fills 300 Mbit/s at 200 ms.
  static constexpr uint32_t k_requests_max = 512;
  // What a peer accepts that does not say (libtorrent's default for its own requests).
  static constexpr uint32_t k_requests_unsaid = 250;
  // A request unanswered for so long: the peer is snubbed. At the least depth that is a peer of 1 KB/s.
  static constexpr Duration k_answer_time = Duration::seconds(60);
  static constexpr uint32_t k_late_max = 2 * k_requests_max;

  // The peer's "reqq" (BEP 10).
  void set_limit(uint32_t requests) { limit_ = requests; }
  // How many more requests to send now, for a peer that delivers `rate` bytes per second.
  uint32_t room(Instant now, uint64_t rate);
  uint32_t size() const { return static_cast<uint32_t>(open_.size()); }
  bool empty() const { return open_.empty(); }
  size_t memory() const { return open_.size() * sizeof(Open) + late_.capacity() * sizeof(wire::BlockRange); }

  void add(Instant now, const wire::BlockRange& range) { open_.push_back({range, now}); }
  enum class Answer : uint8_t { asked, late, unasked };
  // A block came. `asked` takes its request off; after `late` or `unasked` nothing changed in what is open.
  Answer on_block(Instant now, const wire::BlockRange& range);
  // The request will not be answered (BEP 6 reject). False if it is not open.
  bool on_reject(const wire::BlockRange& range);
  // We take it back; a late block is fine. False if it is not open.
  bool take_back(const wire::BlockRange& range);
  // All of them; the caller gives them back to the picker.
  void take_back_all();

  // When the oldest request has waited too long; never if nothing is open.
  Instant overdue_at() const { return open_.empty() ? Instant::never() : open_.front().asked + k_answer_time; }
  const wire::BlockRange& at(uint32_t index) const { return open_[index].range; }

 private:
  struct Open {
    wire::BlockRange range;
    Instant asked;
  };
  bool remove(const wire::BlockRange& range);

  Fifo<Open> open_;                     // in the order of asking
  std::vector<wire::BlockRange> late_;  // taken back
  Instant first_block_ = Instant::never();
  uint32_t limit_ = k_requests_unsaid;
  uint32_t window_ = k_requests_min;
};

}  // namespace millet
