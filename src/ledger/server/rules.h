// The rules of the ledger as numbers that its operator may choose, and as the functions that execute one operation (rules.cpp).
#pragma once

#include "base/endpoint.h"
#include "ledger/server/check.h"
#include "ledger/server/transaction.h"

namespace millet {

struct LedgerRules {
  // A clock that is further ahead of the last commit is not believed: what it lets vest and expire can't be taken back. 0: any clock is.
  uint64_t clock_leap_max_s = 0;
  Amount capacity_min = Amount::micro(1000);  // a channel below 0.001 BTT is not worth its row
  uint32_t channel_life_min_s = 600;
  uint32_t channel_life_max_s = 30 * 86400;
  uint32_t channels_max = 1000;  // open ones of one payer: bounds what one account can make the ledger keep
  FaucetWork faucet_work;
  Amount faucet_grant = Amount::micro(10'000'000);                // 10 BTT; zero: no faucet
  Amount faucet_daily_budget = Amount::micro(1'000'000'000'000);  // a million BTT; the pool lasts 270 years
  uint64_t faucet_spend_only_s = 30 * 86400;  // a grant only pays for service at first: farming grants to sell them is not worth the work
  CaptchaUse captcha = CaptchaUse::off;
  uint32_t faucet_per_network = 0;  // grants in a day for one /24 or /48; 0: no limit
  PublicKey faucet_pool;            // account that pays
};

// What the faucet may still give on the day of the row's time.
Amount faucet_left(const LedgerRules& rules, const LedgerRow& row);

// Executes one operation whose signatures and work have been checked, in the transaction. A refusal is a result and changes nothing; an
// operation that was executed before gives its first result. Errors: of the store; the transaction can only be dropped then.
// `from`: who sent it; nothing: nobody whose network counts.
Result<OperationResult> execute(LedgerTransaction& transaction, const LedgerRules& rules, const Operation& operation,
                                const std::optional<IpAddress>& from = std::nullopt);

// An operation that was refused for `code` because its work or ticket is too old: the first result, if it was executed in time. Errors: of
// the store.
Result<OperationResult> repeat_or_refuse(LedgerTransaction& transaction, const Operation& operation, LedgerCode code);

// Ends channels whose time is up, in the order of (effective expiry, id), at most `count_max`. The number ended. Errors: of the store.
Result<size_t> expire_channels(LedgerTransaction& transaction, size_t count_max);

// Every open channel lives longer by the time from the last commit to now. Errors: of the store.
Status extend_channels(LedgerTransaction& transaction);

// Forgets executed operations that can't be repeated any more, at most `count_max`. Errors: of the store.
Status forget_executed(LedgerTransaction& transaction, size_t count_max);
// What a batch forgets at most, so that a commit stays short; the rest follows in the next one.
inline constexpr size_t k_forget_per_batch_max = 1024;

}  // namespace millet
