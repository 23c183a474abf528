// Durable state: named tables of key -> value, written in transactions. The LMDB store (store/lmdb) is the default; the in-memory store
// (memory_store.h) serves tests and the simulator and forgets, on a crash, what was not durable.
//
// Several processes may share one database through the PostgreSQL store (store/postgres): there a transaction can come too late, and says
// so with `conflict`. Nothing is changed then, and whoever made it executes it again from its beginning.
//
// One thread at a time uses a Store, with one transaction open at a time. A transaction that is destroyed without commit() leaves nothing
// behind. Keys order as bytes do. A table exists from its first put; reading one that does not exist finds nothing.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/store_change.h"

namespace millet {

inline constexpr size_t k_store_key_size_max = 256;  // LMDB takes 511

struct StoreKey {
  const char* table;  // a constant, as in StoreChange
  std::vector<uint8_t> key;
};

class StoreTransaction {
 public:
  virtual ~StoreTransaction() = default;

  // Says what get() will be asked for soon. A store behind a network reads all of it at once; nothing else depends on it. Errors: io.
  virtual Status prefetch(const std::vector<StoreKey>& keys) {
    static_cast<void>(keys);
    return ok;
  }

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

  // The names of all tables that are there, in any order. Errors: io.
  virtual Result<std::vector<std::string>> tables() = 0;

  // Errors: io, no_room (disk or map full), denied (read-only). After an error the transaction can only be dropped.
  virtual Status put(const char* table, Bytes key, Bytes value) = 0;
  // Erasing what is not there is not an error.
  virtual Status erase(const char* table, Bytes key) = 0;
  // Durable when it returns. The transaction can only be destroyed after it. Errors: io (it may have been committed all the same, if the
  // connection to a database broke), no_room, denied, conflict.
  virtual Status commit() = 0;
};

class Store {
 public:
  virtual ~Store() = default;
  // Errors: io, no_room, denied (read-only).
  virtual Result<std::unique_ptr<StoreTransaction>> begin_write() = 0;
  // A transaction in which put, erase and commit are not allowed. Errors: io.
  virtual Result<std::unique_ptr<StoreTransaction>> begin_read() = 0;
  // Bytes that commits since it was opened gave to the disk: what wears flash out, before what the file system adds. 0: not known.
  // Requires: no transaction is open.
  virtual uint64_t written_bytes() const { return 0; }
  // Copies what is committed, as of one moment, into a new folder, while another process may write. The copy gets its name when it is whole
  // on the disk. Requires: no transaction is open. Errors: unsupported (the store's own tools do it), conflict (there is a copy already),
  // io, no_room, denied.
  virtual Status back_up(const std::string& folder) {
    static_cast<void>(folder);
    return error(Errc::unsupported, "this store has no backup of its own");
  }
};

// Applies a whole batch in one transaction. Errors: as commit().
Status commit_batch(Store& store, const StoreBatch& batch);

// Copies all rows of a store into an empty one, in many transactions; the row `last` of table `last_table`, without which nobody takes the
// copy for complete, comes in the end. How many rows. Requires: nobody writes to either. Errors: conflict (the other one has that row
// already), io, no_room, denied; what was copied before stays, and may be copied again.
Result<uint64_t> copy_store(Store& from, Store& to, const char* last_table, Bytes last);

}  // namespace millet
