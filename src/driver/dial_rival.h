// A peer is dialled over TCP and uTP at once, and the first that is through keeps it. Each transport knows the other as this.
#pragma once

#include "base/time.h"
#include "node/io.h"

namespace millet {

class DialRival {
 public:
  virtual ~DialRival() = default;
  virtual bool is_dialling(PeerHandle peer) const = 0;
  // The other one is through: no event of this attempt follows. Nothing happens if there is none.
  virtual void stop_dialling(Instant now, PeerHandle peer) = 0;
};

}  // namespace millet
