#include "driver/state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/heap_sort.h"
#include "crypto/hash.h"
#include "driver/file_error.h"

namespace millet {
namespace {

constexpr std::string_view k_magic = "MILLETST";
constexpr uint8_t k_version = 1;
constexpr const char* k_mark_table = "handed_over";
constexpr std::string_view k_mark_key = "to";
constexpr size_t k_rows_per_transaction = 1024;
constexpr size_t k_bytes_per_transaction = size_t{2} << 20;  // below the room that LMDB's map has at the start of one

enum class Part : uint8_t { row = 1, key = 2, end = 3 };

// ---- writing ----

class StateWriter {
 public:
  explicit StateWriter(const std::string& path) : path_(path) {}
  ~StateWriter() {
    if (file_ != nullptr) fclose(file_);
    if (made_ && !whole_) unlink(path_.c_str());
  }
  StateWriter(const StateWriter&) = delete;
  StateWriter& operator=(const StateWriter&) = delete;

  Status open() {
    int fd = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
      bool taken = errno == EEXIST;
      Error reason = file_error("can't make " + path_);
      if (taken) reason = error(Errc::conflict, reason.reason + "; choose a name that is not taken");
      return reason;
    }
    made_ = true;
    file_ = fdopen(fd, "wb");
    if (file_ == nullptr) {
      close(fd);
      return file_error("can't write " + path_);
    }
    std::vector<uint8_t> head;
    ByteWriter(head).text(k_magic).u8(k_version);
    check_ = blake2b_256(head);
    return write(head);
  }
  // Appends a part, which the check covers.
  Status add(Bytes part) {
    std::vector<uint8_t> chained(check_.begin(), check_.end());
    chained.insert(chained.end(), part.begin(), part.end());
    check_ = blake2b_256(chained);
    wipe(chained);
    return write(part);
  }
  Status finish() {
    TRY(write(check_));
    if (fflush(file_) != 0 || fsync(fileno(file_)) != 0) return file_error("can't write " + path_);
    whole_ = true;
    return ok;
  }

 private:
  Status write(Bytes bytes) {
    if (fwrite(bytes.data(), 1, bytes.size(), file_) != bytes.size()) return file_error("can't write " + path_);
    return ok;
  }

  std::string path_;
  FILE* file_ = nullptr;
  bool made_ = false;
  bool whole_ = false;
  Hash32 check_{};
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
    out.u16(static_cast<uint16_t>(entry->key.size())).bytes(entry->key).u32(static_cast<uint32_t>(entry->value.size())).bytes(entry->value);
    at.assign(entry->key.begin(), entry->key.end());
    at.push_back(0);
    TRY(writer.add(part));
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
    wipe(seed_);
  }
  StateReader(const StateReader&) = delete;
  StateReader& operator=(const StateReader&) = delete;

  Status open() {
    file_ = fopen(path_.c_str(), "rbe");
    if (file_ == nullptr) return file_error("can't read " + path_);
    part_.clear();
    TRY(take(k_magic.size() + 1));
    if (as_text(Bytes(part_).first(k_magic.size())) != k_magic) return bad("is no file of `millet state export`: name one that is");
    if (part_.back() != k_version) {
      return bad("is of version " + std::to_string(part_.back()) +
                 ", and this program knows version 1: import it with the program that made it");
    }
    check_ = blake2b_256(part_);
    return ok;
  }
  // The next row; nothing at the end, where the whole file has proved right and seed() is there.
  Result<std::optional<Row>> next() {
    for (;;) {
      part_.clear();
      TRY(take(1));
      switch (static_cast<Part>(part_[0])) {
        case Part::row: {
          TRY_ASSIGN(Row row, take_row());
          chain();
          return std::optional<Row>(std::move(row));
        }
        case Part::key: {
          TRY_ASSIGN(Bytes seed, take(SigningKey::k_seed_size));
          std::copy(seed.begin(), seed.end(), seed_.begin());
          has_seed_ = true;
          chain();
          break;
        }
        case Part::end: TRY(take_end()); return std::optional<Row>();
        default: return damaged();
      }
    }
  }
  const std::array<uint8_t, SigningKey::k_seed_size>& seed() const { return seed_; }

