// Ed25519 (libsodium): keys, detached signatures over domain-tagged bytes. libsodium refuses malleable signatures (S + L) and small-order
// keys.
#pragma once

#include "base/bytes.h"
#include "base/ids.h"
#include "base/random.h"

namespace millet {

// Call once at start, before anything else of this folder. Errors: io if the library can't start.
Status crypto_init();

// A key pair from a 32-byte seed. Wiped when it goes out of scope; never copied.
class SigningKey {
 public:
  static constexpr size_t k_seed_size = 32;
  static SigningKey generate(SecureRandom& random);
  static SigningKey from_seed(const std::array<uint8_t, k_seed_size>& seed);
  SigningKey(SigningKey&& other) noexcept;
  SigningKey& operator=(SigningKey&& other) noexcept;
  SigningKey(const SigningKey&) = delete;
  ~SigningKey();

  const PublicKey& public_key() const { return public_key_; }
  Signature sign(Bytes message) const;
  // The seed, for the key file. The caller wipes what it copies (wipe below).
  Bytes seed() const { return Bytes(secret_).first(k_seed_size); }

 private:
  SigningKey() = default;
  std::array<uint8_t, 64> secret_{};
  PublicKey public_key_;
};

bool verify(const PublicKey& key, Bytes message, const Signature& signature);
// False for what no signing key has: not a point, of small order, outside the main group. Takes as long as a signature.
bool is_public_key(const PublicKey& key);

// Overwrites memory that held a secret; not optimised away.
void wipe(MutBytes secret);
// In constant time. False if the lengths differ.
bool equal_secret(Bytes a, Bytes b);

}  // namespace millet
