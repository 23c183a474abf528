// The file that holds the node's Ed25519 seed: 32 bytes as hexadecimal text and a newline, mode 0600, made on the first run. Whoever reads
// it owns the account.
#pragma once

#include <string>

#include "crypto/sign.h"

namespace millet {

inline constexpr const char* k_key_file_name = "wallet.key";  // in the state folder

// Reads the key, or makes one (the file and its folder entry are durable before it is used). Never overwrites.
// Errors: denied (others may read the file, not ours to read), bad_input (not a key), io, no_room; the text names the file and the way out.
Result<SigningKey> load_or_create_key(const std::string& path, SecureRandom& random);
// Makes the file of a key that exists elsewhere; what is there stays if it is this key. Errors: conflict (it is another); else as above.
Status store_key(const std::string& path, const SigningKey& key);
// Errors: not_found where there is none yet; else as above.
Result<SigningKey> load_key(const std::string& path);

}  // namespace millet
