// Who may speak TLS for the ledger: its Ed25519 key, which clients pin, signs a statement about the P-256 key of the certificate
// (PROTOCOL.md, "TLS"). No certificate authority, and no clock: the end of the statement is in ledger time, which the ledger's signed
// replies tell.
//
//   BTT1TLSK  ledger[32] public_key_hash[32] not_after u64      72 bytes, then signature[64]: the extension of the certificate
#pragma once

#include <optional>

#include "codec/fields.h"
#include "crypto/sign.h"
#include "crypto/tls.h"

namespace millet {

struct TlsKeyStatement {
  static constexpr std::string_view k_tag = "BTT1TLSK";
  LedgerId ledger;
  Hash32 public_key_hash{};  // SHA-256 of the certificate's SubjectPublicKeyInfo
  LedgerTime not_after;      // it counts before this
  static constexpr auto k_fields =
      field_list(field("ledger", &TlsKeyStatement::ledger), field("public_key_hash", &TlsKeyStatement::public_key_hash),
                      field("not_after", &TlsKeyStatement::not_after));
  bool operator==(const TlsKeyStatement&) const = default;
};

struct SignedTlsKey {
  TlsKeyStatement statement;
  Signature signature;
  static constexpr auto k_fields =
      field_list(field("statement", &SignedTlsKey::statement), field("signature", &SignedTlsKey::signature));
  bool operator==(const SignedTlsKey&) const = default;
};
static_assert(k_fields_size<SignedTlsKey> == 136);

// What a client knows of its ledger.
struct LedgerPin {
  PublicKey key;
  std::optional<LedgerId> ledger;
  LedgerTime time;  // of the last signed reply; zero if there was none: then the first reply must be checked against not_after
  bool operator==(const LedgerPin&) const = default;
};

// A server's key and certificate that the ledger's key authorises until `not_after`. Errors: io.
Result<std::unique_ptr<TlsContext>> make_tls_server(const SigningKey& ledger_key, const LedgerId& ledger, LedgerTime not_after,
                                                    SecureRandom& random);

// Checks who answered; returns not_after. Errors: denied, with what is wrong.
Result<LedgerTime> check_tls_peer(const TlsPeer& peer, const LedgerPin& pin);

}  // namespace millet
