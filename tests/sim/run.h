// What one run of a scenario is made from.
#pragma once

#include <cstdint>

#include "speed/faults.h"

namespace millet::simtest {

struct Run {
  uint64_t seed = 1;
  bool print_log = false;
  speed::Faults planted;  // bugs of every node
};

}  // namespace millet::simtest
