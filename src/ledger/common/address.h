// An account as people write it: the 64 hexadecimal digits of its public key, then 8 of a check value, so that a slip of the keyboard
// sends no money into nowhere.
//
//   check value = the first 4 bytes of BLAKE2b-256("BTT1ADDR" public_key[32])
#pragma once

#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/result.h"

namespace millet {

std::string address_of(const PublicKey& key);
// Errors: bad_input; a key without its check value is refused too.
Result<PublicKey> parse_address(std::string_view text);

}  // namespace millet
