// The payload of all torrents: which bytes of which file a block is, and every access to them. What may wait for a disk is a job; the one
// thing that the loop reads itself is what the system holds in memory already (read_cached).
//
// Calls and events are on the loop's thread. Every job is answered once, in any order, also after close().
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "crypto/hash.h"
#include "driver/open_files.h"
#include "hal/executor.h"
#include "hal/files.h"
#include "node/io.h"

namespace millet {

class StorageEvents {
 public:
  virtual ~StorageEvents() = default;
  // `data` holds the block if `status` is ok; the vector is the one that read() got.
  virtual void on_block_read(PeerHandle peer, const BlockRef& block, const Status& status, std::vector<uint8_t> data) = 0;
  virtual void on_block_written(Ticket ticket, const Status& status) = 0;
  virtual void on_piece_hashed(Ticket ticket, const Result<Sha1Digest>& digest) = 0;
  virtual void on_files_checked(Ticket ticket, const Result<FileStates>& files) = 0;
  virtual void on_files_deleted(const std::string& root, const Status& status) = 0;
};

class Storage {
 public:
  // Requires: all outlive it, and no job of it runs any more when it is destroyed.
  Storage(hal::Files& files, hal::Executor& executor, CpuFeatures cpu, StorageEvents& events, size_t open_files_max);
  ~Storage();
  Storage(const Storage&) = delete;

  // Requires: the handle is new, and the sizes are of a valid torrent. Touches no file.
  void open(OpenTorrent request);
  void close(TorrentHandle torrent, bool delete_files);

  // Reads blocks as far as that needs no waiting; the number of blocks, from the first on, that are there whole. Less than all: the next
  // one is cold, or can't be read, which read() will tell. Requires: blocks.size() == out.size(), and each of `out` has its block's length.
  size_t read_cached(std::span<const BlockRef> blocks, std::span<const MutBytes> out);

  // Where a block lies, if that is one place of one open file that the page cache holds.
  struct CachedPlace {
    hal::File* file = nullptr;
    uint64_t offset = 0;
  };
  std::optional<CachedPlace> find_cached(const BlockRef& block);

  // Whether a cold block brings its neighbours into the page cache.
  void set_read_ahead(bool on) { read_ahead_ = on; }

  // The jobs. `buffer` is used for the block and comes back.
  void read(PeerHandle peer, const BlockRef& block, std::vector<uint8_t> buffer);
  void write(WriteBlock request);
  void hash(const HashPiece& request);
  void check(const CheckFiles& request);
  void sync(const SyncTorrent& request);

  size_t open_file_count() const { return open_files_.count(); }

  struct Torrent;

 private:
  friend class StorageJob;
  class HashJob;
  Torrent& find(TorrentHandle handle);
  void unpin(Torrent& torrent);
  void submit_held_hash();
  void on_hash_job_done();

  hal::Files& files_;
  hal::Executor& executor_;
  CpuFeatures cpu_;
  StorageEvents& events_;
  bool read_ahead_ = true;
  OpenFiles open_files_;
  std::unordered_map<TorrentHandle, std::unique_ptr<Torrent>> torrents_;
  // A piece waits, while others are being hashed, for one that can be hashed in step with it.
  std::unique_ptr<HashJob> held_hash_;
  uint32_t hash_jobs_ = 0;  // submitted and not done
};

}  // namespace millet
