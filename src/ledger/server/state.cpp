#include "ledger/server/state.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "ledger/server/genesis.h"
#include "ledger/server/log_tree.h"
#include "ledger/server/queries.h"

namespace millet {
namespace {

// Work of one batch beside its operations, so that a commit stays short; what is left follows in the next one.
constexpr size_t k_expire_per_batch_max = 1024;
// How often a batch is executed that comes too late, because another front end on the same database has committed meanwhile.
constexpr int k_executions_max = 16;

Error damaged_state(const std::string& what) {
  return {Errc::io, "the ledger's state is damaged: " + what + ". Restore a copy; do not go on with this one"};
}

OperationResult refused_operation(LedgerCode code) {
  OperationResult result;
  result.code = static_cast<uint16_t>(code);
  return result;
}

bool has_operations(const LedgerBatch& batch) {
  return std::any_of(batch.items.begin(), batch.items.end(), [](const BatchItem& item) { return !item.operations.empty(); });
}

// The rows that most operations of a batch read.
std::vector<StoreKey> keys_of(const LedgerBatch& batch) {
  std::vector<StoreKey> keys;
  auto key = [&keys](const char* table, Bytes bytes) { keys.push_back({table, {bytes.begin(), bytes.end()}}); };
  struct Visit {
    decltype(key)& add;
    void once(LedgerTime valid_until, const OperationId& id) const { add(k_table_executed, executed_key(valid_until, id)); }
    void operator()(const OpenOperation& op) const {
      add(k_table_channels, channel_id(op.statement).bytes());
      add(k_table_accounts, op.statement.payer.bytes());
    }
    void operator()(const TransferOperation& op) const {
      once(op.statement.valid_until, statement_id(op.statement));
      add(k_table_accounts, op.statement.from.bytes());
      add(k_table_accounts, op.statement.to.bytes());
    }
    void operator()(const FaucetOperation& op) const {
      once(op.statement.valid_until, statement_id(op.statement));
      add(k_table_accounts, op.statement.key.bytes());
    }
    void operator()(const TicketFaucetOperation& op) const {
      once(op.statement.valid_until, statement_id(op.statement));
      add(k_table_accounts, op.statement.key.bytes());
    }
    void operator()(const DrawOperation& op) const {
      once(op.statement.valid_until, statement_id(op.statement));
      add(k_table_pools, op.statement.pool.bytes());
      add(k_table_accounts, op.statement.pool.bytes());
      add(k_table_accounts, op.statement.to.bytes());
    }
    void operator()(const PolicyOperation& op) const {
      add(k_table_policies, statement_id(op.statement).bytes());
      add(k_table_pools, op.statement.pool.bytes());
    }
    void operator()(const GrantOperation& op) const {
      once(op.statement.valid_until, statement_id(op.statement));
      add(k_table_policies, op.statement.policy.bytes());
      add(k_table_accounts, op.statement.to.bytes());
    }
    void channel(const ChannelId& id, const PublicKey& payer, const PublicKey& payee) const {
      add(k_table_channels, id.bytes());
      add(k_table_accounts, payer.bytes());
      add(k_table_accounts, payee.bytes());
    }
    void operator()(const CloseOperation& op) const { channel(op.statement.channel, op.payer, op.payee); }
    void operator()(const ClaimOperation& op) const { channel(op.statement.channel, op.payer, op.payee); }
  };
  key(k_table_ledger, as_bytes(k_ledger_row_key));
  for (const BatchItem& item : batch.items) {
    for (const BatchItem::CheckedOperation& checked : item.operations) {
      if (checked.checked == LedgerCode::done) std::visit(Visit{key}, checked.operation);
    }
  }
  return keys;
}

void refuse_queries(const BatchItem& item, ItemOutcome& outcome) {
  outcome.queries.clear();
  outcome.got.reset();
  for (const Query& query : item.queries) {
    outcome.queries.push_back({std::visit([](const auto& q) { return q.k_kind; }, query), LedgerCode::unavailable, {}});
  }
}

SigningKey copy_of(const SigningKey& key) {
  std::array<uint8_t, SigningKey::k_seed_size> seed;
  std::memcpy(seed.data(), key.seed().data(), seed.size());
  SigningKey copy = SigningKey::from_seed(seed);
  wipe(seed);
  return copy;
}

}  // namespace

LedgerState::LedgerState(Store& store, const SigningKey& key, const LedgerRules& rules)
    : store_(store), key_(copy_of(key)), rules_(rules) {}

BatchOutcome unavailable_outcome(const LedgerBatch& batch, const Status& why) {
  BatchOutcome outcome;
  outcome.ticket = batch.ticket;
  outcome.status = why;
  for (const BatchItem& item : batch.items) {
    ItemOutcome& refusal = outcome.items.emplace_back();
    refusal.request = item.request;
    refusal.operations.assign(item.operations.size(), refused_operation(LedgerCode::unavailable));
    refuse_queries(item, refusal);
  }
  return outcome;
}

Status check_clock(const LedgerRules& rules, LedgerTime last, LedgerTime wall) {
  if (rules.clock_leap_max_s == 0 || wall <= last.plus_seconds(rules.clock_leap_max_s)) return ok;
  return error(Errc::denied, "this machine's clock says " + std::to_string(wall.in_seconds()) + ", " +
                                 std::to_string(wall.seconds_since(last) / 86'400) + " days after the ledger's last record (" +
                                 std::to_string(last.in_seconds()) +
                                 "), and what it lets vest and expire can't be taken back: put the clock right, or start with a larger "
                                 "ledgerd.clock_leap_max if the ledger has really stood still for so long");
}

Result<std::unique_ptr<LedgerState>> LedgerState::open(Store& store, const SigningKey& key, const LedgerRules& rules, LedgerTime wall) {
  std::unique_ptr<LedgerState> state(new LedgerState(store, key, rules));
  state->context_.faucet_work = rules.faucet_work;
  state->context_.captcha = rules.captcha;
  state->context_.faucet_secret = faucet_secret(key);
  bool fresh = false;
  {
    TRY_ASSIGN(std::unique_ptr<StoreTransaction> transaction, store.begin_read());
    TRY_ASSIGN(std::optional<Bytes> row, transaction->get(k_table_ledger, as_bytes(k_ledger_row_key)));
    fresh = !row.has_value();
  }
  if (fresh) {
    Status created = create_ledger(store, new_test_ledger(key, wall));
    // Another front end may have made it in this moment: load() looks whether it is ours.
    if (!created && created.error().code != Errc::conflict) return created.error();
  }
  TRY(state->load(key));
  TRY_ASSIGN(state->opened_books_, state->check_books());
  return state;
}

Status LedgerState::load(const SigningKey& key) {
  TRY_ASSIGN(std::unique_ptr<StoreTransaction> store, store_.begin_read());
  TRY_ASSIGN(LedgerRow row, read_ledger_row(*store));
  TRY_ASSIGN(std::optional<Bytes> bytes, store->get(k_table_log, log_key(0)));
  if (!bytes) return damaged_state("its log has no beginning");
  auto record = decode_record(*bytes);
  if (!record || record->operation.empty() || record->operation[0] != GenesisOperation::k_kind) return damaged_state("its log has no genesis");
  auto genesis = decode_fields<GenesisOperation>(Bytes(record->operation).subspan(1));
  if (!genesis) return damaged_state("its genesis can't be read");
  if (genesis->key != key.public_key()) {
    return error(Errc::conflict, "the state belongs to the ledger with key " + genesis->key.hex() + ", but the key file has " +
                                     key.public_key().hex() + ": use the key file that belongs to it, or another state folder");
  }
  context_.ledger = ledger_id(*genesis);
  rules_.faucet_pool = genesis->accounts[k_faucet_pool].account;
  opened_tree_ = sign_tree(row);
  return ok;
}

// Clients hold receipts of what was served: a store that was set back, or whose lagging copy took its place, is not served on.
Status LedgerState::follow(StoreTransaction& store, const LedgerRow& row) {
  if (row.records == tree_.size && row.root == tree_.root) return ok;
  auto turned = [](const std::string& what) {
    return error(Errc::io, "the ledger's log " + what + ": the store was set back while it was served. Stop, and restore the newest state");
  };
  if (row.records < tree_.size) {
    return turned("has " + std::to_string(row.records) + " records, and had " + std::to_string(tree_.size));
  }
  if (tree_.size == 0) return ok;
  LogTreeReader tree(store);
  TRY_ASSIGN(Hash32 root, merkle_root(tree, tree_.size));
  return root == tree_.root ? Status(ok) : Status(turned("has other records than were served"));
}

Result<LedgerRow> read_ledger_row(StoreTransaction& transaction) {
  TRY_ASSIGN(std::optional<LedgerRow> row, read_row<LedgerRow>(transaction, k_table_ledger, as_bytes(k_ledger_row_key)));
  if (!row) return error(Errc::not_found, "there is no ledger in it");
  if (row->format != k_ledger_format) {
    return error(Errc::io, "the ledger's state has format " + std::to_string(row->format) + ", this program knows " +
                               std::to_string(k_ledger_format));
  }
  return *row;
}

CheckContext LedgerState::check_context(LedgerTime time) const {
  CheckContext context = context_;
  context.time = time;
  return context;
}

BatchOutcome LedgerState::apply(const LedgerBatch& batch, LedgerTime wall) {
  BatchOutcome outcome = unavailable_outcome(batch, ok);
  Status written = write_if_due(batch, wall, outcome);
  // Queries are answered also when the disk is full.
  Status read = answer_queries(batch, outcome);
  if (!read) {
    outcome.tree = {};
    for (size_t i = 0; i < batch.items.size(); ++i) refuse_queries(batch.items[i], outcome.items[i]);
  }
  outcome.status = written ? read : written;
  return outcome;
}

Status LedgerState::write_if_due(const LedgerBatch& batch, LedgerTime wall, BatchOutcome& outcome) {
  LedgerRow row;
  {
    TRY_ASSIGN(std::unique_ptr<StoreTransaction> store, store_.begin_read());
    TRY_ASSIGN(row, read_ledger_row(*store));
  }
  TRY(check_clock(rules_, row.time, wall));
  LedgerTime time = std::max(row.time, wall);
  bool due = outage_ || batch.items.empty() || has_operations(batch) || time.seconds_since(row.time) >= k_time_lag_max_s;
  if (!due) return ok;
  bool after_outage = std::exchange(outage_, true);  // until this is durable
  for (int execution = 1;; ++execution) {
    Result<std::vector<ItemOutcome>> items = write(batch, time, after_outage, outcome);
    if (!items && items.error().code == Errc::conflict && execution < k_executions_max) continue;
    TRY(items);
    outcome.items = std::move(*items);
    outage_ = false;
    return ok;
  }
}

const SignedTreeHead& LedgerState::sign_tree(const LedgerRow& row) {
  if (tree_.size != row.records || tree_.root != row.root || tree_.time != row.time) {
    tree_ = {row.records, row.root, row.time, {}};
    tree_.signature = key_.sign(preimage(tree_.statement(context_.ledger)));
  }
  return tree_;
}

Status LedgerState::answer_queries(const LedgerBatch& batch, BatchOutcome& outcome) {
  TRY_ASSIGN(std::unique_ptr<StoreTransaction> store, store_.begin_read());
  TRY_ASSIGN(LedgerRow row, read_ledger_row(*store));
  TRY(follow(*store, row));
  outcome.time = row.time;
  outcome.tree = sign_tree(row);
  QueryContext context{rules_, row, check_context(row.time)};
  for (size_t i = 0; i < batch.items.size(); ++i) {
    context.captcha = batch.items[i].captcha;
    context.check.from = batch.items[i].from;
    outcome.items[i].queries.clear();
    for (const Query& query : batch.items[i].queries) {
      TRY_ASSIGN(QueryResult result, answer_query(*store, context, batch.items[i].key, query));
      outcome.items[i].queries.push_back(std::move(result));
    }
    if (batch.items[i].get) {
      TRY_ASSIGN(outcome.items[i].got, answer_get(*store, context, *batch.items[i].get));
    }
  }
  return ok;
}

Result<std::vector<ItemOutcome>> LedgerState::write(const LedgerBatch& batch, LedgerTime time, bool after_outage, BatchOutcome& outcome) {
  TRY_ASSIGN(std::unique_ptr<StoreTransaction> store, store_.begin_write());
  TRY(store->prefetch(keys_of(batch)));
  TRY_ASSIGN(LedgerRow row, read_ledger_row(*store));
  TRY(follow(*store, row));
  time = std::max(time, row.time);  // another front end may have committed since it was read
  LedgerTransaction transaction(*store, context_.ledger, row, time);
  uint64_t gap_s = time.seconds_since(row.time);
  if (gap_s > 0 && (after_outage || gap_s > k_outage_min_s)) TRY(extend_channels(transaction));
  TRY_ASSIGN(size_t expired, expire_channels(transaction, k_expire_per_batch_max));
  TRY(forget_executed(transaction, k_forget_per_batch_max));
  std::vector<ItemOutcome> items;
  for (const BatchItem& item : batch.items) {
    ItemOutcome& result = items.emplace_back();
    result.request = item.request;
    for (const BatchItem::CheckedOperation& checked : item.operations) {
      OperationResult done;
      if (checked.checked == LedgerCode::done) {
        TRY_ASSIGN(done, execute(transaction, rules_, checked.operation, item.from));
      } else if (checked.checked == LedgerCode::faucet_stale || checked.checked == LedgerCode::faucet_ticket) {
        TRY_ASSIGN(done, repeat_or_refuse(transaction, checked.operation, checked.checked));
      } else {
        done = refused_operation(checked.checked);
      }
      result.operations.push_back(done);
    }
  }
  TRY(transaction.flush());
  TRY(store->commit());
  sign_tree(transaction.row());
  outcome.more_to_expire = expired == k_expire_per_batch_max;
  return items;
}

}  // namespace millet
