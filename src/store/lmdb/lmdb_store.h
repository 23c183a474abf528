// The default store: one LMDB environment in a state folder, with LMDB's default durable flags (a power cut never loses what was
// committed; MDB_NOSYNC would leave a file on which LMDB crashes). One process per folder: an own lock file, because LMDB's needs a
// shared writable map, and because a second process is to be refused with a line that says so.
//
//   STATE/lock       flock()ed while the store is open; holds the process id
//   STATE/data.mdb   LMDB's file; depends on the word size and byte order of the machine
//   STATE/data.new   a data.mdb that is being made
#pragma once

#include <string>

#include "store/store.h"

struct MDB_env;

namespace millet {

class LmdbStore final : public Store {
 public:
  struct Options {
    // The map grows with the data, by doubling, up to this. A 32-bit process has 2 to 3 GiB of addresses for everything.
    uint64_t map_size_max = sizeof(void*) == 4 ? uint64_t{256} << 20 : uint64_t{1} << 40;
    // Walks the file in a child process first, because LMDB crashes on a damaged file instead of reporting it.
    bool probe = true;
  };

  // Opens the store of a state folder; makes the folder (0700, its parent must exist) and the file if they are missing.
  // Errors: conflict (another process has it open), denied (rights, read-only), no_room, io (also: damaged).
  static Result<std::unique_ptr<LmdbStore>> open(const std::string& folder, const Options& options);
  static Result<std::unique_ptr<LmdbStore>> open(const std::string& folder) { return open(folder, Options()); }

  ~LmdbStore() override;
  LmdbStore(const LmdbStore&) = delete;
  LmdbStore& operator=(const LmdbStore&) = delete;

  Result<std::unique_ptr<StoreTransaction>> begin_write() override;
  Result<std::unique_ptr<StoreTransaction>> begin_read() override;

 private:
  friend class LmdbTransaction;
  struct Table {
    std::string name;
    unsigned handle;
  };
  LmdbStore(std::string folder, int lock_fd, uint64_t map_size_max);
  Status create_file();
  Status open_environment();
  Status open_tables();
  Status grow_map();
  Result<std::unique_ptr<StoreTransaction>> begin(bool writable);

  std::string folder_;
  int lock_fd_;
  uint64_t map_size_max_;
  MDB_env* env_ = nullptr;
  std::vector<Table> tables_;
  bool busy_ = false;
};

}  // namespace millet
