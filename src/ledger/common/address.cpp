#include "ledger/common/address.h"

#include "crypto/hash.h"

namespace millet {
namespace {

constexpr size_t k_check_size = 4;
constexpr size_t k_text_size = 2 * (PublicKey::k_size + k_check_size);

std::array<uint8_t, k_check_size> check_value(const PublicKey& key) {
  std::vector<uint8_t> tagged;
  ByteWriter(tagged).text("BTT1ADDR").bytes(key.bytes());
  Hash32 hash = blake2b_256(tagged);
  return {hash[0], hash[1], hash[2], hash[3]};
}

}  // namespace

std::string address_of(const PublicKey& key) { return key.hex() + to_hex(check_value(key)); }

Result<PublicKey> parse_address(std::string_view text) {
  std::array<uint8_t, PublicKey::k_size + k_check_size> raw{};
  if (text.size() != k_text_size || !from_hex(text, raw)) {
    return error(Errc::bad_input,
                 "'" + printable(text, 80) + "' is not an address: it has 72 hexadecimal digits, as millet wallet address prints");
  }
  PublicKey key = PublicKey::from_bytes(Bytes(raw).first(PublicKey::k_size));
  if (!equal(check_value(key), Bytes(raw).subspan(PublicKey::k_size))) {
    return error(Errc::bad_input, "'" + printable(text, 80) + "' is not an address: its check value is wrong; a digit was mistyped");
  }
  return key;
}

}  // namespace millet
