#include "ledger/server/transaction.h"

namespace millet {

LedgerTransaction::LedgerTransaction(StoreTransaction& store, const LedgerId& ledger, const LedgerRow& row, LedgerTime time)
    : store_(store), ledger_(ledger), before_(row), row_(row), time_(time), tree_(store, row.records) {
  CHECK(time >= row.time);
  row_.time = time;
}

Result<AccountRow*> LedgerTransaction::account(const PublicKey& key) {
  auto known = accounts_.find(key);
  if (known != accounts_.end()) return &known->second.row;
  TRY_ASSIGN(std::optional<AccountRow> row, read_row<AccountRow>(store_, k_table_accounts, key.bytes()));
  AccountRow value = row.value_or(AccountRow());
  return &accounts_.emplace(key, Account{value, value}).first->second.row;
}

Result<ChannelRow*> LedgerTransaction::channel(const ChannelId& id) {
  auto known = channels_.find(id);
  if (known == channels_.end()) {
    TRY_ASSIGN(std::optional<ChannelRow> row, read_row<ChannelRow>(store_, k_table_channels, id.bytes()));
    ChannelRow value = row.value_or(ChannelRow());
    known = channels_.emplace(id, Channel{value, value, row.has_value(), row.has_value()}).first;
  }
  return known->second.exists ? &known->second.row : nullptr;
}

ChannelRow& LedgerTransaction::make_channel(const ChannelId& id) {
  auto known = channels_.find(id);
  CHECK(known != channels_.end() && !known->second.exists);
  known->second.exists = true;
  return known->second.row;
}

Result<OperationResult> LedgerTransaction::append(const OperationId& id, std::vector<uint8_t> operation, const Outcome& outcome,
                                                  std::vector<PublicKey> touched) {
  LogRecord record;
  record.head = {row_.records, time_, id, outcome.paid, outcome.refunded, outcome.channel_previous};
  record.operation = std::move(operation);
  for (const PublicKey& key : touched) {
    auto account = accounts_.find(key);
    CHECK(account != accounts_.end());
    AccountRow& row = account->second.row;
    record.touched.push_back({key, row.available, row.last_record});
    row.last_record = row_.records;
  }
  std::vector<uint8_t> bytes = encode_record(record);
  TRY(store_.put(k_table_log, log_key(row_.records), bytes));
  OperationResult result;
  result.operation = id;
  result.record = row_.records;
  result.record_hash = merkle_leaf(bytes);
  result.time = time_;
  result.paid = outcome.paid;
  result.refunded = outcome.refunded;
  TRY(tree_.append(result.record_hash));
  ++row_.records;
  return result;
}

Result<OperationResult> LedgerTransaction::result_of(uint64_t record) {
  TRY_ASSIGN(std::optional<Bytes> bytes, store_.get(k_table_log, log_key(record)));
  if (!bytes) return error(Errc::io, "the ledger's log is damaged: record " + std::to_string(record) + " is missing");
  auto decoded = decode_record(*bytes);
  if (!decoded) return error(Errc::io, "the ledger's log is damaged: " + decoded.error().reason);
  OperationResult result;
  result.operation = decoded->head.operation;
  result.record = record;
  result.record_hash = merkle_leaf(*bytes);
  result.time = decoded->head.time;
  result.paid = decoded->head.paid;
  result.refunded = decoded->head.refunded;
  return result;
}

// The sums are computed from the rows alone, beside the rules: a rule that forgets one side of a movement is caught here.
void LedgerTransaction::check_supply() {
  // Differences modulo 2^64: each sum is at most the supply, so the results are exact.
  uint64_t accounts = row_.accounts_sum.in_micro(), escrow = row_.escrow_sum.in_micro(), in_channels = escrow;
  for (const auto& [key, account] : accounts_) {
    accounts += account.row.available.in_micro() - account.before.available.in_micro();
    in_channels += account.row.in_channels.in_micro() - account.before.in_channels.in_micro();
  }
  for (const auto& [id, channel] : channels_) {
    if (channel.exists) escrow += channel.row.escrow().in_micro();
    if (channel.existed) escrow -= channel.before.escrow().in_micro();
  }
  CHECK(accounts <= k_supply_micro);
  CHECK(escrow == k_supply_micro - accounts);
  CHECK(in_channels == escrow);
  row_.accounts_sum = Amount::micro(accounts);
  row_.escrow_sum = Amount::micro(escrow);
}

Status LedgerTransaction::flush() {
  check_supply();
  for (const auto& [key, account] : accounts_) {
    auto bytes = encode_fields(account.row);
    if (!equal(bytes, encode_fields(account.before))) TRY(store_.put(k_table_accounts, key.bytes(), bytes));
  }
  for (const auto& [id, channel] : channels_) {
    if (!channel.exists) continue;
    auto bytes = encode_fields(channel.row);
    if (!channel.existed || !equal(bytes, encode_fields(channel.before))) TRY(store_.put(k_table_channels, id.bytes(), bytes));
  }
  if (wrote_records()) {
    TRY_ASSIGN(row_.root, tree_.flush());
  }
  return store_.put(k_table_ledger, as_bytes(k_ledger_row_key), encode_fields(row_));
}

}  // namespace millet
