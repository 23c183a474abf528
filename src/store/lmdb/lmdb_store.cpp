#include "store/lmdb/lmdb_store.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include <fcntl.h>
#include <lmdb.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/file_owner.h"
#include "store/lmdb/lmdb_error.h"
#include "store/lmdb/page_use.h"
#include "store/lmdb/place.h"
#include "store/lmdb/probe.h"

namespace millet {
namespace {

constexpr unsigned k_tables_max = 64;
constexpr uint64_t k_map_size_min = uint64_t{16} << 20;
// Free room in the map that a write transaction starts with; the largest batch of the ledger (512 operations) writes below 8 MiB.
constexpr uint64_t k_map_room_min = uint64_t{8} << 20;
// A reader that was killed keeps its pages until somebody looks; some seconds of commits.
constexpr unsigned k_writes_between_reader_checks = 256;
// Whoever wants to read holds the lock for a moment to see whether somebody writes (has_writer).
constexpr int k_lock_tries = 5;
constexpr useconds_t k_lock_wait_us = 10'000;
constexpr std::string_view k_shared_mark = " shared\n";

Error system_error(int code, const std::string& doing) { return lmdb_error(code, doing); }

struct LockOwner {
  std::string process;  // empty: not known
  bool shares = false;
};

LockOwner lock_owner(int fd) {
  char text[32];
  ssize_t size = pread(fd, text, sizeof text, 0);
  LockOwner owner;
  std::string_view rest(text, size > 0 ? static_cast<size_t>(size) : 0);
  while (!rest.empty() && rest[0] >= '0' && rest[0] <= '9') owner.process.push_back(rest[0]), rest.remove_prefix(1);
  owner.shares = rest == k_shared_mark;
  return owner;
}

Error in_use(const std::string& folder, const LockOwner& owner) {
  return error(Errc::conflict, "state folder " + folder + " is in use by another process" +
                                   (owner.process.empty() ? "" : " (" + owner.process + ")") +
                                   ": stop it, or choose another folder with --state");
}

// Makes the folder's entries (a new file, the folder itself) durable.
void sync_folder(const std::string& folder) {
  int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  fsync(fd);
  close(fd);
}

Result<int> lock_folder(const std::string& folder, bool shared) {
  if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) return system_error(errno, "make the state folder " + folder);
  std::string path = folder + "/lock";
  int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return system_error(errno, "write in the state folder " + folder);
  give_to_owner_of(folder + "/data.mdb", fd);
  int locked = flock(fd, LOCK_EX | LOCK_NB);
  for (int i = 0; locked != 0 && errno == EWOULDBLOCK && i < k_lock_tries; ++i) {
    usleep(k_lock_wait_us);
    locked = flock(fd, LOCK_EX | LOCK_NB);
  }
  if (locked != 0) {
    int code = errno;
    LockOwner owner = lock_owner(fd);
    close(fd);
    if (code != EWOULDBLOCK) return system_error(code, "lock the state folder " + folder);
    return in_use(folder, owner);
  }
  std::string owner = std::to_string(getpid()) + std::string(shared ? k_shared_mark : "\n");
  // The id is only for the message to a second process; on a full disk it may be missing.
  if (ftruncate(fd, 0) != 0 || pwrite(fd, owner.data(), owner.size(), 0) < 0) return fd;
  return fd;
}

// Whether a process has the folder open for writing. Errors: conflict (it does not share it).
Result<bool> has_writer(const std::string& folder) {
  int fd = open((folder + "/lock").c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return false;
  bool free = flock(fd, LOCK_SH | LOCK_NB) == 0;
  LockOwner owner = lock_owner(fd);
  close(fd);
  if (!free && !owner.shares) return in_use(folder, owner);
  return !free;
}

// LMDB reports a short write as EIO. What the system says to a longer file tells a full disk from a broken one.
int write_error(MDB_env* env, int code) {
  int fd = -1;
  struct stat info {};
  if (code != EIO || mdb_env_get_fd(env, &fd) != 0 || fstat(fd, &info) != 0) return code;
  int room = posix_fallocate(fd, info.st_size, static_cast<off_t>(k_map_room_min));
  if (room == 0) return ftruncate(fd, info.st_size) == 0 ? code : errno;
  return room == ENOSPC || room == EDQUOT || room == EFBIG ? room : code;
}

MDB_val to_val(Bytes bytes) { return {bytes.size(), const_cast<uint8_t*>(bytes.data())}; }
Bytes from_val(const MDB_val& value) { return {static_cast<const uint8_t*>(value.mv_data), value.mv_size}; }

}  // namespace

class LmdbTransaction final : public StoreTransaction {
 public:
  LmdbTransaction(LmdbStore& store, MDB_txn* txn, bool writable) : store_(store), txn_(txn), writable_(writable) { store_.busy_ = true; }
  LmdbTransaction(const LmdbTransaction&) = delete;
  LmdbTransaction& operator=(const LmdbTransaction&) = delete;
  ~LmdbTransaction() override {
    if (txn_ != nullptr) mdb_txn_abort(txn_);
    store_.busy_ = false;
  }

