// Answers to queries from the ledger's durable state.
#pragma once

#include "ledger/server/check.h"
#include "ledger/server/rules.h"

namespace millet {

struct QueryContext {
  const LedgerRules& rules;
  const LedgerRow& row;
  CheckContext check;                            // at the row's time
  LedgerCode captcha = LedgerCode::captcha_off;  // as in BatchItem
};

// The accounts of the issuance table, in its order: as the genesis made them, and what is left. Errors: of the store.
Result<std::vector<PoolState>> read_pools(StoreTransaction& store, LedgerTime time);

// FUND statements are not signed yet. Errors: of the store.
Result<QueryResult> answer_query(StoreTransaction& store, const QueryContext& context, const PublicKey& key, const Query& query);

}  // namespace millet
