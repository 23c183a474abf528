#include "driver/utp_journal.h"

#include <algorithm>

namespace millet {

void UtpJournal::add(Bytes head, const std::optional<BlockRef>& block) {
  CHECK(!head.empty() || block);
  // Small messages one after the other are one entry.
  bool joins = first_ < entries_.size() && entries_.back().block.length == 0;
  if (!joins) {
    Entry entry;
    entry.begin = end_;
    entry.head_at = heads_begin_ + heads_.size();
    entries_.push_back(entry);
  }
  Entry& entry = entries_.back();
  entry.head_size += static_cast<uint32_t>(head.size());
  heads_.insert(heads_.end(), head.begin(), head.end());
  if (block) {
    entry.block = *block;
    ++blocks_;
  }
  end_ = entry.end();
}

void UtpJournal::trim(uint64_t acknowledged) {
  while (first_ < entries_.size() && entries_[first_].end() <= acknowledged) {
    if (entries_[first_].block.length != 0) --blocks_;
    ++first_;
  }
  // Moved only when half is gone, so that a byte is moved once on average.
  if (first_ * 2 < entries_.size() || first_ == 0) return;
  uint64_t heads_kept = first_ < entries_.size() ? entries_[first_].head_at : heads_begin_ + heads_.size();
  heads_.erase(heads_.begin(), heads_.begin() + static_cast<std::ptrdiff_t>(heads_kept - heads_begin_));
  heads_begin_ = heads_kept;
  entries_.erase(entries_.begin(), entries_.begin() + static_cast<std::ptrdiff_t>(first_));
  first_ = 0;
  if (heads_.empty() && heads_.capacity() > k_heads_kept_max) heads_ = {};
}

void UtpJournal::gather(uint64_t offset, MutBytes out, std::vector<BlockRef>& blocks, std::vector<MutBytes>& places) const {
  CHECK(offset + out.size() <= end_);
  auto after = std::upper_bound(entries_.begin() + static_cast<std::ptrdiff_t>(first_), entries_.end(), offset,
                                [](uint64_t at, const Entry& entry) { return at < entry.begin; });
  CHECK(after != entries_.begin() + static_cast<std::ptrdiff_t>(first_));
  for (auto entry = after - 1; !out.empty(); ++entry) {
    uint64_t within = offset - entry->begin;
    if (within < entry->head_size) {
      size_t size = std::min<size_t>(out.size(), entry->head_size - static_cast<size_t>(within));
      std::memcpy(out.data(), heads_.data() + (entry->head_at - heads_begin_) + within, size);
      out = out.subspan(size);
      offset += size;
      within += size;
    }
    if (out.empty() || within >= entry->head_size + uint64_t{entry->block.length}) continue;
    uint32_t skipped = static_cast<uint32_t>(within - entry->head_size);
    uint32_t size = static_cast<uint32_t>(std::min<size_t>(out.size(), entry->block.length - skipped));
    blocks.push_back({entry->block.torrent, entry->block.piece, entry->block.begin + skipped, size});
    places.push_back(out.first(size));
    out = out.subspan(size);
    offset += size;
  }
}

}  // namespace millet
