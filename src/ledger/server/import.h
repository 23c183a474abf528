// A ledger made again from its log: every record is executed once more, by the rules that made it, into an empty store, and must come out
// byte for byte as it is in the log. No row is taken on trust, and the store may be of another kind than the one that the log comes from.
//
// What the log does not say comes from `rules`: how long a grant only pays for service. Signatures are not checked here (LogAudit).
#pragma once

#include "ledger/common/api.h"
#include "ledger/server/genesis.h"
#include "ledger/server/rules.h"

namespace millet {

class LogImport {
 public:
  // Requires: `store` outlives this, and nobody else uses it.
  LogImport(Store& store, const LedgerRules& rules);
  LogImport(const LogImport&) = delete;
  LogImport& operator=(const LogImport&) = delete;

  // The next record, from the genesis on. What was added becomes durable in steps, and is no ledger before finish(). After an error nothing
  // can be added. Errors: conflict (the store is not empty, or the record does not come out as it is), bad_input (no record), of the store.
  Status add(Bytes record);
  // Makes it a ledger with this tree head. Errors: conflict (the log has another size, root or time), of the store.
  Status finish(const SignedTreeHead& head);

  uint64_t records() const { return row_.records; }

 private:
  Status begin_ledger();
  Status begin_batch(LedgerTime before, LedgerTime time);
  Status end_batch();
  Status commit();
  Status execute_again(const LogRecord& record, const LoggedOperation& operation);
  Status run(const LogRecord& record, const Operation& operation);
  Status check_came_out(Bytes record);
  Error wrong(const std::string& what) const;

  Store& store_;
  LedgerRules rules_;
  std::optional<NewLedger> beginning_;       // until the records after it come
  std::vector<std::vector<uint8_t>> first_;  // its records
  LedgerId ledger_;
  LedgerRow row_;
  std::unique_ptr<StoreTransaction> transaction_;
  std::unique_ptr<LedgerTransaction> batch_;  // in the transaction: records of one time
  size_t in_transaction_ = 0;
};

}  // namespace millet
