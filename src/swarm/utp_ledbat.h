// The congestion window of one uTP path: LEDBAT++ (draft-irtf-iccrg-ledbat-plus-plus), or LEDBAT (RFC 6817) by option. Both use what others
// leave of a link and keep the queue that they make below a target, which is lower for larger windows (uplink_target.h; RFC 6817 has one
// for all). Integers only: windows are bytes with 16 fractional bits.
//
//   slow start --queue > 3/4 target, loss--> avoidance --time for it--> freeze (2 packets, 2 round trips) --> ramp --ssthresh--> avoidance
//
// The slowdown (freeze and ramp) empties our part of the queue, so that everybody measures the path without it; the next one comes after
// nine times its duration, so that it costs at most a tenth of the throughput.
#pragma once

#include <cstdint>

#include "base/time.h"
#include "swarm/uplink_target.h"

namespace millet {

class UtpLedbat {
 public:
  struct Options {
    Duration target = k_uplink_target_most;  // RFC 6817 says at most 100 ms
    bool classic = false;                    // RFC 6817
    uint32_t window_max = 32u << 20;         // bytes
    Duration slowdown_queue_min;             // no slowdown while the queue is shorter
  };
  struct Ack {
    uint32_t bytes = 0;        // newly acknowledged, with headers
    uint32_t queue_us = 0;     // delay that is queue
    uint32_t base_rtt_us = 0;  // round trip without queue; 0: unknown
    uint32_t rtt_us = 0;       // smoothed round trip; 0: unknown
    bool no_queue = false;     // there is no queue at all, whoever's it would be
    bool limited = false;      // the window was what held back: it may grow
    uint32_t in_flight = 0;    // bytes that were in flight under it
  };

  // `packet`: bytes of a full packet, with its header.
  UtpLedbat(const Options& options, uint32_t packet);

  // Bytes that may be in flight, with headers.
  uint32_t window() const { return static_cast<uint32_t>(window_ >> k_shift); }
  // Microseconds of queue that a window of this size aims at; never more than the option's target.
  uint64_t target_us() const;
  // The same, but in a slowdown what it comes back to.
  uint32_t steady_window() const { return static_cast<uint32_t>((in_slowdown() ? std::max(threshold_, window_) : window_) >> k_shift); }
  bool is_least() const { return window_ <= least(); }
  bool in_slow_start() const { return phase_ == Phase::slow_start || phase_ == Phase::ramp; }
  bool in_slowdown() const { return phase_ == Phase::freeze || phase_ == Phase::ramp; }
  uint32_t packet() const { return packet_; }
  void set_packet(uint32_t bytes) {
    packet_ = bytes;
    clamp();
  }

  void on_ack(Instant now, const Ack& ack);
  // Packets were lost, the last of them sent at `sent_at`, when `in_flight` bytes were in flight. One congestion event counts once: what
  // was sent before the last cut belongs to it. `random`: there was no queue that could have overflowed.
  void on_loss(Instant now, Instant sent_at, uint32_t in_flight, bool random);
  // Nothing has arrived for a retransmission timeout.
  void on_timeout(Instant now, uint32_t in_flight);
  // The last cut was for something that had arrived: it is taken back.
  void undo();
  // Nothing was sent for a while: what the window knew is old.
  void on_idle();

 private:
  static constexpr unsigned k_shift = 16;
  static constexpr uint32_t k_packets_min = 2;
  static constexpr uint32_t k_gain_divisor_max = 16;
  static constexpr int64_t k_futile_factor = 4;
  static constexpr int64_t k_slowdown_factor = 9;
  static constexpr uint64_t k_random_loss_share =
      12;  // a loss that was no congestion costs a twelfth: radio links lose a packet in a hundred
  enum class Phase : uint8_t { slow_start, avoidance, freeze, ramp };

  uint64_t least() const { return static_cast<uint64_t>(k_packets_min * packet_) << k_shift; }
  void clamp();
  // A window that nothing filled is worth what was in flight.
  void shrink_to(uint32_t in_flight);
  uint32_t gain_divisor(uint32_t base_rtt_us) const;
  void grow(const Ack& ack);
  void avoid(const Ack& ack);
  void avoid_classic(const Ack& ack);
  void start_slowdown(Instant now, const Ack& ack);
  void end_slow_start(Instant now, const Ack& ack);
  bool on_phase(Instant now, const Ack& ack);

  Options options_;
  uint32_t packet_;
  Phase phase_ = Phase::slow_start;
  uint64_t window_;
  uint64_t threshold_;  // where a ramp ends
  uint64_t undo_window_ = 0;
  uint64_t undo_threshold_ = 0;
  Instant cut_at_;  // the window was last cut for a loss
  bool was_cut_ = false;
  Instant slowdown_at_ = Instant::never();  // the next one
  Instant slowdown_since_;                  // of the one under way, or the last
  bool was_slow_ = false;                   // there was one
  bool was_futile_ = false;                 // it did not empty the queue
  Instant freeze_until_;
};

}  // namespace millet
