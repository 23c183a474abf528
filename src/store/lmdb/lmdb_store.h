// The default store: one LMDB environment in a state folder, with LMDB's default durable flags (a power cut never loses what was
// committed; MDB_NOSYNC would leave a file on which LMDB crashes). One process per folder writes: an own lock file, because LMDB's needs a
// shared writable map, which not every flash file system has, and because a second process is to be refused with a line that says so.
//
// With Options::shared others may read meanwhile (open_read_only), each a state of one moment: LMDB's lock file tells the writer which
// pages they still need. Its file grows as long as a reader's transaction lasts, by what is written meanwhile.
//
//   STATE/lock       flock()ed while the store is open for writing; holds the process id, and "shared"
//   STATE/lock.mdb   LMDB's table of readers, if it is shared; means nothing when no process has it open
//   STATE/data.mdb   LMDB's file; depends on the word size and byte order of the machine
//   STATE/data.new   a data.mdb that is being made
#pragma once

#include <string>

#include "store/lmdb/mapped_memory.h"
#include "store/store.h"

struct MDB_env;
struct MDB_txn;

namespace millet {

class LmdbStore final : public Store {
 public:
  struct Options {
    // The map grows with the data, by doubling, up to this. A 32-bit process has 2 to 3 GiB of addresses for everything.
    uint64_t map_size_max = sizeof(void*) == 4 ? uint64_t{256} << 20 : uint64_t{1} << 40;
    // Walks the file in a child process first, because LMDB crashes on a damaged file instead of reporting it.
    bool probe = true;
    // Other processes may read it. Needs a file system with shared memory maps.
    bool shared = false;
  };

  // Opens the store of a state folder; makes the folder (0700, its parent must exist) and the file if they are missing.
  // Errors: conflict (another process has it open), denied (rights, read-only), no_room, io (also: damaged).
  static Result<std::unique_ptr<LmdbStore>> open(const std::string& folder, const Options& options);
  static Result<std::unique_ptr<LmdbStore>> open(const std::string& folder) { return open(folder, Options()); }

  // Opens what is there for reading only, also while another process has it open as shared: begin_write() is denied. Requires: this process
  // has not opened the same folder otherwise. Errors: not_found, conflict (open, but not shared), denied, io (also: damaged).
  static Result<std::unique_ptr<LmdbStore>> open_read_only(const std::string& folder);

  ~LmdbStore() override;
  LmdbStore(const LmdbStore&) = delete;
  LmdbStore& operator=(const LmdbStore&) = delete;

  Result<std::unique_ptr<StoreTransaction>> begin_write() override;
  Result<std::unique_ptr<StoreTransaction>> begin_read() override;
  // Counted from LMDB's own books (page_use.h), so that it costs no more than a look at each table.
  uint64_t written_bytes() const override { return written_bytes_; }
  // The copy is a store of its own: data.mdb in `folder`, without the pages that are free.
  Status back_up(const std::string& folder) override;

 private:
  friend class LmdbTransaction;
  struct Table {
    std::string name;
    unsigned handle;
  };
  LmdbStore(std::string folder, int lock_fd, const Options& options);
  Status create_file();
  Status open_environment();
  Status open_tables();
  Status grow_map();
  void count_written();
  Result<std::unique_ptr<StoreTransaction>> begin(bool writable);

  bool is_read_only() const { return lock_fd_ < 0; }
  Result<MDB_txn*> begin_txn(bool writable);

  std::string folder_;
  int lock_fd_;  // -1: opened for reading only
  Options options_;
  MDB_env* env_ = nullptr;
  std::vector<Table> tables_;
  unsigned writes_ = 0;      // since dead readers were looked for
  uint64_t pages_used_ = 0;  // by all tables, as of the last commit
  uint64_t written_bytes_ = 0;
  bool busy_ = false;
  MappedMemory mapped_;
};

}  // namespace millet
