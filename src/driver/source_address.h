// The address that our own connections come from: the one that we listen on, where the owner chose one. A tracker takes it for the address
// at which we can be reached, and a peer tells us from others by it.
#pragma once

#include <optional>

#include "base/endpoint.h"

namespace millet {

// Nothing: the system chooses. A loopback address can't reach anything else, nor one family the other.
inline std::optional<IpAddress> source_address(const IpAddress& listen, const IpAddress& remote) {
  bool usable = !listen.is_any() && listen.is_v4() == remote.is_v4() && (remote.is_loopback() || !listen.is_loopback());
  return usable ? std::optional<IpAddress>(listen) : std::nullopt;
}

}  // namespace millet
