// What can be checked about a request without the ledger's state: signatures and proof of work. Pure functions for a worker thread; the
// rules that need state are in rules.h.
#pragma once

#include "base/endpoint.h"
#include "crypto/sign.h"
#include "ledger/common/api.h"

namespace millet {

// A solution counts in the epoch of its challenge and the one after.
inline constexpr uint64_t k_faucet_epoch_s = 600;

// What a solved CAPTCHA is worth: nothing; an initial balance; one only together with the proof of work.
enum class CaptchaUse : uint8_t { off, instead_of_work, with_work };

struct CheckContext {
  LedgerId ledger;
  FaucetWork faucet_work;
  Hash32 faucet_secret{};  // what makes challenges unforeseeable
  LedgerTime time;         // of the ledger, may lag a little
  CaptchaUse captcha = CaptchaUse::off;
  std::optional<IpAddress> from;  // who sent it
};

// The secret of challenges, derived from the ledger's key: the same after a restart.
Hash32 faucet_secret(const SigningKey& ledger_key);
Hash32 faucet_challenge(const CheckContext& context, const PublicKey& key, uint64_t epoch);

// A ticket for a solved CAPTCHA: its MAC is by the same secret. Longer than a challenge: who needs both has the time for the work.
inline constexpr uint64_t k_captcha_ticket_s = 3 * k_faucet_epoch_s;
CaptchaTicket make_captcha_ticket(const CheckContext& context, const PublicKey& key, LedgerTime valid_until);

// done, or why the operation can't be executed. Takes about 0.1 ms, for FAUCET as long as one Argon2id evaluation. `known_account`: an
// earlier check has found new_account_of() to be a public key.
LedgerCode check_operation(const CheckContext& context, const Operation& operation, bool known_account = false);
// Whom an OPEN or TRANSFER names who has not signed: nobody may pay to what is no public key. Null for other operations.
const PublicKey* new_account_of(const Operation& operation);
// done, or why the request can't be answered.
LedgerCode check_query_request(const CheckContext& context, const QueryRequest& request);

}  // namespace millet
