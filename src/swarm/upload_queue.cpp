#include "swarm/upload_queue.h"

namespace millet {

bool UploadQueue::push(const wire::BlockRange& range) {
  if (count_ == k_requests_max) return false;
  if (count_ == ring_.size()) grow();
  ring_[place(count_)] = range;
  ++count_;
  return true;
}

void UploadQueue::pop() {
  CHECK(count_ > 0);
  head_ = place(1);
  --count_;
}

bool UploadQueue::cancel(const wire::BlockRange& range) {
  for (uint32_t i = 0; i < count_; ++i) {
    if (ring_[place(i)] != range) continue;
    for (uint32_t j = i + 1; j < count_; ++j) ring_[place(j - 1)] = ring_[place(j)];
    --count_;
    return true;
  }
  return false;
}

void UploadQueue::clear() {
  ring_ = {};
  head_ = 0;
  count_ = 0;
}

void UploadQueue::grow() {
  std::vector<wire::BlockRange> larger(ring_.empty() ? k_first_capacity : ring_.size() * 2);
  for (uint32_t i = 0; i < count_; ++i) larger[i] = ring_[place(i)];
  ring_ = std::move(larger);
  head_ = 0;
}

}  // namespace millet
