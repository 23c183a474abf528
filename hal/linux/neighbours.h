// Which addresses are on this machine or on a local network of it, so that what goes there does not pass our uplink: loopback, link-local
// addresses, our own, and private ones in a network that an interface is in. A provider's network is not local, though we are in it.
#pragma once

#include <cstdint>
#include <vector>

#include "base/endpoint.h"

namespace millet::hal {

class Neighbours {
 public:
  // `now_ms`: of any clock that never goes back; interfaces are listed again once a minute.
  bool contains(const IpAddress& address, uint64_t now_ms);

 private:
  struct Network {
    IpAddress address;
    unsigned prefix = 0;  // bits
  };
  void list();

  std::vector<Network> networks_;
  uint64_t list_again_ms_ = 0;
};

}  // namespace millet::hal
