#include "store/postgres/transaction.h"

#include <algorithm>

namespace millet {
namespace {

constexpr int k_page_rows_max = 512;  // some 100 KiB of the ledger's rows

std::vector<uint8_t> to_vector(Bytes bytes) { return {bytes.begin(), bytes.end()}; }

}  // namespace

Status PostgresTransaction::prepare(PgLink& link) {
  TRY(link.prepare("get", "SELECT value FROM millet_rows WHERE store_table = $1::text AND key = $2::bytea"));
  TRY(link.prepare("get_all",
                   "SELECT r.store_table, r.key, r.value FROM unnest($1::text[], $2::bytea[]) AS wanted(t, k) "
                   "JOIN millet_rows r ON r.store_table = wanted.t AND r.key = wanted.k"));
  TRY(link.prepare("seek",
                   "SELECT key, value FROM millet_rows WHERE store_table = $1::text AND key >= $2::bytea ORDER BY store_table, key "
                   "LIMIT $3::integer"));
  TRY(link.prepare(
      "last", "SELECT key, value FROM millet_rows WHERE store_table = $1::text ORDER BY store_table DESC, key DESC LIMIT $2::integer"));
  TRY(link.prepare("tables", "SELECT DISTINCT store_table FROM millet_rows"));
  TRY(link.prepare("put",
                   "INSERT INTO millet_rows SELECT * FROM unnest($1::text[], $2::bytea[], $3::bytea[]) "
                   "ON CONFLICT (store_table, key) DO UPDATE SET value = EXCLUDED.value"));
  return link.prepare("erase",
                      "DELETE FROM millet_rows r USING unnest($1::text[], $2::bytea[]) AS gone(t, k) "
                      "WHERE r.store_table = gone.t AND r.key = gone.k");
}

PostgresTransaction::~PostgresTransaction() {
  if (!done_ && link_.is_good()) static_cast<void>(link_.run("ROLLBACK"));
  store_.busy_ = false;
}

Status PostgresTransaction::usable() const {
  CHECK(!done_);
  if (failed_) return error(Errc::io, "the transaction failed before");
  return ok;
}

Error PostgresTransaction::fail(Error why) {
  failed_ = true;
  return why;
}

Status PostgresTransaction::prefetch(const std::vector<StoreKey>& keys) {
  TRY(usable());
  std::vector<std::string_view> names;
  std::vector<Bytes> wanted;
  for (const StoreKey& key : keys) {
    Table& rows = table(key.table);
    if (rows.written.contains(key.key) || !rows.read.emplace(key.key, std::nullopt).second) continue;
    names.push_back(key.table);
    wanted.push_back(key.key);
  }
  if (names.empty()) return ok;
  Result<PgRows> found = link_.execute("get_all", PgParams().text_array(names).bytes_array(wanted));
  if (!found) return fail(found.error());
  for (int i = 0; i < found->size(); ++i) {
    Table& rows = tables_.find(as_text(found->at(i, 0)))->second;
    rows.read.find(found->at(i, 1))->second = to_vector(found->at(i, 2));
  }
  return ok;
}

Result<std::optional<Bytes>> PostgresTransaction::get(const char* name, Bytes key) {
  TRY(usable());
  Table& rows = table(name);
  for (const auto* known : {&rows.written, &rows.read}) {
    auto row = known->find(key);
    if (row != known->end()) return row->second ? std::optional<Bytes>(*row->second) : std::nullopt;
  }
  Result<PgRows> found = link_.execute("get", PgParams().text(name).bytes(key));
  if (!found) return fail(found.error());
  if (found->size() == 0) return std::optional<Bytes>();
  value_ = to_vector(found->at(0, 0));
  return std::optional<Bytes>(value_);
}

Status PostgresTransaction::read_page(const char* name, Bytes from) {
  Table& rows = table(name);
  // Again behind the page that was there: somebody reads in order.
  bool in_order = !rows.page.empty() && Less()(rows.page.back().first, from);
  rows.rows_next = in_order ? std::min(rows.rows_next * 8, k_page_rows_max) : 1;
  Result<PgRows> found = link_.execute("seek", PgParams().text(name).bytes(from).number(rows.rows_next));
  if (!found) return fail(found.error());
  rows.from = to_vector(from);
  rows.page.clear();
  for (int i = 0; i < found->size(); ++i) rows.page.emplace_back(to_vector(found->at(i, 0)), to_vector(found->at(i, 1)));
  rows.whole = found->size() < rows.rows_next;
  return ok;
}

Result<const std::pair<PostgresTransaction::Key, std::vector<uint8_t>>*> PostgresTransaction::stored(const char* name, Bytes from) {
  using Row = std::pair<Key, std::vector<uint8_t>>;
  Table& rows = table(name);
  auto in_page = [&]() -> const Row* {
    auto row = std::lower_bound(rows.page.begin(), rows.page.end(), from, [](const Row& r, Bytes f) { return Less()(r.first, f); });
    return row == rows.page.end() ? nullptr : &*row;
  };
  bool covered = (!rows.page.empty() || rows.whole) && !Less()(from, rows.from);
  const Row* found = covered ? in_page() : nullptr;
  if (found != nullptr || (covered && rows.whole)) return found;
  TRY(read_page(name, from));
  return in_page();
}

Result<std::optional<StoreTransaction::Entry>> PostgresTransaction::seek(const char* name, Bytes from) {
  TRY(usable());
  Table& rows = table(name);
  Key at = to_vector(from);
  for (;;) {
    TRY_ASSIGN(const auto* row, stored(name, at));
    auto written = rows.written.lower_bound(at);
    bool own = written != rows.written.end() && (row == nullptr || !Less()(row->first, written->first));
    if (!own) {
      if (row == nullptr) return std::optional<Entry>();
      return std::optional<Entry>(Entry{row->first, row->second});
    }
    if (written->second) return std::optional<Entry>(Entry{written->first, *written->second});
    at = written->first;  // erased: what follows it
    at.push_back(0);
  }
}

Result<std::optional<StoreTransaction::Entry>> PostgresTransaction::last(const char* name) {
  TRY(usable());
  Table& rows = table(name);
  // As many from the end as may have been erased here, and one more.
  size_t erased = static_cast<size_t>(std::count_if(rows.written.begin(), rows.written.end(), [](const auto& row) { return !row.second; }));
  Result<PgRows> found = link_.execute("last", PgParams().text(name).number(static_cast<int32_t>(erased) + 1));
  if (!found) return fail(found.error());
  std::optional<Entry> entry;
  for (int i = 0; i < found->size() && !entry; ++i) {
    auto own = rows.written.find(found->at(i, 0));
    if (own != rows.written.end() && !own->second) continue;
    key_ = to_vector(found->at(i, 0));
    value_ = own == rows.written.end() ? to_vector(found->at(i, 1)) : *own->second;
    entry = Entry{key_, value_};
  }
  for (auto own = rows.written.rbegin(); own != rows.written.rend(); ++own) {
    if (!own->second) continue;
    if (!entry || Less()(entry->key, own->first)) entry = Entry{own->first, *own->second};
    break;
  }
  return entry;
}

Result<std::vector<std::string>> PostgresTransaction::tables() {
  TRY(usable());
  Result<PgRows> found = link_.execute("tables", PgParams());
  if (!found) return fail(found.error());
  std::vector<std::string> names;
  for (int i = 0; i < found->size(); ++i) names.emplace_back(as_text(found->at(i, 0)));
  for (const auto& [name, rows] : tables_) {
    bool known = std::find(names.begin(), names.end(), name) != names.end();
    if (!known && !rows.written.empty()) names.push_back(name);
  }
  return names;
}

Status PostgresTransaction::put(const char* name, Bytes key, Bytes value) {
  CHECK(writable_ && !key.empty() && key.size() <= k_store_key_size_max);
  TRY(usable());
  table(name).written.insert_or_assign(to_vector(key), Value(to_vector(value)));
  return ok;
}

Status PostgresTransaction::erase(const char* name, Bytes key) {
  CHECK(writable_);
  TRY(usable());
  table(name).written.insert_or_assign(to_vector(key), std::nullopt);
  return ok;
}

Status PostgresTransaction::commit() {
  CHECK(writable_);
  TRY(usable());
  std::vector<std::string_view> put_names, erase_names;
  std::vector<Bytes> put_keys, put_values, erase_keys;
  for (const auto& [name, rows] : tables_) {
    for (const auto& [key, value] : rows.written) {
      (value ? put_names : erase_names).push_back(name);
      (value ? put_keys : erase_keys).push_back(key);
      if (value) put_values.push_back(*value);
    }
  }
  std::vector<PgLink::Step> steps;
  if (!put_keys.empty()) steps.push_back({"put", PgParams().text_array(put_names).bytes_array(put_keys).bytes_array(put_values)});
  if (!erase_keys.empty()) steps.push_back({"erase", PgParams().text_array(erase_names).bytes_array(erase_keys)});
  Status status = link_.run_together(steps, "COMMIT");
  if (!status) return fail(status.error());
  done_ = true;
  return ok;
}

}  // namespace millet
