#include "store/lmdb/page_use.h"

#include <cstring>

#include <lmdb.h>

namespace millet {
namespace {

constexpr MDB_dbi k_free_table = 0;  // LMDB's own
constexpr MDB_dbi k_main_table = 1;
constexpr uint64_t k_root_bytes = 152;  // of the root's page only this is written (MDB_meta on 64-bit machines, the larger one)

bool add_table(MDB_txn* txn, MDB_dbi handle, PageUse& use) {
  MDB_stat stat{};
  if (mdb_stat(txn, handle, &stat) != 0) return false;
  use.used += uint64_t{stat.ms_branch_pages} + stat.ms_leaf_pages + stat.ms_overflow_pages;
  use.page_size = stat.ms_psize;
  return true;
}

bool read_use(MDB_env* env, MDB_txn* txn, const std::vector<unsigned>& handles, PageUse& use) {
  if (!add_table(txn, k_free_table, use) || !add_table(txn, k_main_table, use)) return false;
  for (unsigned handle : handles) {
    if (!add_table(txn, handle, use)) return false;
  }
  MDB_envinfo info{};
  if (mdb_env_info(env, &info) != 0) return false;
  // A record is a list of page numbers, and its length before it, all of the machine's word size.
  size_t number = info.me_last_txnid;
  MDB_val key{sizeof number, &number}, value{};
  MDB_cursor* cursor = nullptr;  // mdb_get() does not take this table
  if (mdb_cursor_open(txn, k_free_table, &cursor) != 0) return false;
  int rc = mdb_cursor_get(cursor, &key, &value, MDB_SET);
  mdb_cursor_close(cursor);
  if (rc == MDB_NOTFOUND) return true;
  size_t count = 0;
  if (rc != 0 || value.mv_size < sizeof count) return false;
  std::memcpy(&count, value.mv_data, sizeof count);
  use.freed = count;
  return true;
}

}  // namespace

std::optional<PageUse> read_page_use(MDB_env* env, const std::vector<unsigned>& handles) {
  MDB_txn* txn = nullptr;
  if (mdb_txn_begin(env, nullptr, MDB_RDONLY, &txn) != 0) return std::nullopt;
  PageUse use;
  bool known = read_use(env, txn, handles, use);
  mdb_txn_abort(txn);
  if (!known) return std::nullopt;
  return use;
}

uint64_t bytes_written(const PageUse& use, uint64_t used_before) {
  uint64_t pages = use.freed + use.used;
  return (pages > used_before ? pages - used_before : 0) * use.page_size + k_root_bytes;
}

}  // namespace millet
