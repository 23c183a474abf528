#include "crypto/sha1_blocks.h"

namespace millet {

bool sha1_blocks_by_instructions(uint32_t*, const uint8_t*, size_t) { return false; }

}  // namespace millet
