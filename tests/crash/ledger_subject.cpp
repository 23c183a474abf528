#include "crash/ledger_subject.h"

#include <fstream>

#include "base/random.h"
#include "crash/recorder.h"
#include "driver/key_file.h"
#include "driver/witness_file.h"
#include "ledger/server/genesis.h"
#include "ledger/server/log_tree.h"
#include "store/lmdb/lmdb_store.h"

namespace millet::crash {
namespace {

constexpr uint64_t k_start_s = 1'700'000'000;
constexpr size_t k_accounts = 6;

// The same key for the same seed, so that a state can be looked at again.
class SeededSecrets final : public SecureRandom {
 public:
  explicit SeededSecrets(uint64_t seed) : random_(seed) {}
  void fill(MutBytes out) override {
    for (uint8_t& byte : out) byte = static_cast<uint8_t>(random_.below(256));
  }

 private:
  Random random_;
};

LedgerRules small_rules() {
  LedgerRules rules;
  rules.capacity_min = Amount::micro(10);
  return rules;
}

// A ledger opened in a folder, as the program does it.
struct Opened {
  std::unique_ptr<LmdbStore> store;
  std::unique_ptr<LedgerState> state;
  std::unique_ptr<WitnessFile> witness;
  PublicKey pool;
};
Result<Opened> open_ledger(const std::string& folder, uint64_t seed, uint64_t now_s, bool probe) {
  Opened opened;
  LmdbStore::Options options;
  options.probe = probe;
  options.shared = true;
  TRY_ASSIGN(opened.store, LmdbStore::open(folder + "/state", options));
  SeededSecrets secrets(seed);
  TRY_ASSIGN(SigningKey key, load_or_create_key(folder + "/state/ledger.key", secrets));
  TRY_ASSIGN(opened.state, LedgerState::open(*opened.store, key, small_rules(), LedgerTime::from_seconds(now_s)));
  opened.pool = pool_key(key, 0).public_key();
  opened.witness = std::make_unique<WitnessFile>(folder + "/state/" + k_witness_file_name, opened.state->ledger(), key.public_key());
  Status newest = opened.witness->check(*opened.store);
  if (!newest && newest.error().code != Errc::not_found) return newest.error();
  return opened;
}

// Random operations, as they come from workers that have checked their signatures.
class Traffic {
 public:
  explicit Traffic(uint64_t seed) : random_(seed) {
    for (size_t i = 0; i < k_accounts; ++i) {
      std::array<uint8_t, 32> raw{};
      store_be<uint64_t>(raw.data(), seed * k_accounts + i + 1);
      keys_.push_back(SigningKey::from_seed(raw).public_key());
    }
  }
  uint64_t below(uint64_t bound) { return random_.below(bound); }

  LedgerBatch batch(const Opened& ledger, uint64_t now_s) {
    LedgerBatch batch;
    BatchItem& item = batch.items.emplace_back();
    for (uint64_t i = 1 + random_.below(12); i > 0; --i) item.operations.push_back({operation(ledger, now_s), LedgerCode::done});
    return batch;
  }

