#include "ledger/common/read_token.h"

namespace millet {
namespace {

constexpr std::string_view k_scheme = "Bearer ";  // RFC 6750: every HTTP client can send it
constexpr size_t k_token_size = k_fields_size<ReadToken>;

}  // namespace

ReadToken make_read_token(const SigningKey& key, const LedgerId& ledger, LedgerTime valid_until) {
  return {key.public_key(), valid_until, key.sign(preimage(ReadStatement{ledger, key.public_key(), valid_until}))};
}

std::string encode_read_token(const ReadToken& token) { return std::string(k_scheme) + to_hex(encode_fields(token)); }

Result<ReadToken> parse_read_token(std::string_view header) {
  if (!header.starts_with(k_scheme)) return error(Errc::bad_input, "an Authorization that is not Bearer");
  std::array<uint8_t, k_token_size> bytes{};
  TRY(from_hex(header.substr(k_scheme.size()), bytes));
  return decode_fields<ReadToken>(bytes);
}

}  // namespace millet
