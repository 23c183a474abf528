// A signing key locked with a passphrase: Argon2id makes a key of the passphrase, XSalsa20-Poly1305 (libsodium's secretbox) seals the seed.
// The public key stands beside it in the clear: who only receives needs no passphrase.
#pragma once

#include "crypto/sign.h"

namespace millet {

inline constexpr size_t k_passphrase_size_max = 1024;

struct SealedKey {
  // 8 MiB, what a router of 64 MB has to spare at start, and five passes: a fifth of a second on a server. More of either is not taken from
  // a file: it would keep a small machine busy, or kill it.
  static constexpr uint32_t k_passes = 5;
  static constexpr uint32_t k_memory_kib = 8 * 1024;
  static constexpr uint32_t k_passes_max = 16;
  static constexpr uint32_t k_memory_kib_max = 64 * 1024;

  uint32_t passes = k_passes;
  uint32_t memory_kib = k_memory_kib;
  std::array<uint8_t, 16> salt{};
  std::array<uint8_t, 24> nonce{};
  std::array<uint8_t, SigningKey::k_seed_size + 16> box{};
  PublicKey public_key;
};

// Errors: bad_input (an empty or longer passphrase), no_room (memory).
Result<SealedKey> seal_key(const SigningKey& key, Bytes passphrase, SecureRandom& random);
// Errors: denied (another passphrase), bad_input (costs beyond the limits, or a box of another key), no_room (memory).
Result<SigningKey> open_key(const SealedKey& sealed, Bytes passphrase);

}  // namespace millet
