// What the uTP connections to one address share: congestion window, pacing, packet size. Fifty connections through one bottleneck make one queue, not
// fifty; and one that starts profits from what the others know.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/endpoint.h"
#include "swarm/utp_delay.h"
#include "swarm/utp_ledbat.h"
#include "swarm/utp_mtu.h"
#include "swarm/utp_packet.h"
#include "swarm/utp_rtt.h"

namespace millet {

// Slots in line, each at most once (their owner keeps a flag); grows to the most that it ever held.
class UtpLine {
 public:
  bool empty() const { return size_ == 0; }
  size_t size() const { return size_; }
  void push(uint16_t slot) {
    if (size_ == ring_.size()) grow();
    ring_[(head_ + size_++) & (ring_.size() - 1)] = slot;
  }
  uint16_t front() const { return ring_[head_]; }
  uint16_t pop() {
    uint16_t out = ring_[head_];
    head_ = (head_ + 1) & (ring_.size() - 1);
    --size_;
    return out;
  }
  // Slots leave out of turn seldom: when their connection ends.
  void erase(uint16_t slot) {
    for (size_t left = size_; left != 0; --left) {
      uint16_t other = pop();
      if (other != slot) push(other);
    }
  }
  size_t memory() const { return ring_.capacity() * sizeof(uint16_t); }

 private:
  void grow() {
    std::vector<uint16_t> larger(std::max<size_t>(ring_.size() * 2, 4));
    for (size_t i = 0; i < size_; ++i) larger[i] = ring_[(head_ + i) & (ring_.size() - 1)];
    ring_.swap(larger);
    head_ = 0;
  }
  std::vector<uint16_t> ring_;
  size_t head_ = 0;
  size_t size_ = 0;
};

struct UtpPath {
  // Timers of the machine are this coarse: what a pause missed within that time is caught up.
  static constexpr int64_t k_pacing_grain_us = 1000;

  UtpPath(const IpAddress& remote, const UtpLedbat::Options& options, uint16_t link_packet_max)
      : address(remote), mtu(remote.is_v4(), link_packet_max), ledbat(options, mtu.size()) {}

  IpAddress address;
  UtpMtu mtu;
  UtpLedbat ledbat;
  UtpRtt rtt;
  UtpBase round_trip;      // the shortest: without queue
  uint32_t queue_us = 0;   // of the last connection that measured it
  uint32_t in_flight = 0;  // bytes with headers, of all connections
  uint16_t users = 0;
  Instant progress_at;     // something of any connection was acknowledged
  Instant sent_at;
  Instant release_at;      // pacing: nothing goes out before
  UtpLine ready;           // connections with something to send
  bool in_line = false;    // in the engine's line of paths

  // 0: unknown.
  uint32_t base_rtt_us() const { return round_trip.is_known() ? round_trip.least() : 0; }
  bool has_room(uint32_t bytes) const { return in_flight == 0 || in_flight + bytes <= ledbat.window(); }
  uint32_t room() const { return ledbat.window() > in_flight ? ledbat.window() - in_flight : 0; }

  // Bytes of one run: what the path takes in one grain of time, at least two packets.
  uint32_t quantum(uint32_t run_max) const {
    uint32_t least = 2u * mtu.size();
    if (!rtt.is_known()) return least;
    uint64_t grain = uint64_t{ledbat.window()} * static_cast<uint64_t>(k_pacing_grain_us) / rtt.smoothed_us();
    return static_cast<uint32_t>(std::clamp<uint64_t>(grain, least, std::max(least, run_max)));
  }
  // Bytes have gone out: the next ones follow at a little more than a window per round trip, so that pacing never is what limits.
  void on_sent(Instant now, uint32_t bytes) {
    sent_at = now;
    if (!rtt.is_known()) return;
    uint64_t rate = uint64_t{ledbat.window()} * (ledbat.in_slow_start() ? 8 : 5);  // quarters of it
    int64_t wait = static_cast<int64_t>(uint64_t{bytes} * 4 * rtt.smoothed_us() / rate);
    Instant from = now - Duration::us(k_pacing_grain_us);
    release_at = (release_at > from ? release_at : from) + Duration::us(wait);
  }
};

}  // namespace millet
