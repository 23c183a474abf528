#pragma once

#include "sim/scenarios.h"

namespace millet::simtest {

Outcome run_free(const Run& run);

}  // namespace millet::simtest
