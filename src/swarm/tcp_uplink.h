// Keeps TCP from filling our own uplink, where the kernel has no congestion control that does: a rate for all that is sent over TCP to
// peers beyond it, by what the connections' round trips and uTP say of the queue there. Nothing here is a standard; the target is
// uTP's (uplink_target.h), for what is in flight: what is acknowledged, times the round trip of each.
//
//   queue = the least of what the connections, and uTP, measure in the mean: each measures the uplink's queue and something of its own
//   rate  = what was acknowledged in the last turn x (1 + a little, by how far the queue is from the target)
//
// What is acknowledged while there is a queue is what the link has for us: to send that keeps the queue as it is, a little more or less
// moves it. So the rate finds a link of any speed at once, and gives it up by halves when others fill the queue. Now and then we stand
// back, so that the queue of our own making is never taken for the length of the path. Rates, not a window: bytes that are stuck on a slow
// peer's side must not hold the others up. Integers only.
#pragma once

#include <cstdint>

#include "base/time.h"
#include "base/token_bucket.h"
#include "swarm/uplink_target.h"
#include "swarm/utp_delay.h"

namespace millet {

class TcpUplink {
 public:
  static constexpr Duration k_look = Duration::ms(10);         // between looks at the connections
  static constexpr Duration k_turn_min = Duration::ms(100);    // what a rate is measured over: this, and up to ...
  static constexpr Duration k_turn_max = Duration::ms(400);    // ... this, until there is
  static constexpr uint64_t k_turn_bytes = 8 * 1024;           // so much to measure
  static constexpr Duration k_silence = Duration::seconds(1);  // without any acknowledgement: half the rate
  static constexpr uint64_t k_rate_first = 64 * 1024;          // bytes per second, of a node that knows nothing yet
  static constexpr uint64_t k_rate_least = 4 * 1024;           // beside whatever others send: enough to go on measuring
  static constexpr uint64_t k_rate_most = uint64_t{1} << 36;   // no link is faster
  static constexpr Duration k_stand_back_every = Duration::seconds(30);
  static constexpr Duration k_stand_back_least = Duration::seconds(5);  // between two, also for connections that are not believed yet

  // In the mean of one turn. Of a queue: its least would be what a queue that swings never was, and uTP beside us, which looks
  // at a few packets only, would give way to us.
  class Mean {
   public:
    void add(uint32_t turn, uint32_t value) {
      if (turn_ != turn) *this = Mean();
      turn_ = turn;
      sum_ += value;
      ++count_;
    }
    // UINT32_MAX: nothing was measured in that turn.
    uint32_t of(uint32_t turn) const { return turn_ == turn && count_ != 0 ? static_cast<uint32_t>(sum_ / count_) : UINT32_MAX; }

   private:
    uint64_t sum_ = 0;
    uint32_t count_ = 0;
    uint32_t turn_ = 0;
  };

  // What the owner keeps of each connection.
  struct Flow {
    UtpBase base;  // of its round trip, microseconds
    Mean queue;
    // A connection that begins while there is a queue may take it for the length of its path: it is not believed until we stood back.
    bool is_doubtful = false;
    uint32_t stands = 0;  // how often we had when it began
    uint64_t sent = 0;
    uint64_t acknowledged = 0;
    uint64_t retransmitted = 0;
    // When everything up to `mark` had been sent: the system's round trip is an average, and old where little is sent.
    uint64_t mark = 0;
    Instant marked_at = Instant::never();
  };
  // What the system's TCP says of a connection.
  struct Sample {
    uint64_t acknowledged = 0;         // bytes, since it began
    uint64_t retransmitted = 0;        // packets, since it began
    uint32_t round_trip_us = 0;        // smoothed, of the last packets
    uint32_t round_trip_least_us = 0;  // of all packets
  };

  TcpUplink() : bucket_(k_rate_first, 2 * quantum()) {}

  // ---- what is measured, every k_look while anything is on its way or waits ----
  void add(Instant now, Flow& flow, const Sample& sample);
  // What uTP knows of the same uplink now.
  void add_utp(Instant now, const UplinkUse& use);
  // All connections were looked at. `waiting`: something is held back.
  void on_look(Instant now, bool waiting);

  // ---- what may go out ----
  // Bytes that may be sent now: none, or at least quantum().
  uint64_t room(Instant now);
  void take(Instant now, Flow& flow, uint64_t bytes);
  // When there is room.
  Instant room_at(Instant now) { return bucket_.ready_at(now, quantum()); }
  // Bytes that are sent at once: a hundredth of a second's worth, or two packets.
  uint64_t quantum() const;

  // Bytes per second.
  uint64_t rate() const { return rate_; }
  // Microseconds, as of the last turn.
  uint32_t queue_us() const { return queue_us_; }
  // Microseconds of queue that are aimed at, for what was in flight in the last turn.
  uint64_t target_us() const { return target_us_; }

 private:
  static constexpr uint64_t k_window_least = 2 * 1500;          // bytes: two packets, as uTP's least window
  static constexpr uint64_t k_window_most = uint64_t{1} << 40;  // bytes, as far as the target goes down

  // Of one turn.
  struct Measured {
    uint64_t acknowledged = 0;
    uint64_t retransmitted = 0;
    uint64_t byte_us = 0;  // acknowledged bytes, each times its round trip: by the turn's time, the bytes in flight (Little's law)
    uint32_t queue_us = UINT32_MAX;
    uint32_t round_trip_us = UINT32_MAX;
    bool held_back = false;
    bool utp_is_free = false;  // at some look the uplink was not what held it back
  };
  bool is_in_turn(Instant now) const { return !turn_at_.is_never() && now >= turn_at_; }
  void take_round_trip(Instant now, Flow& flow, const Sample& sample, uint64_t acknowledged);
  void begin_turn(Instant at);
  void end_turn(Instant now);
  bool stand_back(Instant now);
  void set_rate(Instant now, uint64_t rate);
  uint64_t target_for(uint64_t window) const;
  uint64_t next_rate(uint64_t through) const;

  uint64_t rate_ = k_rate_first;
  TokenBucket bucket_;
  uint64_t known_ = 0;  // what went through while there was a queue, bytes per second; fades
  uint32_t queue_us_ = 0;
  uint64_t target_us_ = uplink_target_us(k_uplink_target_most, k_window_least, k_window_least);
  Measured turn_;
  Instant turn_at_ = Instant::never();
  uint32_t turns_ = 0;
  uint32_t look_queue_us_ = UINT32_MAX;  // the least mean of the connections, as of this look
  Instant looked_at_;
  Mean utp_queue_;
  Mean utp_window_;  // bytes; nothing while something else holds uTP back
  Instant stand_back_at_ = Instant::never();
  Instant stood_back_at_;  // the last one ended
  uint32_t stands_ = 0;
  uint64_t rate_before_ = 0;
  Instant standing_until_ = Instant::never();
};

}  // namespace millet
