// Congestion control of uTP in two levels. A path is what the connections to one address share: window, pacing, packet size. The uplink is
// what all paths share, because most of them meet in one queue, that of our own link: it has a window of its own, so that fifty connections
// make one queue, not fifty, and divide it evenly at once instead of finding their shares by and by.
//
//   queue of the uplink = the least that any path measures     -> window of the uplink
//   queue of a path beyond that, and losses                    -> window of the path
//
// A packet needs room in both. A slow peer has queue of its own and holds back nobody else; a fast path without queue takes the uplink's
// window out of play.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/endpoint.h"
#include "swarm/utp_delay.h"
#include "swarm/utp_io.h"
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

// One congestion window and what is in flight under it.
struct UtpWindow {
  // Timers of the machine are this coarse, and late: what was missed within that time is caught up.
  static constexpr int64_t k_pacing_grain_us = 1000;
  static constexpr Duration k_late_max = Duration::ms(2);
  static constexpr Duration k_idle = Duration::seconds(1);

  UtpWindow(const UtpLedbat::Options& options, uint32_t packet) : ledbat(options, packet) {}

  UtpLedbat ledbat;
  UtpRtt rtt;
  uint32_t last_rtt_us = 0;
  uint32_t in_flight = 0;  // bytes with headers
  Instant sent_at;
  Instant release_at;  // pacing: nothing goes out before

  bool has_room(uint32_t bytes) const { return in_flight == 0 || in_flight + bytes <= ledbat.window(); }
  uint32_t room() const { return ledbat.window() > in_flight ? ledbat.window() - in_flight : 0; }
  // The window was in use, so that it may grow: half of it, because pacing and runs leave part of it open.
  bool is_used(uint32_t in_flight_then) const { return uint64_t{in_flight_then} * 2 >= ledbat.window(); }

  void add_round_trip(uint32_t rtt_us) {
    rtt.add(rtt_us);
    last_rtt_us = rtt_us;
  }
  // Bytes of one run: what the window sends in one grain of time, at least two packets.
  uint32_t quantum(uint32_t packet) const {
    uint32_t least = 2 * packet;
    if (last_rtt_us == 0) return least;
    uint64_t grain = uint64_t{ledbat.window()} * static_cast<uint64_t>(k_pacing_grain_us) / last_rtt_us;
    return static_cast<uint32_t>(std::clamp<uint64_t>(grain, least, UtpRun::k_size_max));
  }
  // Not packet by packet as acknowledgements come in, but in runs: so much room is waited for.
  uint32_t batch(uint32_t packet) const { return std::max(packet, std::min(quantum(packet) / 2, ledbat.window() / 4)); }
  // Bytes have gone out: the next ones follow at a little more than a window per round trip, so that pacing never is what limits. The last
  // round trip, not the smoothed one: after a queue has gone that is old for long.
  void on_sent(Instant now, uint32_t bytes) {
    if (now > sent_at + k_idle && in_flight <= bytes) ledbat.on_idle();
    sent_at = now;
    // A run of two packets, the smallest, needs no pacing: in a slowdown what comes first is to meet the empty queue, not a round trip
    // later.
    if (last_rtt_us == 0 || ledbat.is_least()) {
      release_at = now;
      return;
    }
    uint64_t rate = uint64_t{ledbat.window()} * (ledbat.in_slow_start() ? 8 : 5);  // quarters of it
    int64_t wait = static_cast<int64_t>(uint64_t{bytes} * 4 * last_rtt_us / rate);
    Instant from = now - k_late_max;
    release_at = (release_at > from ? release_at : from) + Duration::us(wait);
  }
};

struct UtpUplink : UtpWindow {
  // What paths measured longer ago than one to two of these says nothing about the queue now.
  static constexpr Duration k_turn = Duration::ms(100);

  UtpUplink(const UtpLedbat::Options& options, uint32_t packet) : UtpWindow(options, packet) {}

  // A path has measured that much queue. Returns the least of all.
  uint32_t add_queue(Instant now, uint16_t path, uint32_t queue_us) {
    if (now >= turn_at_) {
      last_ = now < turn_at_ + k_turn ? current_ : Least();
      current_ = {};
      turn_at_ = now + k_turn;
    }
    current_.add(path, queue_us);
    // Its own newest sample, and what others have measured.
    queue_us_ = std::min(queue_us, std::min(current_.of_others(path), last_.of_others(path)));
    return queue_us_;
  }
  uint32_t queue_us() const { return in_flight == 0 ? 0 : queue_us_; }
  // It is that of the last turns.
  // Nothing: no path has measured it in the last turns.
  std::optional<UplinkUse> use(Instant now) const {
    if (in_flight == 0 || now >= turn_at_ + k_turn * 4) return std::nullopt;
    bool is_held_back = ledbat.in_slowdown() || is_used(in_flight);
    return UplinkUse{queue_us_, is_held_back ? ledbat.steady_window() : 0};
  }

