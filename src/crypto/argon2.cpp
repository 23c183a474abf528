#include "crypto/argon2.h"

#include <sodium.h>

namespace millet {

Result<Hash32> argon2id(Bytes password, const std::array<uint8_t, 16>& salt, uint32_t memory_kib) {
  static_assert(crypto_pwhash_argon2id_SALTBYTES == 16);
  CHECK(memory_kib >= 8);
  Hash32 out{};
  int rc = crypto_pwhash_argon2id(out.data(), out.size(), reinterpret_cast<const char*>(password.data()), password.size(), salt.data(), 1,
                                  static_cast<size_t>(memory_kib) * 1024, crypto_pwhash_argon2id_ALG_ARGON2ID13);
  if (rc != 0) return error(Errc::no_room, "Argon2id needs " + std::to_string(memory_kib / 1024) + " MiB of memory and can't get them");
  return out;
}

}  // namespace millet