  Result<std::optional<Bytes>> get(const char* table, Bytes key) override {
    TRY(usable());
    std::optional<MDB_dbi> handle = find(table);
    if (!handle) return std::optional<Bytes>();
    MDB_val k = to_val(key), value{};
    int rc = mdb_get(txn_, *handle, &k, &value);
    note_read();
    if (rc == MDB_NOTFOUND) return std::optional<Bytes>();
    if (rc != 0) return fail(rc, "read");
    return std::optional<Bytes>(from_val(value));
  }

  Result<std::optional<Entry>> seek(const char* table, Bytes from) override {
    return position(table, from, from.empty() ? MDB_FIRST : MDB_SET_RANGE);
  }
  Result<std::optional<Entry>> last(const char* table) override { return position(table, {}, MDB_LAST); }

  Result<std::vector<std::string>> tables() override {
    TRY(usable());
    std::vector<std::string> names;
    for (const auto* known : {&store_.tables_, &new_tables_}) {
      for (const LmdbStore::Table& table : *known) names.push_back(table.name);
    }
    return names;
  }

  Status put(const char* table, Bytes key, Bytes value) override {
    CHECK(writable_ && !key.empty() && key.size() <= k_store_key_size_max);
    TRY(usable());
    std::optional<MDB_dbi> handle = find(table);
    if (!handle) {
      MDB_dbi made = 0;
      int rc = mdb_dbi_open(txn_, table, MDB_CREATE, &made);
      if (rc != 0) return fail(rc, "write");
      new_tables_.push_back({table, made});
      handle = made;
    }
    MDB_val k = to_val(key), v = to_val(value);
    int rc = mdb_put(txn_, *handle, &k, &v, 0);
    note_read();
    if (rc != 0) return fail(rc, "write");
    return ok;
  }

  Status erase(const char* table, Bytes key) override {
    CHECK(writable_);
    TRY(usable());
    std::optional<MDB_dbi> handle = find(table);
    if (!handle) return ok;
    MDB_val k = to_val(key);
    int rc = mdb_del(txn_, *handle, &k, nullptr);
    if (rc != 0 && rc != MDB_NOTFOUND) return fail(rc, "write");
    return ok;
  }

  Status commit() override {
    CHECK(writable_);
    TRY(usable());
    int rc = mdb_txn_commit(txn_);
    txn_ = nullptr;  // LMDB has freed it, whatever came out
    if (rc != 0) return lmdb_error(write_error(store_.env_, rc), "write the state in " + store_.folder_);
    // A table's handle outlives the transaction that made it only if that one was committed.
    store_.tables_.insert(store_.tables_.end(), new_tables_.begin(), new_tables_.end());
    store_.count_written();
    return ok;
  }

