#pragma once

#include "sim/scenarios.h"

namespace millet::simtest {

Outcome run_market(const Run& run);

}  // namespace millet::simtest
