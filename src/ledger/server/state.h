// The ledger as a state machine over a store: batches of operations and queries in, results out. Every batch is one store transaction;
// results are given only when it is durable. It blocks on the store, so the driver runs it on the store's thread.
//
// Ledger time is max(time of the last commit, wall clock): it never goes back, and every time that is told was durable before.
#pragma once

#include <memory>

#include "ledger/server/check.h"
#include "ledger/server/get.h"
#include "ledger/server/rules.h"

namespace millet {

// One request's part of a batch.
struct BatchItem {
  uint64_t request = 0;  // given back
  struct CheckedOperation {
    Operation operation;
    LedgerCode checked;  // what check_operation() said
  };
  std::vector<CheckedOperation> operations;
  std::optional<IpAddress> from;                 // who sent it
  LedgerCode captcha = LedgerCode::captcha_off;  // what became of the CAPTCHA that a query of the item answers
  PublicKey key;                                 // who asks; zeros: nobody in particular
  std::vector<Query> queries;
  std::optional<GetRequest> get;
};
struct LedgerBatch {
  uint64_t ticket = 0;  // given back
  std::vector<BatchItem> items;
};

struct ItemOutcome {
  uint64_t request = 0;
  std::vector<OperationResult> operations;  // receipts not signed yet
  std::vector<QueryResult> queries;         // FUND statements not signed yet
  std::optional<GetAnswer> got;             // nothing: the store fails
};
struct BatchOutcome {
  uint64_t ticket = 0;
  Status status = ok;           // of the store; if it is an error, operations have the code `unavailable`
  LedgerTime time;              // durable
  SignedTreeHead tree;          // of the log that queries were answered from; size 0 if the store could not be read
  bool more_to_expire = false;  // another batch is to follow soon
  std::vector<ItemOutcome> items;
};

// What everybody of a batch gets when it could not be made durable.
BatchOutcome unavailable_outcome(const LedgerBatch& batch, const Status& why);

// The ledger's sums, as its rows say. available + in_channels is the supply.
struct LedgerBooks {
  Amount available;    // over all accounts
  Amount in_channels;  // escrow of all open channels
  uint64_t open_channels = 0;
};

// Reads everything and compares: sums, indexes, the end of the log against its tree. Errors: io (damaged), not_found (no ledger in it).
Result<LedgerBooks> check_books(Store& store);

// Errors: io (another format), not_found (no ledger in it).
Result<LedgerRow> read_ledger_row(StoreTransaction& transaction);

// Errors: denied (the clock is too far ahead of the last commit to be believed).
Status check_clock(const LedgerRules& rules, LedgerTime last, LedgerTime wall);

class LedgerState {
 public:
  // Batches in which nothing is executed make a new time durable only this often.
  static constexpr uint64_t k_time_lag_max_s = 5;
  // A running ledger commits at least every k_heartbeat_s seconds; a gap of more than k_outage_min_s was an outage.
  static constexpr uint64_t k_heartbeat_s = 30;
  static constexpr uint64_t k_outage_min_s = 90;

  // Opens the ledger in the store, or makes a new one for tests there (genesis.h). Everything is read once, to check that the books add up.
  // Requires: `store` outlives this. Errors: of the store; io (damaged); conflict (the state belongs to another key).
  static Result<std::unique_ptr<LedgerState>> open(Store& store, const SigningKey& key, const LedgerRules& rules, LedgerTime wall);
  LedgerState(const LedgerState&) = delete;
  LedgerState& operator=(const LedgerState&) = delete;

  const LedgerId& ledger() const { return context_.ledger; }
  const LedgerRules& rules() const { return rules_; }
  // What check_operation() needs, at the ledger's time.
  CheckContext check_context(LedgerTime time) const;
  // Of the last commit when the ledger was opened.
  LedgerTime opened_at() const { return opened_tree_.time; }
  const SignedTreeHead& opened_tree() const { return opened_tree_; }
  const LedgerBooks& opened_books() const { return opened_books_; }

  // Executes the operations in order and makes them durable, then answers the queries. Also an empty batch expires channels and makes the
  // time durable. Every batch ends with the check that accounts and escrow are the supply.
  BatchOutcome apply(const LedgerBatch& batch, LedgerTime wall);

  // For tests: a ledger that cheats does not hold its log against what it served.
  void forget_served() { tree_ = {}; }

  Result<LedgerBooks> check_books() { return millet::check_books(store_); }

 private:
  LedgerState(Store& store, const SigningKey& key, const LedgerRules& rules);
  Status load(const SigningKey& key);
  Status follow(StoreTransaction& store, const LedgerRow& row);
  Status write_if_due(const LedgerBatch& batch, LedgerTime wall, BatchOutcome& outcome);
  const SignedTreeHead& sign_tree(const LedgerRow& row);
  Status answer_queries(const LedgerBatch& batch, BatchOutcome& outcome);
  Result<std::vector<ItemOutcome>> write(const LedgerBatch& batch, LedgerTime time, bool after_outage, BatchOutcome& outcome);

  Store& store_;
  SigningKey key_;  // signs tree heads: one signature for each commit
  LedgerRules rules_;
  CheckContext context_;
  SignedTreeHead opened_tree_;
  LedgerBooks opened_books_;
  SignedTreeHead tree_;  // signed last: what is read or written next goes on from it
  bool outage_ = true;   // since the last commit: the start of the program, or a store that failed
};

}  // namespace millet
