// What the page cache holds of a file (cachestat, Linux 6.5).
#pragma once

#include <cstdint>
#include <optional>

namespace millet::hal {

// Whether it holds the whole range. Nothing: the kernel can't tell, or does not tell us.
std::optional<bool> is_in_page_cache(int fd, uint64_t offset, uint64_t length);

}  // namespace millet::hal
