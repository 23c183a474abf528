#include "driver/state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/heap_sort.h"
#include "crypto/hash.h"
#include "driver/file_error.h"
#include "ledger/common/address.h"

namespace millet {
namespace {

constexpr uint8_t k_version_open = 1;
constexpr uint8_t k_version_locked = 2;
constexpr size_t k_locked_size_max = 512;
constexpr const char* k_mark_table = "handed_over";
constexpr std::string_view k_mark_key = "to";
constexpr const char* k_wallet_table = "wallet";
constexpr std::string_view k_account_key = "public_key";
constexpr size_t k_rows_per_transaction = 1024;
constexpr size_t k_bytes_per_transaction = size_t{2} << 20;  // below the room that LMDB's map has at the start of one

// The chain of hashes: each part follows the one before.
class Check {
 public:
  void add(Bytes bytes) { hash_.update(bytes); }
  // After a part.
  void link() {
    last_ = hash_.finish();
    hash_ = Blake2b256();
    hash_.update(last_);
  }
  const Hash32& last() const { return last_; }

 private:
  Blake2b256 hash_;
  Hash32 last_{};
};

enum class Part : uint8_t { row = 1, key = 2, end = 3, locked_key = 4 };

// ---- writing ----

class StateWriter {
 public:
  explicit StateWriter(const std::string& path) : path_(path) {}
  ~StateWriter() {
    if (fd_ >= 0) close(fd_);
    wipe(buffer_);
    if (made_ && !whole_) unlink(path_.c_str());
  }
  StateWriter(const StateWriter&) = delete;
  StateWriter& operator=(const StateWriter&) = delete;

  Status open(bool locked) {
    fd_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd_ < 0) {
      bool taken = errno == EEXIST;
      Error reason = file_error("can't make " + path_);
      if (taken) reason = error(Errc::conflict, reason.reason + "; choose a name that is not taken");
      return reason;
    }
    made_ = true;
    std::vector<uint8_t> head;
    ByteWriter(head).text(k_state_magic).u8(locked ? k_version_locked : k_version_open);
    return add(head);
  }
  // Appends a part, which the check covers; its end may be elsewhere in memory.
  Status add(Bytes part, Bytes rest = {}) {
    check_.add(part);
    check_.add(rest);
    check_.link();
    TRY(write(part));
    return write(rest);
  }
  Status finish() {
    TRY(write(check_.last()));
    TRY(flush());
    if (fsync(fd_) != 0) return file_error("can't write " + path_);
    TRY(sync_folder_of(path_, "the state file " + path_));
    whole_ = true;
    return ok;
  }

 private:
  Status write(Bytes bytes) {
    if (bytes.size() >= k_buffer_size) {
      TRY(flush());
      return write_out(bytes);
    }
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
    return buffer_.size() < k_buffer_size ? Status(ok) : flush();
  }
  Status write_out(Bytes bytes) {
    while (!bytes.empty()) {
      ssize_t count = ::write(fd_, bytes.data(), bytes.size());
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) return file_error("can't write " + path_);
      bytes = bytes.subspan(static_cast<size_t>(count));
    }
    return ok;
  }
  Status flush() {
    TRY(write_out(buffer_));
    wipe(buffer_);
    buffer_.clear();
    return ok;
  }

  static constexpr size_t k_buffer_size = 64 * 1024;
  std::string path_;
  int fd_ = -1;
  std::vector<uint8_t> buffer_;
  bool made_ = false;
  bool whole_ = false;
  Check check_;
};

Status write_table(StoreTransaction& source, const std::string& table, StateWriter& writer, uint64_t& rows) {
  std::vector<uint8_t> at, part;
  for (;;) {
    TRY_ASSIGN(std::optional<StoreTransaction::Entry> entry, source.seek(table.c_str(), at));
    if (!entry) return ok;
    if (entry->value.size() > k_state_value_size_max || ++rows > k_state_rows_max) {
      return error(Errc::no_room, "table " + table + " of the state is larger than a state file may be");
    }
    part.clear();
    ByteWriter out(part);
    out.u8(static_cast<uint8_t>(Part::row)).u8(static_cast<uint8_t>(table.size())).text(table);
    out.u16(static_cast<uint16_t>(entry->key.size())).bytes(entry->key).u32(static_cast<uint32_t>(entry->value.size()));
    at.assign(entry->key.begin(), entry->key.end());
    at.push_back(0);
    TRY(writer.add(part, entry->value));
  }
}

// ---- reading ----

struct Row {
  std::string table;
  std::vector<uint8_t> key;
  std::vector<uint8_t> value;
};

class StateReader {
 public:
  explicit StateReader(const std::string& path) : path_(path) {}
  ~StateReader() {
    if (file_ != nullptr) fclose(file_);
    wipe(small_);
  }
  StateReader(const StateReader&) = delete;
  StateReader& operator=(const StateReader&) = delete;

