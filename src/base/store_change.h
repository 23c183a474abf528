// One change of durable state, and a batch of them: what engines put out and the store interface takes (store/store.h).
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace millet {

// A table is named by a short constant string that lives for ever.
struct StoreChange {
  const char* table;
  std::vector<uint8_t> key;                   // 1 to 256 bytes
  std::optional<std::vector<uint8_t>> value;  // nothing: erase
};
using StoreBatch = std::vector<StoreChange>;

}  // namespace millet
