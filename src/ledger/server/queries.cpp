#include "ledger/server/queries.h"

namespace millet {
namespace {

template <typename Q>
QueryResult refused(LedgerCode code) {
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
  if (key.is_zero()) return refused<BalanceQuery>(LedgerCode::not_a_party);
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
  if (!row) return refused<ChannelQuery>(LedgerCode::unknown_channel);
  if (key != row->terms.payer && key != row->terms.payee) return refused<ChannelQuery>(LedgerCode::not_a_party);
  return QueryResult{ChannelQuery::k_kind, LedgerCode::done, channel_state(context, *row)};
}

Result<QueryResult> answer(StoreTransaction& store, const QueryContext& context, const PublicKey& key, const ClosedQuery& query) {
  if (key.is_zero()) return refused<ClosedQuery>(LedgerCode::not_a_party);
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
  if (rules.faucet_grant.is_zero()) return refused<ChallengeQuery>(LedgerCode::faucet_off);
  if (key.is_zero()) return refused<ChallengeQuery>(LedgerCode::not_a_party);
  TRY_ASSIGN(std::optional<AccountRow> account, read_row<AccountRow>(store, k_table_accounts, key.bytes()));
  if (account && account->granted != 0) return refused<ChallengeQuery>(LedgerCode::faucet_granted);
  LedgerTime time = context.row.time;
  if (faucet_left(rules, context.row) < rules.faucet_grant) return refused<ChallengeQuery>(LedgerCode::faucet_empty);
  uint64_t epoch = time.in_seconds() / k_faucet_epoch_s;
  FaucetChallenge challenge{faucet_challenge(context.check, key, epoch), epoch, LedgerTime::from_seconds((epoch + 2) * k_faucet_epoch_s),
                            rules.faucet_work, rules.faucet_grant};
  return QueryResult{ChallengeQuery::k_kind, LedgerCode::done, challenge};
}

}  // namespace

Result<QueryResult> answer_query(StoreTransaction& store, const QueryContext& context, const PublicKey& key, const Query& query) {
  return std::visit([&](const auto& q) { return answer(store, context, key, q); }, query);
}

}  // namespace millet