  Status open() {
    file_ = fopen(path_.c_str(), "rbe");
    if (file_ == nullptr) return file_error("can't read " + path_);
    TRY_ASSIGN(Bytes head, take(k_state_magic.size() + 1));
    if (as_text(head.first(k_state_magic.size())) != k_state_magic) return bad("is no file of `millet state export`: name one that is");
    if (head.back() != k_version_open && head.back() != k_version_locked) {
      return bad("is of version " + std::to_string(head.back()) +
                 ", and this program knows versions 1 and 2: import it with the program that made it");
    }
    check_.link();
    return ok;
  }
  // The next row; nothing at the end, where the whole file has proved right and key() is there.
  Result<std::optional<Row>> next() {
    for (;;) {
      TRY_ASSIGN(Bytes part, take(1));
      switch (static_cast<Part>(part[0])) {
        case Part::row: {
          TRY_ASSIGN(Row row, take_row());
          check_.link();
          return std::optional<Row>(std::move(row));
        }
        case Part::key: {
          TRY_ASSIGN(Bytes seed, take(SigningKey::k_seed_size));
          std::array<uint8_t, SigningKey::k_seed_size> copy;
          std::copy(seed.begin(), seed.end(), copy.begin());
          key_.open = SigningKey::from_seed(copy);
          wipe(copy);
          check_.link();
          break;
        }
        case Part::locked_key: {
          TRY_ASSIGN(Bytes size, take(2));
          const size_t line_size = load_be<uint16_t>(size.data());
          if (line_size > k_locked_size_max) return damaged();
          TRY_ASSIGN(Bytes line, take(line_size));
          key_.sealed = parse_sealed_key(as_text(line));
          check_.link();
          break;
        }
        case Part::end: TRY(take_end()); return std::optional<Row>();
        default: return damaged();
      }
    }
  }
  StoredKey& key() { return key_; }

 private:
  Error bad(const std::string& what) const { return error(Errc::bad_input, path_ + " " + what); }
  Error damaged() const { return bad("is damaged (its checksum does not hold): copy it again from where it was exported"); }

  Status take_into(MutBytes out) {
    if (fread(out.data(), 1, out.size(), file_) == out.size()) return ok;
    if (ferror(file_) != 0) return file_error("can't read " + path_);
    return bad("ends before its end: copy it again from where it was exported");
  }
  // The next bytes of a part; where they are until the next call. Requires: size <= k_locked_size_max.
  Result<Bytes> take(size_t size) {
    MutBytes out = MutBytes(small_).first(size);
    TRY(take_into(out));
    check_.add(out);
    return Bytes(out);
  }
  Result<Row> take_row() {
    Row row;
    TRY_ASSIGN(Bytes size, take(1));
    const size_t table_size = size[0];
    if (table_size == 0 || table_size > k_state_table_size_max || ++rows_ > k_state_rows_max) return damaged();
    TRY_ASSIGN(Bytes table, take(table_size));
    row.table = std::string(as_text(table));
    if (row.table.find('\0') != std::string::npos) return damaged();
    TRY_ASSIGN(size, take(2));
    const size_t key_size = load_be<uint16_t>(size.data());
    if (key_size == 0 || key_size > k_store_key_size_max) return damaged();
    TRY_ASSIGN(Bytes key, take(key_size));
    row.key.assign(key.begin(), key.end());
    TRY_ASSIGN(size, take(4));
    const size_t value_size = load_be<uint32_t>(size.data());
    if (value_size > k_state_value_size_max) return damaged();
    row.value.resize(value_size);
    TRY(take_into(row.value));
    check_.add(row.value);
    return row;
  }
  Status take_end() {
    TRY_ASSIGN(Bytes count, take(8));
    const uint64_t rows = load_be<uint64_t>(count.data());
    check_.link();
    Hash32 check;
    TRY(take_into(check));
    if (rows != rows_ || (!key_.open && !key_.sealed) || !equal(check, check_.last())) return damaged();
    if (fgetc(file_) != EOF) return damaged();
    return ok;
  }

  std::string path_;
  FILE* file_ = nullptr;
  Check check_;
  uint64_t rows_ = 0;
  StoredKey key_;
  std::array<uint8_t, k_locked_size_max> small_{};
};

}  // namespace

