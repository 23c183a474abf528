#include "driver/commit_queue.h"

#include "unit/inline_executor.h"
#include "unit/test.h"

using namespace millet;

namespace {

struct TestClock final : hal::Clock {
  Instant now() override { return time; }
  WallTime wall() override { return {}; }
  Instant time = Instant::from_us(1);
};

// A store that can refuse, and counts what it takes.
struct TestStore final : Store {
  struct Transaction final : StoreTransaction {
    explicit Transaction(TestStore& owner) : owner_(owner) {}
    Result<std::optional<Bytes>> get(const char*, Bytes) override { return std::optional<Bytes>(); }
    Result<std::optional<Entry>> seek(const char*, Bytes) override { return std::optional<Entry>(); }
    Result<std::optional<Entry>> last(const char*) override { return std::optional<Entry>(); }
    Result<std::vector<std::string>> tables() override { return std::vector<std::string>(); }
    Status put(const char*, Bytes key, Bytes) override {
      keys_.push_back(key[0]);
      return ok;
    }
    Status erase(const char*, Bytes) override { return ok; }
    Status commit() override {
      if (owner_.full) return error(Errc::no_room, "the disk is full");
      ++owner_.transactions;
      owner_.keys.insert(owner_.keys.end(), keys_.begin(), keys_.end());
      return ok;
    }
    TestStore& owner_;
    std::vector<uint8_t> keys_;
  };
  Result<std::unique_ptr<StoreTransaction>> begin_write() override { return std::unique_ptr<StoreTransaction>(new Transaction(*this)); }
  Result<std::unique_ptr<StoreTransaction>> begin_read() override { return begin_write(); }
  bool full = false;
  int transactions = 0;
  std::vector<uint8_t> keys;
};

struct World final : CommitEvents {
  void on_durable(uint64_t sequence) override { durable.push_back(sequence); }
  void on_commit_failed(uint64_t sequence, const Error&) override { failed.push_back(sequence); }
  void add(uint8_t number) {
    Commit commit;
    commit.sequence = number;
    commit.changes.push_back({"table", {number}, std::vector<uint8_t>{number}});
    queue.add(clock.now(), std::move(commit));
  }
  TestClock clock;
  TestStore store;
  InlineExecutor executor;
  CommitQueue queue{store, executor, clock, *this};
  std::vector<uint64_t> durable;
  std::vector<uint64_t> failed;
};

void what_waits_goes_into_one_transaction_in_order(void**) {
  World world;
  for (uint8_t i = 1; i <= 20; ++i) world.add(i);
  assert_int_equal(world.executor.waiting.size(), 1);
  assert_true(world.executor.waiting.front().first == hal::Queue::store);
  assert_true(world.durable.empty());
  world.executor.run_all();
  assert_int_equal(world.store.transactions, 2);  // the first was under way when the others came
  assert_int_equal(world.durable.size(), 20);
  for (uint8_t i = 1; i <= 20; ++i) assert_true(world.durable[i - 1u] == i && world.store.keys[i - 1u] == i);
  assert_int_equal(world.queue.pending(), 0);
}

void a_store_that_refuses_is_asked_again_and_nothing_is_lost_or_overtaken(void**) {
  World world;
  world.store.full = true;
  world.add(1);
  world.executor.run_all();
  assert_int_equal(world.failed.size(), 1);
  world.add(2);
  assert_int_equal(world.executor.run_all(), 0);  // not before the pause is over
  Instant first = world.queue.next_deadline();
  assert_true(first - world.clock.time == Duration::seconds(1));
  world.clock.time = first;
  world.queue.on_timer(first);
  world.executor.run_all();
  assert_true(world.durable.empty());
  assert_true(world.queue.next_deadline() - first == Duration::seconds(2));
  for (int i = 0; i < 10; ++i) {
    world.clock.time = world.queue.next_deadline();
    world.queue.on_timer(world.clock.time);
    world.executor.run_all();
  }
  assert_true(world.queue.next_deadline() - world.clock.time == Duration::seconds(30));
  world.store.full = false;
  world.clock.time = world.queue.next_deadline();
  world.queue.on_timer(world.clock.time);
  world.executor.run_all();
  assert_true(world.queue.next_deadline().is_never());
  assert_true(world.durable == (std::vector<uint64_t>{1, 2}));
  assert_true(world.store.keys == (std::vector<uint8_t>{1, 2}));
  world.add(3);
  world.executor.run_all();
  assert_int_equal(world.durable.back(), 3);
}

void a_backlog_does_not_become_one_huge_transaction(void**) {
  World world;
  world.store.full = true;
  world.add(1);
  world.executor.run_all();
  for (uint8_t i = 2; i < 12; ++i) {
    Commit commit;
    commit.sequence = i;
    for (int j = 0; j < 1000; ++j) commit.changes.push_back({"table", {i}, std::nullopt});
    world.queue.add(world.clock.now(), std::move(commit));
  }
  world.store.full = false;
  world.clock.time = world.queue.next_deadline();
  world.queue.on_timer(world.clock.time);
  world.executor.run_all();
  assert_int_equal(world.durable.size(), 11);
  assert_int_equal(world.store.transactions, 3);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(what_waits_goes_into_one_transaction_in_order),
      cmocka_unit_test(a_store_that_refuses_is_asked_again_and_nothing_is_lost_or_overtaken),
      cmocka_unit_test(a_backlog_does_not_become_one_huge_transaction),
  };
  return RUN_TESTS(tests);
}
