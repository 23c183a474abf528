#pragma once

#include <cstdint>

namespace millet::speed {

// Bugs that tests plant, to see that they are found. Never set by the product.
struct Faults {
  bool skip_persist = false;    // promises do not wait for their commit
  uint32_t exposure_extra = 0;  // bytes beyond the window
  bool pay_unverified = false;  // pays for blocks before their piece verified
};

}  // namespace millet::speed
