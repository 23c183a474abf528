// One batch of the ledger being executed: rows are read from the store once, changed in memory, and written at the end with a check that
// no money was made or lost. Dropping it changes nothing.
#pragma once

#include <map>

#include "ledger/server/log_tree.h"
#include "ledger/server/tables.h"
#include "store/store.h"

namespace millet {

class LedgerTransaction {
 public:
  // Requires: time >= row.time; `store` outlives this.
  LedgerTransaction(StoreTransaction& store, const LedgerId& ledger, const LedgerRow& row, LedgerTime time);
  LedgerTransaction(const LedgerTransaction&) = delete;
  LedgerTransaction& operator=(const LedgerTransaction&) = delete;

  const LedgerId& ledger() const { return ledger_; }
  LedgerTime time() const { return time_; }
  // The row before the batch holds the time of the last commit.
  const LedgerRow& before() const { return before_; }
  LedgerRow& row() { return row_; }
  bool wrote_records() const { return row_.records != before_.records; }

  // The account's row, zeros if it does not exist; valid as long as this. Errors: of the store.
  Result<AccountRow*> account(const PublicKey& key);
  // The channel's row, null if there is none. Errors: of the store.
  Result<ChannelRow*> channel(const ChannelId& id);
  // Requires: channel(id) gave null.
  ChannelRow& make_channel(const ChannelId& id);

  // Appends a record to the log and notes it in the rows of the accounts that it touched; gives what the client is told.
  // Requires: the accounts have been asked for with account(). Errors: of the store.
  struct Outcome {
    Amount paid;
    Amount refunded;
    uint64_t channel_previous = k_no_record;
  };
  Result<OperationResult> append(const OperationId& id, std::vector<uint8_t> operation, const Outcome& outcome,
                                 std::vector<PublicKey> touched);
  // What the client was told when the record was made. Errors: of the store; io if the record can't be read.
  Result<OperationResult> result_of(uint64_t record);

  // For indexes, which have no rows in memory.
  StoreTransaction& store() { return store_; }

  // Writes the rows. CHECKs that accounts and escrow still are the supply. Errors: of the store.
  Status flush();

 private:
  struct Account {
    AccountRow row;
    AccountRow before;
  };
  struct Channel {
    ChannelRow row;
    ChannelRow before;
    bool existed;
    bool exists;
  };
  void check_supply();

  StoreTransaction& store_;
  LedgerId ledger_;
  LedgerRow before_;
  LedgerRow row_;
  LedgerTime time_;
  LogTreeWriter tree_;
  std::map<PublicKey, Account> accounts_;
  std::map<ChannelId, Channel> channels_;
};

// Reads one row. Errors: of the store; io if it can't be decoded.
template <typename Row>
Result<std::optional<Row>> read_row(StoreTransaction& store, const char* table, Bytes key) {
  TRY_ASSIGN(std::optional<Bytes> bytes, store.get(table, key));
  if (!bytes) return std::optional<Row>();
  auto row = decode_fields<Row>(*bytes);
  if (!row) return error(Errc::io, std::string("the ledger's table ") + table + " is damaged: " + row.error().reason);
  return std::optional<Row>(std::move(*row));
}

}  // namespace millet
