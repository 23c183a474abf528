// How many initial balances the addresses of one network (/24 of IPv4, /48 of IPv6) had today: who has many keys seldom has many networks.
// Counted in the store, so that a restart forgets nothing and several front ends count together. A day's rows go
// with the grants of the next; there are never more of them than grants in the budgets of two days. They are not in the log: no record says
// who asked from where.
#pragma once

#include "base/endpoint.h"
#include "ledger/server/transaction.h"

namespace millet {

// Counts one grant for the network of `from`, and forgets some rows of earlier days. False: it had `limit` on the day of the transaction's
// time; nothing is counted then. Requires: limit > 0. Errors: of the store.
Result<bool> count_grant(LedgerTransaction& transaction, const IpAddress& from, uint32_t limit);

}  // namespace millet
