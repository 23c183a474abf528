#include "swarm/rate_gate.h"

#include <cstddef>
#include <utility>

#include "base/check.h"

namespace millet {

void RateGate::set_rate(Instant now, uint64_t bytes_per_second) {
  rate_ = bytes_per_second;
  bucket_.set(now, bytes_per_second, burst_of(bytes_per_second));
  if (!line_.empty()) ready_ = now;
}

bool RateGate::take(Instant now, uint32_t connection, uint32_t bytes) {
  CHECK(bytes <= k_bytes_max);
  for (Credit& credit : credits_) {
    if (credit.connection != connection || credit.bytes < bytes) continue;
    credit.bytes -= bytes;
    return true;
  }
  if (line_.empty() && bucket_.take(now, bytes)) return true;
  if (is_waiting(connection)) return false;
  if (line_.empty()) wait_for_batch(now);
  line_.push_back({connection, bytes});
  return false;
}

bool RateGate::is_waiting(uint32_t connection) const {
  for (const Waiting& waiting : line_) {
    if (waiting.connection == connection) return true;
  }
  return false;
}

void RateGate::leave(uint32_t connection) {
  for (Credit& credit : credits_) {
    if (credit.connection == connection) bucket_.give_back(std::exchange(credit.bytes, 0));
  }
  line_.erase_if([connection](const Waiting& waiting) { return waiting.connection == connection; });
}

void RateGate::grant(Instant now, std::vector<uint32_t>& out) {
  if (line_.empty() || now < ready_) return;
  for (const Credit& credit : credits_) bucket_.give_back(credit.bytes);
  credits_.clear();
  const size_t served = deal(now);
  for (size_t i = 0; i < served; ++i) out.push_back(line_[i].connection);
  line_.pop_front(served);
  if (!line_.empty()) wait_for_batch(now);
}

size_t RateGate::deal(Instant now) {
  const size_t n = line_.size();
  // Without a limit any number of rounds would be granted; one lets everybody go on.
  for (size_t i = 0; (i < n || !bucket_.unlimited()) && bucket_.take(now, line_[i % n].bytes); ++i) {
    const Waiting& waiting = line_[i % n];
    if (i < n)
      credits_.push_back({waiting.connection, waiting.bytes});
    else
      credits_[i % n].bytes += waiting.bytes;
  }
  return credits_.size();
}

}  // namespace millet
