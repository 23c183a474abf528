// The Merkle tree: the reference vectors of the certificate-transparency project, and everything against a naive recomputation.
#include <string>

#include "base/random.h"
#include "ledger/common/merkle.h"
#include "ledger/server/log_tree.h"
#include "store/memory_store.h"
#include "unit/test.h"

using namespace millet;

namespace {

Hash32 hash_of(std::string_view hex) {
  Hash32 out{};
  CHECK(from_hex(hex, out).has_value());
  return out;
}

// RFC 6962, 2.1, as it is written there.
Hash32 naive_root(std::span<const Hash32> leaves) {
  if (leaves.empty()) return merkle_empty_root();
  if (leaves.size() == 1) return leaves[0];
  size_t middle = 1;
  while (middle * 2 < leaves.size()) middle *= 2;
  return merkle_node(naive_root(leaves.first(middle)), naive_root(leaves.subspan(middle)));
}
MerklePath naive_inclusion(size_t index, std::span<const Hash32> leaves) {
  if (leaves.size() == 1) return {};
  size_t middle = 1;
  while (middle * 2 < leaves.size()) middle *= 2;
  bool left = index < middle;
  MerklePath path = left ? naive_inclusion(index, leaves.first(middle)) : naive_inclusion(index - middle, leaves.subspan(middle));
  path.push_back(naive_root(left ? leaves.subspan(middle) : leaves.first(middle)));
  return path;
}
MerklePath naive_consistency(size_t from, std::span<const Hash32> leaves, bool whole) {
  if (from == leaves.size()) return whole ? MerklePath() : MerklePath{naive_root(leaves)};
  size_t middle = 1;
  while (middle * 2 < leaves.size()) middle *= 2;
  bool left = from <= middle;
  MerklePath path =
      left ? naive_consistency(from, leaves.first(middle), whole) : naive_consistency(from - middle, leaves.subspan(middle), false);
  path.push_back(naive_root(left ? leaves.subspan(middle) : leaves.first(middle)));
  return path;
}

// A tree in a store, written in batches of any size.
struct Tree {
  MemoryStore store;
  std::vector<Hash32> leaves;
  Hash32 root{};