 private:
  Operation operation(const Opened& ledger, uint64_t now_s) {
    const LedgerId& id = ledger.state->ledger();
    LedgerTime soon = LedgerTime::from_seconds(now_s + 300);
    uint64_t kind = random_.below(10);
    const PublicKey &a = keys_[random_.below(k_accounts)], &b = keys_[random_.below(k_accounts)];
    if (kind < 3) return TransferOperation{{id, ledger.pool, a, Amount::micro(1 + random_.below(10'000)), nonce(), soon, {}}, {}};
    if (kind < 5) return TransferOperation{{id, a, b, Amount::micro(1 + random_.below(1000)), nonce(), soon, {}}, {}};
    if (kind < 8 || channels_.empty()) {
      uint64_t expiry = now_s + 600 + random_.below(1000);
      ChannelTerms terms{id, a, b, Amount::micro(10 + random_.below(2000)), LedgerTime::from_seconds(expiry), nonce(), soon};
      channels_.push_back(terms);
      return OpenOperation{terms, {}};
    }
    const ChannelTerms& terms = channels_[random_.below(channels_.size())];
    Amount cum = Amount::micro(random_.below(terms.capacity.in_micro() + 1));
    if (kind == 8) return ClaimOperation{{id, channel_id(terms), 1, cum}, terms.payer, terms.payee, {}, {}};
    return CloseOperation{{id, channel_id(terms), 1, cum}, terms.payer, terms.payee, {}, {}};
  }
  std::array<uint8_t, 16> nonce() {
    std::array<uint8_t, 16> out{};
    store_be<uint64_t>(out.data(), random_.next());
    return out;
  }

  Random random_;
  std::vector<PublicKey> keys_;
  std::vector<ChannelTerms> channels_;
};

Result<LedgerRow> ledger_row(Store& store) {
  TRY_ASSIGN(std::unique_ptr<StoreTransaction> transaction, store.begin_read());
  TRY_ASSIGN(std::optional<LedgerRow> row, read_row<LedgerRow>(*transaction, k_table_ledger, as_bytes(k_ledger_row_key)));
  if (!row) return error(Errc::io, "the ledger has no state row");
  return *row;
}

// The tree is the one of the records, each of them read.
Status check_tree(Store& store) {
  TRY_ASSIGN(std::unique_ptr<StoreTransaction> transaction, store.begin_read());
  TRY_ASSIGN(std::optional<LedgerRow> row, read_row<LedgerRow>(*transaction, k_table_ledger, as_bytes(k_ledger_row_key)));
  if (!row) return error(Errc::io, "the ledger has no state row");
  MerkleEdge edge;
  for (uint64_t i = 0; i < row->records; ++i) {
    TRY_ASSIGN(std::optional<Bytes> bytes, transaction->get(k_table_log, log_key(i)));
    if (!bytes) return error(Errc::io, "record " + std::to_string(i) + " is missing");
    edge.append(merkle_leaf(*bytes));
  }
  if (edge.root() != row->root) return error(Errc::io, "the records have another root than the ledger noted");
  return ok;
}

// After a cut the table of readers holds anything.
void spoil_reader_table(const std::string& folder) {
  std::fstream file(folder + "/state/" + k_reader_table, std::ios::in | std::ios::out | std::ios::binary);
  if (!file) return;
  std::string noise(8192, '\xa5');
  file.write(noise.data(), static_cast<std::streamsize>(noise.size()));
}

Error lost(const std::string& what) { return error(Errc::conflict, "LOST: " + what); }

}  // namespace

Status LedgerSubject::work(const std::string& folder) {
  promises_.clear();
  Traffic traffic(options_.seed);
  uint64_t now_s = k_start_s;
  TRY_ASSIGN(Opened ledger, open_ledger(folder, options_.seed, now_s, false));
  auto promise = [&](LedgerBatch batch, BatchOutcome outcome) -> Status {
    TRY(outcome.status);
    if (outcome.tree.size != 0) TRY(ledger.witness->note(outcome.tree, traffic.below(4) == 0));
    TRY_ASSIGN(LedgerRow row, ledger_row(*ledger.store));
    promises_.push_back({std::move(batch), std::move(outcome), row.records, row.root});
    mark(promises_.size());
    return ok;
  };
  TRY(promise({}, {}));  // that it serves, under this key
  for (unsigned i = 0; i < options_.batches; ++i) {
    now_s += traffic.below(120);
    if (traffic.below(12) == 0) {
      ledger = Opened();
      TRY_ASSIGN(ledger, open_ledger(folder, options_.seed, now_s, true));
    }
    LedgerBatch batch = traffic.batch(ledger, now_s);
    BatchOutcome outcome = ledger.state->apply(batch, LedgerTime::from_seconds(now_s));
    TRY(promise(std::move(batch), std::move(outcome)));
  }
  return ok;
}

Status LedgerSubject::check(const std::string& folder, uint64_t marked) {
  const Promise* last = marked == 0 ? nullptr : &promises_[marked - 1];
  uint64_t now_s = last == nullptr ? k_start_s : std::max(last->outcome.time.in_seconds(), k_start_s);
  spoil_reader_table(folder);
  // Without the probe: what it would hide is to be seen.
  Result<Opened> ledger = open_ledger(folder, options_.seed, now_s, false);
  if (!ledger) return error(Errc::io, "REFUSED: " + ledger.error().reason);
  Store& store = *ledger->store;
  TRY(check_tree(store));
  if (last != nullptr) {
    TRY_ASSIGN(LedgerRow row, ledger_row(store));
    if (row.records < last->records)
      return lost(std::to_string(row.records) + " of " + std::to_string(last->records) + " records are left");
    if (row.time < last->outcome.time) return lost("the time was " + std::to_string(last->outcome.time.in_seconds()));
    {
      TRY_ASSIGN(std::unique_ptr<StoreTransaction> transaction, store.begin_read());
      LogTreeReader tree(*transaction);
      TRY_ASSIGN(Hash32 root, merkle_root(tree, last->records));
      if (root != last->root) return lost("the log has other records than were promised");
    }
    // Sent again after the cut, every operation has the result that was promised.
    BatchOutcome again = ledger->state->apply(last->batch, LedgerTime::from_seconds(now_s));
    TRY(again.status);
    for (size_t i = 0; i < last->outcome.items.size(); ++i) {
      for (size_t j = 0; j < last->outcome.items[i].operations.size(); ++j) {
        const OperationResult &before = last->outcome.items[i].operations[j], &after = again.items[i].operations[j];
        if (before.ledger_code() != LedgerCode::done) continue;
        // A claim below what is claimed gives the channel's last result (PROTOCOL.md), which may be a later one.
        bool claim = std::holds_alternative<ClaimOperation>(last->batch.items[i].operations[j].operation);
        bool same = claim ? after.ledger_code() == LedgerCode::done && after.paid >= before.paid : before == after;
        if (!same) return lost("an operation has another result than was promised");
      }
    }
  }
  // It goes on: a batch that it has not seen, opened once more.
  Traffic traffic(~options_.seed);
  BatchOutcome more = ledger->state->apply(traffic.batch(*ledger, now_s), LedgerTime::from_seconds(now_s));
  TRY(more.status);
  TRY(check_tree(store));
  *ledger = Opened();
  TRY_ASSIGN(*ledger, open_ledger(folder, options_.seed, now_s, false));
  return ok;
}

}  // namespace millet::crash
