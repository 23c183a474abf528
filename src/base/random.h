// Two kinds of randomness, as two types: SecureRandom for keys, nonces and tokens, Random for jitter and shuffles. An engine gets both
// and makes neither, so that one seed gives one run in the simulator.
#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace millet {

class SecureRandom {
 public:
  virtual ~SecureRandom() = default;
  virtual void fill(MutBytes out) = 0;
};

// xoshiro256** (public domain algorithm by Blackman and Vigna): fast, seeded, not for secrets.
class Random {
 public:
  explicit Random(uint64_t seed);
  static uint64_t draw_seed(SecureRandom& secure);
  uint64_t next();
  // Uniform in [0, bound). Requires: bound > 0.
  uint64_t below(uint64_t bound);
  // Fisher-Yates; std::shuffle differs between standard libraries.
  template <typename Container>
  void shuffle(Container& items) {
    for (size_t i = items.size(); i > 1; --i) {
      size_t j = static_cast<size_t>(below(i));
      std::swap(items[i - 1], items[j]);
    }
  }

 private:
  uint64_t state_[4];
};

}  // namespace millet
