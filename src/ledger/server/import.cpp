#include "ledger/server/import.h"

#include <algorithm>

namespace millet {
namespace {

constexpr size_t k_records_per_transaction = 512;  // as the largest batch of the ledger

// The limits of an operator are not in the log, and may have changed since.
LedgerRules without_limits(LedgerRules rules) {
  rules.capacity_min = Amount::micro(1);
  rules.channel_life_min_s = 0;
  rules.channel_life_max_s = UINT32_MAX;
  rules.channels_max = UINT32_MAX;
  rules.faucet_daily_budget = Amount::supply();
  return rules;
}

bool holds_the_supply(const GenesisOperation& genesis) {
  Amount sum;
  for (const GenesisAccount& pool : genesis.accounts) {
    auto more = sum.plus(pool.amount);
    if (!more) return false;
    sum = *more;
  }
  return sum == Amount::supply();
}

}  // namespace

LogImport::LogImport(Store& store, const LedgerRules& rules) : store_(store), rules_(without_limits(rules)) {}

Error LogImport::wrong(const std::string& what) const {
  uint64_t record = batch_ ? batch_->row().records : row_.records;
  return error(Errc::conflict, "record " + std::to_string(record) + " of the log " + what);
}

Status LogImport::add(Bytes bytes) {
  TRY_ASSIGN(LogRecord record, decode_record(bytes));
  TRY_ASSIGN(LoggedOperation operation, decode_logged_operation(record.operation));
  if (const auto* genesis = std::get_if<GenesisOperation>(&operation)) {
    if (row_.records != 0 || beginning_ || !holds_the_supply(*genesis)) return wrong("is no genesis");
    beginning_ = NewLedger{*genesis, {}};
  } else if (const auto* pool = std::get_if<PoolOperation>(&operation)) {
    if (!beginning_) return wrong("comes too late for the terms of a pool");
    beginning_->pools.push_back(pool->terms);
  } else {
    if (beginning_) TRY(begin_ledger());
    if (row_.records == 0) return wrong("is no genesis");
    TRY(execute_again(record, operation));
    return check_came_out(bytes);
  }
  first_.emplace_back(bytes.begin(), bytes.end());
  return ok;
}

Status LogImport::begin_ledger() {
  TRY_ASSIGN(transaction_, store_.begin_write());
  TRY_ASSIGN(std::vector<std::string> tables, transaction_->tables());
  for (const std::string& table : tables) {
    TRY_ASSIGN(std::optional<StoreTransaction::Entry> row, transaction_->last(table.c_str()));
    if (row)
      return error(Errc::conflict, "there is something in the store already, perhaps of an import that was not finished: name another");
  }
  TRY_ASSIGN(row_, write_beginning(*transaction_, *beginning_));
  ledger_ = ledger_id(beginning_->genesis);
  rules_.faucet_pool = beginning_->genesis.accounts[k_faucet_pool].account;
  beginning_.reset();
  if (row_.records != first_.size()) return wrong("is not the one that the genesis makes");
  for (size_t i = 0; i < first_.size(); ++i) {
    TRY_ASSIGN(std::optional<Bytes> made, transaction_->get(k_table_log, log_key(i)));
    if (!made || !equal(*made, first_[i]))
      return error(Errc::conflict, "record " + std::to_string(i) + " of the log comes out differently");
  }
  return ok;
}

Status LogImport::begin_batch(LedgerTime before, LedgerTime time) {
  TRY(end_batch());
  if (before < row_.time || time < before) return wrong("is before the one before it");
  if (in_transaction_ >= k_records_per_transaction) TRY(commit());
  if (!transaction_) {
    TRY_ASSIGN(transaction_, store_.begin_write());
  }
  row_.time = before;
  batch_ = std::make_unique<LedgerTransaction>(*transaction_, ledger_, row_, time);
  return forget_executed(*batch_, k_forget_per_batch_max);
}

// A batch writes the ledger's row, with which this would be a ledger: it goes again before the commit.
Status LogImport::end_batch() {
  if (!batch_) return ok;
  TRY(batch_->flush());
  row_ = batch_->row();
  batch_.reset();
  return transaction_->erase(k_table_ledger, as_bytes(k_ledger_row_key));
}

Status LogImport::commit() {
  TRY(transaction_->commit());
  transaction_.reset();
  in_transaction_ = 0;
  return ok;
}

Status LogImport::execute_again(const LogRecord& record, const LoggedOperation& operation) {
  LedgerTime time = record.head.time;
  ++in_transaction_;
  if (const auto* extend = std::get_if<ExtendOperation>(&operation)) {
    // It says when the commit before was, of which there may be no record.
    TRY(begin_batch(extend->from, time));
    return extend_channels(*batch_);
  }
  if (!batch_ || batch_->time() != time || in_transaction_ >= k_records_per_transaction) {
    TRY(end_batch());
    TRY(begin_batch(row_.time, time));
  }
  if (std::holds_alternative<ExpireOperation>(operation)) {
    TRY_ASSIGN(size_t expired, expire_channels(*batch_, 1));
    return expired == 1 ? Status(ok) : Status(wrong("lets a channel expire that has not"));
  }
  return std::visit(
      [&]<typename Op>(const Op& op) -> Status {
        if constexpr (std::is_constructible_v<Operation, Op>) {
          return run(record, Operation(op));
        } else {
          return wrong("is of a kind that the ledger makes otherwise");
        }
      },
      operation);
}

Status LogImport::run(const LogRecord& record, const Operation& operation) {
  rules_.faucet_grant = record.head.paid;  // of a grant
  TRY_ASSIGN(OperationResult result, execute(*batch_, rules_, operation));
  if (result.ledger_code() == LedgerCode::spend_only) {
    // The time in which a grant only pays for service was shorter then.
    if (const auto* transfer = std::get_if<TransferOperation>(&operation)) {
      TRY_ASSIGN(AccountRow * from, batch_->account(transfer->statement.from));
      from->spend_only = Amount();
      TRY_ASSIGN(result, execute(*batch_, rules_, operation));
    }
  }
  if (result.ledger_code() == LedgerCode::done) return ok;
  return error(Errc::conflict, "record " + std::to_string(record.head.index) +
                                   " of the log has an operation that is refused: " + ledger_code_reason(result.ledger_code()));
}

Status LogImport::check_came_out(Bytes record) {
  uint64_t index = batch_->row().records - 1;
  TRY_ASSIGN(std::optional<Bytes> made, transaction_->get(k_table_log, log_key(index)));
  if (made && equal(*made, record)) return ok;
  return error(Errc::conflict, "record " + std::to_string(index) + " of the log comes out differently when it is executed again");
}

Status LogImport::finish(const SignedTreeHead& head) {
  if (beginning_) TRY(begin_ledger());
  TRY(end_batch());
  if (row_.records != head.size) return error(Errc::conflict, "the log is not as long as its tree head says");
  if (row_.root != head.root) return error(Errc::conflict, "the log has another root than its tree head says");
  if (head.time < row_.time) return error(Errc::conflict, "the log's last record is later than its tree head");
  row_.time = head.time;
  if (!transaction_) {
    TRY_ASSIGN(transaction_, store_.begin_write());
  }
  TRY(transaction_->put(k_table_ledger, as_bytes(k_ledger_row_key), encode_fields(row_)));
  return commit();
}

}  // namespace millet
