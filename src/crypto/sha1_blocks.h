// SHA-1 compression by processor instructions. Not for use outside crypto/hash.cpp.
#pragma once

#include <cstddef>
#include <cstdint>

namespace millet {

// Runs the compression function over `count` blocks of 64 bytes. False, with nothing done, if this build has no such code for the
// processor. Requires: the processor has the instructions (CpuFeatures::sha1).
bool sha1_blocks_by_instructions(uint32_t state[5], const uint8_t* data, size_t count);

// Two messages in step: each round waits for the one before it, so a processor has time for a second message meanwhile.
bool sha1_blocks_by_instructions(uint32_t first[5], const uint8_t* first_data, uint32_t second[5], const uint8_t* second_data,
                                 size_t count);

}  // namespace millet
