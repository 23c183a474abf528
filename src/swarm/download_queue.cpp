#include "swarm/download_queue.h"

namespace millet {

uint32_t DownloadQueue::room(Instant now, uint64_t rate) {
  bool measured = !first_block_.is_never() && now - first_block_ >= k_slow_start;
  if (measured) {
    uint64_t blocks = rate * 2 / k_block_size + k_requests_min;
    window_ = static_cast<uint32_t>(std::min<uint64_t>(blocks, k_requests_max));
  }
  uint32_t depth = std::max<uint32_t>(1, std::min({window_, limit_, k_requests_max}));
  return depth > size() ? depth - size() : 0;
}

bool DownloadQueue::remove(const wire::BlockRange& range) {
  for (auto it = open_.begin(); it != open_.end(); ++it) {
    if (it->range != range) continue;
    open_.erase(it);
    return true;
  }
  return false;
}

DownloadQueue::Answer DownloadQueue::on_block(Instant now, const wire::BlockRange& range) {
  if (remove(range)) {
    if (first_block_.is_never()) first_block_ = now;
    window_ = std::min(window_ + 1, k_requests_max);
    return Answer::asked;
  }
  auto late = std::find(late_.begin(), late_.end(), range);
  if (late == late_.end()) return Answer::unasked;
  late_.erase(late);
  return Answer::late;
}

bool DownloadQueue::on_reject(const wire::BlockRange& range) {
  if (remove(range)) return true;
  std::erase(late_, range);
  return false;
}

bool DownloadQueue::take_back(const wire::BlockRange& range) {
  if (!remove(range)) return false;
  if (late_.size() == k_late_max) late_.erase(late_.begin());
  late_.push_back(range);
  return true;
}

void DownloadQueue::take_back_all() {
  while (!open_.empty()) take_back(wire::BlockRange(open_.front().range));
}

}  // namespace millet
