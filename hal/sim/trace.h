// A running 64-bit hash over everything that happened, as canonical big-endian words. Two runs of one seed give one value; it is a check
// against accidents, not against an adversary.
#pragma once

#include "base/bytes.h"

namespace millet::sim {

class TraceHash {
 public:
  void add(uint64_t word) {
    state_ = (state_ ^ word) * 0x9e3779b97f4a7c15u;
    state_ ^= state_ >> 29;
  }
  // The length first, then words of eight bytes; the last one is filled with zeros.
  void add(Bytes bytes) {
    add(uint64_t{bytes.size()});
    while (bytes.size() >= 8) {
      add(load_be<uint64_t>(bytes.data()));
      bytes = bytes.subspan(8);
    }
    uint64_t tail = 0;
    for (uint8_t byte : bytes) tail = (tail << 8) | byte;
    add(tail);
  }
  uint64_t value() const { return state_; }

 private:
  uint64_t state_ = 0x6d696c6c65740000u;
};

}  // namespace millet::sim