 private:
  // The least value, and the least of another path.
  struct Least {
    uint32_t value = UINT32_MAX;
    uint32_t other = UINT32_MAX;
    uint16_t path = UINT16_MAX;
    void add(uint16_t from, uint32_t queue_us) {
      if (from == path) {
        value = std::min(value, queue_us);
      } else if (queue_us < value) {
        other = value;
        value = queue_us;
        path = from;
      } else {
        other = std::min(other, queue_us);
      }
    }
    uint32_t of_others(uint16_t than) const { return than == path ? other : value; }
  };
  Least current_;
  Least last_;
  Instant turn_at_;
  uint32_t queue_us_ = 0;
};

struct UtpPath : UtpWindow {
  static constexpr Duration k_peak_time = Duration::seconds(10);
  static constexpr uint32_t k_run_share = 4;  // of its window a path sends in one run, at most

  UtpPath(const IpAddress& remote, uint16_t number, UtpUplink& shared, const UtpLedbat::Options& options, uint16_t link_packet_max)
      : UtpWindow(of_path(options), UtpMtu(remote.is_v4(), link_packet_max).size()), address(remote), index(number), uplink(shared),
        target(options.target), mtu(remote.is_v4(), link_packet_max) {}

  const IpAddress address;
  const uint16_t index;  // in the engine
  UtpUplink& uplink;
  const Duration target;
  UtpMtu mtu;
  UtpBase round_trip;          // the shortest: without queue
  uint32_t queue_us = 0;       // of the last connection that measured it
  uint32_t queue_peak_us = 0;  // the longest of the last seconds
  Instant peak_at;
  uint32_t recent_us[2] = {0, 0};  // the longest of this round trip, and of the one before
  Instant turn_at;
  uint16_t users = 0;
  Instant progress_at;   // something of any connection was acknowledged
  UtpLine ready;         // connections with something to send
  bool in_line = false;  // in the engine's line of paths

  // 0: unknown.
  uint32_t base_rtt_us() const { return round_trip.is_known() ? round_trip.least() : 0; }
  // Room for payload now, in both windows; one packet if nothing is on its way.
  uint32_t budget() const {
    uint32_t own = in_flight == 0 ? std::max<uint32_t>(room(), mtu.size()) : room();
    uint32_t shared = uplink.in_flight == 0 ? std::max<uint32_t>(uplink.room(), mtu.size()) : uplink.room();
    return std::min({own, shared, run_max(), uplink.quantum(mtu.size())});
  }
  // Bytes of one run of this path. What one of many paths sends in a grain of time is a packet or two, each of which costs the machine as
  // much as a run. As long as the path has no queue of its own to speak of, its turn is a whole run instead: the uplink, which has a grain
  // of its own, sees the same packets in another order.
  uint32_t run_max() const {
    uint32_t out = quantum(mtu.size());
    uint32_t own_queue_us = queue_us - std::min(queue_us, uplink.queue_us());
    if (own_queue_us >= target.in_us() / 4) return out;
    return std::clamp(ledbat.window() / k_run_share, out, static_cast<uint32_t>(UtpRun::k_size_max));
  }
  uint32_t batch_of_both() const {
    return std::min(std::max<uint32_t>(mtu.size(), std::min(run_max() / 2, ledbat.window() / 4)), uplink.batch(mtu.size()));
  }
  // The size of packets has changed. The uplink's least window is two of the largest: one alone would wait for a delayed acknowledgement.
  void set_packet() {
    ledbat.set_packet(mtu.size());
    if (mtu.size() > uplink.ledbat.packet()) uplink.ledbat.set_packet(mtu.size());
  }
  void put_in_flight(uint32_t bytes) {
    in_flight += bytes;
    uplink.in_flight += bytes;
  }
  void take_from_flight(uint32_t bytes) {
    in_flight -= bytes;
    uplink.in_flight -= bytes;
  }
  bool is_no_queue(uint32_t queue) const { return queue < target.in_us() / 16; }
  void take_queue(Instant now, uint32_t measured_us) {
    queue_us = measured_us;
    if (now >= turn_at) {
      recent_us[1] = recent_us[0];
      recent_us[0] = 0;
      turn_at = now + Duration::us(last_rtt_us);
    }
    recent_us[0] = std::max(recent_us[0], measured_us);
    if (measured_us < queue_peak_us && now < peak_at + k_peak_time) return;
    queue_peak_us = measured_us;
    peak_at = now;
  }
  // What is found to be lost now was no overflow of a queue: there is hardly any, or it was shorter then than it has been lately.
  bool is_loss_random() const { return is_no_queue(queue_peak_us) || std::max(recent_us[0], recent_us[1]) < queue_peak_us / 4 * 3; }
  void take_round_trip(Instant now, uint32_t rtt_us) {
    add_round_trip(rtt_us);
    uplink.add_round_trip(rtt_us);
    // A path that begins while there is queue on the uplink must not take that for its length.
    if (!round_trip.is_known()) round_trip.add(now, rtt_us - std::min(rtt_us - 1, uplink.queue_us()));
    round_trip.add(now, rtt_us);
  }
  // A slowdown empties a queue of the path's own; the uplink's is the uplink's to empty.
  static UtpLedbat::Options of_path(UtpLedbat::Options options) {
    options.slowdown_queue_min = options.target / 4;
    return options;
  }
  void on_payload_sent(Instant now, uint32_t bytes) {
    on_sent(now, bytes);
    uplink.on_sent(now, bytes);
  }
};

}  // namespace millet
