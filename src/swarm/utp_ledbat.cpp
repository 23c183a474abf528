#include "swarm/utp_ledbat.h"

#include <algorithm>

namespace millet {
namespace {

// On a path of a fraction of a millisecond the slowdown is over at once; there is no use in one every few milliseconds.
constexpr Duration k_slowdown_pause_min = Duration::seconds(1);

}  // namespace

UtpLedbat::UtpLedbat(const Options& options, uint32_t packet)
    : options_(options), packet_(packet), window_(least()), threshold_(static_cast<uint64_t>(options.window_max) << k_shift) {}

void UtpLedbat::clamp() {
  window_ = std::clamp(window_, least(), std::max(least(), static_cast<uint64_t>(options_.window_max) << k_shift));
}

void UtpLedbat::shrink_to(uint32_t in_flight) {
  window_ = std::max(least(), std::min(window_, static_cast<uint64_t>(in_flight) << k_shift));
}

uint64_t UtpLedbat::target_us() const {
  if (options_.classic) return static_cast<uint64_t>(options_.target.in_us());
  return uplink_target_us(options_.target, window_, least());
}

// LEDBAT++ section 4.2: GAIN = 1 / min(16, ceil(2 * TARGET / base)). Never faster than Reno.
uint32_t UtpLedbat::gain_divisor(uint32_t base_rtt_us) const {
  if (options_.classic) return 1;
  if (base_rtt_us == 0) return k_gain_divisor_max;
  uint64_t twice = static_cast<uint64_t>(2 * options_.target.in_us());
  return static_cast<uint32_t>(std::clamp<uint64_t>((twice + base_rtt_us - 1) / base_rtt_us, 1, k_gain_divisor_max));
}

// Slow start: GAIN bytes per byte acknowledged (LEDBAT++ section 4.1).
void UtpLedbat::grow(const Ack& ack) { window_ += (static_cast<uint64_t>(ack.bytes) << k_shift) / gain_divisor(ack.base_rtt_us); }

// LEDBAT++ section 4.3, per round trip: W += max(GAIN - W * (delay / target - 1), -W / 2), spread over the bytes of the window.
void UtpLedbat::avoid(const Ack& ack) {
  uint64_t window_bytes = window_ >> k_shift;
  uint64_t target = target_us();
  uint32_t divisor = gain_divisor(ack.base_rtt_us);
  // Where there is no queue at all there is nobody to be gentle to: Reno's gain. Not on a short path: there a window is full in no time,
  // and what looks like no queue is somebody's slowdown, who is about to measure the path.
  if (ack.no_queue && ack.base_rtt_us >= target / 4) divisor = 1;
  uint64_t gain = (static_cast<uint64_t>(packet_) * ack.bytes << k_shift) / (window_bytes * divisor);
  if (ack.queue_us <= target) {
    if (ack.limited) window_ += gain;
    return;
  }
  if (!ack.limited) shrink_to(ack.in_flight);
  uint64_t over = std::min<uint64_t>(ack.queue_us - target, target);
  uint64_t loss = (static_cast<uint64_t>(ack.bytes) << k_shift) / target * over;
  loss = loss > gain ? loss - gain : 0;
  loss = std::min(loss, (static_cast<uint64_t>(ack.bytes) << k_shift) / 2);
  window_ -= std::min(loss, window_);
}

// RFC 6817 section 2.4.2: W += GAIN * (target - delay) / target * acknowledged * MSS / W.
void UtpLedbat::avoid_classic(const Ack& ack) {
  int64_t target = static_cast<int64_t>(target_us());
  int64_t off = std::max<int64_t>(target - static_cast<int64_t>(ack.queue_us), -target);
  if (off > 0 && !ack.limited) return;
  int64_t step = static_cast<int64_t>((uint64_t{packet_} * ack.bytes << k_shift) / (window_ >> k_shift));
  int64_t change = step / target * off;
  window_ = change < 0 && static_cast<uint64_t>(-change) > window_ ? 0 : window_ + static_cast<uint64_t>(change);
}

void UtpLedbat::end_slow_start(Instant now, const Ack& ack) {
  Duration pause = Duration::us(2 * static_cast<int64_t>(ack.rtt_us));
  if (phase_ == Phase::ramp && was_slow_) pause = std::max((now - slowdown_since_) * k_slowdown_factor, k_slowdown_pause_min);
  // The queue that stayed was another's: the next time for him.
  if (was_futile_) pause = pause * k_futile_factor;
  was_futile_ = false;
  phase_ = Phase::avoidance;
  if (!options_.classic) slowdown_at_ = now + pause;
}

// LEDBAT++ section 4.4.
void UtpLedbat::start_slowdown(Instant now, const Ack& ack) {
  phase_ = Phase::freeze;
  threshold_ = window_;
  window_ = least();
  slowdown_since_ = now;
  was_slow_ = true;
  slowdown_at_ = Instant::never();
  // The first round trip is still one with our queue, the second one without.
  freeze_until_ = now + Duration::us(static_cast<int64_t>(ack.rtt_us) + (ack.base_rtt_us != 0 ? ack.base_rtt_us : ack.rtt_us));
}

// True if the window is not to change otherwise.
bool UtpLedbat::on_phase(Instant now, const Ack& ack) {
  if (phase_ == Phase::freeze) {
    if (now < freeze_until_) return true;
    phase_ = Phase::ramp;
    was_futile_ = ack.queue_us > target_us() / 2;
  }
  bool is_due = phase_ == Phase::avoidance && now >= slowdown_at_ && ack.limited;
  if (is_due && static_cast<int64_t>(ack.queue_us) >= options_.slowdown_queue_min.in_us()) {
    start_slowdown(now, ack);
    return true;
  }
  return false;
}

void UtpLedbat::on_ack(Instant now, const Ack& ack) {
  if (on_phase(now, ack)) return;
  uint64_t target = target_us();
  if (phase_ == Phase::slow_start && ack.queue_us > target * 3 / 4) end_slow_start(now, ack);
  if (phase_ == Phase::ramp && ack.queue_us > target) end_slow_start(now, ack);
  if (phase_ == Phase::slow_start || phase_ == Phase::ramp) {
    if (ack.limited) grow(ack);
    if (window_ >= threshold_) {
      window_ = threshold_;
      end_slow_start(now, ack);
    }
  } else if (options_.classic) {
    avoid_classic(ack);
  } else {
    avoid(ack);
  }
  clamp();
}

void UtpLedbat::on_loss(Instant now, Instant sent_at, uint32_t in_flight, bool random) {
  if (was_cut_ && sent_at <= cut_at_) return;
  undo_window_ = window_;
  undo_threshold_ = threshold_;
  was_cut_ = true;
  cut_at_ = now;
  if (in_slowdown() && was_slow_ && sent_at <= slowdown_since_) {
    // What was lost belonged to the window from before the slowdown: that one shrinks.
    threshold_ = std::max(threshold_ / 2, least());
    return;
  }
  shrink_to(in_flight);
  window_ = random && !options_.classic ? window_ - window_ / k_random_loss_share : window_ / 2;
  clamp();
  threshold_ = window_;
  if (phase_ == Phase::slow_start || phase_ == Phase::ramp) {
    if (!options_.classic) slowdown_at_ = now + k_slowdown_pause_min;
    phase_ = Phase::avoidance;
  }
}

void UtpLedbat::on_timeout(Instant now, uint32_t in_flight) {
  undo_window_ = window_;
  undo_threshold_ = threshold_;
  was_cut_ = true;
  cut_at_ = now;
  if (!in_slowdown()) shrink_to(in_flight);
  threshold_ = std::max(in_slowdown() ? threshold_ / 2 : window_ / 2, least());
  window_ = least();
  phase_ = Phase::ramp;
  slowdown_since_ = now;
  was_slow_ = false;
}

void UtpLedbat::undo() {
  if (undo_window_ == 0) return;
  if (phase_ != Phase::freeze) window_ = std::max(window_, undo_window_);
  threshold_ = std::max(threshold_, undo_threshold_);
  undo_window_ = 0;
  clamp();
}

void UtpLedbat::on_idle() {
  if (window_ <= 2 * least()) return;
  if (!in_slowdown()) threshold_ = std::max(window_ / 4 * 3, least());
  window_ = std::max(window_ / 2, least());
  if (phase_ == Phase::avoidance) {
    phase_ = Phase::ramp;
    was_slow_ = false;
  }
}

}  // namespace millet
