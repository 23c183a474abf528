#include "crypto/sign.h"

#include <sodium.h>

namespace millet {

Status crypto_init() {
  if (sodium_init() < 0) return error(Errc::io, "libsodium can't start: no source of randomness");
  return ok;
}

SigningKey SigningKey::generate(SecureRandom& random) {
  std::array<uint8_t, k_seed_size> seed{};
  random.fill(seed);
  SigningKey key = from_seed(seed);
  wipe(seed);
  return key;
}

SigningKey SigningKey::from_seed(const std::array<uint8_t, k_seed_size>& seed) {
  SigningKey key;
  crypto_sign_seed_keypair(key.public_key_.raw.data(), key.secret_.data(), seed.data());
  return key;
}

SigningKey::SigningKey(SigningKey&& other) noexcept : secret_(other.secret_), public_key_(other.public_key_) { wipe(other.secret_); }

SigningKey& SigningKey::operator=(SigningKey&& other) noexcept {
  if (this == &other) return *this;
  secret_ = other.secret_;
  public_key_ = other.public_key_;
  wipe(other.secret_);
  return *this;
}

SigningKey::~SigningKey() { wipe(secret_); }

Signature SigningKey::sign(Bytes message) const {
  Signature signature;
  crypto_sign_detached(signature.raw.data(), nullptr, message.data(), message.size(), secret_.data());
  return signature;
}

bool verify(const PublicKey& key, Bytes message, const Signature& signature) {
  return crypto_sign_verify_detached(signature.raw.data(), message.data(), message.size(), key.raw.data()) == 0;
}

bool is_public_key(const PublicKey& key) { return crypto_core_ed25519_is_valid_point(key.raw.data()) == 1; }

void wipe(MutBytes secret) { sodium_memzero(secret.data(), secret.size()); }

bool equal_secret(Bytes a, Bytes b) { return a.size() == b.size() && (a.empty() || sodium_memcmp(a.data(), b.data(), a.size()) == 0); }

}  // namespace millet
