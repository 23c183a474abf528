// The Merkle tree of RFC 6962, section 2 (RFC 9162, section 2.1): what commits a log to all of its records by one hash, its root, and lets
// it prove with a few hashes that a record is in it (inclusion) and that an older log is the beginning of a newer one (consistency).
//
//   leaf = SHA-256(0x00 | record)     node = SHA-256(0x01 | left | right)     root of nothing = SHA-256("")
//
// Node (level, index) is the root over the records index * 2^level to (index + 1) * 2^level - 1; only such full nodes are ever stored
// (server/log_tree.h), and they never change. Hashing only: no storage, no signatures.
#pragma once

#include <span>
#include <vector>

#include "base/result.h"
#include "crypto/hash.h"

namespace millet {

// A proof goes up a tree of fewer than 2^64 records; a consistency proof has one hash more, where it starts.
inline constexpr size_t k_inclusion_path_max = 64;
inline constexpr size_t k_consistency_path_max = 65;

using MerklePath = std::vector<Hash32>;  // from the leaf's side up

Hash32 merkle_leaf(Bytes record);
Hash32 merkle_node(const Hash32& left, const Hash32& right);
Hash32 merkle_empty_root();
// The root over 2^n hashes of one level. Requires: a power of two.
Hash32 merkle_full_root(std::span<const Hash32> hashes);

// RFC 9162, 2.1.3.2: the leaf is record `index` of the log of `size` records with this root.
bool inclusion_holds(const Hash32& leaf, uint64_t index, uint64_t size, std::span<const Hash32> path, const Hash32& root);
// RFC 9162, 2.1.4.2: the first `from` records of the log of `to` records are the log of `from` records. Nothing is the beginning of
// everything. A root of one size is consistent only with itself.
struct MerkleRoot {
  uint64_t size = 0;
  Hash32 root{};
};
bool consistency_holds(const MerkleRoot& from, const MerkleRoot& to, std::span<const Hash32> path);

// Where full nodes are kept.
class MerkleNodes {
 public:
  virtual ~MerkleNodes() = default;
  // Requires: (index + 1) << level is at most the log's size. Errors: of the store; io if it is missing.
  virtual Result<Hash32> node(unsigned level, uint64_t index) = 0;
};
// Errors: of `nodes`. Requires: size is at most the log's.
Result<Hash32> merkle_root(MerkleNodes& nodes, uint64_t size);
// Requires: index < size, at most the log's.
Result<MerklePath> inclusion_path(MerkleNodes& nodes, uint64_t index, uint64_t size);
// Requires: from <= to, at most the log's.
Result<MerklePath> consistency_path(MerkleNodes& nodes, uint64_t from, uint64_t to);

// The right edge of a growing tree: enough to go on and to know the root at any time; one hash per set bit of the size.
class MerkleEdge {
 public:
  void append(const Hash32& leaf);
  uint64_t size() const { return size_; }
  Hash32 root() const;

 private:
  uint64_t size_ = 0;
  std::vector<Hash32> full_;  // roots of the full subtrees, largest first
};

}  // namespace millet
