// The file that holds the node's Ed25519 seed, mode 0600, made on the first run: 32 bytes as hexadecimal text and a newline, and then
// whoever reads it owns the account; or, locked with a passphrase (crypto/sealed_key.h), one line of
//
//   millet-sealed-key 1 PASSES MEMORY_KIB SALT NONCE BOX PUBLIC_KEY
#pragma once

#include <optional>
#include <string>

#include "crypto/sealed_key.h"
#include "crypto/secret.h"

namespace millet {

inline constexpr const char* k_key_file_name = "wallet.key";  // in the state folder
inline constexpr std::string_view k_sealed_start = "millet-sealed-key 1 ";

// Reads the key, or makes one (the file and its folder entry are durable before it is used). Never overwrites.
// Errors: denied (others may read the file, not ours to read), bad_input (not a key), io, no_room; the text names the file and the way out.
Result<SigningKey> load_or_create_key(const std::string& path, SecureRandom& random);
// Makes the file of a key that exists elsewhere; what is there stays if it is this key. Errors: conflict (it is another); else as above.
Status store_key(const std::string& path, const SigningKey& key);
// A locked key is refused (denied).
// Errors: not_found where there is none yet; else as above.
Result<SigningKey> load_key(const std::string& path);

// What the file has: one of the two.
struct StoredKey {
  std::optional<SigningKey> open;
  std::optional<SealedKey> sealed;
  const PublicKey& public_key() const { return open ? open->public_key() : sealed->public_key; }
};
// Errors: as load_key.
Result<StoredKey> read_key_file(const std::string& path);
// A locked key's line, without its end.
std::string sealed_key_text(const SealedKey& sealed);
std::optional<SealedKey> parse_sealed_key(std::string_view line);
// Replaces the file whole: after a crash it holds the one or the other. Errors: denied, io, no_room.
Status write_key_file(const std::string& path, const SigningKey& key);
Status write_key_file(const std::string& path, const SealedKey& sealed);
// The first line of a file that only its owner may read, without its end. Errors: not_found, denied (others may read it), io, bad_input
// (empty, too long).
Result<Secret> read_passphrase_file(const std::string& path);

}  // namespace millet
