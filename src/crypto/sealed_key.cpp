#include "crypto/sealed_key.h"

#include <sodium.h>

namespace millet {
namespace {

static_assert(crypto_pwhash_argon2id_SALTBYTES == 16 && crypto_secretbox_NONCEBYTES == 24 && crypto_secretbox_MACBYTES == 16);

using BoxKey = std::array<uint8_t, crypto_secretbox_KEYBYTES>;

Status derive(const SealedKey& sealed, Bytes passphrase, BoxKey& out) {
  if (passphrase.empty() || passphrase.size() > k_passphrase_size_max)
    return error(Errc::bad_input, "a passphrase has 1 to " + std::to_string(k_passphrase_size_max) + " bytes");
  int failed =
      crypto_pwhash_argon2id(out.data(), out.size(), reinterpret_cast<const char*>(passphrase.data()), passphrase.size(),
                             sealed.salt.data(), sealed.passes, size_t{sealed.memory_kib} * 1024, crypto_pwhash_argon2id_ALG_ARGON2ID13);
  if (failed != 0)
    return error(Errc::no_room, "a passphrase needs " + std::to_string(sealed.memory_kib / 1024) + " MiB of memory and can't get them");
  return ok;
}

}  // namespace

Result<SealedKey> seal_key(const SigningKey& key, Bytes passphrase, SecureRandom& random) {
  SealedKey sealed;
  random.fill(sealed.salt);
  random.fill(sealed.nonce);
  sealed.public_key = key.public_key();
  BoxKey box_key{};
  TRY(derive(sealed, passphrase, box_key));
  Bytes seed = key.seed();
  int failed = crypto_secretbox_easy(sealed.box.data(), seed.data(), seed.size(), sealed.nonce.data(), box_key.data());
  wipe(box_key);
  CHECK(failed == 0);
  return sealed;
}

Result<SigningKey> open_key(const SealedKey& sealed, Bytes passphrase) {
  if (sealed.passes < 1 || sealed.passes > SealedKey::k_passes_max || sealed.memory_kib < 8 ||
      sealed.memory_kib > SealedKey::k_memory_kib_max)
    return error(Errc::bad_input, "the key asks for more work than any key of this program");
  BoxKey box_key{};
  TRY(derive(sealed, passphrase, box_key));
  std::array<uint8_t, SigningKey::k_seed_size> seed{};
  int failed = crypto_secretbox_open_easy(seed.data(), sealed.box.data(), sealed.box.size(), sealed.nonce.data(), box_key.data());
  wipe(box_key);
  if (failed != 0) return error(Errc::denied, "the passphrase is not the one that the key was locked with");
  SigningKey key = SigningKey::from_seed(seed);
  wipe(seed);
  if (key.public_key() != sealed.public_key) return error(Errc::bad_input, "the sealed key belongs to another address");
  return key;
}

}  // namespace millet
