#pragma once

#include "sim/scenarios.h"

namespace millet::simtest {

Outcome run_free(uint64_t seed, bool print_log);

}  // namespace millet::simtest
