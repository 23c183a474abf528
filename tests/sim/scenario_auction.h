#pragma once

#include "sim/scenarios.h"

namespace millet::simtest {

Outcome run_auction(const Run& run);

}  // namespace millet::simtest