 private:
  Status usable() {
    CHECK(txn_ != nullptr);
    if (failed_) return error(Errc::io, "transaction on the state in " + store_.folder_ + " failed before");
    return ok;
  }
  // Pages of the file were read.
  void note_read() {
    int fd = -1;
    if (mdb_env_get_fd(store_.env_, &fd) == 0) store_.mapped_.on_read(fd);
  }
  Error fail(int code, const char* verb) {
    failed_ = true;
    return lmdb_error(code, std::string(verb) + " the state in " + store_.folder_);
  }
  std::optional<MDB_dbi> find(const char* table) const {
    for (const LmdbStore::Table& known : store_.tables_) {
      if (known.name == table) return known.handle;
    }
    for (const LmdbStore::Table& made : new_tables_) {
      if (made.name == table) return made.handle;
    }
    return std::nullopt;
  }
  Result<std::optional<Entry>> position(const char* table, Bytes key, MDB_cursor_op op) {
    TRY(usable());
    std::optional<MDB_dbi> handle = find(table);
    if (!handle) return std::optional<Entry>();
    MDB_cursor* cursor = nullptr;
    int rc = mdb_cursor_open(txn_, *handle, &cursor);
    if (rc != 0) return fail(rc, "read");
    MDB_val k = to_val(key), value{};
    rc = mdb_cursor_get(cursor, &k, &value, op);
    mdb_cursor_close(cursor);
    note_read();
    if (rc == MDB_NOTFOUND) return std::optional<Entry>();
    if (rc != 0) return fail(rc, "read");
    return std::optional<Entry>(Entry{from_val(k), from_val(value)});
  }

