#include "ledger/common/merkle.h"

#include <bit>
#include <cstring>

#include "base/check.h"

namespace millet {
namespace {

constexpr uint8_t k_leaf_prefix = 0x00;
constexpr uint8_t k_node_prefix = 0x01;

// The largest power of two that is less than n. Requires: n > 1.
uint64_t split(uint64_t n) { return std::bit_floor(n - 1); }

// The root over the records first to end - 1, as a part of a tree: `first` is a multiple of a power of two that is not below its length.
Result<Hash32> range_root(MerkleNodes& nodes, uint64_t first, uint64_t end) {
  CHECK(first < end);
  uint64_t length = end - first;
  if (std::has_single_bit(length)) {
    unsigned level = static_cast<unsigned>(std::countr_zero(length));
    return nodes.node(level, first >> level);
  }
  uint64_t middle = first + split(length);
  TRY_ASSIGN(Hash32 left, range_root(nodes, first, middle));
  TRY_ASSIGN(Hash32 right, range_root(nodes, middle, end));
  return merkle_node(left, right);
}

// RFC 9162, 2.1.3.1: PATH(index, D_n), iterative. Siblings are found from the root down, so they are turned round at the end.
Status append_path(MerkleNodes& nodes, uint64_t index, uint64_t size, MerklePath& out) {
  MerklePath down;
  uint64_t first = 0, end = size;
  while (end - first > 1) {
    uint64_t middle = first + split(end - first);
    bool left = index < middle;
    TRY_ASSIGN(Hash32 sibling, left ? range_root(nodes, middle, end) : range_root(nodes, first, middle));
    down.push_back(sibling);
    (left ? end : first) = middle;
  }
  out.insert(out.end(), down.rbegin(), down.rend());
  return ok;
}

}  // namespace

Hash32 merkle_leaf(Bytes record) {
  std::vector<uint8_t> message(1 + record.size());
  message[0] = k_leaf_prefix;
  if (!record.empty()) std::memcpy(message.data() + 1, record.data(), record.size());
  return sha256(message);
}

Hash32 merkle_node(const Hash32& left, const Hash32& right) {
  std::array<uint8_t, 65> message;
  message[0] = k_node_prefix;
  std::memcpy(message.data() + 1, left.data(), left.size());
  std::memcpy(message.data() + 33, right.data(), right.size());
  return sha256(message);
}

Hash32 merkle_empty_root() { return sha256({}); }

Hash32 merkle_full_root(std::span<const Hash32> hashes) {
  CHECK(std::has_single_bit(hashes.size()));
  std::vector<Hash32> level(hashes.begin(), hashes.end());
  for (; level.size() > 1; level.resize(level.size() / 2)) {
    for (size_t i = 0; i < level.size() / 2; ++i) level[i] = merkle_node(level[2 * i], level[2 * i + 1]);
  }
  return level[0];
}

bool inclusion_holds(const Hash32& leaf, uint64_t index, uint64_t size, std::span<const Hash32> path, const Hash32& root) {
  if (index >= size) return false;
  uint64_t at = index, last = size - 1;
  Hash32 hash = leaf;
  for (const Hash32& sibling : path) {
    if (last == 0) return false;
    if ((at & 1) != 0 || at == last) {
      hash = merkle_node(sibling, hash);
      // Levels where this node is the last one and has no sibling are skipped.
      while ((at & 1) == 0 && at != 0) {
        at >>= 1;
        last >>= 1;
      }
    } else {
      hash = merkle_node(hash, sibling);
    }
    at >>= 1;
    last >>= 1;
  }
  return last == 0 && hash == root;
}

bool consistency_holds(const MerkleRoot& from, const MerkleRoot& to, std::span<const Hash32> path) {
  if (from.size > to.size) return false;
  if (from.size == to.size) return path.empty() && from.root == to.root;
  if (from.size == 0) return path.empty() && from.root == merkle_empty_root();
  size_t next = 0;
  // A full older tree is a node of the newer one: the proof starts with it, without naming it.
  bool named = !std::has_single_bit(from.size);
  if (named && path.empty()) return false;
  Hash32 start = named ? path[next++] : from.root;
  uint64_t at = from.size - 1, last = to.size - 1;
  while ((at & 1) != 0) {
    at >>= 1;
    last >>= 1;
  }
  Hash32 older = start, newer = start;
  for (; next < path.size(); ++next) {
    const Hash32& hash = path[next];
    if (last == 0) return false;
    if ((at & 1) != 0 || at == last) {
      older = merkle_node(hash, older);
      newer = merkle_node(hash, newer);
      while ((at & 1) == 0 && at != 0) {
        at >>= 1;
        last >>= 1;
      }
    } else {
      newer = merkle_node(newer, hash);
    }
    at >>= 1;
    last >>= 1;
  }
  return last == 0 && older == from.root && newer == to.root;
}

Result<Hash32> merkle_root(MerkleNodes& nodes, uint64_t size) {
  if (size == 0) return merkle_empty_root();
  return range_root(nodes, 0, size);
}

Result<MerklePath> inclusion_path(MerkleNodes& nodes, uint64_t index, uint64_t size) {
  CHECK(index < size);
  MerklePath path;
  TRY(append_path(nodes, index, size, path));
  return path;
}

// RFC 9162, 2.1.4.1: SUBPROOF(from, D_to, true), iterative.
Result<MerklePath> consistency_path(MerkleNodes& nodes, uint64_t from, uint64_t to) {
  CHECK(from <= to);
  MerklePath path;
  if (from == 0 || from == to) return path;
  MerklePath down;
  uint64_t first = 0, end = to;
  // The subtree that ends exactly where the older log ends, and what lies beside the way to it.
  while (end != from) {
    uint64_t middle = first + split(end - first);
    bool left = from <= middle;
    TRY_ASSIGN(Hash32 sibling, left ? range_root(nodes, middle, end) : range_root(nodes, first, middle));
    down.push_back(sibling);
    (left ? end : first) = middle;
  }
  if (first != 0) {
    TRY_ASSIGN(Hash32 start, range_root(nodes, first, end));
    path.push_back(start);
  }
  path.insert(path.end(), down.rbegin(), down.rend());
  return path;
}

void MerkleEdge::append(const Hash32& leaf) {
  Hash32 hash = leaf;
  for (uint64_t bits = size_; (bits & 1) != 0; bits >>= 1) {
    hash = merkle_node(full_.back(), hash);
    full_.pop_back();
  }
  full_.push_back(hash);
  ++size_;
}

Hash32 MerkleEdge::root() const {
  if (full_.empty()) return merkle_empty_root();
  Hash32 root = full_.back();
  for (size_t i = full_.size() - 1; i-- > 0;) root = merkle_node(full_[i], root);
  return root;
}

}  // namespace millet
