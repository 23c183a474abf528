#include "ledger/server/rules.h"

#include <utility>

#include "ledger/server/faucet_networks.h"
#include "ledger/server/pools.h"
#include "ledger/server/rule_parts.h"

namespace millet {
namespace {

using namespace rule_parts;

// What is left of a grant stays in the account, or in its channels, while it may only pay for service.
bool keeps_the_grant(const AccountRow& from, LedgerTime time, Amount amount) {
  if (!from.is_spend_only(time)) return true;
  auto rest = add(from.available, from.in_channels).minus(amount);
  return rest && *rest >= from.spend_only;
}

Result<OperationResult> execute_transfer(LedgerTransaction& t, const LedgerRules&, const TransferOperation& op) {
  const TransferStatement& s = op.statement;
  OperationId id = statement_id(s);
  TRY_ASSIGN(std::optional<OperationResult> over, repeated_or_untimely(t, s.valid_until, id));
  if (over) return *over;
  if (s.amount.is_zero()) return refused(LedgerCode::bad_amount);
  if (s.from == s.to) return refused(LedgerCode::bad_account);
  TRY_ASSIGN(AccountRow * from, t.account(s.from));
  TRY_ASSIGN(AccountRow * to, t.account(s.to));
  auto rest = from->available.minus(s.amount);
  if (!rest) return refused(LedgerCode::insufficient);
  if (!keeps_the_grant(*from, t.time(), s.amount)) return refused(LedgerCode::spend_only);
  from->available = *rest;
  if (!from->is_spend_only(t.time())) from->spend_only = Amount();
  to->available = add(to->available, s.amount);
  TRY_ASSIGN(OperationResult result, t.append(id, bytes_of(op), {s.amount, Amount()}, {s.from, s.to}));
  TRY(remember(t, s.valid_until, result));
  return result;
}

// FAUCET and TICKET_FAUCET, whose work or ticket was checked.
template <typename Op>
Result<OperationResult> execute_faucet(LedgerTransaction& t, const LedgerRules& rules, const Op& op, const std::optional<IpAddress>& from) {
  const auto& s = op.statement;
  OperationId id = statement_id(s);
  TRY_ASSIGN(std::optional<uint64_t> record, executed_before(t, s.valid_until, id));
  if (record) return t.result_of(*record);
  if (rules.faucet_grant.is_zero()) return refused(LedgerCode::faucet_off);
  LedgerCode valid = check_valid_until(t.time(), s.valid_until);
  if (valid != LedgerCode::done) return refused(valid);
  TRY_ASSIGN(AccountRow * pool, t.account(rules.faucet_pool));
  TRY_ASSIGN(AccountRow * account, t.account(s.key));
  if (account->granted != 0 || s.key == rules.faucet_pool) return refused(LedgerCode::faucet_granted);
  auto rest = pool->available.minus(rules.faucet_grant);
  if (!rest || faucet_left(rules, t.row()) < rules.faucet_grant) return refused(LedgerCode::faucet_empty);
  TRY_ASSIGN(bool vested, has_vested(t, rules.faucet_pool, rules.faucet_grant));
  if (!vested) return refused(LedgerCode::faucet_empty);
  if (from && rules.faucet_per_network > 0) {
    TRY_ASSIGN(bool counted, count_grant(t, *from, rules.faucet_per_network));
    if (!counted) return refused(LedgerCode::faucet_network);
  }
  TRY_ASSIGN(bool drawn, draw_vested(t, rules.faucet_pool, rules.faucet_grant));
  CHECK(drawn);
  uint64_t day = t.time().in_seconds() / k_seconds_per_day;
  if (t.row().faucet_day != day) t.row().faucet_spent = Amount();
  t.row().faucet_day = day;
  t.row().faucet_spent = add(t.row().faucet_spent, rules.faucet_grant);
  pool->available = *rest;
  account->available = add(account->available, rules.faucet_grant);
  account->granted = 1;
  account->spend_only = rules.faucet_grant;
  account->spend_only_until = t.time().plus_seconds(rules.faucet_spend_only_s);
  TRY_ASSIGN(OperationResult result, t.append(id, bytes_of(op), {rules.faucet_grant, Amount()}, {rules.faucet_pool, s.key}));
  TRY(remember(t, s.valid_until, result));
  return result;
}

// ---- channels ----

LedgerCode check_terms(const LedgerTransaction& t, const LedgerRules& rules, const ChannelTerms& terms) {
  LedgerCode valid = check_valid_until(t.time(), terms.valid_until);
  if (valid != LedgerCode::done) return valid;
  if (terms.capacity.is_zero() || terms.capacity < rules.capacity_min) return LedgerCode::bad_amount;
  if (terms.payer == terms.payee) return LedgerCode::bad_account;
  if (terms.expiry < t.time().plus_seconds(rules.channel_life_min_s)) return LedgerCode::bad_expiry;
  if (terms.expiry > t.time().plus_seconds(rules.channel_life_max_s)) return LedgerCode::bad_expiry;
  return LedgerCode::done;
}

Result<OperationResult> execute_open(LedgerTransaction& t, const LedgerRules& rules, const OpenOperation& op) {
  const ChannelTerms& terms = op.statement;
  ChannelId id = channel_id(terms);
  TRY_ASSIGN(ChannelRow * known, t.channel(id));
  if (known != nullptr) return t.result_of(known->open_record);
  LedgerCode good = check_terms(t, rules, terms);
  if (good != LedgerCode::done) return refused(good);
  TRY_ASSIGN(AccountRow * payer, t.account(terms.payer));
  if (payer->open_channels >= rules.channels_max) return refused(LedgerCode::too_many_channels);
  auto rest = payer->available.minus(terms.capacity);
  if (!rest) return refused(LedgerCode::insufficient);
  payer->available = *rest;
  payer->in_channels = add(payer->in_channels, terms.capacity);
  ++payer->open_channels;
  ChannelRow& channel = t.make_channel(id);
  channel.terms = terms;
  channel.extension_open_s = t.row().extension_s;
  channel.open_record = channel.last_record = t.row().records;
  TRY(t.store().put(k_table_expiry, expiry_key(channel, id), {}));
  return t.append(OperationId{id.raw}, bytes_of(op), {}, {terms.payer});
}

// Moves what `cum` adds to `claimed` from the escrow to the payee. Requires: the channel is open, cum <= capacity.
void pay_out(ChannelRow& channel, Amount cum, AccountRow& payer, AccountRow& payee) {
  if (cum <= channel.claimed) return;
  Amount delta = subtract(cum, channel.claimed);
  channel.claimed = cum;
  payer.in_channels = subtract(payer.in_channels, delta);
  payer.spend_only = payer.spend_only.minus_or_zero(delta);  // a grant is what is paid with first
  payee.available = add(payee.available, delta);
}

// Ends a channel: the rest of the escrow goes back, the indexes follow. The amount that went back. Errors: of the store.
Result<Amount> end_channel(LedgerTransaction& t, const ChannelId& id, ChannelRow& channel, ChannelStatusCode status) {
  TRY_ASSIGN(AccountRow * payer, t.account(channel.terms.payer));
  Amount rest = channel.escrow();
  payer->in_channels = subtract(payer->in_channels, rest);
  payer->available = add(payer->available, rest);
  CHECK(payer->open_channels > 0);
  --payer->open_channels;
  TRY(t.store().erase(k_table_expiry, expiry_key(channel, id)));
  channel.status = static_cast<uint8_t>(status);
  channel.ended = t.time();
  channel.extension_end_s = t.row().extension_s;
  channel.last_record = t.row().records;
  TRY(t.store().put(k_table_closed, closed_key(channel.terms.payer, channel.last_record), id.bytes()));
  TRY(t.store().put(k_table_closed, closed_key(channel.terms.payee, channel.last_record), id.bytes()));
  return rest;
}

// What CLOSE and CLAIM have in common. Requires: the channel is known.
template <typename Op>
LedgerCode check_redemption(const LedgerTransaction& t, const ChannelRow& channel, uint64_t extension_s, const Op& op) {
  if (channel.status == static_cast<uint8_t>(ChannelStatusCode::closed)) return LedgerCode::channel_closed;
  if (!channel.is_open() || t.time() >= channel.effective_expiry(extension_s)) return LedgerCode::channel_expired;
  if (op.statement.cum > channel.terms.capacity) return LedgerCode::above_capacity;
  return LedgerCode::done;
}

template <typename Op>
bool names_the_parties(const ChannelRow& channel, const Op& op) {
  return op.payer == channel.terms.payer && op.payee == channel.terms.payee;
}

Result<OperationResult> execute_claim(LedgerTransaction& t, const LedgerRules&, const ClaimOperation& op) {
  TRY_ASSIGN(ChannelRow * channel, t.channel(op.statement.channel));
  if (channel == nullptr) return refused(LedgerCode::unknown_channel);
  if (!names_the_parties(*channel, op)) return refused(LedgerCode::not_a_party);
  // Paid before, by this operation or a later one: the current state is the answer, also after the channel's end.
  if (op.statement.cum <= channel->claimed) return t.result_of(channel->last_record);
  LedgerCode good = check_redemption(t, *channel, t.row().extension_s, op);
  if (good != LedgerCode::done) return refused(good);
  TRY_ASSIGN(AccountRow * payer, t.account(op.payer));
  TRY_ASSIGN(AccountRow * payee, t.account(op.payee));
  pay_out(*channel, op.statement.cum, *payer, *payee);
  uint64_t previous = std::exchange(channel->last_record, t.row().records);
  return t.append(statement_id(op.statement), bytes_of(op), {channel->claimed, Amount(), previous}, {op.payee});
}

Result<OperationResult> execute_close(LedgerTransaction& t, const LedgerRules&, const CloseOperation& op) {
  TRY_ASSIGN(ChannelRow * channel, t.channel(op.statement.channel));
  if (channel == nullptr) return refused(LedgerCode::unknown_channel);
  if (!names_the_parties(*channel, op)) return refused(LedgerCode::not_a_party);
  OperationId id = statement_id(op.statement);
  if (!channel->is_open()) {
    TRY_ASSIGN(OperationResult end, t.result_of(channel->last_record));
    if (end.operation == id) return end;
  }
  LedgerCode good = check_redemption(t, *channel, t.row().extension_s, op);
  if (good != LedgerCode::done) return refused(good);
  TRY_ASSIGN(AccountRow * payer, t.account(op.payer));
  TRY_ASSIGN(AccountRow * payee, t.account(op.payee));
  pay_out(*channel, op.statement.cum, *payer, *payee);
  uint64_t previous = channel->last_record;
  TRY_ASSIGN(Amount refunded, end_channel(t, op.statement.channel, *channel, ChannelStatusCode::closed));
  return t.append(id, bytes_of(op), {channel->claimed, refunded, previous}, {op.payer, op.payee});
}

// ---- overloads for the visitor ----

struct Execute {
  LedgerTransaction& t;
  const LedgerRules& rules;
  const std::optional<IpAddress>& from;
  Result<OperationResult> operator()(const OpenOperation& op) const { return execute_open(t, rules, op); }
  Result<OperationResult> operator()(const CloseOperation& op) const { return execute_close(t, rules, op); }
  Result<OperationResult> operator()(const ClaimOperation& op) const { return execute_claim(t, rules, op); }
  Result<OperationResult> operator()(const TransferOperation& op) const { return execute_transfer(t, rules, op); }
  Result<OperationResult> operator()(const FaucetOperation& op) const { return execute_faucet(t, rules, op, from); }
  Result<OperationResult> operator()(const TicketFaucetOperation& op) const { return execute_faucet(t, rules, op, from); }
  Result<OperationResult> operator()(const DrawOperation& op) const { return execute_draw(t, op); }
  Result<OperationResult> operator()(const PolicyOperation& op) const { return execute_policy(t, op); }
  Result<OperationResult> operator()(const GrantOperation& op) const { return execute_grant(t, op); }
};

}  // namespace

Amount faucet_left(const LedgerRules& rules, const LedgerRow& row) {
  if (row.faucet_day != row.time.in_seconds() / k_seconds_per_day) return rules.faucet_daily_budget;
  return rules.faucet_daily_budget.minus_or_zero(row.faucet_spent);
}

Result<OperationResult> execute(LedgerTransaction& transaction, const LedgerRules& rules, const Operation& operation,
                                const std::optional<IpAddress>& from) {
  return std::visit(Execute{transaction, rules, from}, operation);
}

Result<OperationResult> repeat_or_refuse(LedgerTransaction& transaction, const Operation& operation, LedgerCode code) {
  auto of = [&](const auto& statement) -> Result<OperationResult> {
    TRY_ASSIGN(std::optional<uint64_t> record, executed_before(transaction, statement.valid_until, statement_id(statement)));
    if (record) return transaction.result_of(*record);
    return refused(code);
  };
  if (const auto* faucet = std::get_if<FaucetOperation>(&operation)) return of(faucet->statement);
  if (const auto* faucet = std::get_if<TicketFaucetOperation>(&operation)) return of(faucet->statement);
  return refused(code);
}

Result<size_t> expire_channels(LedgerTransaction& transaction, size_t count_max) {
  size_t count = 0;
  for (; count < count_max; ++count) {
    TRY_ASSIGN(std::optional<StoreTransaction::Entry> first, transaction.store().seek(k_table_expiry, {}));
    if (!first) break;
    if (first->key.size() != 40) return error(Errc::io, "the ledger's table expiry is damaged");
    LedgerTime order = LedgerTime::from_seconds(load_be<uint64_t>(first->key.data()));
    if (order.plus_seconds(transaction.row().extension_s) > transaction.time()) break;
    ChannelId id = ChannelId::from_bytes(first->key.subspan(8));
    TRY_ASSIGN(ChannelRow * channel, transaction.channel(id));
    if (channel == nullptr || !channel->is_open()) return error(Errc::io, "the ledger's table expiry names a channel that is not open");
    uint64_t previous = channel->last_record;
    TRY_ASSIGN(Amount refunded, end_channel(transaction, id, *channel, ChannelStatusCode::expired));
    ExpireOperation op{transaction.ledger(), id};
    TRY(transaction.append(statement_id(op), bytes_of(op), {channel->claimed, refunded, previous}, {channel->terms.payer}));
  }
  return count;
}

Status extend_channels(LedgerTransaction& transaction) {
  LedgerTime from = transaction.before().time;
  transaction.row().extension_s += transaction.time().seconds_since(from);
  ExtendOperation op{transaction.ledger(), from, transaction.time()};
  TRY(transaction.append(statement_id(op), bytes_of(op), {}, {}));
  return ok;
}

Status forget_executed(LedgerTransaction& transaction, size_t count_max) {
  for (size_t i = 0; i < count_max; ++i) {
    TRY_ASSIGN(std::optional<StoreTransaction::Entry> first, transaction.store().seek(k_table_executed, {}));
    if (!first || first->key.size() != 40) break;
    LedgerTime valid_until = LedgerTime::from_seconds(load_be<uint64_t>(first->key.data()));
    if (valid_until.plus_seconds(k_executed_kept_s) >= transaction.time()) break;
    std::vector<uint8_t> key(first->key.begin(), first->key.end());
    TRY(transaction.store().erase(k_table_executed, key));
  }
  return ok;
}

}  // namespace millet
