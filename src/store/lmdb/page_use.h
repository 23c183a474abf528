// What a commit of LMDB wrote, from its own books. LMDB never changes a page in place: a commit writes every page that it has changed anew,
// and lists the pages that these replace in its table of free pages, under the transaction's number. So
//
//   written = freed by this transaction + pages in use now - pages in use before
//
// and the page of the root. Pages that were made and given up within the transaction count too, though LMDB may not write them.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

struct MDB_env;

namespace millet {

struct PageUse {
  uint64_t used = 0;   // pages of all tables, LMDB's own included
  uint64_t freed = 0;  // by the last transaction
  uint32_t page_size = 0;
};

// As of the last commit; nothing if LMDB does not say. `handles` are those of all named tables. Requires: no transaction is open here.
std::optional<PageUse> read_page_use(MDB_env* env, const std::vector<unsigned>& handles);
// Bytes that the last commit gave to the disk; `used_before` is PageUse::used before it.
uint64_t bytes_written(const PageUse& use, uint64_t used_before);

}  // namespace millet
