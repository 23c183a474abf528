#include "ledger/server/genesis.h"

#include <string_view>

#include "ledger/server/log_tree.h"
#include "ledger/server/tables.h"

namespace millet {
namespace {

constexpr uint32_t sum_per_mille() {
  uint32_t sum = 0;
  for (const GenesisPool& pool : k_genesis_pools) sum += pool.per_mille;
  return sum;
}
static_assert(sum_per_mille() == 1000, "the white paper's issuance is exactly 100.0 %");
static_assert(k_supply_micro % 1000 == 0);
static_assert(std::string_view(k_genesis_pools[k_faucet_pool].name) == "protocol_airdrop");
static_assert(std::string_view(k_genesis_pools[k_ecosystem_pool].name) == "ecosystem");
static_assert(std::string_view(k_genesis_pools[k_onchain_pool].name) == "onchain");

// The log's beginning, being written: the only records that are made outside of a LedgerTransaction.
class FirstRecords {
 public:
  FirstRecords(StoreTransaction& store, LedgerTime time) : store_(store), tree_(store, 0), time_(time) {}

  template <typename Op>
  Status append(const Op& operation, std::vector<TouchedAccount> touched) {
    LogRecord record;
    record.head.index = count_;
    record.head.time = time_;
    record.head.operation = statement_id(operation);
    append_operation(record.operation, operation);
    record.touched = std::move(touched);
    std::vector<uint8_t> bytes = encode_record(record);
    TRY(tree_.append(merkle_leaf(bytes)));
    TRY(store_.put(k_table_log, log_key(count_), bytes));
    ++count_;
    return ok;
  }
  uint64_t count() const { return count_; }
  Result<Hash32> root() { return tree_.flush(); }

 private:
  StoreTransaction& store_;
  LogTreeWriter tree_;
  LedgerTime time_;
  uint64_t count_ = 0;
};

}  // namespace

SigningKey pool_key(const SigningKey& ledger_key, size_t pool) {
  CHECK(pool < k_genesis_accounts);
  std::vector<uint8_t> context;
  ByteWriter(context).text("BTT1POOL").text(k_genesis_pools[pool].name);
  std::array<uint8_t, SigningKey::k_seed_size> seed = blake2b_256_keyed(ledger_key.seed(), context);
  SigningKey key = SigningKey::from_seed(seed);
  wipe(seed);
  return key;
}

NewLedger new_ledger(const SigningKey& ledger_key, LedgerTime time, std::vector<PoolTerms> pools) {
  NewLedger out;
  out.genesis.key = ledger_key.public_key();
  out.genesis.time = time;
  for (size_t i = 0; i < k_genesis_accounts; ++i) {
    out.genesis.accounts[i] = {pool_key(ledger_key, i).public_key(), issued_to(k_genesis_pools[i])};
  }
  for (const PoolTerms& terms : pools) {
    CHECK(terms.index < k_onchain_pool);
    out.genesis.accounts[terms.index] = {pool_account(terms), terms.issued};
  }
  out.pools = std::move(pools);
  return out;
}

NewLedger new_test_ledger(const SigningKey& ledger_key, LedgerTime time) { return new_ledger(ledger_key, time, {}); }

GenesisOperation make_genesis(const SigningKey& ledger_key, LedgerTime time) { return new_test_ledger(ledger_key, time).genesis; }

Result<LedgerRow> write_beginning(StoreTransaction& transaction, const NewLedger& ledger) {
  const GenesisOperation& genesis = ledger.genesis;
  LedgerRow row;
  row.time = genesis.time;
  // The pools come from nothing: the only place where the supply is made, so the sums start at what the table says.
  std::vector<TouchedAccount> touched;
  for (const GenesisAccount& pool : genesis.accounts) {
    AccountRow account;
    account.available = pool.amount;
    account.last_record = 0;
    auto sum = row.accounts_sum.plus(pool.amount);
    CHECK(sum.has_value());
    row.accounts_sum = *sum;
    TRY(transaction.put(k_table_accounts, pool.account.bytes(), encode_fields(account)));
    touched.push_back({pool.account, pool.amount, k_no_record});
  }
  CHECK(row.accounts_sum == Amount::supply());
  FirstRecords log(transaction, genesis.time);
  TRY(log.append(genesis, std::move(touched)));
  for (const PoolTerms& terms : ledger.pools) {
    TRY(log.append(PoolOperation{ledger_id(genesis), terms}, {}));
    TRY(transaction.put(k_table_pools, pool_account(terms).bytes(), encode_fields(PoolRow{terms, Amount()})));
  }
  row.records = log.count();
  TRY_ASSIGN(row.root, log.root());
  return row;
}

Status create_ledger(Store& store, const NewLedger& ledger) {
  TRY_ASSIGN(std::unique_ptr<StoreTransaction> transaction, store.begin_write());
  TRY_ASSIGN(std::optional<Bytes> existing, transaction->get(k_table_ledger, as_bytes(k_ledger_row_key)));
  if (existing) return error(Errc::conflict, "the store has a ledger already");
  TRY_ASSIGN(std::optional<StoreTransaction::Entry> record, transaction->last(k_table_log));
  if (record) return error(Errc::io, "the store has the beginning of a copy that was not finished: make the copy again in another place");
  TRY_ASSIGN(LedgerRow row, write_beginning(*transaction, ledger));
  TRY(transaction->put(k_table_ledger, as_bytes(k_ledger_row_key), encode_fields(row)));
  return transaction->commit();
}

LedgerId ledger_id(const GenesisOperation& genesis) { return LedgerId{statement_id(genesis).raw}; }

}  // namespace millet