 private:
  Error bad(const std::string& what) const { return error(Errc::bad_input, path_ + " " + what); }
  Error damaged() const { return bad("is damaged (its checksum does not hold): copy it again from where it was exported"); }

  // Adds `size` bytes of the file to the part; where they are.
  Result<Bytes> take(size_t size) {
    size_t before = part_.size();
    part_.resize(before + size);
    size_t got = fread(part_.data() + before, 1, size, file_);
    if (got == size) return Bytes(part_).subspan(before);
    if (ferror(file_) != 0) return file_error("can't read " + path_);
    return bad("ends before its end: copy it again from where it was exported");
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
    TRY_ASSIGN(Bytes value, take(value_size));
    row.value.assign(value.begin(), value.end());
    return row;
  }
  Status take_end() {
    TRY_ASSIGN(Bytes count, take(8));
    const uint64_t rows = load_be<uint64_t>(count.data());
    chain();
    part_.clear();
    TRY_ASSIGN(Bytes check, take(check_.size()));
    if (rows != rows_ || !has_seed_ || !equal(check, check_)) return damaged();
    if (fgetc(file_) != EOF) return damaged();
    return ok;
  }
  void chain() {
    std::vector<uint8_t> chained(check_.begin(), check_.end());
    chained.insert(chained.end(), part_.begin(), part_.end());
    check_ = blake2b_256(chained);
    wipe(chained);
  }

  std::string path_;
  FILE* file_ = nullptr;
  std::vector<uint8_t> part_;
  Hash32 check_{};
  uint64_t rows_ = 0;
  bool has_seed_ = false;
  std::array<uint8_t, SigningKey::k_seed_size> seed_{};
};

}  // namespace

Result<uint64_t> export_state(Store& store, const SigningKey& key, const std::string& path) {
  TRY_ASSIGN(std::unique_ptr<StoreTransaction> source, store.begin_read());
  TRY_ASSIGN(std::vector<std::string> tables, source->tables());
  heap_sort(tables);
  StateWriter writer(path);
  TRY(writer.open());
  uint64_t rows = 0;
  for (const std::string& table : tables) {
    CHECK(table.size() <= k_state_table_size_max && tables.size() <= k_state_tables_max);
    if (table != k_mark_table) TRY(write_table(*source, table, writer, rows));
  }
  std::vector<uint8_t> part;
  ByteWriter(part).u8(static_cast<uint8_t>(Part::key)).bytes(key.seed());
  Status added = writer.add(part);
  wipe(part);
  TRY(added);
  part.clear();
  ByteWriter(part).u8(static_cast<uint8_t>(Part::end)).u64(rows);
  TRY(writer.add(part));
  TRY(writer.finish());
  return rows;
}

Result<SigningKey> check_state_file(const std::string& path) {
  StateReader reader(path);
  TRY(reader.open());
  for (;;) {
    TRY_ASSIGN(std::optional<Row> row, reader.next());
    if (!row) return SigningKey::from_seed(reader.seed());
  }
}

Result<uint64_t> import_rows(const std::string& path, Store& store) {
  StateReader reader(path);
  TRY(reader.open());
  std::vector<std::string> tables;
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
      TRY(target->put(row->table.c_str(), row->key, row->value));
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

Result<bool> is_empty(Store& store) {
  TRY_ASSIGN(std::unique_ptr<StoreTransaction> source, store.begin_read());
  TRY_ASSIGN(std::vector<std::string> tables, source->tables());
  for (const std::string& table : tables) {
    TRY_ASSIGN(std::optional<StoreTransaction::Entry> entry, source->seek(table.c_str(), {}));
    if (entry) return false;
  }
  return true;
}

}  // namespace millet
