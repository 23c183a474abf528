#include "base/utf8.h"

#include <cstddef>
#include <cstdint>

namespace millet {
namespace {

// Bytes of the sequence that this byte begins, 0 if it begins none.
size_t sequence_size(uint8_t first) {
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return 2;
  if (first >= 0xe0 && first <= 0xef) return 3;
  if (first >= 0xf0 && first <= 0xf4) return 4;
  return 0;
}

// The range of the second byte excludes longer forms than needed (E0, F0), surrogates (ED) and what is above U+10FFFF (F4).
bool second_fits(uint8_t first, uint8_t second) {
  switch (first) {
    case 0xe0: return second >= 0xa0 && second <= 0xbf;
    case 0xed: return second >= 0x80 && second <= 0x9f;
    case 0xf0: return second >= 0x90 && second <= 0xbf;
    case 0xf4: return second >= 0x80 && second <= 0x8f;
    default: return second >= 0x80 && second <= 0xbf;
  }
}

}  // namespace

bool is_utf8(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    uint8_t first = static_cast<uint8_t>(text[at]);
    size_t size = sequence_size(first);
    if (size == 0 || size > text.size() - at) return false;
    if (size > 1 && !second_fits(first, static_cast<uint8_t>(text[at + 1]))) return false;
    for (size_t i = 2; i < size; ++i) {
      if ((static_cast<uint8_t>(text[at + i]) & 0xc0) != 0x80) return false;
    }
    at += size;
  }
  return true;
}

}  // namespace millet
