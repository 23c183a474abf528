#include "ledger/server/queries.h"

#include "ledger/server/genesis.h"
#include "ledger/server/log_tree.h"

namespace millet {
namespace {

template <typename Q>
QueryResult refused_query(LedgerCode code) {
  return {Q::k_kind, code, {}};
}

ChannelState channel_state(const QueryContext& context, const ChannelRow& row) {
  return {row.terms, row.status, row.claimed, row.effective_expiry(context.row.extension_s), row.ended, row.last_record};
}

Result<QueryResult> answer(StoreTransaction&, const QueryContext& context, const PublicKey&, const ParamsQuery&) {
  const LedgerRules& rules = context.rules;
  LedgerParams params{rules.capacity_min, rules.channel_life_min_s, rules.channel_life_max_s,
                      rules.channels_max, rules.faucet_grant,       rules.faucet_work};
  return QueryResult{ParamsQuery::k_kind, LedgerCode::done, params};
}

Result<QueryResult> answer(StoreTransaction& store, const QueryContext& context, const PublicKey& key, const BalanceQuery&) {
  if (key.is_zero()) return refused_query<BalanceQuery>(LedgerCode::not_a_party);
  TRY_ASSIGN(std::optional<AccountRow> row, read_row<AccountRow>(store, k_table_accounts, key.bytes()));
  AccountRow account = row.value_or(AccountRow());
  Balance balance{account.available, account.in_channels, account.open_channels, account.granted, {}, {}, {}};
  if (account.is_spend_only(context.row.time)) {
    balance.spend_only = account.spend_only;
    balance.spend_only_until = account.spend_only_until;
  }
  return QueryResult{BalanceQuery::k_kind, LedgerCode::done, balance};
}

Result<QueryResult> answer(StoreTransaction& store, const QueryContext& context, const PublicKey& key, const ChannelQuery& query) {
  TRY_ASSIGN(std::optional<ChannelRow> row, read_row<ChannelRow>(store, k_table_channels, query.channel.bytes()));
  if (!row) return refused_query<ChannelQuery>(LedgerCode::unknown_channel);
  if (key != row->terms.payer && key != row->terms.payee) return refused_query<ChannelQuery>(LedgerCode::not_a_party);
  return QueryResult{ChannelQuery::k_kind, LedgerCode::done, channel_state(context, *row)};
}

Result<QueryResult> answer(StoreTransaction& store, const QueryContext& context, const PublicKey& key, const ClosedQuery& query) {
  if (key.is_zero()) return refused_query<ClosedQuery>(LedgerCode::not_a_party);
  ClosedPage page;
  // Record 0 is the genesis, so that "after 0" is from the start.
  uint64_t from = query.after == UINT64_MAX ? query.after : query.after + 1;
  for (;;) {
    auto start = closed_key(key, from);
    TRY_ASSIGN(std::optional<StoreTransaction::Entry> entry, store.seek(k_table_closed, start));
    if (!entry || entry->key.size() != 40 || entry->value.size() != 32 || !equal(entry->key.first(32), key.bytes())) break;
    if (page.channels.size() == k_closed_page_max) {
      page.more = true;
      break;
    }
    uint64_t record = load_be<uint64_t>(entry->key.data() + 32);
    ChannelId id = ChannelId::from_bytes(entry->value);
    TRY_ASSIGN(std::optional<ChannelRow> row, read_row<ChannelRow>(store, k_table_channels, id.bytes()));
    if (!row) return error(Errc::io, "the ledger's table closed names a channel that does not exist");
    page.channels.push_back(channel_state(context, *row));
    from = record + 1;
  }
  return QueryResult{ClosedQuery::k_kind, LedgerCode::done, std::move(page)};
}

Result<QueryResult> answer(StoreTransaction& store, const QueryContext& context, const PublicKey& key, const ChallengeQuery&) {
  const LedgerRules& rules = context.rules;
  if (rules.faucet_grant.is_zero()) return refused_query<ChallengeQuery>(LedgerCode::faucet_off);
  if (key.is_zero()) return refused_query<ChallengeQuery>(LedgerCode::not_a_party);
  TRY_ASSIGN(std::optional<AccountRow> account, read_row<AccountRow>(store, k_table_accounts, key.bytes()));
  if (account && account->granted != 0) return refused_query<ChallengeQuery>(LedgerCode::faucet_granted);
  LedgerTime time = context.row.time;
  if (faucet_left(rules, context.row) < rules.faucet_grant) return refused_query<ChallengeQuery>(LedgerCode::faucet_empty);
  uint64_t epoch = time.in_seconds() / k_faucet_epoch_s;
  FaucetChallenge challenge{faucet_challenge(context.check, key, epoch), epoch, LedgerTime::from_seconds((epoch + 2) * k_faucet_epoch_s),
                            rules.faucet_work, rules.faucet_grant};
  return QueryResult{ChallengeQuery::k_kind, LedgerCode::done, challenge};
}

Result<QueryResult> answer(StoreTransaction& store, const QueryContext& context, const PublicKey&, const PoolQuery& query) {
  TRY_ASSIGN(std::vector<PoolState> pools, read_pools(store, context.row.time));
  if (query.index >= pools.size()) return refused_query<PoolQuery>(LedgerCode::unknown_pool);
  return QueryResult{PoolQuery::k_kind, LedgerCode::done, pools[query.index]};
}

Result<QueryResult> answer(StoreTransaction& store, const QueryContext& context, const PublicKey&, const PolicyQuery& query) {
  TRY_ASSIGN(std::optional<PolicyRow> row, read_row<PolicyRow>(store, k_table_policies, query.policy.bytes()));
  if (!row) return refused_query<PolicyQuery>(LedgerCode::unknown_policy);
  PolicyState state{row->terms, row->record, row->ended, row->grants, row->left_at(context.row.time)};
  return QueryResult{PolicyQuery::k_kind, LedgerCode::done, state};
}

// The CAPTCHA was judged before (service.h).
Result<QueryResult> answer(StoreTransaction& store, const QueryContext& context, const PublicKey& key, const CaptchaQuery&) {
  if (context.rules.faucet_grant.is_zero()) return refused_query<CaptchaQuery>(LedgerCode::faucet_off);
  if (key.is_zero()) return refused_query<CaptchaQuery>(LedgerCode::not_a_party);
  if (context.captcha != LedgerCode::done) return refused_query<CaptchaQuery>(context.captcha);
  TRY_ASSIGN(std::optional<AccountRow> account, read_row<AccountRow>(store, k_table_accounts, key.bytes()));
  if (account && account->granted != 0) return refused_query<CaptchaQuery>(LedgerCode::faucet_granted);
  CaptchaAnswer answer{make_captcha_ticket(context.check, key, context.row.time.plus_seconds(k_captcha_ticket_s)), 0};
  answer.work_too = context.rules.captcha == CaptchaUse::with_work ? 1 : 0;
  return QueryResult{CaptchaQuery::k_kind, LedgerCode::done, answer};
}

// ---- proofs ----

Result<QueryResult> answer(StoreTransaction& store, const QueryContext& context, const PublicKey&, const InclusionQuery& query) {
  uint64_t size = query.size == 0 ? context.row.records : query.size;
  if (size > context.row.records || query.record >= size) return refused_query<InclusionQuery>(LedgerCode::beyond_log);
  LogTreeReader tree(store);
  InclusionProof proof{query.record, size, {}, {}};
  TRY_ASSIGN(proof.leaf, tree.node(0, query.record));
  TRY_ASSIGN(proof.path, inclusion_path(tree, query.record, size));
  return QueryResult{InclusionQuery::k_kind, LedgerCode::done, std::move(proof)};
}

Result<QueryResult> answer(StoreTransaction& store, const QueryContext& context, const PublicKey&, const ConsistencyQuery& query) {
  uint64_t to = query.to == 0 ? context.row.records : query.to;
  if (to > context.row.records || query.from > to) return refused_query<ConsistencyQuery>(LedgerCode::beyond_log);
  LogTreeReader tree(store);
  ConsistencyProof proof{query.from, to, {}};
  TRY_ASSIGN(proof.path, consistency_path(tree, query.from, to));
  return QueryResult{ConsistencyQuery::k_kind, LedgerCode::done, std::move(proof)};
}

Result<ProvenRecord> proven_record(StoreTransaction& store, LogTreeReader& tree, uint64_t record, uint64_t size) {
  TRY_ASSIGN(std::optional<Bytes> bytes, store.get(k_table_log, log_key(record)));
  if (!bytes) return error(Errc::io, "the ledger's log is damaged: record " + std::to_string(record) + " is missing");
  ProvenRecord proven{{bytes->begin(), bytes->end()}, {}};
  TRY_ASSIGN(proven.path, inclusion_path(tree, record, size));
  return proven;
}

// The channel that an operation is about; nothing if it is about none.
std::optional<ChannelId> channel_of(const LoggedOperation& operation) {
  if (const auto* close = std::get_if<CloseOperation>(&operation)) return close->statement.channel;
  if (const auto* claim = std::get_if<ClaimOperation>(&operation)) return claim->statement.channel;
  if (const auto* expire = std::get_if<ExpireOperation>(&operation)) return expire->channel;
  return std::nullopt;
}

// Adds what the record can't be understood without (see AccountRecord).
Status add_context(StoreTransaction& store, LogTreeReader& tree, uint64_t size, const PublicKey& key, const LogRecord& record,
                   AccountRecord& out) {
  auto operation = decode_logged_operation(record.operation);
  if (!operation) return error(Errc::io, "the ledger's log is damaged: " + operation.error().reason);
  std::optional<ChannelId> id = channel_of(*operation);
  if (!id) return ok;
  TRY_ASSIGN(std::optional<ChannelRow> channel, read_row<ChannelRow>(store, k_table_channels, id->bytes()));
  if (!channel) return error(Errc::io, "the ledger's log names a channel that does not exist");
  bool is_payer = key == channel->terms.payer;
  TRY_ASSIGN(out.context, proven_record(store, tree, is_payer ? channel->open_record : record.head.channel_previous, size));
  const auto* close = std::get_if<CloseOperation>(&*operation);
  if (is_payer && record.head.paid != (close != nullptr ? close->statement.cum : Amount())) {
    TRY_ASSIGN(out.claim, proven_record(store, tree, record.head.channel_previous, size));
  }
  return ok;
}

Result<QueryResult> answer(StoreTransaction& store, const QueryContext& context, const PublicKey& key, const RecordsQuery& query) {
  if (key.is_zero()) return refused_query<RecordsQuery>(LedgerCode::not_a_party);
  TRY_ASSIGN(std::optional<AccountRow> account, read_row<AccountRow>(store, k_table_accounts, key.bytes()));
  RecordPage page;
  uint64_t next = query.from == k_no_record ? account.value_or(AccountRow()).last_record : query.from;
  if (next != k_no_record && next >= context.row.records) return refused_query<RecordsQuery>(LedgerCode::beyond_log);
  LogTreeReader tree(store);
  for (size_t room = k_record_page_size_max; next != k_no_record;) {
    AccountRecord entry;
    TRY_ASSIGN(entry.entry, proven_record(store, tree, next, context.row.records));
    TRY_ASSIGN(LogRecord record, decode_record(entry.entry.record));
    const TouchedAccount* touched = record.of(key);
    if (touched == nullptr) return refused_query<RecordsQuery>(LedgerCode::not_a_party);
    TRY(add_context(store, tree, context.row.records, key, record, entry));
    if (encoded_size(entry) > room) break;
    room -= encoded_size(entry);
    bool last = next == query.until;
    next = touched->previous;
    page.records.push_back(std::move(entry));
    if (last) break;
  }
  return QueryResult{RecordsQuery::k_kind, LedgerCode::done, std::move(page)};
}

}  // namespace

Result<std::vector<PoolState>> read_pools(StoreTransaction& store, LedgerTime time) {
  TRY_ASSIGN(std::optional<Bytes> first, store.get(k_table_log, log_key(0)));
  Result<LogRecord> record = first ? decode_record(*first) : error(Errc::io, "missing");
  Result<LoggedOperation> operation = record ? decode_logged_operation(record->operation) : record.error();
  const GenesisOperation* genesis = operation ? std::get_if<GenesisOperation>(&*operation) : nullptr;
  if (genesis == nullptr) return error(Errc::io, "the ledger's log is damaged: it does not begin with a genesis");
  std::vector<PoolState> pools;
  for (const auto& [account, issued] : genesis->accounts) {
    TRY_ASSIGN(std::optional<AccountRow> row, read_row<AccountRow>(store, k_table_accounts, account.bytes()));
    TRY_ASSIGN(std::optional<PoolRow> pool, read_row<PoolRow>(store, k_table_pools, account.bytes()));
    PoolState& state = pools.emplace_back();
    state.account = account;
    state.issued = state.vested = issued;
    state.available = row.value_or(AccountRow()).available;
    if (!pool) continue;
    const Vesting& vesting = pool->terms.vesting;
    if (vesting.at_start > issued) return error(Errc::io, "the ledger's table pools is damaged");
    state.has_terms = 1;
    state.keys = pool->terms.keys;
    state.vesting = vesting;
    state.vested = vested(issued, vesting, time);
  }
  return pools;
}

Result<QueryResult> answer_query(StoreTransaction& store, const QueryContext& context, const PublicKey& key, const Query& query) {
  return std::visit([&](const auto& q) { return answer(store, context, key, q); }, query);
}

}  // namespace millet
