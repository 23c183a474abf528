#include "ledger/common/tls_key.h"

namespace millet {

Result<std::unique_ptr<TlsContext>> make_tls_server(const SigningKey& ledger_key, const LedgerId& ledger, LedgerTime not_after,
                                                    SecureRandom& random) {
  TRY_ASSIGN(TlsKey key, TlsKey::generate(random));
  SignedTlsKey made;
  made.statement = {ledger, key.public_key_hash(), not_after};
  made.signature = ledger_key.sign(preimage(made.statement));
  return TlsContext::server(std::move(key), encode_fields(made), random);
}

Result<LedgerTime> check_tls_peer(const TlsPeer& peer, const LedgerPin& pin) {
  if (peer.statement.empty()) return error(Errc::denied, "its certificate has no statement of a ledger: what answers there is no ledger");
  auto decoded = decode_fields<SignedTlsKey>(peer.statement);
  if (!decoded) return error(Errc::denied, "the ledger's statement in its certificate can't be read: " + decoded.error().reason);
  const TlsKeyStatement& statement = decoded->statement;
  if (statement.public_key_hash != peer.public_key_hash) {
    return error(Errc::denied, "its certificate has a statement of the ledger for another key: somebody stands between, or copied it");
  }
  if (!verify(pin.key, preimage(statement), decoded->signature)) {
    return error(Errc::denied, "its certificate is not authorised by the key " + pin.key.hex() + " that ledger.key pins");
  }
  if (pin.ledger && statement.ledger != *pin.ledger) {
    return error(Errc::denied, "its certificate is of the ledger " + statement.ledger.hex() + ", not of " + pin.ledger->hex());
  }
  if (pin.time >= statement.not_after) {
    return error(Errc::denied, "its certificate counted until the ledger time " + std::to_string(statement.not_after.in_seconds()) +
                                   ", and it is " + std::to_string(pin.time.in_seconds()));
  }
  return statement.not_after;
}

}  // namespace millet
