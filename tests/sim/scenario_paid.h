#pragma once

#include "sim/scenarios.h"

namespace millet::simtest {

Outcome run_paid(const Run& run);

}  // namespace millet::simtest
