#include "ledger/server/pools.h"

#include "ledger/server/rule_parts.h"

namespace millet {
namespace {

using namespace rule_parts;

Result<std::optional<PoolRow>> read_pool(LedgerTransaction& t, const PublicKey& account) {
  TRY_ASSIGN(std::optional<PoolRow> row, read_row<PoolRow>(t.store(), k_table_pools, account.bytes()));
  if (row && row->terms.vesting.at_start > row->terms.issued) return error(Errc::io, "the ledger's table pools is damaged");
  return row;
}

// Moves what has vested to an account, and appends the record. The amount is there: a pool's account has issued - drawn.
Result<OperationResult> pay_from(LedgerTransaction& t, const PublicKey& pool, const PublicKey& to, Amount amount, const OperationId& id,
                                 std::vector<uint8_t> operation) {
  TRY_ASSIGN(AccountRow * from, t.account(pool));
  TRY_ASSIGN(AccountRow * account, t.account(to));
  from->available = subtract(from->available, amount);
  account->available = add(account->available, amount);
  return t.append(id, std::move(operation), {amount, Amount()}, {pool, to});
}

Result<std::optional<PolicyRow>> read_policy(LedgerTransaction& t, const OperationId& id) {
  TRY_ASSIGN(std::optional<PolicyRow> row, read_row<PolicyRow>(t.store(), k_table_policies, id.bytes()));
  if (row && !row->terms.makes_sense()) return error(Errc::io, "the ledger's table policies is damaged");
  return row;
}

LedgerCode check_grant(const PolicyRow& policy, const GrantOperation& op, LedgerTime time) {
  const GrantStatement& s = op.statement;
  if (op.granter != policy.terms.granter) return LedgerCode::not_a_party;
  if (s.number != policy.grants + 1) return LedgerCode::grant_number;
  if (policy.ended != 0 || time < policy.terms.begin || time >= policy.terms.until) return LedgerCode::policy_ended;
  if (s.amount.is_zero()) return LedgerCode::bad_amount;
  if (!policy.terms.allows(s.to)) return LedgerCode::grant_recipient;
  if (s.amount > policy.terms.per_grant) return LedgerCode::grant_too_large;
  if (s.amount > policy.left_at(time)) return LedgerCode::grant_period;
  return LedgerCode::done;
}

}  // namespace

Result<bool> has_vested(LedgerTransaction& transaction, const PublicKey& pool, Amount amount) {
  TRY_ASSIGN(std::optional<PoolRow> row, read_pool(transaction, pool));
  if (!row) return true;
  auto drawn = row->drawn.plus(amount);
  return drawn && *drawn <= vested(row->terms.issued, row->terms.vesting, transaction.time());
}

Result<bool> draw_vested(LedgerTransaction& transaction, const PublicKey& pool, Amount amount) {
  TRY_ASSIGN(bool good, has_vested(transaction, pool, amount));
  TRY_ASSIGN(std::optional<PoolRow> row, read_pool(transaction, pool));
  if (!good || !row) return good;
  auto drawn = row->drawn.plus(amount);
  CHECK(drawn.has_value());
  row->drawn = *drawn;
  TRY(transaction.store().put(k_table_pools, pool.bytes(), encode_fields(*row)));
  return true;
}

Result<OperationResult> execute_draw(LedgerTransaction& t, const DrawOperation& op) {
  const DrawStatement& s = op.statement;
  OperationId id = statement_id(s);
  TRY_ASSIGN(std::optional<OperationResult> over, repeated_or_untimely(t, s.valid_until, id));
  if (over) return *over;
  if (s.amount.is_zero()) return refused(LedgerCode::bad_amount);
  TRY_ASSIGN(std::optional<PoolRow> pool, read_pool(t, s.pool));
  if (!pool || pool->terms.keys != op.keys) return refused(LedgerCode::unknown_pool);
  TRY_ASSIGN(bool drawn, draw_vested(t, s.pool, s.amount));
  if (!drawn) return refused(LedgerCode::not_vested);
  TRY_ASSIGN(OperationResult result, pay_from(t, s.pool, s.to, s.amount, id, bytes_of(op)));
  TRY(remember(t, s.valid_until, result));
  return result;
}

// ---- policies ----

Result<OperationResult> execute_policy(LedgerTransaction& t, const PolicyOperation& op) {
  const PolicyStatement& s = op.statement;
  OperationId id = statement_id(s);
  TRY_ASSIGN(std::optional<PolicyRow> known, read_policy(t, id));
  if (known) return t.result_of(known->record);
  LedgerCode valid = check_valid_until(t.time(), s.valid_until);
  if (valid != LedgerCode::done) return refused(valid);
  TRY_ASSIGN(std::optional<PoolRow> pool, read_pool(t, s.pool));
  if (!pool || pool->terms.keys != op.keys) return refused(LedgerCode::unknown_pool);
  if (!s.makes_sense()) return refused(LedgerCode::bad_policy);
  if (!s.replaces.is_zero()) {
    TRY_ASSIGN(std::optional<PolicyRow> replaced, read_policy(t, s.replaces));
    if (!replaced || replaced->terms.pool != s.pool) return refused(LedgerCode::unknown_policy);
    replaced->ended = 1;
    TRY(t.store().put(k_table_policies, s.replaces.bytes(), encode_fields(*replaced)));
  }
  PolicyRow row;
  row.terms = s;
  row.record = t.row().records;
  TRY(t.store().put(k_table_policies, id.bytes(), encode_fields(row)));
  return t.append(id, bytes_of(op), {}, {});
}

Result<OperationResult> execute_grant(LedgerTransaction& t, const GrantOperation& op) {
  const GrantStatement& s = op.statement;
  OperationId id = statement_id(s);
  TRY_ASSIGN(std::optional<OperationResult> over, repeated_or_untimely(t, s.valid_until, id));
  if (over) return *over;
  TRY_ASSIGN(std::optional<PolicyRow> policy, read_policy(t, s.policy));
  if (!policy) return refused(LedgerCode::unknown_policy);
  LedgerCode good = check_grant(*policy, op, t.time());
  if (good != LedgerCode::done) return refused(good);
  TRY_ASSIGN(bool drawn, draw_vested(t, policy->terms.pool, s.amount));
  if (!drawn) return refused(LedgerCode::not_vested);
  policy->spent = subtract(policy->terms.per_period, subtract(policy->left_at(t.time()), s.amount));
  policy->period = policy->terms.period_at(t.time());
  policy->grants = s.number;
  TRY(t.store().put(k_table_policies, s.policy.bytes(), encode_fields(*policy)));
  TRY_ASSIGN(OperationResult result, pay_from(t, policy->terms.pool, s.to, s.amount, id, bytes_of(op)));
  TRY(remember(t, s.valid_until, result));
  return result;
}

}  // namespace millet
