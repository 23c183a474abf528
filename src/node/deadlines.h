// The earliest of many deadlines, one per key. Deadlines are brought forward here; one that moved back is found out when it comes, so that
// traffic on a connection costs no change of the order.
#pragma once

#include <cstdint>
#include <map>
#include <set>

#include "base/time.h"

namespace millet {

class Deadlines {
 public:
  // The key is due at `when` or earlier. Never: no change.
  void arm(uint32_t key, Instant when) {
    if (when.is_never()) return;
    auto [at, is_new] = armed_.try_emplace(key, when);
    if (!is_new) {
      if (at->second <= when) return;
      order_.erase({at->second, key});
      at->second = when;
    }
    order_.insert({when, key});
  }
  void disarm(uint32_t key) {
    auto at = armed_.find(key);
    if (at == armed_.end()) return;
    order_.erase({at->second, key});
    armed_.erase(at);
  }
  Instant next() const { return order_.empty() ? Instant::never() : order_.begin()->first; }
  // Takes off the first key that is due; the caller arms it again as needed.
  bool pop(Instant now, uint32_t& key) {
    if (order_.empty() || order_.begin()->first > now) return false;
    key = order_.begin()->second;
    armed_.erase(key);
    order_.erase(order_.begin());
    return true;
  }

 private:
  std::set<std::pair<Instant, uint32_t>> order_;
  std::map<uint32_t, Instant> armed_;
};

}  // namespace millet
