// One rate limit shared fairly by many connections. A connection that wants to move a block asks; when the limit is reached it waits in
// line. Grants come in batches, so that a fast limit does not need a timer for every block: what has gathered is dealt out round robin, a
// block at a time, to all that wait. Nothing is left over for whoever asks first, so a connection that asks again at once (a stream) gets
// no more than one that waits in between (for a payment).
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/fifo.h"
#include "base/time.h"
#include "base/token_bucket.h"

namespace millet {

class RateGate {
 public:
  static constexpr uint32_t k_bytes_max = 16 * 1024;

  // bytes_per_second 0: unlimited.
  explicit RateGate(uint64_t bytes_per_second) : bucket_(bytes_per_second, burst_of(bytes_per_second)), rate_(bytes_per_second) {}

  // Those that wait are named by the next grant().
  void set_rate(Instant now, uint64_t bytes_per_second);

  // True: `bytes` may be moved now. False: the connection waits in line; grant() will name it. Requires: bytes <= k_bytes_max.
  bool take(Instant now, uint32_t connection, uint32_t bytes);
  // In line: only the rate keeps it back.
  bool is_waiting(uint32_t connection) const;
  // The connection wants nothing any more, or is gone.
  void leave(uint32_t connection);

  // Appends, in the order of the line, the connections whose next take() succeeds; takes back what an earlier grant left unused. Call at
  // next_deadline().
  void grant(Instant now, std::vector<uint32_t>& out);
  // When grant() has something to give; never if nobody waits.
  Instant next_deadline() const { return line_.empty() ? Instant::never() : ready_; }

 private:
  struct Waiting {
    uint32_t connection;
    uint32_t bytes;
  };
  struct Credit {
    uint32_t connection;
    uint64_t bytes;
  };

  // Gives what has gathered to those in line, and says how many of them got something: the first ones.
  size_t deal(Instant now);
  // A tenth of a second of traffic, and always room for a few blocks.
  static uint64_t burst_of(uint64_t rate) { return std::max<uint64_t>(rate / 10, 4 * k_bytes_max); }
  // Grants wait until a fiftieth of a second of traffic has gathered.
  void wait_for_batch(Instant now) { ready_ = bucket_.ready_at(now, std::max<uint64_t>(rate_ / 50, k_bytes_max)); }

  TokenBucket bucket_;
  uint64_t rate_;
  Instant ready_;
  Fifo<Waiting> line_;
  std::vector<Credit> credits_;  // taken from the bucket, not used yet
};

}  // namespace millet
