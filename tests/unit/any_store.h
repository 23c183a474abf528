// A store of any kind, as the parameter of tests that hold for all of them. PostgreSQL's server is started once for a program, by the first
// test that needs it, and ends with the program.
#pragma once

#include <cstdlib>
#include <memory>
#include <string>

#include "store/lmdb/lmdb_store.h"
#include "store/memory_store.h"
#include "unit/postgres_server.h"
#include "unit/temp_folder.h"
#if defined(MILLET_POSTGRES_PROGRAMS)
#include "store/postgres/postgres_store.h"
#endif

enum class StoreKind : int { memory, lmdb, postgres };

#if defined(MILLET_POSTGRES_PROGRAMS)
inline bool has_postgres() { return PostgresServer::is_installed(); }
inline PostgresServer& postgres_server() {
  static PostgresServer server;
  return server;
}
// A connection string for a schema of its own in that server.
inline std::string fresh_postgres() {
  static int schemas = 0;
  std::string name = "test" + std::to_string(++schemas);
  postgres_server().sql("CREATE SCHEMA " + name);
  return postgres_server().conninfo() + " options='-c search_path=" + name + "'";
}
#else
inline bool has_postgres() { return false; }
#endif

class AnyStore {
 public:
  explicit AnyStore(StoreKind kind, const char* base = "/tmp") : kind_(kind) {
    if (kind_ == StoreKind::lmdb) folder_ = std::make_unique<TempFolder>(base);
#if defined(MILLET_POSTGRES_PROGRAMS)
    if (kind_ == StoreKind::postgres) conninfo_ = fresh_postgres();
#endif
    open();
  }
  millet::Store& store() { return kind_ == StoreKind::memory ? memory : *opened_; }
  // What is durable survives this.
  void restart() {
    if (kind_ == StoreKind::memory) return memory.crash();
    opened_.reset();
    open();
  }

  millet::MemoryStore memory;  // of the kind of this name

 private:
  template <typename Opened>
  void keep(Opened opened) {
    if (!opened) fprintf(stderr, "%s\n", opened.error().reason.c_str());
    CHECK(opened.has_value());
    opened_ = std::move(*opened);
  }
  void open() {
    if (kind_ == StoreKind::lmdb) keep(millet::LmdbStore::open(*folder_ / "state"));
#if defined(MILLET_POSTGRES_PROGRAMS)
    if (kind_ == StoreKind::postgres) keep(millet::PostgresStore::open(conninfo_));
#endif
  }

  StoreKind kind_;
  std::unique_ptr<TempFolder> folder_;
  std::string conninfo_;
  std::unique_ptr<millet::Store> opened_;
};

// cmocka's initial state of a test: which kind. A test of PostgreSQL is skipped where it is not installed.
inline StoreKind kind_of(void** state) { return *state == nullptr ? StoreKind::memory : *static_cast<StoreKind*>(*state); }
inline StoreKind k_test_lmdb = StoreKind::lmdb;
inline StoreKind k_test_postgres = StoreKind::postgres;
#define FOR_EVERY_STORE(test)                                                                                    \
  {"memory: " #test, test, nullptr, nullptr, nullptr}, {"lmdb: " #test, test, nullptr, nullptr, &k_test_lmdb}, { \
    "postgres: " #test, test, nullptr, nullptr, &k_test_postgres                                                 \
  }
#define SKIP_WITHOUT_POSTGRES(state) \
  if (kind_of(state) == StoreKind::postgres && !has_postgres()) skip()
