#include "ledger/server/log_tree.h"

#include <cstring>

#include "base/check.h"

namespace millet {
namespace {

constexpr size_t k_hash_size = sizeof(Hash32);
constexpr size_t k_tiles_kept_max = 512;  // of one transaction: 256 KiB

Error damaged_tile(unsigned tile_level, uint64_t index) {
  return {Errc::io, "the ledger's log tree is damaged: tile " + std::to_string(index) + " of level " + std::to_string(tile_level) +
                        ". Restore a copy; do not go on with this one"};
}

Result<std::vector<Hash32>> read_tile(StoreTransaction& store, unsigned tile_level, uint64_t index) {
  TRY_ASSIGN(std::optional<Bytes> bytes, store.get(k_table_tree, tile_key(tile_level, index)));
  if (!bytes || bytes->size() % k_hash_size != 0 || bytes->size() > k_tile_width * k_hash_size) return damaged_tile(tile_level, index);
  std::vector<Hash32> hashes(bytes->size() / k_hash_size);
  std::memcpy(hashes.data(), bytes->data(), bytes->size());
  return hashes;
}

}  // namespace

std::array<uint8_t, 9> tile_key(unsigned tile_level, uint64_t index) {
  CHECK(tile_level < k_tile_levels_max);
  std::array<uint8_t, 9> key;
  key[0] = static_cast<uint8_t>(tile_level);
  store_be<uint64_t>(key.data() + 1, index);
  return key;
}

Result<Hash32> LogTreeReader::node(unsigned level, uint64_t index) {
  unsigned tile_level = level / k_tile_height, above = level % k_tile_height;
  uint64_t first = index << above;
  Place place{tile_level, first >> k_tile_height};
  auto found = tiles_.find(place);
  if (found == tiles_.end()) {
    if (tiles_.size() >= k_tiles_kept_max) tiles_.clear();
    TRY_ASSIGN(std::vector<Hash32> hashes, read_tile(store_, place.first, place.second));
    found = tiles_.emplace(place, std::move(hashes)).first;
  }
  size_t offset = first % k_tile_width, count = size_t{1} << above;
  if (offset + count > found->second.size()) return damaged_tile(place.first, place.second);
  return merkle_full_root(std::span(found->second).subspan(offset, count));
}

Status LogTreeWriter::load() {
  if (loaded_) return ok;
  loaded_ = true;
  uint64_t nodes = size_;
  for (unsigned level = 0; nodes > 0; ++level, nodes >>= k_tile_height) {
    size_t count = nodes % k_tile_width;
    if (count == 0) continue;
    TRY_ASSIGN(edge_[level].hashes, read_tile(store_, level, nodes >> k_tile_height));
    if (edge_[level].hashes.size() != count) return damaged_tile(level, nodes >> k_tile_height);
  }
  return ok;
}

Status LogTreeWriter::put(unsigned level, uint64_t index, std::span<const Hash32> hashes) {
  std::vector<uint8_t> bytes(hashes.size() * k_hash_size);
  std::memcpy(bytes.data(), hashes.data(), bytes.size());
  return store_.put(k_table_tree, tile_key(level, index), bytes);
}

Status LogTreeWriter::append(const Hash32& leaf) {
  TRY(load());
  Hash32 hash = leaf;
  for (unsigned level = 0;; ++level) {
    CHECK(level < k_tile_levels_max);
    Tile& tile = edge_[level];
    tile.hashes.push_back(hash);
    tile.changed = true;
    if (tile.hashes.size() < k_tile_width) break;
    TRY(put(level, size_ >> (k_tile_height * (level + 1)), tile.hashes));
    hash = merkle_full_root(tile.hashes);
    tile = {};
  }
  ++size_;
  return ok;
}

Result<Hash32> LogTreeWriter::flush() {
  TRY(load());
  Hash32 root = merkle_empty_root();
  bool any = false;
  for (unsigned level = 0; level < k_tile_levels_max; ++level) {
    Tile& tile = edge_[level];
    if (tile.changed) TRY(put(level, size_ >> (k_tile_height * level) >> k_tile_height, tile.hashes));
    tile.changed = false;
    // The full subtrees of this tile, right to left.
    std::span<const Hash32> rest(tile.hashes);
    for (unsigned bit = 0; bit < k_tile_height; ++bit) {
      size_t count = size_t{1} << bit;
      if ((rest.size() & count) == 0) continue;
      Hash32 full = merkle_full_root(rest.last(count));
      root = any ? merkle_node(full, root) : full;
      any = true;
      rest = rest.first(rest.size() - count);
    }
  }
  return root;
}

}  // namespace millet
