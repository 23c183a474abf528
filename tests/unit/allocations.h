// What a test's program takes from the allocator: whoever calls this has operator new replaced by one that counts.
#pragma once

#include <cstddef>

namespace millet::testing {

size_t allocated_bytes();   // now, as the allocator rounds them
size_t allocation_count();  // since the start

}  // namespace millet::testing
