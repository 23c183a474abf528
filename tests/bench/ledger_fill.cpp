// Makes the state of a ledger with many accounts and open channels, all signed as they would come from outside, without the network; then
// says what a proof takes in it.
//
//   ledger_fill --state FOLDER --accounts N --channels N [--records N] [--proofs 1000]
//
// Beyond accounts and channels, the log is filled up to `records` with what ledger_load.cpp sends: of 20 operations 9 OPEN, 8 CLOSE, 1
// CLAIM, 2 TRANSFER. One thread makes and signs, the other executes. FOLDER is what millet-ledgerd --state takes; it may hold a state
// already, which then grows. One line of JSON goes to standard output.
#include <stdio.h>
#include <sys/stat.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/random.h"
#include "bench/ledger_tool.h"
#include "driver/key_file.h"
#include "hal/linux/clock.h"
#include "hal/linux/random.h"
#include "ledger/server/genesis.h"
#include "ledger/server/log_tree.h"
#include "ledger/server/state.h"
#include "store/lmdb/lmdb_store.h"

using namespace millet;

namespace {

constexpr uint64_t k_fund_micro = 1'000'000;
constexpr uint64_t k_capacity_micro = 1000;
constexpr size_t k_batch = 512;
constexpr size_t k_senders = 4096;  // of accounts, whose keys are kept: signing needs them

struct Options {
  std::string state;
  uint64_t accounts = 0, channels = 0, records = 0, proofs = 1000;
};

Options parse_options(int argc, char** argv) {
  Options out;
  for (int i = 1; i + 1 < argc; i += 2) {
    std::string name = argv[i];
    if (name == "--state") {
      out.state = argv[i + 1];
      continue;
    }
    uint64_t value = number(argv[i + 1]);
    if (name == "--accounts") {
      out.accounts = value;
    } else if (name == "--channels") {
      out.channels = value;
    } else if (name == "--records") {
      out.records = value;
    } else if (name == "--proofs") {
      out.proofs = value;
    } else {
      stop("no option " + name);
    }
  }
  return out;
}

SigningKey account_key(uint64_t index) {
  std::array<uint8_t, 32> seed{};
  store_be<uint64_t>(seed.data(), index);
  seed[31] = 0xf1;
  return SigningKey::from_seed(seed);
}

// Batches on their way from the thread that signs to the one that executes.
class Batches {
 public:
  static constexpr size_t k_waiting_max = 16;

  void put(LedgerBatch batch) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return waiting_.size() < k_waiting_max; });
    waiting_.push_back(std::move(batch));
    changed_.notify_all();
  }
  void end() {
    std::unique_lock lock(mutex_);
    ended_ = true;
    changed_.notify_all();
  }
  std::optional<LedgerBatch> take() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return ended_ || !waiting_.empty(); });
    if (waiting_.empty()) return std::nullopt;
    LedgerBatch batch = std::move(waiting_.front());
    waiting_.pop_front();
    changed_.notify_all();
    return batch;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<LedgerBatch> waiting_;
  bool ended_ = false;
};

// Makes the operations, in batches.
class Maker {
 public:
  Maker(const LedgerId& ledger, const SigningKey& ledger_key, Batches& batches)
      : ledger_(ledger), pool_(pool_key(ledger_key, 0)), batches_(batches) {}

