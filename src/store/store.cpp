#include "store/store.h"

namespace millet {

Status commit_batch(Store& store, const StoreBatch& batch) {
  TRY_ASSIGN(std::unique_ptr<StoreTransaction> transaction, store.begin_write());
  for (const StoreChange& change : batch) {
    if (change.value) {
      TRY(transaction->put(change.table, change.key, *change.value));
    } else {
      TRY(transaction->erase(change.table, change.key));
    }
  }
  return transaction->commit();
}

namespace {

constexpr size_t k_copy_rows_max = 4096;              // in one transaction
constexpr size_t k_copy_bytes_max = size_t{4} << 20;  // below the room that LMDB's map has at the start of one

// Rows of one table, in transactions of a bounded size.
class Copy {
 public:
  explicit Copy(Store& to) : to_(to) {}
  Status add(const char* table, Bytes key, Bytes value) {  // the name lives until the next flush
    if (!transaction_) {
      TRY_ASSIGN(transaction_, to_.begin_write());
    }
    TRY(transaction_->put(table, key, value));
    bytes_ += key.size() + value.size();
    ++rows_;
    return ++in_transaction_ >= k_copy_rows_max || bytes_ >= k_copy_bytes_max ? flush() : Status(ok);
  }
  Status flush() {
    if (!transaction_) return ok;
    TRY(transaction_->commit());
    transaction_.reset();
    in_transaction_ = bytes_ = 0;
    return ok;
  }
  uint64_t rows() const { return rows_; }

 private:
  Store& to_;
  std::unique_ptr<StoreTransaction> transaction_;
  size_t in_transaction_ = 0;
  size_t bytes_ = 0;
  uint64_t rows_ = 0;
};

}  // namespace

Result<uint64_t> copy_store(Store& from, Store& to, const char* last_table, Bytes last) {
  {
    TRY_ASSIGN(std::unique_ptr<StoreTransaction> there, to.begin_read());
    TRY_ASSIGN(std::optional<Bytes> row, there->get(last_table, last));
    if (row) return error(Errc::conflict, "there is something in it already");
  }
  TRY_ASSIGN(std::unique_ptr<StoreTransaction> source, from.begin_read());
  TRY_ASSIGN(std::vector<std::string> tables, source->tables());
  Copy copy(to);
  for (const std::string& table : tables) {
    std::vector<uint8_t> at;
    for (;;) {
      TRY_ASSIGN(std::optional<StoreTransaction::Entry> entry, source->seek(table.c_str(), at));
      if (!entry) break;
      if (table != last_table || !equal(entry->key, last)) TRY(copy.add(table.c_str(), entry->key, entry->value));
      at.assign(entry->key.begin(), entry->key.end());
      at.push_back(0);
    }
  }
  TRY(copy.flush());
  TRY_ASSIGN(std::optional<Bytes> end, source->get(last_table, last));
  if (end) TRY(copy.add(last_table, last, *end));
  TRY(copy.flush());
  return copy.rows();
}

}  // namespace millet
