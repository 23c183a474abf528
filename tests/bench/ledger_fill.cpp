// Makes the state of a ledger with many accounts and open channels, all signed as they would come from outside, without the network; then
// says what a proof takes in it.
//
//   ledger_fill --state FOLDER --accounts N --channels N [--records N] [--proofs 1000]
//
// Beyond accounts and channels, transfers between the accounts fill the log up to `records`. FOLDER is what millet-ledgerd --state takes;
// it may hold a state already, which then grows. One line of JSON goes to standard output.
#include <stdio.h>
#include <sys/stat.h>

#include <string>
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

class Fill {
 public:
  Fill(LedgerState& state, const SigningKey& ledger_key) : state_(state), pool_(pool_key(ledger_key, 0)) {}

  void accounts(uint64_t count) {
    for (uint64_t i = 0; i < count; ++i) {
      SigningKey key = account_key(i);
      add(transfer(pool_, key.public_key(), k_fund_micro));
      if (senders_.size() < k_senders) senders_.push_back(std::move(key));
    }
    flush();
  }
  void channels(uint64_t count) {
    for (uint64_t i = 0; i < count; ++i) {
      const SigningKey& payer = senders_[i % senders_.size()];
      const PublicKey& payee = senders_[(i + 1) % senders_.size()].public_key();
      add(make_open(state_.ledger(), payer, payee, k_capacity_micro, 20 * 86'400, nonce(), time()));
    }
    flush();
  }
  void transfers(uint64_t count) {
    for (uint64_t i = 0; i < count; ++i) {
      add(transfer(senders_[i % senders_.size()], senders_[(i + 1) % senders_.size()].public_key(), 1));
    }
    flush();
  }

 private:
  LedgerTime time() { return LedgerTime::from_seconds(static_cast<uint64_t>(clock_.wall().in_seconds())); }
  std::array<uint8_t, 16> nonce() {
    std::array<uint8_t, 16> out;
    random_.fill(out);
    return out;
  }
  Operation transfer(const SigningKey& from, const PublicKey& to, uint64_t micro) {
    return make_transfer(state_.ledger(), from, to, micro, nonce(), time());
  }
  // Made here: their signatures need no check.
  void add(const Operation& operation) {
    if (batch_.items.empty()) batch_.items.emplace_back();
    batch_.items[0].operations.push_back({operation, LedgerCode::done});
    if (batch_.items[0].operations.size() == k_batch) flush();
  }
  void flush() {
    if (batch_.items.empty()) return;
    BatchOutcome outcome = state_.apply(batch_, time());
    for (const OperationResult& result : outcome.items[0].operations) {
      if (result.code != 0) stop(std::string("an operation was refused: ") + ledger_code_reason(result.ledger_code()));
    }
    batch_.items.clear();
  }

  LedgerState& state_;
  SigningKey pool_;
  std::vector<SigningKey> senders_;
  hal::LinuxClock clock_;
  hal::LinuxRandom random_;
  LedgerBatch batch_;
};

// Microseconds of one proof of inclusion, each in a transaction of its own, of records anywhere in the log; each is checked.
double time_proofs(Store& store, uint64_t records, uint64_t count) {
  hal::LinuxClock clock;
  Random random(records);
  Duration spent;
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
    spent = spent + (clock.now() - begin);
    Hash32 leaf = take(nodes.node(0, index), "a leaf");
    if (!inclusion_holds(leaf, index, records, path, root)) stop("a proof does not hold");
  }
  return count == 0 ? 0 : static_cast<double>(spent.in_us()) / static_cast<double>(count);
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
  Fill fill(*state, key);
  Instant begin = clock.now();
  fill.accounts(options.accounts);
  fill.channels(options.channels);
  uint64_t made = options.accounts + options.channels;
  if (options.records > made) fill.transfers(options.records - made);
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
  printf("{\"records\": %llu, \"fill_s\": %.2f, \"books_s\": %.2f, \"proof_us\": %.1f}\n", static_cast<unsigned long long>(records),
         seconds, books, time_proofs(*store, records, options.proofs));
  return 0;
}