  void run(const Options& options) {
    accounts(options.accounts);
    for (uint64_t i = 0; i < options.channels; ++i) add(open(20 * 86'400));
    uint64_t made = options.accounts + options.channels;
    if (options.records > made) operations(options.records - made);
    flush();
    batches_.end();
  }

 private:
  struct Channel {
    ChannelId id;
    size_t payer;
    uint64_t claimed;
  };

  void accounts(uint64_t count) {
    for (uint64_t i = 0; i < count; ++i) {
      SigningKey key = account_key(i);
      add(make_transfer(ledger_, pool_, key.public_key(), k_fund_micro, nonce(), time()));
      if (senders_.size() < k_senders) senders_.push_back(std::move(key));
    }
  }
  void operations(uint64_t count) {
    for (uint64_t i = 0; i < count; ++i) {
      uint64_t kind = i % 20;
      if (kind < 2) {
        size_t from = next_sender();
        add(make_transfer(ledger_, senders_[from], payee(from).public_key(), 1, nonce(), time()));
      } else if (kind >= 11 || open_.size() < k_batch) {
        OpenOperation op = open(86'400);
        open_.push_back({channel_id(op.statement), last_sender_, 0});
        add(op);
      } else {
        Channel channel = open_.front();
        open_.pop_front();
        const SigningKey& payer = senders_[channel.payer];
        if (kind == 2) {
          channel.claimed += k_capacity_micro / 10;
          add(make_redemption<ClaimOperation>(ledger_, channel.id, payer, payee(channel.payer), channel.claimed));
          if (channel.claimed < k_capacity_micro / 2) open_.push_back(channel);
        } else {
          add(make_redemption<CloseOperation>(ledger_, channel.id, payer, payee(channel.payer), k_capacity_micro - 1));
        }
      }
    }
  }
  size_t next_sender() { return last_sender_ = (last_sender_ + 1) % senders_.size(); }
  const SigningKey& payee(size_t payer) const { return senders_[(payer + 1) % senders_.size()]; }
  OpenOperation open(uint64_t life_s) {
    size_t payer = next_sender();
    return make_open(ledger_, senders_[payer], payee(payer).public_key(), k_capacity_micro, life_s, nonce(), time());
  }
  LedgerTime time() { return LedgerTime::from_seconds(static_cast<uint64_t>(clock_.wall().in_seconds())); }
  std::array<uint8_t, 16> nonce() {
    std::array<uint8_t, 16> out;
    random_.fill(out);
    return out;
  }
  // Made here: their signatures need no check.
  void add(const Operation& operation) {
    if (batch_.items.empty()) batch_.items.emplace_back();
    batch_.items[0].operations.push_back({operation, LedgerCode::done});
    if (batch_.items[0].operations.size() == k_batch) flush();
  }
  void flush() {
    if (!batch_.items.empty()) batches_.put(std::move(batch_));
    batch_ = {};
  }

  LedgerId ledger_;
  SigningKey pool_;
  Batches& batches_;
  std::vector<SigningKey> senders_;
  size_t last_sender_ = 0;
  std::deque<Channel> open_;  // of those that are closed again
  hal::LinuxClock clock_;
  hal::LinuxRandom random_;
  LedgerBatch batch_;
};

void fill(LedgerState& state, const SigningKey& ledger_key, const Options& options) {
  hal::LinuxClock clock;
  Batches batches;
  Maker maker(state.ledger(), ledger_key, batches);
  std::thread making([&] { maker.run(options); });
  while (std::optional<LedgerBatch> batch = batches.take()) {
    BatchOutcome outcome = state.apply(*batch, LedgerTime::from_seconds(static_cast<uint64_t>(clock.wall().in_seconds())));
    if (!outcome.status) stop("the state: " + outcome.status.error().reason);
    for (const OperationResult& result : outcome.items[0].operations) {
      if (result.code != 0) stop(std::string("an operation was refused: ") + ledger_code_reason(result.ledger_code()));
    }
  }
  making.join();
}

struct ProofTimes {
  long long median_us = 0;
  long long p99_us = 0;
};

// Brings all of the tree into the page cache, so that what a proof costs is not what this disk happens to cost.
void read_tree(Store& store) {
  auto transaction = take(store.begin_read(), "the store");
  std::vector<uint8_t> from;
  while (auto entry = take(transaction->seek(k_table_tree, from), "the tree")) {
    from.assign(entry->key.begin(), entry->key.end());
    from.push_back(0);
  }
}

// Of one proof of inclusion, each in a transaction of its own, of records anywhere in the log; each is checked.
ProofTimes time_proofs(Store& store, uint64_t records, uint64_t count) {
  hal::LinuxClock clock;
  Random random(records);
  std::vector<int64_t> spent_us;
  Hash32 root{};
  for (uint64_t i = 0; i <= count; ++i) {
    uint64_t index = random.below(records);
    Instant begin = clock.now();
    auto transaction = take(store.begin_read(), "the store");
    LogTreeReader nodes(*transaction);
    if (i == 0) {
      root = take(merkle_root(nodes, records), "the root");
      continue;
    }
    MerklePath path = take(inclusion_path(nodes, index, records), "a proof");
    spent_us.push_back((clock.now() - begin).in_us());
    Hash32 leaf = take(nodes.node(0, index), "a leaf");
    if (!inclusion_holds(leaf, index, records, path, root)) stop("a proof does not hold");
  }
  if (spent_us.empty()) return {};
  std::sort(spent_us.begin(), spent_us.end());
  return {spent_us[spent_us.size() / 2], spent_us[spent_us.size() * 99 / 100]};
}

}  // namespace

int main(int argc, char** argv) {
  Options options = parse_options(argc, argv);
  if (!crypto_init()) stop("libsodium can't start");
  mkdir(options.state.c_str(), 0700);
  hal::LinuxRandom random;
  hal::LinuxClock clock;
  auto store = take(LmdbStore::open(options.state), "the store");
  SigningKey key = take(load_or_create_key(options.state + "/ledger.key", random), "the key");
  LedgerTime now = LedgerTime::from_seconds(static_cast<uint64_t>(clock.wall().in_seconds()));
  auto state = take(LedgerState::open(*store, key, LedgerRules(), now), "the state");
  Instant begin = clock.now();
  fill(*state, key, options);
  double seconds = static_cast<double>((clock.now() - begin).in_us()) / 1e6;
  uint64_t records = 0;
  {
    auto transaction = take(store->begin_read(), "the store");
    auto last = take(transaction->last(k_table_log), "the log");
    if (last) records = load_be<uint64_t>(last->key.data()) + 1;
  }
  begin = clock.now();
  take(state->check_books(), "the books");
  double books = static_cast<double>((clock.now() - begin).in_us()) / 1e6;
  ProofTimes unread = time_proofs(*store, records, options.proofs);
  read_tree(*store);
  ProofTimes proofs = time_proofs(*store, records, options.proofs);
  printf(
      "{\"records\": %llu, \"fill_s\": %.2f, \"books_s\": %.2f, \"proof_us\": %lld, \"proof_p99_us\": %lld, \"proof_unread_us\": %lld, "
      "\"proof_unread_p99_us\": %lld}\n",
      static_cast<unsigned long long>(records), seconds, books, proofs.median_us, proofs.p99_us, unread.median_us, unread.p99_us);
  return 0;
}
