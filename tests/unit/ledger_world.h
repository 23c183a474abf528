// A ledger on a store of either kind, with keys and signed operations for tests. Work is made easy: one bit each.
#pragma once

#include <memory>
#include <vector>

#include "ledger/server/genesis.h"
#include "ledger/server/state.h"
#include "unit/any_store.h"

namespace ledger_world {

using namespace millet;

inline SigningKey numbered_key(uint32_t number) {
  std::array<uint8_t, 32> seed{};
  store_be<uint32_t>(seed.data(), number);
  seed[31] = 0x5a;
  return SigningKey::from_seed(seed);
}

// The store of worlds that name none, for tests that run on every store (ON_STORE).
inline StoreKind& world_store() {
  static StoreKind kind = StoreKind::memory;
  return kind;
}

class World {
 public:
  static constexpr uint64_t k_start = 1'700'000'000;

  World() : World(world_store(), easy_rules()) {}
  explicit World(const LedgerRules& rules) : World(world_store(), rules) {}
  explicit World(StoreKind kind) : World(kind, easy_rules()) {}
  // With pools that have terms, or without: a ledger for tests.
  World(StoreKind kind, const LedgerRules& rules, std::vector<PoolTerms> pools = {})
      : key_(numbered_key(0)), rules_(rules), store_(kind, TempFolder::memory_base()) {
    if (!pools.empty()) CHECK(create_ledger(store(), new_ledger(key_, now(), std::move(pools))).has_value());
    CHECK(open_state().has_value());
  }

  static LedgerRules easy_rules() {
    LedgerRules rules;
    rules.faucet_work = {1, 1, 8};
    rules.capacity_min = Amount::micro(10);
    rules.faucet_spend_only_s = 0;
    return rules;
  }

  Store& store() { return store_.store(); }
  LedgerState& state() { return *state_; }
  const LedgerId& id() const { return state_->ledger(); }
  const SigningKey& ledger_key() const { return key_; }
  LedgerTime now() const { return LedgerTime::from_seconds(now_s); }
  LedgerTime in(uint64_t seconds) const { return now().plus_seconds(seconds); }

  // What the store forgets is forgotten; time has passed meanwhile. The error of opening again, if there is one.
  Status restart(uint64_t down_s = 0) {
    state_.reset();
    now_s += down_s;
    store_.restart();
    return open_state();
  }

  // Executes operations as they come from the network: with their checks, in one batch.
  std::vector<OperationResult> apply(const std::vector<Operation>& operations) {
    LedgerBatch batch;
    BatchItem& item = batch.items.emplace_back();
    item.from = sender;
    CheckContext context = state_->check_context(now());
    context.from = sender;
    for (const Operation& op : operations) item.operations.push_back({op, check_operation(context, op)});
    last = state_->apply(batch, now());
    return last.items[0].operations;
  }
  OperationResult apply(const Operation& op) { return apply(std::vector<Operation>{op})[0]; }
  LedgerCode code(const Operation& op) { return apply(op).ledger_code(); }
  void tick() { last = state_->apply({}, now()); }

  QueryResult ask(const PublicKey& key, const Query& query) {
    LedgerBatch batch;
    BatchItem& item = batch.items.emplace_back();
    item.key = key;
    item.queries.push_back(query);
    last = state_->apply(batch, now());
    return last.items[0].queries[0];
  }
  Balance balance(const PublicKey& key) { return std::get<Balance>(ask(key, BalanceQuery{}).body); }
  uint64_t available(const SigningKey& key) { return balance(key.public_key()).available.in_micro(); }
  ChannelState channel(const SigningKey& party, const ChannelId& channel) {
    return std::get<ChannelState>(ask(party.public_key(), ChannelQuery{channel}).body);
  }

