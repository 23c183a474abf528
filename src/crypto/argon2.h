// Argon2id (libsodium): a hash that needs memory, for the ledger's proof of work. Not for hot paths: 16 MiB take 15 ms on a server.
#pragma once

#include "crypto/hash.h"

namespace millet {

// One pass over `memory_kib` of memory. Requires: memory_kib >= 8. Errors: no_room (memory).
Result<Hash32> argon2id(Bytes password, const std::array<uint8_t, 16>& salt, uint32_t memory_kib);

}  // namespace millet