  bool append(std::span<const Hash32> more) {
    auto transaction = store.begin_write();
    LogTreeWriter writer(**transaction, leaves.size());
    for (const Hash32& leaf : more) {
      if (!writer.append(leaf)) return false;
      leaves.push_back(leaf);
    }
    auto flushed = writer.flush();
    if (!flushed || !(*transaction)->commit()) return false;
    root = *flushed;
    return true;
  }
};

const char* const k_leaves[] = {"", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"};
const char* const k_roots[] = {
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125", "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7", "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef", "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"};

std::vector<Hash32> reference_leaves() {
  std::vector<Hash32> out;
  for (std::string_view hex : k_leaves) {
    std::vector<uint8_t> leaf(hex.size() / 2);
    CHECK(from_hex(hex, leaf).has_value());
    out.push_back(merkle_leaf(leaf));
  }
  return out;
}

void roots_match_the_reference_vectors(void**) {
  MerkleEdge edge;
  Tree tree;
  assert_true(edge.root() == hash_of(k_roots[0]));
  for (size_t i = 0; i < 8; ++i) {
    Hash32 leaf = reference_leaves()[i];
    edge.append(leaf);
    assert_true(tree.append({&leaf, 1}));
    assert_true(edge.root() == hash_of(k_roots[i + 1]));
    assert_true(tree.root == edge.root());
  }
}

void proofs_match_the_reference_vectors(void**) {
  const struct {
    bool inclusion;
    uint64_t first, size;  // index or older size
    std::vector<const char*> path;
  } vectors[] = {
      {true, 0, 1, {}},
      {true,
       0,
       8,
       {"96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"}},
      {true,
       5,
       8,
       {"bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"}},
      {true, 2, 3, {"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"}},
      {true,
       1,
       5,
       {"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"}},
      {false, 1, 1, {}},
      {false,
       1,
       8,
       {"96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"}},
      {false,
       6,
       8,
       {"0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"}},
      {false,
       2,
       5,
       {"5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"}},
  };
  Tree tree;
  assert_true(tree.append(reference_leaves()));
  auto transaction = tree.store.begin_read();
  LogTreeReader nodes(**transaction);
  for (const auto& v : vectors) {
    MerklePath expected;
    for (const char* hex : v.path) expected.push_back(hash_of(hex));
    auto path = v.inclusion ? inclusion_path(nodes, v.first, v.size) : consistency_path(nodes, v.first, v.size);
    assert_true(path.has_value() && *path == expected);
    if (v.inclusion)
      assert_true(inclusion_holds(tree.leaves[v.first], v.first, v.size, *path, hash_of(k_roots[v.size])));
    else
      assert_true(consistency_holds({v.first, hash_of(k_roots[v.first])}, {v.size, hash_of(k_roots[v.size])}, *path));
  }
}

Hash32 numbered_leaf(uint64_t number) {
  std::array<uint8_t, 8> bytes;
  store_be<uint64_t>(bytes.data(), number);
  return merkle_leaf(bytes);
}

// Every size, index and older size up to a few tiles; batches of random length.
void proofs_are_those_of_the_naive_tree_and_hold(void**) {
  Random random(7);
  Tree tree;
  std::vector<Hash32> roots = {merkle_empty_root()};
  MerkleEdge edge;
  while (tree.leaves.size() < 300) {
    std::vector<Hash32> more;
    for (uint64_t i = random.below(20); i > 0; --i) more.push_back(numbered_leaf(tree.leaves.size() + more.size()));
    assert_true(tree.append(more));
    for (const Hash32& leaf : more) {
      edge.append(leaf);
      roots.push_back(edge.root());
    }
    assert_true(tree.root == roots.back());
  }
  auto transaction = tree.store.begin_read();
  LogTreeReader nodes(**transaction);
  std::span<const Hash32> leaves(tree.leaves);
  for (uint64_t size = 1; size <= leaves.size(); size += 1 + random.below(5)) {
    assert_true(roots[size] == naive_root(leaves.first(size)));
    assert_true(*merkle_root(nodes, size) == roots[size]);
    for (uint64_t at = 0; at < size; at += 1 + random.below(7)) {
      auto path = inclusion_path(nodes, at, size);
      assert_true(path.has_value() && *path == naive_inclusion(at, leaves.first(size)));
      assert_true(inclusion_holds(leaves[at], at, size, *path, roots[size]));
      auto grown = consistency_path(nodes, at, size);
      if (at > 0) assert_true(*grown == naive_consistency(at, leaves.first(size), true));
      assert_true(consistency_holds({at, roots[at]}, {size, roots[size]}, *grown));
    }
  }
}

// Whatever is changed in a proof, it holds no longer.
void changed_proofs_do_not_hold(void**) {
  Random random(11);
  Tree tree;
  std::vector<Hash32> roots = {merkle_empty_root()}, more;
  MerkleEdge edge;
  for (uint64_t i = 0; i < 200; ++i) {
    more.push_back(numbered_leaf(i));
    edge.append(more.back());
    roots.push_back(edge.root());
  }
  assert_true(tree.append(more));
  auto transaction = tree.store.begin_read();
  LogTreeReader nodes(**transaction);
  for (int round = 0; round < 2000; ++round) {
    uint64_t size = 2 + random.below(199), at = random.below(size);
    MerklePath path = *inclusion_path(nodes, at, size);
    uint64_t other = random.below(size);
    if (other != at) assert_false(inclusion_holds(tree.leaves[at], other, size, path, roots[size]));
    if (other != at) assert_false(inclusion_holds(tree.leaves[other], at, size, path, roots[size]));
    assert_false(inclusion_holds(tree.leaves[at], at, size, path, roots[size - 1]));
    MerklePath longer = path, shorter = path, changed = path;
    longer.push_back(roots[size]);
    shorter.pop_back();
    changed[random.below(changed.size())][random.below(32)] ^= static_cast<uint8_t>(1u << random.below(8));
    for (const MerklePath& wrong : {longer, shorter, changed}) assert_false(inclusion_holds(tree.leaves[at], at, size, wrong, roots[size]));
    if (at == 0) continue;
    MerkleRoot from{at, roots[at]}, to{size, roots[size]};
    path = *consistency_path(nodes, at, size);
    longer = shorter = changed = path;
    longer.push_back(roots[size]);
    shorter.pop_back();
    changed[random.below(changed.size())][random.below(32)] ^= static_cast<uint8_t>(1u << random.below(8));
    for (const MerklePath& wrong : {longer, shorter, changed}) assert_false(consistency_holds(from, to, wrong));
    assert_false(consistency_holds({at, roots[at - 1]}, to, path));
    assert_false(consistency_holds(from, {size, roots[size - 1]}, path));
    assert_false(consistency_holds(to, from, path));
  }
  assert_false(consistency_holds({5, roots[5]}, {5, roots[6]}, {}));
  assert_false(inclusion_holds(tree.leaves[0], 0, 0, {}, roots[0]));
}

// A damaged tree is an error, never a wrong proof that looks right, and never a crash.
void a_damaged_tree_is_an_error(void**) {
  Tree tree;
  std::vector<Hash32> more;
  for (uint64_t i = 0; i < 40; ++i) more.push_back(numbered_leaf(i));
  assert_true(tree.append(more));
  {
    auto transaction = tree.store.begin_write();
    assert_true((*transaction)->erase(k_table_tree, tile_key(0, 1)).has_value());
    assert_true((*transaction)->put(k_table_tree, tile_key(0, 2), std::vector<uint8_t>(33)).has_value());
    assert_true((*transaction)->commit().has_value());
  }
  auto transaction = tree.store.begin_write();
  LogTreeReader nodes(**transaction);
  assert_int_equal(inclusion_path(nodes, 17, 40).error().code, Errc::io);
  LogTreeWriter writer(**transaction, 40);
  assert_int_equal(writer.append(more[0]).error().code, Errc::io);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(roots_match_the_reference_vectors),
      cmocka_unit_test(proofs_match_the_reference_vectors),
      cmocka_unit_test(proofs_are_those_of_the_naive_tree_and_hold),
      cmocka_unit_test(changed_proofs_do_not_hold),
      cmocka_unit_test(a_damaged_tree_is_an_error),
  };
  return RUN_TESTS(tests);
}
