// Leave to read what belongs to one account, for a while: what goes into the Authorization header of a GET (API.md), where no body can be
// signed. It is a secret for as long as it is valid: it reads, and moves nothing.
//
//   Authorization: Bearer HEX      HEX: key[32] valid_until u64 signature[64], as 208 hexadecimal digits
//   signed:                        "BTT1READ" ledger[32] key[32] valid_until u64
#pragma once

#include <string>
#include <string_view>

#include "codec/fields.h"
#include "crypto/sign.h"

namespace millet {

struct ReadStatement {
  static constexpr std::string_view k_tag = "BTT1READ";
  LedgerId ledger;
  PublicKey key;
  LedgerTime valid_until;
  static constexpr auto k_fields = field_list(field("ledger", &ReadStatement::ledger), field("key", &ReadStatement::key),
                                                   field("valid_until", &ReadStatement::valid_until));
};

struct ReadToken {
  PublicKey key;
  LedgerTime valid_until;
  Signature signature;  // by key, over ReadStatement
  static constexpr auto k_fields = field_list(field("key", &ReadToken::key), field("valid_until", &ReadToken::valid_until),
                                                   field("signature", &ReadToken::signature));
  bool operator==(const ReadToken&) const = default;
};
static_assert(k_fields_size<ReadToken> == 104);

ReadToken make_read_token(const SigningKey& key, const LedgerId& ledger, LedgerTime valid_until);
// "Bearer HEX", the value of the header.
std::string encode_read_token(const ReadToken& token);
// Errors: bad_input.
Result<ReadToken> parse_read_token(std::string_view header);

}  // namespace millet
