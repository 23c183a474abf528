// Randomness that counts: 1, 2, 3, and so on.
#pragma once

#include "base/random.h"

namespace millet::testing {

class CountingRandom final : public SecureRandom {
 public:
  void fill(MutBytes out) override {
    for (uint8_t& byte : out) byte = next_++;
  }

 private:
  uint8_t next_ = 1;
};

}  // namespace millet::testing