  // ---- signed operations ----
  OpenOperation open(const SigningKey& payer, const PublicKey& payee, uint64_t capacity, uint64_t life_s = 3600) {
    OpenOperation op;
    op.statement = {id(), payer.public_key(), payee, Amount::micro(capacity), in(life_s), nonce(), in(300)};
    op.signature = payer.sign(preimage(op.statement));
    return op;
  }
  template <typename Op>
  Op redeem(const ChannelTerms& terms, const SigningKey& payer, const SigningKey& payee, uint64_t cum) {
    Op op;
    op.statement.ledger = terms.ledger;
    op.statement.channel = channel_id(terms);
    op.statement.seq = cum == 0 ? 0 : 1;
    op.statement.cum = Amount::micro(cum);
    op.payer = terms.payer;
    op.payee = terms.payee;
    if (cum != 0)
      op.payer_signature = payer.sign(preimage(PayStatement{terms.ledger, op.statement.channel, op.statement.seq, op.statement.cum}));
    op.signature = payee.sign(preimage(op.statement));
    return op;
  }
  CloseOperation close(const ChannelTerms& terms, const SigningKey& payer, const SigningKey& payee, uint64_t cum) {
    return redeem<CloseOperation>(terms, payer, payee, cum);
  }
  ClaimOperation claim(const ChannelTerms& terms, const SigningKey& payer, const SigningKey& payee, uint64_t cum) {
    return redeem<ClaimOperation>(terms, payer, payee, cum);
  }
  TransferOperation transfer(const SigningKey& from, const PublicKey& to, uint64_t amount) {
    TransferOperation op;
    op.statement = {id(), from.public_key(), to, Amount::micro(amount), nonce(), in(300), {}};
    op.signature = from.sign(preimage(op.statement));
    return op;
  }
  // Signed by these of the pool's keys.
  DrawOperation draw(const PoolTerms& pool, const std::vector<const SigningKey*>& signers, const PublicKey& to, uint64_t amount) {
    DrawOperation op;
    op.statement = {id(), pool_account(pool), to, Amount::micro(amount), nonce(), in(300), {}};
    op.keys = pool.keys;
    op.signatures = pool_signatures(pool, signers, op.statement);
    return op;
  }
  template <typename Statement>
  static PoolSignatures pool_signatures(const PoolTerms& pool, const std::vector<const SigningKey*>& signers, const Statement& statement) {
    PoolSignatures out{};
    for (const SigningKey* signer : signers) {
      for (size_t i = 0; i < k_pool_keys_max; ++i) {
        if (pool.keys.keys[i] == signer->public_key()) out[i] = signer->sign(preimage(statement));
      }
    }
    return out;
  }
  FaucetOperation faucet(const SigningKey& key) {
    CheckContext context = state_->check_context(now());
    uint64_t epoch = now_s / k_faucet_epoch_s;
    auto solver = FaucetSolver::make(rules_.faucet_work, faucet_challenge(context, key.public_key(), epoch));
    std::optional<FaucetSolution> solution;
    while (!solution) solution = *solver->step();
    FaucetOperation op;
    op.statement = {id(), key.public_key(), epoch, solution->memory_nonce, solution->hashcash_nonce, in(300)};
    op.signature = key.sign(preimage(op.statement));
    return op;
  }
  // A new account with money, from a pool.
  SigningKey funded(uint32_t number, uint64_t amount) {
    SigningKey key = numbered_key(number);
    CHECK(code(transfer(pool_key(key_, 0), key.public_key(), amount)) == LedgerCode::done);
    return key;
  }

  uint64_t now_s = k_start;
  std::optional<IpAddress> sender;  // of operations
  BatchOutcome last;

 private:
  Status open_state() {
    TRY_ASSIGN(state_, LedgerState::open(store(), key_, rules_, now()));
    return ok;
  }
  std::array<uint8_t, 16> nonce() {
    std::array<uint8_t, 16> out{};
    store_be<uint64_t>(out.data(), ++nonces_);
    return out;
  }

  SigningKey key_;
  LedgerRules rules_;
  AnyStore store_;

 public:
  MemoryStore& memory = store_.memory;  // of a world on that store

 private:
  std::unique_ptr<LedgerState> state_;
  uint64_t nonces_ = 0;
};

}  // namespace ledger_world

// The first line of a test of FOR_EVERY_STORE: its worlds are on that store.
#define ON_STORE(state)         \
  SKIP_WITHOUT_POSTGRES(state); \
  ledger_world::world_store() = kind_of(state)
