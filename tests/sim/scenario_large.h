#pragma once

#include "sim/scenarios.h"

namespace millet::simtest {

Outcome run_large(const Run& run);

}  // namespace millet::simtest
