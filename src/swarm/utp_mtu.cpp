#include "swarm/utp_mtu.h"

#include <algorithm>

namespace millet {
namespace {

// IP packet sizes that links have, so that the search ends after one to three probes instead of a bisection: 9000 jumbo frames, 1500
// Ethernet, 1492 PPPoE, 1480 tunnels with an IPv4 header, 1460 and 1420 with more (WireGuard), 1400 and 1360 what carriers use. Beyond
// them: the base.
constexpr uint16_t k_steps[] = {9000, 1500, 1492, 1480, 1460, 1420, 1400, 1360};
constexpr uint16_t k_base_packet = 1280;  // RFC 8200: what IPv6 always passes; nothing in use has less for IPv4
constexpr uint16_t k_v4_overhead = 28;
constexpr uint16_t k_v6_overhead = 48;

}  // namespace

UtpMtu::UtpMtu(bool v4, uint16_t link_max)
    : overhead_(v4 ? k_v4_overhead : k_v6_overhead), base_(static_cast<uint16_t>(std::min(k_base_packet, link_max) - overhead_)),
      size_(base_), limit_(UINT16_MAX), link_max_(link_max) {
  choose(Instant());
}

// The largest step between what passes and what does not.
void UtpMtu::choose(Instant now) {
  in_flight_ = false;
  lost_ = 0;
  probe_ = 0;
  uint16_t own = static_cast<uint16_t>(link_max_ - overhead_);
  if (own < limit_ && own > size_) probe_ = own;
  for (uint16_t step : k_steps) {
    uint16_t candidate = static_cast<uint16_t>(step - overhead_);
    if (probe_ == 0 && candidate < own && candidate < limit_ && candidate > size_) probe_ = candidate;
  }
  if (probe_ == 0) search_at_ = now + k_retry;
}

uint16_t UtpMtu::probe(Instant now) const {
  if (in_flight_ && now < sent_at_ + k_probe_time) return 0;
  if (probe_ == 0 && now >= search_at_ && size_ < link_max_ - overhead_) {
    // The path may have become wider: the search begins again.
    UtpMtu again = *this;
    again.limit_ = UINT16_MAX;
    again.choose(now);
    return again.probe_;
  }
  return probe_;
}

void UtpMtu::on_probe_sent(Instant now) {
  if (probe_ == 0) {
    limit_ = UINT16_MAX;
    choose(now);
  }
  in_flight_ = true;
  sent_at_ = now;
}

void UtpMtu::on_probe_arrived(Instant now) {
  if (!in_flight_) return;
  if (probe_ != 0) size_ = std::max(size_, probe_);
  choose(now);
}

void UtpMtu::on_probe_lost(Instant now) {
  if (!in_flight_) return;
  in_flight_ = false;
  bool is_first = probe_ + overhead_ == link_max_;
  if (probe_ == 0 || (++lost_ < k_first_probes_max && is_first)) return;
  limit_ = probe_;
  choose(now);
}

void UtpMtu::on_refused(Instant now, uint16_t size) {
  limit_ = std::min(limit_, size);
  if (size_ >= limit_) size_ = base_;
  choose(now);
}

bool UtpMtu::on_timeout(Instant now, uint16_t size) {
  if (size <= base_ || size_ <= base_ || ++timeouts_ < k_timeouts_max) return false;
  timeouts_ = 0;
  limit_ = size_;
  size_ = base_;
  choose(now);
  return true;
}

}  // namespace millet
