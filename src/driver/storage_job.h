// What the jobs of Storage have in common: the torrent stays while a job knows it, files that are open are used, files that a job opens
// are kept for the next. Not for use outside storage*.cpp.
#pragma once

#include "driver/storage.h"

namespace millet {

struct Storage::Torrent {
  // Read by jobs on workers: not changed after open().
  TorrentHandle handle = 0;
  std::string root;
  std::vector<TorrentFile> files;
  PieceLayout layout;
  // On the loop.
  uint32_t pins = 0;
  bool is_closed = false;
  bool made_empty = false;  // the empty files were made, or will be before the first block
  std::vector<uint8_t> dirty;  // true for files written or hashed since the last sync; empty until then
  std::vector<uint8_t> named;  // true for files whose names a sync has made durable; empty likewise
};

class StorageJob : public hal::Job {
 public:
  void done() final;

 protected:
  StorageJob(Storage& storage, Storage::Torrent& torrent);
  // On the loop, before the job is submitted: this file is going to be used.
  void expect(uint32_t index, bool writable);
  // On the worker. The file, open; valid until the next call.
  Result<hal::File*> file(uint32_t index, hal::OpenMode mode);
  // Reads a whole extent. Errors: as Files::open and File::read_at; io if the file is too short.
  Status read_extent(const FileExtent& extent, MutBytes out);
  Result<FileStates> states();
  const std::string& path(uint32_t index) const { return torrent_.files[index].path; }
  // On the loop, when the files are given back.
  virtual void finish() = 0;

  Storage& storage_;
  Storage::Torrent& torrent_;
  StorageEvents& events() { return storage_.events_; }
  hal::Files& files() { return storage_.files_; }
  CpuFeatures cpu() const { return storage_.cpu_; }

 private:
  struct Opened {
    uint32_t index;
    bool writable;
    std::unique_ptr<hal::File> file;
  };
  std::vector<OpenFiles::Entry*> pinned_;
  std::vector<Opened> opened_;
};

}  // namespace millet
