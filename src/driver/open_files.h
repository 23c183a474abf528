// Open payload files, a bounded number of them: the least recently used is closed. On the loop's thread only; a job that uses a file on a
// worker pins it first.
#pragma once

#include <memory>
#include <unordered_map>
#include <vector>

#include "hal/files.h"
#include "node/io.h"

namespace millet {

class OpenFiles {
 public:
  struct Entry {
    TorrentHandle torrent = 0;
    uint32_t index = 0;               // of the file in its torrent
    std::unique_ptr<hal::File> file;  // empty: the place is free
    bool writable = false;
    bool is_stale = false;  // to be closed with the last pin, not found any more
    uint32_t pins = 0;
    uint64_t used = 0;  // larger is later
  };

  explicit OpenFiles(size_t files_max) : entries_(files_max) {}
  OpenFiles(const OpenFiles&) = delete;

  // Nothing if the file is not open, or not for writing where that is asked for. Valid until the next call that is not const.
  Entry* find(TorrentHandle torrent, uint32_t index, bool writable);
  // A pinned entry stays where it is, open.
  void pin(Entry& entry) { ++entry.pins; }
  void unpin(Entry& entry);
  // Keeps a file that was opened elsewhere; closes it if there is a better one already, or no room because all are pinned.
  void insert(TorrentHandle torrent, uint32_t index, std::unique_ptr<hal::File> file, bool writable);
  // Closes all files of a torrent.
  void drop(TorrentHandle torrent);
  size_t count() const { return places_.size(); }

 private:
  static uint64_t key(TorrentHandle torrent, uint32_t index) { return (uint64_t{torrent} << 32) | index; }
  void remove(Entry& entry);

  std::vector<Entry> entries_;                   // never grows: entries keep their address
  std::unordered_map<uint64_t, size_t> places_;  // of entries that can be found
  uint64_t clock_ = 0;
};

}  // namespace millet
