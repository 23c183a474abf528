// The ledger's answers to an operation, a query or a request, as stable numbers (PROTOCOL.md "Codes"): nodes act on them, so a number is
// never given another meaning.
#pragma once

#include <cstdint>

namespace millet {

enum class LedgerCode : uint16_t {
  done = 0,
  // Of a whole request.
  malformed = 1,  // not a request of this protocol, or of a later version
  unknown_path = 2,
  too_large = 3,    // body, or number of operations or queries
  busy = 4,         // come back later; nothing was done
  unavailable = 5,  // the ledger can't store anything now; send the same again later
  // Of one operation or query.
  wrong_ledger = 16,  // signed for another ledger id
  bad_signature = 17,
  too_late = 18,           // valid_until has passed
  too_early = 19,          // valid_until is further ahead than allowed
  insufficient = 20,       // the account has less than that
  bad_amount = 21,         // zero, or below the least capacity
  bad_expiry = 22,         // a channel's life is too short or too long
  bad_account = 23,        // payer and payee are equal, or the receiver is no key
  too_many_channels = 24,  // open channels of one payer
  unknown_channel = 25,
  not_a_party = 26,  // the signer has no part in the channel
  above_capacity = 27,
  channel_closed = 28,  // closed before, at another amount
  channel_expired = 29,
  faucet_off = 32,
  faucet_stale = 33,    // the challenge is of an old epoch
  faucet_work = 34,     // not a solution
  faucet_granted = 35,  // this key had its grant
  faucet_empty = 36,    // the budget of the day is spent
  spend_only = 37,      // the rest of the account is a grant that only pays for service yet
  beyond_log = 38,      // the log has no such record, or not so many
  unknown_pool = 39,    // no pool with terms has that account, or it has other keys
  not_vested = 40,      // less of the pool can be drawn yet
  bad_policy = 41,      // its times or limits make no sense
  unknown_policy = 42,
  policy_ended = 43,         // or has not begun, or was replaced
  grant_too_large = 44,      // for one grant
  grant_period = 45,         // what the policy allows in this period is spent
  grant_recipient = 46,      // not one whom the policy names
  grant_number = 47,         // not the one after the last grant of the policy
  faucet_network = 48,       // the network of the sender had its grants of the day
  faucet_ticket = 49,        // a ticket is needed, or it is another key's, another network's, or too old
  captcha_off = 50,          // the ledger asks nobody about CAPTCHAs
  captcha_failed = 51,       // whoever judges them says no
  captcha_unavailable = 52,  // whoever judges them does not say
};

// snake_case name, stable like the number; "code_N" has no name of its own: "unknown_code".
const char* ledger_code_name(LedgerCode code);
// What a person should know: one line, with the way out where there is one.
const char* ledger_code_reason(LedgerCode code);

}  // namespace millet
