#include "ledger/server/check.h"

namespace millet {
namespace {

// Beyond k_valid_ahead_max_s, for queries and read tokens: the context's time may lag behind the one that the client has seen, and clocks
// differ.

LedgerCode code_of(bool good) { return good ? LedgerCode::done : LedgerCode::bad_signature; }

LedgerCode check(const CheckContext&, const OpenOperation& op) {
  return code_of(verify(op.statement.payer, preimage(op.statement), op.signature));
}

// CLOSE and CLAIM: the payee's wish and the payer's payment.
template <typename Op>
LedgerCode check_redemption(const Op& op) {
  if (!verify(op.payee, preimage(op.statement), op.signature)) return LedgerCode::bad_signature;
  if (op.statement.cum.is_zero()) return LedgerCode::done;
  PayStatement pay{op.statement.ledger, op.statement.channel, op.statement.seq, op.statement.cum};
  return code_of(verify(op.payer, preimage(pay), op.payer_signature));
}
LedgerCode check(const CheckContext&, const CloseOperation& op) { return check_redemption(op); }
LedgerCode check(const CheckContext&, const ClaimOperation& op) { return check_redemption(op); }

LedgerCode check(const CheckContext&, const TransferOperation& op) {
  return code_of(verify(op.statement.from, preimage(op.statement), op.signature));
}

LedgerCode check(const CheckContext&, const DrawOperation& op) {
  if (!is_public_key(op.statement.to)) return LedgerCode::bad_account;
  return code_of(pool_signatures_hold(op.keys, preimage(op.statement), op.signatures));
}

LedgerCode check(const CheckContext&, const PolicyOperation& op) {
  if (!is_public_key(op.statement.granter)) return LedgerCode::bad_account;
  for (const PublicKey& recipient : op.statement.recipients) {
    if (!recipient.is_zero() && !is_public_key(recipient)) return LedgerCode::bad_account;
  }
  return code_of(pool_signatures_hold(op.keys, preimage(op.statement), op.signatures));
}

LedgerCode check(const CheckContext&, const GrantOperation& op) {
  if (!is_public_key(op.statement.to)) return LedgerCode::bad_account;
  return code_of(verify(op.granter, preimage(op.statement), op.signature));
}

// FAUCET and TICKET_FAUCET: the proof of work.
template <typename Statement>
LedgerCode check_work(const CheckContext& context, const Statement& s) {
  Hash32 challenge = faucet_challenge(context, s.key, s.epoch);
  if (!hashcash_holds(context.faucet_work, challenge, {s.memory_nonce, s.hashcash_nonce})) return LedgerCode::faucet_work;
  auto holds = memory_work_holds(context.faucet_work, challenge, s.memory_nonce);
  if (!holds) return LedgerCode::busy;
  return *holds ? LedgerCode::done : LedgerCode::faucet_work;
}

bool is_stale(const CheckContext& context, uint64_t epoch) {
  uint64_t now = context.time.in_seconds() / k_faucet_epoch_s;
  return epoch > now || epoch + 1 < now;
}

LedgerCode check(const CheckContext& context, const FaucetOperation& op) {
  const FaucetStatement& s = op.statement;
  if (!verify(s.key, preimage(s), op.signature)) return LedgerCode::bad_signature;
  if (is_stale(context, s.epoch)) return LedgerCode::faucet_stale;
  if (context.captcha == CaptchaUse::with_work) return LedgerCode::faucet_ticket;
  return check_work(context, s);
}

LedgerCode check(const CheckContext& context, const TicketFaucetOperation& op) {
  const TicketFaucetStatement& s = op.statement;
  if (context.captcha == CaptchaUse::off) return LedgerCode::captcha_off;
  if (!verify(s.key, preimage(s), op.signature)) return LedgerCode::bad_signature;
  bool made_here = equal_secret(make_captcha_ticket(context, s.key, s.ticket.valid_until).mac, s.ticket.mac);
  if (!made_here || context.time >= s.ticket.valid_until) return LedgerCode::faucet_ticket;
  if (context.captcha == CaptchaUse::instead_of_work) return LedgerCode::done;
  return is_stale(context, s.epoch) ? LedgerCode::faucet_stale : check_work(context, s);
}

}  // namespace

Hash32 faucet_secret(const SigningKey& ledger_key) { return blake2b_256_keyed(ledger_key.seed(), as_bytes("BTT1CHAL secret")); }

Hash32 faucet_challenge(const CheckContext& context, const PublicKey& key, uint64_t epoch) {
  std::vector<uint8_t> message;
  ByteWriter(message).text("BTT1CHAL").bytes(context.ledger.bytes()).bytes(key.bytes()).u64(epoch);
  append_fields(message, context.faucet_work);
  return blake2b_256_keyed(context.faucet_secret, message);
}

CaptchaTicket make_captcha_ticket(const CheckContext& context, const PublicKey& key, LedgerTime valid_until) {
  std::vector<uint8_t> message;
  ByteWriter writer(message);
  writer.text("BTT1TICK").bytes(context.ledger.bytes()).bytes(key.bytes()).u64(valid_until.in_seconds());
  if (context.from) writer.bytes(context.from->network().raw());
  return {valid_until, blake2b_256_keyed(context.faucet_secret, message)};
}

const PublicKey* new_account_of(const Operation& operation) {
  if (const auto* open = std::get_if<OpenOperation>(&operation)) return &open->statement.payee;
  if (const auto* transfer = std::get_if<TransferOperation>(&operation)) return &transfer->statement.to;
  return nullptr;
}

LedgerCode check_operation(const CheckContext& context, const Operation& operation, bool known_account) {
  if (operation_ledger(operation) != context.ledger) return LedgerCode::wrong_ledger;
  const PublicKey* account = known_account ? nullptr : new_account_of(operation);
  if (account != nullptr && !is_public_key(*account)) return LedgerCode::bad_account;
  return std::visit([&](const auto& op) { return check(context, op); }, operation);
}

LedgerCode check_query_request(const CheckContext& context, const QueryRequest& request) {
  if (request.key.is_zero()) return LedgerCode::done;
  if (context.time >= request.valid_until) return LedgerCode::too_late;
  if (request.valid_until > context.time.plus_seconds(k_valid_ahead_max_s + k_clock_tolerance_s)) return LedgerCode::too_early;
  return code_of(verify(request.key, query_preimage(request, context.ledger), request.signature));
}

}  // namespace millet
