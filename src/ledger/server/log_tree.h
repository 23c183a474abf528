// The Merkle tree of the log in the store (common/merkle.h): tiles of 16 hashes, four levels high.
//
//   tree     tile level u8 | index u64      up to 16 hashes: the nodes (4 * level, 16 * index) and following
//
// A tile holds the nodes of its lowest level; those between are computed (at most 15 hashes). A proof in a log of n records reads about
// log16(n) tiles for each of its ends; a record costs 34 bytes. The last tile of each level grows; a full one never changes.
#pragma once

#include <map>

#include "ledger/common/merkle.h"
#include "store/store.h"

namespace millet {

inline constexpr const char* k_table_tree = "tree";
inline constexpr unsigned k_tile_height = 4;
inline constexpr size_t k_tile_width = size_t{1} << k_tile_height;
inline constexpr unsigned k_tile_levels_max = 64 / k_tile_height;

std::array<uint8_t, 9> tile_key(unsigned tile_level, uint64_t index);

// Reads full nodes of what is stored. For one transaction.
class LogTreeReader final : public MerkleNodes {
 public:
  explicit LogTreeReader(StoreTransaction& store) : store_(store) {}
  Result<Hash32> node(unsigned level, uint64_t index) override;

 private:
  using Place = std::pair<unsigned, uint64_t>;
  StoreTransaction& store_;
  std::map<Place, std::vector<Hash32>> tiles_;  // read before in this transaction; bounded by clearing
};

// Appends records in one transaction.
class LogTreeWriter {
 public:
  // size: records in the tree so far. Errors of a tree that is not complete show when it is written or read.
  LogTreeWriter(StoreTransaction& store, uint64_t size) : store_(store), size_(size) {}

  // Errors: of the store; io (damaged).
  Status append(const Hash32& leaf);
  // Writes the tiles that have changed; gives the root. Errors: of the store; io (damaged).
  Result<Hash32> flush();

 private:
  struct Tile {
    std::vector<Hash32> hashes;  // fewer than k_tile_width
    bool changed = false;
  };
  Status load();
  Status put(unsigned level, uint64_t index, std::span<const Hash32> hashes);

  StoreTransaction& store_;
  uint64_t size_;
  bool loaded_ = false;
  std::array<Tile, k_tile_levels_max> edge_;  // the last tile of each level
};

}  // namespace millet
