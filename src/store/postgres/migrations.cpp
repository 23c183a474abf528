#include "store/postgres/migrations.h"

#include <cstdlib>
#include <iterator>

namespace millet {
namespace {

// A step is never changed once it was released: databases are somewhere between any two.
constexpr const char* k_steps[] = {
    // 1: rows of all tables; bytea and the "C" collation order as bytes do. millet_writer is locked by whoever writes, so that writers
    // queue up instead of failing.
    "CREATE TABLE millet_rows (store_table text COLLATE \"C\" NOT NULL, key bytea NOT NULL, value bytea NOT NULL, PRIMARY KEY "
    "(store_table, key));"
    "CREATE TABLE millet_writer (nothing integer)",
    // 2: most rows are changed again and again (accounts, channels, the state row): room in their pages for the next version, and an early
    // vacuum. Values are hashes and signatures: trying to compress them is lost time.
    "ALTER TABLE millet_rows SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);"
    "ALTER TABLE millet_rows ALTER COLUMN value SET STORAGE EXTERNAL",
};

// The number of a lock that only migrations take.
constexpr const char* k_migration_lock = "SELECT pg_advisory_xact_lock(7411)";

Result<int> version_of(PgLink& link) {
  TRY(link.run("CREATE TABLE IF NOT EXISTS millet_schema (version integer NOT NULL)"));
  Result<std::string> text = link.ask("SELECT version FROM millet_schema");
  if (!text && text.error().code == Errc::not_found) return 0;
  TRY(text);
  return std::atoi(text->c_str());
}

Status migrate_locked(PgLink& link, int target) {
  TRY_ASSIGN(int version, version_of(link));
  if (version > target) {
    return error(Errc::unsupported, "the database has schema " + std::to_string(version) + ", this program knows " +
                                        std::to_string(target) + ": use the newer program");
  }
  if (version == target) return ok;
  for (int step = version; step < target; ++step) TRY(link.run(k_steps[step]));
  TRY(link.run("DELETE FROM millet_schema"));
  return link.run("INSERT INTO millet_schema VALUES (" + std::to_string(target) + ")");
}

}  // namespace

int newest_schema() { return static_cast<int>(std::size(k_steps)); }

Status migrate(PgLink& link, int target) {
  CHECK(target > 0 && target <= newest_schema());
  TRY(link.run(std::string("BEGIN; ") + k_migration_lock));
  Status status = migrate_locked(link, target);
  if (status) return link.run("COMMIT");
  static_cast<void>(link.run("ROLLBACK"));
  return status;
}

}  // namespace millet
