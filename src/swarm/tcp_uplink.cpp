#include "swarm/tcp_uplink.h"

#include <algorithm>
#include <utility>

namespace millet {
namespace {

constexpr uint64_t k_quantum_min = 3 * 1024;  // two packets
constexpr uint64_t k_quantum_max = 64 * 1024;
constexpr uint64_t k_one = 64;  // factors are 64ths
constexpr uint64_t k_known_fades_by = 256;

}  // namespace

uint64_t TcpUplink::quantum() const { return std::clamp(rate_ / 100, k_quantum_min, k_quantum_max); }

void TcpUplink::set_rate(Instant now, uint64_t rate) {
  rate_ = std::clamp(rate, k_rate_least, k_rate_most);
  bucket_.set(now, rate_, 2 * quantum());
}

uint64_t TcpUplink::room(Instant now) {
  uint64_t level = bucket_.level(now);
  return level >= quantum() ? level : 0;
}

// Messages go out in any case: they may be more than there is room.
void TcpUplink::take(Instant now, Flow& flow, uint64_t bytes) {
  bucket_.take(now, std::min(bytes, bucket_.level(now)));
  flow.sent += bytes;
  if (!flow.marked_at.is_never()) return;
  flow.mark = flow.sent;
  flow.marked_at = now;
}

void TcpUplink::add(Instant now, Flow& flow, const Sample& sample) {
  uint64_t acknowledged = sample.acknowledged - std::min(sample.acknowledged, flow.acknowledged);
  uint64_t retransmitted = sample.retransmitted - std::min(sample.retransmitted, flow.retransmitted);
  flow.acknowledged = sample.acknowledged;
  flow.retransmitted = sample.retransmitted;
  // Without news the round trip is an old one.
  if (acknowledged != 0 && sample.round_trip_us != 0) {
    if (is_in_turn(now)) turn_.retransmitted += retransmitted;
    take_round_trip(now, flow, sample, acknowledged);
  }
  look_queue_us_ = std::min(look_queue_us_, flow.queue.of(turns_));
}

void TcpUplink::take_round_trip(Instant now, Flow& flow, const Sample& sample, uint64_t acknowledged) {
  uint32_t round_trip_us = sample.round_trip_us;
  if (!flow.marked_at.is_never() && sample.acknowledged >= flow.mark) {
    round_trip_us = static_cast<uint32_t>(std::min<int64_t>(round_trip_us, (now - flow.marked_at).in_us()));
    flow.marked_at = Instant::never();
  }
  if (!flow.base.is_known()) {
    flow.is_doubtful = queue_us_ >= target_us_ / 4;
    flow.stands = stands_;
    flow.base.add(now, std::max<uint32_t>(sample.round_trip_least_us, 1));
  }
  flow.base.add(now, round_trip_us);
  flow.is_doubtful = flow.is_doubtful && flow.stands == stands_;
  if (!is_in_turn(now)) return;
  turn_.acknowledged += acknowledged;
  turn_.byte_us += acknowledged * round_trip_us;
  if (flow.is_doubtful) {
    stand_back_at_ = earlier(stand_back_at_, stood_back_at_ + k_stand_back_least);
    return;
  }
  flow.queue.add(turns_, round_trip_us - flow.base.least());
  turn_.round_trip_us = std::min(turn_.round_trip_us, round_trip_us);
}

void TcpUplink::add_utp(Instant now, const UplinkUse& use) {
  if (!is_in_turn(now)) return;
  utp_queue_.add(turns_, use.queue_us);
  utp_window_.add(turns_, use.window);
  turn_.utp_is_free = turn_.utp_is_free || use.window == 0;
}

// The target for what we have in flight. If uTP beside us has less and wants more, ours is lower by some doublings of the difference: the
// two grow and give way in different steps, and look at the queue in different ways, which alone would decide who gets how much.
uint64_t TcpUplink::target_for(uint64_t window) const {
  constexpr unsigned k_steps = 4;
  constexpr uint64_t k_ratio_max = 64;  // with the steps, more than there is in the target
  uint64_t aimed_for = window;
  uint64_t utp = turn_.utp_is_free ? 0 : utp_window_.of(turns_);
  if (utp != 0 && utp < window) {
    uint64_t ratio = std::min(window * k_one / utp, k_ratio_max * k_one);
    for (unsigned i = 0; i < k_steps; ++i) aimed_for = std::min(aimed_for * ratio / k_one, k_window_most);
  }
  return uplink_target_us(k_uplink_target_most, aimed_for, k_window_least);
}

void TcpUplink::begin_turn(Instant at) {
  turn_ = {};
  turn_at_ = at;
  ++turns_;
}

void TcpUplink::on_look(Instant now, bool waiting) {
  bool was_idle = turn_at_.is_never() || now > looked_at_ + k_turn_max;
  looked_at_ = now;
  turn_.queue_us = std::exchange(look_queue_us_, UINT32_MAX);
  if (was_idle) {
    // Nothing of ours has been in the queue for a while.
    stand_back_at_ = now + k_stand_back_every;
    if (standing_until_.is_never()) ++stands_;
    begin_turn(now);
  }
  if (stand_back(now) || now < turn_at_) return;
  turn_.held_back = turn_.held_back || waiting;
  Duration taken = now - turn_at_;
  if (turn_.acknowledged == 0) {
    if (taken < k_silence) return;
    set_rate(now, rate_ / 2);
    begin_turn(now);
  } else if (taken >= k_turn_max || (taken >= k_turn_min && turn_.acknowledged >= k_turn_bytes)) {
    end_turn(now);
  }
}

// True while we do.
bool TcpUplink::stand_back(Instant now) {
  Duration round_trip = turn_.round_trip_us == UINT32_MAX ? k_turn_max : Duration::us(turn_.round_trip_us);
  if (!standing_until_.is_never()) {
    if (now < standing_until_) return true;
    standing_until_ = Instant::never();
    stood_back_at_ = now;
    stand_back_at_ = now + k_stand_back_every;
    ++stands_;
    set_rate(now, rate_before_);
    // What is acknowledged in the next round trip was sent while we stood back.
    begin_turn(now + round_trip);
    return true;
  }
  if (now < stand_back_at_) return false;
  rate_before_ = rate_;
  set_rate(now, rate_ / 8);
  standing_until_ = now + round_trip * 2 + k_turn_min / 2;
  return true;
}

void TcpUplink::end_turn(Instant now) {
  if (turn_.queue_us != UINT32_MAX) queue_us_ = turn_.queue_us;
  queue_us_ = std::min(queue_us_, utp_queue_.of(turns_));
  uint64_t taken_us = static_cast<uint64_t>(std::max<int64_t>((now - turn_at_).in_us(), 1));
  uint64_t through = turn_.acknowledged * 1'000'000 / taken_us;
  target_us_ = target_for(turn_.byte_us / taken_us);
  if (queue_us_ >= target_us_ / 4) known_ = std::max(through, known_ - known_ / k_known_fades_by);
  set_rate(now, next_rate(through));
  begin_turn(now);
}

uint64_t TcpUplink::next_rate(uint64_t through) const {
  uint64_t queue = queue_us_;
  if (queue >= target_us_ / 4 && turn_.retransmitted != 0) return through * 48 / k_one;  // a queue that is shorter than the target
  if (queue >= 2 * target_us_) return through / 2;
  if (queue >= target_us_) return through - through * 12 * (queue - target_us_) / (target_us_ * k_one);
  // A rate that nobody needed says nothing about the link.
  if (!turn_.held_back) return rate_;
  uint64_t gentle = through + through * 8 * (target_us_ - queue) / (target_us_ * k_one);
  if (queue >= target_us_ / 4) return gentle;
  // The farther below what the link is known to take, the faster.
  if (known_ != 0 && through >= known_ / 4 * 3) return std::max(rate_, gentle);
  if (known_ != 0 && through < known_ / 4) return std::max(rate_, 2 * through);
  return std::max(rate_, through * (queue < target_us_ / 8 ? 96 : 80) / k_one);
}

}  // namespace millet
