// One transaction of the PostgreSQL store. What it writes stays here until the commit, so that reads look here first. Not for use outside
// store/postgres.
#pragma once

#include <map>

#include "store/postgres/link.h"
#include "store/postgres/postgres_store.h"

namespace millet {

class PostgresTransaction final : public StoreTransaction {
 public:
  // Statements that a connection needs before its first transaction.
  static Status prepare(PgLink& link);

  PostgresTransaction(PostgresStore& store, PgLink& link, bool writable) : store_(store), link_(link), writable_(writable) {
    store_.busy_ = true;
  }
  PostgresTransaction(const PostgresTransaction&) = delete;
  PostgresTransaction& operator=(const PostgresTransaction&) = delete;
  ~PostgresTransaction() override;

  Status prefetch(const std::vector<StoreKey>& keys) override;
  Result<std::optional<Bytes>> get(const char* table, Bytes key) override;
  Result<std::optional<Entry>> seek(const char* table, Bytes from) override;
  Result<std::optional<Entry>> last(const char* table) override;
  Result<std::vector<std::string>> tables() override;
  Status put(const char* table, Bytes key, Bytes value) override;
  Status erase(const char* table, Bytes key) override;
  Status commit() override;

 private:
  struct Less {
    using is_transparent = void;
    template <typename A, typename B>
    bool operator()(const A& a, const B& b) const {
      Bytes left(a), right(b);
      size_t common = std::min(left.size(), right.size());
      int order = common == 0 ? 0 : std::memcmp(left.data(), right.data(), common);
      return order != 0 ? order < 0 : left.size() < right.size();
    }
  };
  using Key = std::vector<uint8_t>;
  using Value = std::optional<std::vector<uint8_t>>;  // nothing: not there
  struct Table {
    std::map<Key, Value, Less> written;
    std::map<Key, Value, Less> read;  // announced
    // A page of consecutive rows, from `from` on; the rows of the database alone.
    Key from;
    std::vector<std::pair<Key, std::vector<uint8_t>>> page;
    bool whole = false;  // there is nothing behind the page
    int rows_next = 1;   // how many to read next: more while they are read in order
  };

  Status usable() const;
  Error fail(Error why);
  Table& table(const char* name) { return tables_[name]; }
  // The first row of the database at or behind `from`; null at the end. Valid until the next page is read.
  Result<const std::pair<Key, std::vector<uint8_t>>*> stored(const char* name, Bytes from);
  Status read_page(const char* name, Bytes from);

  PostgresStore& store_;
  PgLink& link_;
  bool writable_;
  bool failed_ = false;
  bool done_ = false;
  std::map<std::string, Table, std::less<>> tables_;
  std::vector<uint8_t> value_;  // what the last call gave
  Key key_;
};

}  // namespace millet
