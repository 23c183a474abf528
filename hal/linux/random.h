// The kernel's random number generator. Waits, on a device that has just booted, until it is seeded: keys are made of this.
#pragma once

#include "base/random.h"

namespace millet::hal {

class LinuxRandom final : public SecureRandom {
 public:
  void fill(MutBytes out) override;
};

}  // namespace millet::hal