Result<uint64_t> export_state(Store& store, const StoredKey& key, const std::string& path) {
  TRY_ASSIGN(std::unique_ptr<StoreTransaction> source, store.begin_read());
  TRY_ASSIGN(std::vector<std::string> tables, source->tables());
  heap_sort(tables);
  StateWriter writer(path);
  TRY(writer.open(key.sealed.has_value()));
  uint64_t rows = 0;
  for (const std::string& table : tables) {
    CHECK(table.size() <= k_state_table_size_max && tables.size() <= k_state_tables_max);
    if (table != k_mark_table) TRY(write_table(*source, table, writer, rows));
  }
  std::vector<uint8_t> part;
  if (key.open) {
    ByteWriter(part).u8(static_cast<uint8_t>(Part::key)).bytes(key.open->seed());
  } else {
    const std::string line = sealed_key_text(*key.sealed);
    ByteWriter(part).u8(static_cast<uint8_t>(Part::locked_key)).u16(static_cast<uint16_t>(line.size())).text(line);
  }
  Status added = writer.add(part);
  wipe(part);
  TRY(added);
  part.clear();
  ByteWriter(part).u8(static_cast<uint8_t>(Part::end)).u64(rows);
  TRY(writer.add(part));
  TRY(writer.finish());
  return rows;
}

Result<StoredKey> check_state_file(const std::string& path) {
  StateReader reader(path);
  TRY(reader.open());
  for (;;) {
    TRY_ASSIGN(std::optional<Row> row, reader.next());
    if (!row) return std::move(reader.key());
  }
}

Result<uint64_t> import_rows(const std::string& path, Store& store) {
  StateReader reader(path);
  TRY(reader.open());
  // A store may keep the names that it is given: these stay where they are.
  std::vector<std::string> tables;
  tables.reserve(k_state_tables_max + 1);
  uint64_t rows = 0;
  for (bool more = true; more;) {
    TRY_ASSIGN(std::unique_ptr<StoreTransaction> target, store.begin_write());
    size_t bytes = 0;
    for (size_t i = 0; i < k_rows_per_transaction && bytes < k_bytes_per_transaction; ++i) {
      TRY_ASSIGN(std::optional<Row> row, reader.next());
      more = row.has_value();
      if (!more) break;
      if (tables.empty() || tables.back() != row->table) tables.push_back(row->table);
      if (tables.size() > k_state_tables_max)
        return error(Errc::bad_input, path + " has more tables than a state: import it with the program that made it");
      TRY(target->put(tables.back().c_str(), row->key, row->value));
      bytes += row->key.size() + row->value.size();
      ++rows;
    }
    TRY(target->commit());
  }
  return rows;
}

Status mark_handed_over(Store& store, const std::string& path) {
  TRY_ASSIGN(std::unique_ptr<StoreTransaction> target, store.begin_write());
  TRY(target->put(k_mark_table, as_bytes(k_mark_key), as_bytes(path)));
  return target->commit();
}

Result<std::string> handed_over_to(Store& store) {
  TRY_ASSIGN(std::unique_ptr<StoreTransaction> source, store.begin_read());
  TRY_ASSIGN(std::optional<Bytes> path, source->get(k_mark_table, as_bytes(k_mark_key)));
  return path ? std::string(as_text(*path)) : std::string();
}

Result<bool> is_unused(Store& store) {
  TRY_ASSIGN(std::unique_ptr<StoreTransaction> source, store.begin_read());
  TRY_ASSIGN(std::vector<std::string> tables, source->tables());
  for (const std::string& table : tables) {
    if (table == k_wallet_table) continue;
    TRY_ASSIGN(std::optional<StoreTransaction::Entry> entry, source->seek(table.c_str(), {}));
    if (entry) return false;
  }
  return true;
}

Status check_account(Store& store, const Result<StoredKey>& found, const std::string& path) {
  if (!found && found.error().code != Errc::not_found) return ok;  // its own error says more
  TRY_ASSIGN(bool unused, is_unused(store));
  TRY_ASSIGN(std::unique_ptr<StoreTransaction> source, store.begin_read());
  TRY_ASSIGN(std::optional<Bytes> noted, source->get(k_wallet_table, as_bytes(k_account_key)));
  if (noted && noted->size() != PublicKey::k_size) noted.reset();
  // Of a state that has nothing to lose, whoever has put another key there is right.
  if (found ? unused || !noted || equal(*noted, found->public_key().raw) : unused && !noted) return ok;
  PublicKey account;
  if (noted) std::copy(noted->begin(), noted->end(), account.raw.begin());
  return error(Errc::conflict,
               (found ? path + " is the wallet of " + address_of(found->public_key()) + ", and" : path + " is missing, and") +
                   " the state beside it is that of " + (noted ? address_of(account) : "another wallet") +
                   ": restore its wallet.key from the backup (without it the account's money is lost), or choose a new folder with "
                   "--state to start with a new account");
}

Status note_account(Store& store, const PublicKey& account) {
  {
    TRY_ASSIGN(std::unique_ptr<StoreTransaction> source, store.begin_read());
    TRY_ASSIGN(std::optional<Bytes> noted, source->get(k_wallet_table, as_bytes(k_account_key)));
    if (noted && equal(*noted, account.raw)) return ok;
  }
  TRY_ASSIGN(std::unique_ptr<StoreTransaction> target, store.begin_write());
  TRY(target->put(k_wallet_table, as_bytes(k_account_key), account.raw));
  return target->commit();
}

}  // namespace millet