  LmdbStore& store_;
  MDB_txn* txn_;
  bool writable_;
  bool failed_ = false;
  std::vector<LmdbStore::Table> new_tables_;
};

LmdbStore::LmdbStore(std::string folder, int lock_fd, const Options& options)
    : folder_(std::move(folder)), lock_fd_(lock_fd), options_(options) {}

LmdbStore::~LmdbStore() {
  CHECK(!busy_);
  if (env_ != nullptr) mdb_env_close(env_);
  if (lock_fd_ >= 0) close(lock_fd_);
}

Result<std::unique_ptr<LmdbStore>> LmdbStore::open(const std::string& folder, const Options& options) {
  CHECK(options.map_size_max >= k_map_size_min);
  TRY_ASSIGN(int lock_fd, lock_folder(folder, options.shared));
  std::unique_ptr<LmdbStore> store(new LmdbStore(folder, lock_fd, options));
  if (const char* lacks = lacks_for_state(folder)) {
    return error(Errc::unsupported,
                 "the state can't be in " + folder + ": its file system has no " + lacks + "; choose a folder on a disk with --state");
  }
  TRY(store->create_file());
  if (options.probe) TRY(probe_lmdb_file(folder));
  TRY(store->open_environment());
  TRY(store->open_tables());
  sync_folder(folder);
  sync_folder(folder + "/..");
  return store;
}

Result<std::unique_ptr<LmdbStore>> LmdbStore::open_read_only(const std::string& folder) {
  Options options;
  options.shared = true;
  std::unique_ptr<LmdbStore> store(new LmdbStore(folder, -1, options));
  struct stat info {};
  if (stat((folder + "/data.mdb").c_str(), &info) != 0) {
    if (errno != ENOENT && errno != ENOTDIR) return system_error(errno, "read the state in " + folder);
    return error(Errc::not_found, "there is no state in " + folder + ": choose the folder with --state");
  }
  TRY_ASSIGN(bool live, has_writer(folder));
  if (!live) TRY(probe_lmdb_file(folder));  // the writer has looked, and changes it under the hands of who looks again
  TRY(store->open_environment());
  TRY(store->open_tables());
  return store;
}

// LMDB writes the first pages of a new file without a sync, and can't open what a power cut leaves of them: the file gets its name when it
// is whole on the disk.
Status LmdbStore::create_file() {
  std::string file = folder_ + "/data.mdb", draft = folder_ + "/data.new";
  struct stat info {};
  if (stat(file.c_str(), &info) == 0 && info.st_size > 0) return ok;
  std::string doing = "make the state in " + folder_;
  unlink(draft.c_str());
  MDB_env* env = nullptr;
  int rc = mdb_env_create(&env);
  if (rc != 0) return lmdb_error(rc, doing);
  rc = mdb_env_open(env, draft.c_str(), MDB_NOSUBDIR | MDB_NOLOCK, 0600);
  if (rc == 0) rc = mdb_env_sync(env, 1);
  if (int fd = -1; rc == 0 && mdb_env_get_fd(env, &fd) == 0) give_to_owner_of(file, fd);
  mdb_env_close(env);
  if (rc == 0 && rename(draft.c_str(), file.c_str()) != 0) rc = errno;
  if (rc != 0) return lmdb_error(rc, doing);
  return ok;
}

Status LmdbStore::open_environment() {
  std::string doing = "open the state in " + folder_;
  int rc = mdb_env_create(&env_);
  if (rc != 0) return lmdb_error(rc, doing);
  rc = mdb_env_set_maxdbs(env_, k_tables_max);
  if (rc != 0) return lmdb_error(rc, doing);
  struct stat info {};
  uint64_t file_size = stat((folder_ + "/data.mdb").c_str(), &info) == 0 ? static_cast<uint64_t>(info.st_size) : 0;
  if (file_size > options_.map_size_max) {
    return error(Errc::no_room, "can't " + doing + ": its file of " + std::to_string(file_size >> 20) + " MiB is above the limit of " +
                                    std::to_string(options_.map_size_max >> 20) + " MiB of this machine");
  }
  uint64_t size = k_map_size_min;
  while (size < file_size + k_map_room_min && size < options_.map_size_max) size *= 2;
  rc = mdb_env_set_mapsize(env_, static_cast<size_t>(std::min(size, options_.map_size_max)));
  if (rc != 0) return lmdb_error(rc, doing);
  // MDB_NOLOCK: the folder's lock and the one transaction at a time stand in for LMDB's lock file. MDB_NOTLS: a transaction goes with its
  // object, not with its thread. MDB_NOMEMINIT stays off: old memory (a key, say) must not reach the disk.
  unsigned flags = options_.shared ? MDB_NOTLS : MDB_NOLOCK;
  rc = mdb_env_open(env_, folder_.c_str(), flags | (is_read_only() ? MDB_RDONLY : 0), 0600);
  if (rc != 0) return lmdb_error(rc, doing);
  return ok;
}

// Opens the handle of every table that the file has, so that a read transaction never has to.
Status LmdbStore::open_tables() {
  std::string doing = "read the state in " + folder_;
  TRY_ASSIGN(MDB_txn * txn, begin_txn(false));
  MDB_dbi main_table = 0;
  MDB_cursor* cursor = nullptr;
  std::vector<Table> found;
  int rc = mdb_dbi_open(txn, nullptr, 0, &main_table);
  if (rc == 0) rc = mdb_cursor_open(txn, main_table, &cursor);
  MDB_val key{}, value{};
  while (rc == 0 && (rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
    Table table{std::string(static_cast<const char*>(key.mv_data), key.mv_size), 0};
    rc = mdb_dbi_open(txn, table.name.c_str(), 0, &table.handle);
    found.push_back(std::move(table));
  }
  if (cursor != nullptr) mdb_cursor_close(cursor);
  if (rc != MDB_NOTFOUND) {
    mdb_txn_abort(txn);
    return lmdb_error(rc, doing);
  }
  rc = mdb_txn_commit(txn);  // keeps the handles
  if (rc != 0) return lmdb_error(rc, doing);
  tables_ = std::move(found);
  if (!is_read_only()) count_written();
  written_bytes_ = 0;
  return ok;
}

// What LMDB does not tell costs a figure, and nothing else.
void LmdbStore::count_written() {
  std::vector<unsigned> handles;
  for (const Table& table : tables_) handles.push_back(table.handle);
  std::optional<PageUse> use = read_page_use(env_, handles);
  if (!use) return;
  written_bytes_ += bytes_written(*use, pages_used_);
  pages_used_ = use->used;
}

Status LmdbStore::grow_map() {
  MDB_envinfo info{};
  MDB_stat stat{};
  if (mdb_env_info(env_, &info) != 0 || mdb_env_stat(env_, &stat) != 0) return ok;
  uint64_t used = (static_cast<uint64_t>(info.me_last_pgno) + 1) * stat.ms_psize;
  uint64_t size = info.me_mapsize;
  if (size >= options_.map_size_max || size - std::min(used, size) >= k_map_room_min) return ok;
  int rc = mdb_env_set_mapsize(env_, static_cast<size_t>(std::min(size * 2, options_.map_size_max)));
  if (rc != 0) return lmdb_error(rc, "map more of the state in " + folder_);
  return ok;
}

Result<MDB_txn*> LmdbStore::begin_txn(bool writable) {
  MDB_txn* txn = nullptr;
  unsigned flags = writable ? 0 : MDB_RDONLY;
  int rc = mdb_txn_begin(env_, nullptr, flags, &txn);
  if (rc == MDB_MAP_RESIZED && is_read_only()) {  // the writer's map has grown
    rc = mdb_env_set_mapsize(env_, 0);
    if (rc == 0) rc = mdb_txn_begin(env_, nullptr, flags, &txn);
  }
  if (rc != 0) return lmdb_error(rc, std::string(writable ? "write" : "read") + " the state in " + folder_);
  return txn;
}

Result<std::unique_ptr<StoreTransaction>> LmdbStore::begin(bool writable) {
  CHECK(!busy_);
  TRY_ASSIGN(MDB_txn * txn, begin_txn(writable));
  return std::unique_ptr<StoreTransaction>(std::make_unique<LmdbTransaction>(*this, txn, writable));
}

Result<std::unique_ptr<StoreTransaction>> LmdbStore::begin_write() {
  if (is_read_only()) return error(Errc::denied, "the state in " + folder_ + " was opened for reading only");
  if (options_.shared && ++writes_ >= k_writes_between_reader_checks) {
    writes_ = 0;
    mdb_reader_check(env_, nullptr);
  }
  TRY(grow_map());
  return begin(true);
}

Result<std::unique_ptr<StoreTransaction>> LmdbStore::begin_read() { return begin(false); }

Status LmdbStore::back_up(const std::string& folder) {
  CHECK(!busy_ && options_.shared);
  const std::string doing = "write the backup " + folder, file = folder + "/data.mdb", draft = folder + "/data.new";
  if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) return system_error(errno, doing);
  struct stat info {};
  if (stat(file.c_str(), &info) == 0) return error(Errc::conflict, "there is a state in " + folder + " already: choose a new folder");
  unlink(draft.c_str());
  int fd = ::open(draft.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return system_error(errno, doing);
  int rc = mdb_env_copyfd2(env_, fd, MDB_CP_COMPACT);
  if (rc == MDB_MAP_RESIZED && is_read_only()) {  // nothing is written yet
    rc = mdb_env_set_mapsize(env_, 0);
    if (rc == 0) rc = mdb_env_copyfd2(env_, fd, MDB_CP_COMPACT);
  }
  if (rc == 0 && fsync(fd) != 0) rc = errno;
  if (close(fd) != 0 && rc == 0) rc = errno;
  if (rc == 0 && rename(draft.c_str(), file.c_str()) != 0) rc = errno;
  if (rc != 0) {
    unlink(draft.c_str());
    return system_error(rc, doing);
  }
  sync_folder(folder);
  sync_folder(folder + "/..");
  return ok;
}

}  // namespace millet
