#include "driver/open_files.h"

namespace millet {

OpenFiles::Entry* OpenFiles::find(TorrentHandle torrent, uint32_t index, bool writable) {
  auto place = places_.find(key(torrent, index));
  if (place == places_.end()) return nullptr;
  Entry& entry = entries_[place->second];
  if (writable && !entry.writable) return nullptr;
  entry.used = ++clock_;
  return &entry;
}

void OpenFiles::unpin(Entry& entry) {
  CHECK(entry.pins > 0);
  if (--entry.pins == 0 && entry.is_stale) entry = {};
}

// Not found any more from here on; closed at once, or with its last pin.
void OpenFiles::remove(Entry& entry) {
  places_.erase(key(entry.torrent, entry.index));
  if (entry.pins == 0) {
    entry = {};
  } else {
    entry.is_stale = true;
  }
}

void OpenFiles::insert(TorrentHandle torrent, uint32_t index, std::unique_ptr<hal::File> file, bool writable) {
  auto there = places_.find(key(torrent, index));
  if (there != places_.end()) {
    if (entries_[there->second].writable || !writable) return;
    remove(entries_[there->second]);
  }
  Entry* best = nullptr;
  for (Entry& entry : entries_) {
    if (entry.file == nullptr) {
      best = &entry;
      break;
    }
    if (entry.pins == 0 && (best == nullptr || entry.used < best->used)) best = &entry;
  }
  if (best == nullptr) return;
  if (best->file != nullptr) remove(*best);
  best->torrent = torrent;
  best->index = index;
  best->file = std::move(file);
  best->writable = writable;
  best->used = ++clock_;
  places_[key(torrent, index)] = static_cast<size_t>(best - entries_.data());
}

void OpenFiles::drop(TorrentHandle torrent) {
  for (Entry& entry : entries_) {
    if (entry.file != nullptr && entry.torrent == torrent && !entry.is_stale) remove(entry);
  }
}

}  // namespace millet
