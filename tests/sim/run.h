// What one run of a scenario is made from.
#pragma once

#include <cstdint>
#include <optional>

#include "speed/faults.h"

namespace millet::simtest {

// What peers connect over; all nodes of a world alike, so that each reaches each.
enum class Transports : uint8_t { tcp, utp, both };

struct Run {
  uint64_t seed = 1;
  bool print_log = false;
  speed::Faults planted;  // bugs of every node
  std::optional<Transports> forced;
  std::optional<uint32_t> nodes;  // so many instead of what the seed says, in scenarios that draw it
  Transports transports() const { return forced.value_or(static_cast<Transports>(seed % 3)); }
};

}  // namespace millet::simtest
