#include "driver/storage_job.h"

#include <algorithm>

namespace millet {
namespace {

// Files that a job brings back open. A piece over more files than this has files so small that opening them again costs little.
constexpr size_t k_opened_max = 8;

}  // namespace

StorageJob::StorageJob(Storage& storage, Storage::Torrent& torrent) : storage_(storage), torrent_(torrent) { ++torrent_.pins; }

void StorageJob::expect(uint32_t index, bool writable) {
  OpenFiles::Entry* entry = storage_.open_files_.find(torrent_.handle, index, writable);
  if (entry == nullptr || std::find(pinned_.begin(), pinned_.end(), entry) != pinned_.end()) return;
  storage_.open_files_.pin(*entry);
  pinned_.push_back(entry);
}

Result<hal::File*> StorageJob::file(uint32_t index, hal::OpenMode mode) {
  bool writable = mode != hal::OpenMode::read;
  for (OpenFiles::Entry* entry : pinned_) {
    if (entry->index == index && (entry->writable || !writable)) return entry->file.get();
  }
  for (Opened& opened : opened_) {
    if (opened.index == index && (opened.writable || !writable)) return opened.file.get();
  }
  // Where its disk was taken away, a download must not go on in the folder that it was mounted on.
  if (mode == hal::OpenMode::create) TRY(files().takes_payload(torrent_.root));
  TRY_ASSIGN(std::unique_ptr<hal::File> file, storage_.files_.open(torrent_.root, path(index), mode));
  if (opened_.size() == k_opened_max) opened_.erase(opened_.begin());
  opened_.push_back({index, writable, std::move(file)});
  return opened_.back().file.get();
}

Status StorageJob::read_extent(const FileExtent& extent, MutBytes out) {
  TRY_ASSIGN(hal::File * from, file(extent.file, hal::OpenMode::read));
  TRY_ASSIGN(size_t got, from->read_at(extent.offset, out.first(extent.length)));
  if (got == extent.length) return ok;
  return error(Errc::io, "'" + torrent_.root + "/" + path(extent.file) + "' ends at byte " + std::to_string(extent.offset + got) +
                             ", the torrent says " + std::to_string(torrent_.layout.file_size(extent.file)) + ": verify the torrent");
}

Result<FileStates> StorageJob::states() {
  FileStates states;
  states.reserve(torrent_.files.size());
  for (const TorrentFile& entry : torrent_.files) {
    Result<hal::FileInfo> info = files().info(torrent_.root, entry.path);
    if (!info && info.error().code != Errc::not_found) return std::move(info).error();
    if (info && info->is_directory) {
      return error(Errc::conflict,
                   "'" + torrent_.root + "/" + entry.path + "' is a folder, the torrent says that it is a file: move it away");
    }
    states.emplace_back();
    if (info) states.back() = FileState{info->size, info->modified_ns};
  }
  return states;
}

void StorageJob::done() {
  for (OpenFiles::Entry* entry : pinned_) storage_.open_files_.unpin(*entry);
  if (!torrent_.is_closed) {
    for (Opened& opened : opened_) {
      storage_.open_files_.insert(torrent_.handle, opened.index, std::move(opened.file), opened.writable);
    }
  }
  finish();
  storage_.unpin(torrent_);
}

}  // namespace millet
