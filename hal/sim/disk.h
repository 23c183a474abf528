// One machine's disk and page cache: files in memory that behave like files on a disk when it is slow, full, cold, broken or loses power.
//
// Contents are kept as a running program sees them, with the old content of every page written since the file's last sync beside them: a
// power cut goes back to those pages (or keeps some, as a real disk may have written them already), a killed process changes nothing.
// This is the mechanism; hal/sim/files.h puts hal::Files over it.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/random.h"
#include "base/time.h"

namespace millet::sim {

struct DiskOptions {
  Duration access = Duration::us(200);  // one read that misses the cache, before its bytes; a spinning disk: 8 ms
  uint64_t rate = 200'000'000;          // bytes per second, reading and syncing
  Duration sync = Duration::ms(2);
  uint64_t capacity = uint64_t{4} * 1024 * 1024 * 1024;
  bool knows_cached = true;  // false: the kernel can't tell what is cached (read_cached: unsupported)
};

using InodeId = uint64_t;

class Disk {
 public:
  static constexpr size_t k_page_size = 4096;

  Disk(const DiskOptions& options, Random random) : options_(options), random_(random) {}

  // ---- what tests arrange ----
  // A file that was there before: durable, cold (nothing cached).
  void install(const std::string& path, Bytes bytes, int64_t modified_ns);
  // A folder that was there before.
  void install_folder(const std::string& path) { add_folders(path + "/", true); }
  // The content as a program sees it; nothing if there is no such file.
  const std::vector<uint8_t>* content(const std::string& path) const;
  bool exists(const std::string& path) const { return names_.contains(path) || folders_.contains(path); }
  // The page cache forgets everything (memory pressure; also part of a power cut).
  void drop_cache();
  void set_options(const DiskOptions& options) { options_ = options; }
  const DiskOptions& options() const { return options_; }
  // Reads of this file fail from now on / work again.
  void set_read_error(const std::string& path, bool broken);
  // Writes are refused (a file system that was remounted read-only).
  void set_read_only(bool read_only) { read_only_ = read_only; }
  // Every operation fails with io (a disk that was pulled).
  void set_gone(bool gone) { gone_ = gone; }
  // Not readable by this program (mode bits).
  void set_denied(const std::string& path, bool denied);
  // Unsynced pages are lost, except that each is kept with a chance of kept_percent (the disk had written it on its own).
  void power_cut(uint32_t kept_percent);
  uint64_t used() const { return used_pages_ * k_page_size; }

  // ---- what files.cpp uses; paths are absolute and clean ----
  // Errors: not_found, denied, io, conflict (a folder has this name).
  Result<InodeId> open(const std::string& path, bool writable, bool create, int64_t now_ns);
  void close(InodeId id);
  Result<size_t> read(InodeId id, uint64_t offset, MutBytes out, bool cached_only);
  // Puts a range into the page cache (read-ahead).
  void warm(InodeId id, uint64_t offset, uint64_t length);
  // Bytes of this range that are not cached: what a read has to wait for.
  uint64_t cold_bytes(InodeId id, uint64_t offset, size_t size) const;
  Status write(InodeId id, uint64_t offset, Bytes bytes, int64_t now_ns);
  Status resize(InodeId id, uint64_t size, int64_t now_ns);
  Status sync(InodeId id);
  // Makes the names in a folder durable: until then a power cut takes a new file or folder away with what is in it, synced or not (POSIX;
  // some file systems are kinder).
  Status sync_folder(const std::string& path);
  // Only this one name.
  void sync_name(const std::string& path) { new_names_.erase(path); }
  uint64_t dirty_bytes(InodeId id) const;
  struct Info {
    uint64_t size = 0;
    int64_t modified_ns = 0;
    bool is_directory = false;
  };
  Result<Info> info(InodeId id) const;
  Result<Info> info(const std::string& path) const;
  Status remove(const std::string& path);
  Result<std::vector<std::string>> list(const std::string& path) const;
  // When an operation of this length, asked for now, is over: the disk does one at a time.
  Instant occupy(Instant now, Duration cost);
  // Operations so far: what wakes a disk that sleeps.
  uint64_t accesses() const { return accesses_; }

 private:
  struct Inode {
    std::string path;  // for error texts
    std::vector<uint8_t> data;
    int64_t modified_ns = 0;
    std::vector<bool> cached;
    std::vector<bool> allocated;  // false: a hole
    // What a power cut goes back to.
    std::map<uint64_t, std::vector<uint8_t>> old_pages;
    uint64_t synced_size = 0;
    int64_t synced_modified_ns = 0;
    bool linked = true;
    uint32_t opened = 0;
  };

  Status usable(const std::string& path) const;
  Status writable(const std::string& path) const;
  Inode& inode(InodeId id) { return inodes_.at(id); }
  const Inode& inode(InodeId id) const { return inodes_.at(id); }
  void grow(Inode& file, uint64_t size);
  void save_page(Inode& file, uint64_t page);
  void release(InodeId id);
  void add_folders(const std::string& path, bool durable);
  bool name_durable(const std::string& path) const;

  DiskOptions options_;
  Random random_;
  std::map<InodeId, Inode> inodes_;
  std::map<std::string, InodeId> names_;
  std::set<std::string> folders_;
  std::set<std::string> new_names_;  // of files and folders: not durable yet
  std::set<std::string> read_errors_;
  std::set<std::string> denied_;
  InodeId next_inode_ = 1;
  uint64_t used_pages_ = 0;
  Instant busy_until_;
  uint64_t accesses_ = 0;
  bool read_only_ = false;
  bool gone_ = false;
};

}  // namespace millet::sim
