#include "swarm/rate_gate.h"

#include "base/check.h"

namespace millet {

void RateGate::set_rate(Instant now, uint64_t bytes_per_second) {
  rate_ = bytes_per_second;
  bucket_.set(now, bytes_per_second, burst_of(bytes_per_second));
  if (!line_.empty()) ready_ = now;
}

bool RateGate::take(Instant now, uint32_t connection, uint32_t bytes) {
  CHECK(bytes <= k_bytes_max);
  auto granted = std::find(granted_.begin(), granted_.end(), connection);
  if (granted != granted_.end()) {
    granted_.erase(granted);
    return true;
  }
  if (line_.empty() && bucket_.take(now, bytes)) return true;
  for (const Waiting& waiting : line_) {
    if (waiting.connection == connection) return false;
  }
  if (line_.empty()) wait_for_batch(now);
  line_.push_back({connection, bytes});
  return false;
}

void RateGate::leave(uint32_t connection) {
  std::erase(granted_, connection);
  std::erase_if(line_, [connection](const Waiting& waiting) { return waiting.connection == connection; });
}

void RateGate::grant(Instant now, std::vector<uint32_t>& out) {
  if (line_.empty() || now < ready_) return;
  while (!line_.empty() && bucket_.take(now, line_.front().bytes)) {
    granted_.push_back(line_.front().connection);
    out.push_back(line_.front().connection);
    line_.pop_front();
  }
  if (!line_.empty()) wait_for_batch(now);
}

}  // namespace millet
