// The device under a node: what it gives up when the board is hot, its disk sleeps, or something runs short.
#pragma once

#include "sim/scenarios.h"

namespace millet::simtest {

Outcome run_board(const Run& run);

}  // namespace millet::simtest
