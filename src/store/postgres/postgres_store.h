// A store in PostgreSQL, which several ledger front ends can share: when one machine is not enough, or must not be the only one. Any server
// that speaks PostgreSQL's protocol and has serializable transactions will do.
//
// Transactions are serializable. Writers queue up on a lock where the server has LOCK TABLE; where they meet all the same, one of them gets
// `conflict` and is executed again. What a transaction writes is sent at its end, with the commit, in one round trip; reads come in pages,
// and all at once where they were announced (prefetch).
//
// A commit that returns is as durable as the server makes it: synchronous_commit is on, so that with synchronous_standby_names set it is on
// a standby too. After a connection that broke the next transaction connects again, to the server that takes writes then.
#pragma once

#include <string>

#include "store/store.h"

namespace millet {

class PgLink;

class PostgresStore final : public Store {
 public:
  struct Options {
    bool writer_lock = true;  // false: as with a server that has no LOCK TABLE
    int schema = 0;           // 0: the newest that this program knows
  };

  // Connects, as libpq's connection string says (several hosts may be named), and brings the schema up to date.
  // Errors: unavailable (no server), denied, unsupported (a newer schema; a server that loses commits), io.
  static Result<std::unique_ptr<PostgresStore>> open(const std::string& conninfo, const Options& options);
  static Result<std::unique_ptr<PostgresStore>> open(const std::string& conninfo) { return open(conninfo, Options()); }

  ~PostgresStore() override;
  PostgresStore(const PostgresStore&) = delete;
  PostgresStore& operator=(const PostgresStore&) = delete;

  Result<std::unique_ptr<StoreTransaction>> begin_write() override;
  Result<std::unique_ptr<StoreTransaction>> begin_read() override;

 private:
  friend class PostgresTransaction;
  PostgresStore(std::string conninfo, const Options& options);
  Status connect();
  Result<std::unique_ptr<StoreTransaction>> begin(const std::string& sql, bool writable);

  std::string conninfo_;
  Options options_;
  std::unique_ptr<PgLink> link_;
  bool busy_ = false;
};

}  // namespace millet
