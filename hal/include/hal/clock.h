// Time of the machine. Only the driver reads it; engines get `Instant now` as an argument.
#pragma once

#include "base/time.h"

namespace millet::hal {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual Instant now() = 0;    // never goes back
  virtual WallTime wall() = 0;  // may jump; routers boot without one
};

}  // namespace millet::hal
