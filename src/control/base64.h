// Base64 (RFC 4648 section 4, padded): how a .torrent file travels in a JSON request.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"

namespace millet {

std::string to_base64(Bytes bytes);
// Errors: bad_input for anything but whole groups of the alphabet with padding at the end.
Result<std::vector<uint8_t>> from_base64(std::string_view text);

}  // namespace millet
