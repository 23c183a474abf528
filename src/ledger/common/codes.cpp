#include "ledger/common/codes.h"

#include <iterator>

namespace millet {
namespace {

struct CodeText {
  LedgerCode code;
  const char* name;
  const char* reason;
};

constexpr CodeText k_codes[] = {
    {LedgerCode::done, "done", "done"},
    {LedgerCode::malformed, "malformed", "the ledger can't read the request: is this program older or newer than the ledger?"},
    {LedgerCode::unknown_path, "unknown_path", "the ledger has no such path"},
    {LedgerCode::too_large, "too_large", "the request is too large"},
    {LedgerCode::busy, "busy", "the ledger is busy; it will be asked again"},
    {LedgerCode::unavailable, "unavailable", "the ledger can't store anything now (its disk may be full); it will be asked again"},
    {LedgerCode::wrong_ledger, "wrong_ledger", "signed for another ledger"},
    {LedgerCode::bad_signature, "bad_signature", "the signature is not valid"},
    {LedgerCode::too_late, "too_late", "the time in which this was valid has passed"},
    {LedgerCode::too_early, "too_early", "valid for longer than the ledger allows"},
    {LedgerCode::insufficient, "insufficient", "the account has less than that"},
    {LedgerCode::bad_amount, "bad_amount", "the amount is zero or below the least that the ledger takes"},
    {LedgerCode::bad_expiry, "bad_expiry", "the channel would live for too short or too long"},
    {LedgerCode::bad_account, "bad_account", "the receiver is not an account, or is the sender"},
    {LedgerCode::too_many_channels, "too_many_channels", "the account has too many open channels"},
    {LedgerCode::unknown_channel, "unknown_channel", "the ledger has no such channel"},
    {LedgerCode::not_a_party, "not_a_party", "only payer and payee may ask about a channel"},
    {LedgerCode::above_capacity, "above_capacity", "more than the channel holds"},
    {LedgerCode::channel_closed, "channel_closed", "the channel is closed"},
    {LedgerCode::channel_expired, "channel_expired", "the channel has expired"},
    {LedgerCode::faucet_off, "faucet_off", "this ledger gives no initial balance"},
    {LedgerCode::faucet_stale, "faucet_stale", "the proof of work is too old; ask for a new challenge"},
    {LedgerCode::faucet_work, "faucet_work", "the proof of work is not valid"},
    {LedgerCode::faucet_granted, "faucet_granted", "this account has had its initial balance"},
    {LedgerCode::faucet_empty, "faucet_empty", "today's budget for initial balances is spent; try again tomorrow"},
    {LedgerCode::spend_only, "spend_only", "what is left of an initial balance only pays for service at first; `balance` says until when"},
    {LedgerCode::unknown_pool, "unknown_pool", "the ledger has no such pool, or it has other keys"},
    {LedgerCode::not_vested, "not_vested", "so much of the pool has not vested yet; `millet pool list` says how much has"},
    {LedgerCode::bad_policy, "bad_policy",
     "the policy's times or limits make no sense: begin < until, period above zero, per_grant <= per_period"},
    {LedgerCode::unknown_policy, "unknown_policy", "the ledger has no such policy, or it is another pool's"},
    {LedgerCode::policy_ended, "policy_ended", "the policy has ended, was replaced, or has not begun"},
    {LedgerCode::grant_too_large, "grant_too_large", "more than the policy allows for one grant"},
    {LedgerCode::grant_period, "grant_period", "what the policy allows in this period is spent; try again in the next"},
    {LedgerCode::grant_recipient, "grant_recipient", "the policy does not name this account"},
    {LedgerCode::grant_number, "grant_number", "a grant with this number was given, or one before it was not"},
    {LedgerCode::faucet_network, "faucet_network", "your network has had its initial balances for today; try again tomorrow"},
    {LedgerCode::faucet_ticket, "faucet_ticket",
     "a solved CAPTCHA is needed: its ticket is missing, too old, or was given to another key or network"},
    {LedgerCode::captcha_off, "captcha_off", "this ledger takes no CAPTCHA; do the proof of work"},
    {LedgerCode::captcha_failed, "captcha_failed", "the CAPTCHA was not solved, or was used before; solve another one"},
    {LedgerCode::captcha_unavailable, "captcha_unavailable", "the CAPTCHA can't be judged now; try again later"},
    {LedgerCode::beyond_log, "beyond_log", "the ledger's log has no such record, or not so many"},
};

const CodeText* find(LedgerCode code) {
  for (const CodeText& text : k_codes) {
    if (text.code == code) return &text;
  }
  return nullptr;
}

}  // namespace

const char* ledger_code_name(LedgerCode code) {
  const CodeText* text = find(code);
  return text != nullptr ? text->name : "unknown_code";
}

const char* ledger_code_reason(LedgerCode code) {
  const CodeText* text = find(code);
  return text != nullptr ? text->reason : "the ledger answers with a code that this program does not know: it may be too old";
}

}  // namespace millet
