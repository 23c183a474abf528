// Durable state: named tables of key -> value, written in transactions. The LMDB store (store/lmdb) is the default; the in-memory store
// (memory_store.h) serves tests and the simulator and forgets, on a crash, what was not durable.
//
// One thread at a time uses a Store, with one transaction open at a time. A transaction that is destroyed without commit() leaves nothing
// behind. Keys order as bytes do. A table exists from its first put; reading one that does not exist finds nothing.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/store_change.h"

namespace millet {

inline constexpr size_t k_store_key_size_max = 256;  // LMDB takes 511

class StoreTransaction {
 public:
  virtual ~StoreTransaction() = default;

  // The value, nothing if there is none. The view holds until the next call on this transaction.
  // Errors: io.
  virtual Result<std::optional<Bytes>> get(const char* table, Bytes key) = 0;
  // The first entry with key >= `from`; nothing at the end. Views hold until the next call. Errors: io.
  struct Entry {
    Bytes key;
    Bytes value;
  };
  virtual Result<std::optional<Entry>> seek(const char* table, Bytes from) = 0;
  // The last entry of the table; nothing if it is empty. Errors: io.
  virtual Result<std::optional<Entry>> last(const char* table) = 0;

  // Errors: io, no_room (disk or map full), denied (read-only). After an error the transaction can only be dropped.
  virtual Status put(const char* table, Bytes key, Bytes value) = 0;
  // Erasing what is not there is not an error.
  virtual Status erase(const char* table, Bytes key) = 0;
  // Durable when it returns. The transaction can only be destroyed after it. Errors: io, no_room, denied.
  virtual Status commit() = 0;
};

class Store {
 public:
  virtual ~Store() = default;
  // Errors: io, no_room, denied (read-only).
  virtual Result<std::unique_ptr<StoreTransaction>> begin_write() = 0;
  // A transaction in which put, erase and commit are not allowed. Errors: io.
  virtual Result<std::unique_ptr<StoreTransaction>> begin_read() = 0;
};

// Applies a whole batch in one transaction. Errors: io, no_room, denied; nothing is changed then.
Status commit_batch(Store& store, const StoreBatch& batch);

}  // namespace millet
