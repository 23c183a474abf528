#include "store/postgres/postgres_store.h"

#include "store/postgres/migrations.h"
#include "store/postgres/transaction.h"

namespace millet {
namespace {

// Of every session. A front end that stops in the middle of a transaction must not hold up the others for ever. The plans are always by
// index: another one would be slower, and would make serializable transactions depend on rows that they never asked for.
constexpr const char* k_session =
    "SET idle_in_transaction_session_timeout = '15s'; SET jit = off; SET enable_seqscan = off; SET enable_hashjoin = off; "
    "SET enable_mergejoin = off; SET plan_cache_mode = force_generic_plan";

// Nothing that a batch does takes long; a server that is stuck must say so. Longer than a front end that stopped may hold the lock
// (k_session). Not for migrations, which may have a lot to do. What the operator has set stays.
struct Limit {
  const char* name;
  const char* value;
};
constexpr Limit k_limits[] = {{"lock_timeout", "20s"}, {"statement_timeout", "30s"}};

constexpr const char* k_begin_write = "BEGIN ISOLATION LEVEL SERIALIZABLE";
// Before the first query, so that the transaction sees what the writer before it has committed.
constexpr const char* k_writer_lock = "; LOCK TABLE millet_writer IN EXCLUSIVE MODE";
constexpr const char* k_begin_read = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

// Settings with which a commit that was acknowledged can be lost.
Status make_durable(PgLink& link) {
  Result<std::string> fsync = link.ask("SHOW fsync");
  if (fsync && *fsync == "off") {
    return error(Errc::unsupported, "the PostgreSQL server runs with fsync = off, and loses what it has acknowledged: switch it on");
  }
  Result<std::string> commit = link.ask("SHOW synchronous_commit");
  if (commit && (*commit == "off" || *commit == "local")) return link.run("SET synchronous_commit = on");
  return ok;
}

void limit_statements(PgLink& link) {
  for (const Limit& limit : k_limits) {
    Result<std::string> set = link.ask(std::string("SHOW ") + limit.name);
    if (set && *set == "0") static_cast<void>(link.run(std::string("SET ") + limit.name + " = '" + limit.value + "'"));
  }
}

// Other engines don't know all of these settings; nothing depends on them there.
void tune(PgLink& link) {
  std::string_view rest = k_session;
  while (!rest.empty()) {
    size_t end = rest.find(';');
    static_cast<void>(link.run(std::string(rest.substr(0, end))));
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
  }
}

}  // namespace

PostgresStore::PostgresStore(std::string conninfo, const Options& options) : conninfo_(std::move(conninfo)), options_(options) {}

PostgresStore::~PostgresStore() { CHECK(!busy_); }

Result<std::unique_ptr<PostgresStore>> PostgresStore::open(const std::string& conninfo, const Options& options) {
  std::unique_ptr<PostgresStore> store(new PostgresStore(conninfo, options));
  if (store->options_.schema == 0) store->options_.schema = newest_schema();
  TRY(store->connect());
  if (options.writer_lock) {
    Status locked = store->link_->run(std::string(k_begin_write) + k_writer_lock);
    store->options_.writer_lock = locked.has_value();
    TRY(store->link_->run("ROLLBACK"));
  }
  return store;
}

Status PostgresStore::connect() {
  link_.reset();
  TRY_ASSIGN(std::unique_ptr<PgLink> link, PgLink::connect(conninfo_));
  TRY(make_durable(*link));
  tune(*link);
  TRY(migrate(*link, options_.schema));
  TRY(PostgresTransaction::prepare(*link));
  limit_statements(*link);
  link_ = std::move(link);
  return ok;
}

Result<std::unique_ptr<StoreTransaction>> PostgresStore::begin(const std::string& sql, bool writable) {
  CHECK(!busy_);
  // The second time over a new connection: the old one may have broken unseen.
  for (int attempt = 0;; ++attempt) {
    if (link_ == nullptr || !link_->is_good()) TRY(connect());
    Status status = link_->run(sql);
    if (status) return std::unique_ptr<StoreTransaction>(std::make_unique<PostgresTransaction>(*this, *link_, writable));
    if (link_->is_good()) static_cast<void>(link_->run("ROLLBACK"));
    if (attempt == 1 || link_->is_good()) return status.error();
  }
}

Result<std::unique_ptr<StoreTransaction>> PostgresStore::begin_write() {
  return begin(std::string(k_begin_write) + (options_.writer_lock ? k_writer_lock : ""), true);
}

Result<std::unique_ptr<StoreTransaction>> PostgresStore::begin_read() { return begin(k_begin_read, false); }

}  // namespace millet
