// What moves money out of pools that have terms: draws by their keys, grants by policies that their keys
// signed, and what the ledger itself gives from them. Nothing that has not
// vested ever leaves one, and nothing goes into one: its account is nobody's key.
#pragma once

#include "ledger/server/transaction.h"

namespace millet {

// Notes that `amount` leaves the pool; the caller moves it. False: so much has not vested; nothing is noted then. A pool without terms
// (its account is a key) has no such limit. Errors: of the store.
Result<bool> draw_vested(LedgerTransaction& transaction, const PublicKey& pool, Amount amount);

// Whether draw_vested() would be true. Errors: of the store.
Result<bool> has_vested(LedgerTransaction& transaction, const PublicKey& pool, Amount amount);

// As execute() of rules.h.
Result<OperationResult> execute_draw(LedgerTransaction& transaction, const DrawOperation& op);
Result<OperationResult> execute_policy(LedgerTransaction& transaction, const PolicyOperation& op);
Result<OperationResult> execute_grant(LedgerTransaction& transaction, const GrantOperation& op);

}  // namespace millet
