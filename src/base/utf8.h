// UTF-8 (RFC 3629): what names from outside must be, because JSON and terminals take nothing else.
#pragma once

#include <string_view>

namespace millet {

// True if every byte belongs to a shortest-form encoding of a code point up to U+10FFFF that is no surrogate.
bool is_utf8(std::string_view text);

}  // namespace millet
