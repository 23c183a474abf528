// A store in memory, for tests and the simulator. It has two layers: what was committed, and what of it is durable. crash() forgets the
// difference. By default a commit is durable when it returns, as with LMDB; with set_durable_at_commit(false) the simulator's disk says
// later, by make_durable(), how far it has come. Commits become durable in their order.
#pragma once

#include <map>
#include <string>

#include "store/store.h"

namespace millet {

// What a MemoryStore pretends to suffer from.
enum class StoreFault : uint8_t {
  none,
  full,       // writes and commits fail with no_room; reads and erasing go on
  read_only,  // begin_write fails with denied
  broken,     // everything fails with io
};

// Is told of every commit, after it.
class CommitWatch {
 public:
  virtual ~CommitWatch() = default;
  virtual void on_commit(const StoreBatch& changes) = 0;
};

// Keys order as bytes do, a shorter one before a longer one that begins with it.
struct BytesLess {
  using is_transparent = void;
  bool operator()(Bytes a, Bytes b) const {
    size_t common = a.size() < b.size() ? a.size() : b.size();
    int order = common == 0 ? 0 : std::memcmp(a.data(), b.data(), common);
    return order != 0 ? order < 0 : a.size() < b.size();
  }
};

class MemoryStore final : public Store {
 public:
  using Table = std::map<std::vector<uint8_t>, std::vector<uint8_t>, BytesLess>;

  MemoryStore() = default;
  MemoryStore(const MemoryStore&) = delete;
  MemoryStore& operator=(const MemoryStore&) = delete;
  ~MemoryStore() override { CHECK(!busy_); }

  Result<std::unique_ptr<StoreTransaction>> begin_write() override;
  Result<std::unique_ptr<StoreTransaction>> begin_read() override;

  // Commits that succeeded since the store was made, also those that a crash forgot; number n names the n-th.
  uint64_t commit_count() const { return commit_count_; }
  void set_durable_at_commit(bool on) { durable_at_commit_ = on; }
  // Makes the commits up to number `commit` durable.
  void make_durable(uint64_t commit);
  // Power is cut: what is not durable is gone. Requires: no transaction is open.
  void crash();

  void set_fault(StoreFault fault) { fault_ = fault; }
  void set_watch(CommitWatch* watch) { watch_ = watch; }

 private:
  friend class MemoryTransaction;
  using Tables = std::map<std::string, Table, std::less<>>;
  struct Commit {
    uint64_t number;
    StoreBatch changes;
  };
  static void apply(Tables& tables, const StoreBatch& changes);
  void commit(StoreBatch changes);

  Tables committed_;
  Tables durable_;
  std::vector<Commit> volatile_;  // oldest first
  uint64_t commit_count_ = 0;
  bool durable_at_commit_ = true;
  bool busy_ = false;
  StoreFault fault_ = StoreFault::none;
  CommitWatch* watch_ = nullptr;
};

}  // namespace millet
