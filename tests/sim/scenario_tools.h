// What several scenarios draw or report alike.
#pragma once

#include "sim/scenarios.h"
#include "sim/swarm.h"

namespace millet::simtest {

// An access link of a home: delay, jitter, loss and rates from the seed.
sim::LinkOptions draw_link(Random& random);
// A small torrent: 64 KiB to about 1 MiB, pieces of 16 to 128 KiB, one file or several.
PayloadOptions draw_payload(uint64_t seed);
Outcome outcome_of(Swarm& swarm);

}  // namespace millet::simtest
