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

}  // namespace

Result<bool> draw_vested(LedgerTransaction& transaction, const PublicKey& pool, Amount amount) {
  TRY_ASSIGN(std::optional<PoolRow> row, read_pool(transaction, pool));
  if (!row) return true;
  auto drawn = row->drawn.plus(amount);
  if (!drawn || *drawn > vested(row->terms.issued, row->terms.vesting, transaction.time())) return false;
  row->drawn = *drawn;
  TRY(transaction.store().put(k_table_pools, pool.bytes(), encode_fields(*row)));
  return true;
}

Result<OperationResult> execute_draw(LedgerTransaction& t, const DrawOperation& op) {
  const DrawStatement& s = op.statement;
  OperationId id = statement_id(s);
  TRY_ASSIGN(std::optional<uint64_t> record, executed_before(t, s.valid_until, id));
  if (record) return t.result_of(*record);
  LedgerCode valid = check_valid_until(t.time(), s.valid_until);
  if (valid != LedgerCode::done) return refused(valid);
  if (s.amount.is_zero()) return refused(LedgerCode::bad_amount);
  TRY_ASSIGN(std::optional<PoolRow> pool, read_pool(t, s.pool));
  if (!pool || pool->terms.keys != op.keys) return refused(LedgerCode::unknown_pool);
  TRY_ASSIGN(bool has_vested, draw_vested(t, s.pool, s.amount));
  if (!has_vested) return refused(LedgerCode::not_vested);
  TRY_ASSIGN(OperationResult result, pay_from(t, s.pool, s.to, s.amount, id, bytes_of(op)));
  TRY(remember(t, s.valid_until, result));
  return result;
}

}  // namespace millet
