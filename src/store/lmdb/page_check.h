// Looks at the pages of an LMDB file without LMDB, which takes their word for everything and dies of what is not true: every page that is
// in use is read once, by its own bounds. Not for use outside store/lmdb.
//
//   meta pages 0 and 1     the newer one counts: page size, last page, roots of the free list and of the main table
//   page                   its number, flags, where its nodes begin and end; branch, leaf, or the first of an overflow
//   leaf of the main table a table's record: its root, and how many pages and entries it has
//   leaf of the free list  pages that are free, by the transaction that freed them
//
// Every page must have its own number and be used or free, once; counts must be what the tables' records say. What is in keys and values is
// the reader's to judge.
#pragma once

#include <string>

#include "base/result.h"

namespace millet {

// A larger file is not looked at: some seconds on a router.
inline constexpr uint64_t k_checked_file_max = uint64_t{64} << 20;

// Errors: io (damaged: what is wrong where; or it can't be read).
Status check_lmdb_pages(const std::string& path);

}  // namespace millet
