#include "store/memory_store.h"

#include <utility>

namespace millet {
namespace {

std::vector<uint8_t> to_vector(Bytes bytes) { return {bytes.begin(), bytes.end()}; }

}  // namespace

// Reads see the store's committed layer with this transaction's own writes over it: `undo_` puts back what the writes replaced.
class MemoryTransaction final : public StoreTransaction {
 public:
  MemoryTransaction(MemoryStore& store, bool writable) : store_(store), writable_(writable) { store_.busy_ = true; }
  MemoryTransaction(const MemoryTransaction&) = delete;
  MemoryTransaction& operator=(const MemoryTransaction&) = delete;
  ~MemoryTransaction() override {
    if (!done_) roll_back();
    store_.busy_ = false;
  }

  Result<std::optional<Bytes>> get(const char* table, Bytes key) override {
    TRY(usable());
    const MemoryStore::Table* rows = find(table);
    if (rows == nullptr) return std::optional<Bytes>();
    auto row = rows->find(key);
    if (row == rows->end()) return std::optional<Bytes>();
    return std::optional<Bytes>(row->second);
  }

  Result<std::optional<Entry>> seek(const char* table, Bytes from) override {
    TRY(usable());
    const MemoryStore::Table* rows = find(table);
    if (rows == nullptr) return std::optional<Entry>();
    auto row = rows->lower_bound(from);
    if (row == rows->end()) return std::optional<Entry>();
    return std::optional<Entry>(Entry{row->first, row->second});
  }

  Result<std::optional<Entry>> last(const char* table) override {
    TRY(usable());
    const MemoryStore::Table* rows = find(table);
    if (rows == nullptr || rows->empty()) return std::optional<Entry>();
    auto row = std::prev(rows->end());
    return std::optional<Entry>(Entry{row->first, row->second});
  }

  Result<std::vector<std::string>> tables() override {
    TRY(usable());
    std::vector<std::string> names;
    for (const auto& [name, rows] : store_.committed_) names.push_back(name);
    return names;
  }

  Status put(const char* table, Bytes key, Bytes value) override {
    CHECK(!key.empty() && key.size() <= k_store_key_size_max);
    TRY(usable());
    if (store_.fault_ == StoreFault::full) return fail(error(Errc::no_room, "store is full"));
    write({table, to_vector(key), to_vector(value)});
    return ok;
  }

  Status erase(const char* table, Bytes key) override {
    TRY(usable());
    write({table, to_vector(key), std::nullopt});
    return ok;
  }

  Status commit() override {
    TRY(usable());
    CHECK(writable_);
    if (store_.fault_ == StoreFault::full) return fail(error(Errc::no_room, "store is full"));
    done_ = true;
    store_.commit(std::move(changes_));
    return ok;
  }

 private:
  Status usable() {
    CHECK(!done_);
    if (failed_) return error(Errc::io, "store transaction failed before");
    if (store_.fault_ == StoreFault::broken) return fail(error(Errc::io, "store is broken"));
    return ok;
  }
  Error fail(Error why) {
    failed_ = true;
    return why;
  }
  const MemoryStore::Table* find(const char* table) const {
    auto found = store_.committed_.find(std::string_view(table));
    return found == store_.committed_.end() ? nullptr : &found->second;
  }
  void write(StoreChange change) {
    CHECK(writable_);
    MemoryStore::Table& rows = store_.committed_[change.table];
    auto row = rows.find(change.key);
    undo_.push_back({change.table, change.key, row == rows.end() ? std::nullopt : std::optional(row->second)});
    MemoryStore::apply(store_.committed_, {change});
    changes_.push_back(std::move(change));
  }
  void roll_back() {
    for (size_t i = undo_.size(); i-- > 0;) MemoryStore::apply(store_.committed_, {std::move(undo_[i])});
  }

  MemoryStore& store_;
  bool writable_;
  bool done_ = false;
  bool failed_ = false;
  StoreBatch changes_;
  StoreBatch undo_;
};

Result<std::unique_ptr<StoreTransaction>> MemoryStore::begin_write() {
  CHECK(!busy_);
  if (fault_ == StoreFault::broken) return error(Errc::io, "store is broken");
  if (fault_ == StoreFault::read_only) return error(Errc::denied, "store is read-only");
  return std::unique_ptr<StoreTransaction>(std::make_unique<MemoryTransaction>(*this, true));
}

Result<std::unique_ptr<StoreTransaction>> MemoryStore::begin_read() {
  CHECK(!busy_);
  if (fault_ == StoreFault::broken) return error(Errc::io, "store is broken");
  return std::unique_ptr<StoreTransaction>(std::make_unique<MemoryTransaction>(*this, false));
}

void MemoryStore::apply(Tables& tables, const StoreBatch& changes) {
  for (const StoreChange& change : changes) {
    Table& rows = tables[change.table];
    if (change.value) {
      rows[change.key] = *change.value;
    } else {
      rows.erase(change.key);
    }
  }
}

void MemoryStore::commit(StoreBatch changes) {
  ++commit_count_;
  if (watch_ != nullptr) watch_->on_commit(changes);
  volatile_.push_back({commit_count_, std::move(changes)});
  if (durable_at_commit_) make_durable(commit_count_);
}

void MemoryStore::make_durable(uint64_t commit) {
  size_t count = 0;
  while (count < volatile_.size() && volatile_[count].number <= commit) apply(durable_, volatile_[count++].changes);
  volatile_.erase(volatile_.begin(), volatile_.begin() + static_cast<ptrdiff_t>(count));
}

void MemoryStore::crash() {
  CHECK(!busy_);
  committed_ = durable_;
  volatile_.clear();
}

}  // namespace millet
