// Keys that were found to be good ones (is_public_key), so that an account that is paid again and again is checked once: that check takes
// as long as a signature's. Bounded: two generations, of which the older one is forgotten when the younger is full.
#pragma once

#include <set>
#include <utility>

#include "base/ids.h"

namespace millet {

class KnownKeys {
 public:
  static constexpr size_t k_generation_max = 8192;  // 1.5 MiB for both

  bool contains(const PublicKey& key) const { return young_.contains(key) || old_.contains(key); }
  void add(const PublicKey& key) {
    if (young_.contains(key)) return;
    if (young_.size() >= k_generation_max) old_ = std::exchange(young_, {});
    young_.insert(key);
  }
  size_t size() const { return young_.size() + old_.size(); }

 private:
  std::set<PublicKey> young_;
  std::set<PublicKey> old_;
};

}  // namespace millet
