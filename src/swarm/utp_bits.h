// A ring of bits, one per sequence number, read 64 at a time: selective acknowledgements are compared by words, not by packets.
#pragma once

#include <cstdint>
#include <vector>

#include "base/check.h"

namespace millet {

class UtpBits {
 public:
  // Requires: capacity is a power of two, at least 64. All bits are clear.
  void reset(size_t capacity) {
    CHECK(capacity >= 64 && (capacity & (capacity - 1)) == 0);
    std::vector<uint64_t>(capacity / 64).swap(words_);
  }
  void release() { std::vector<uint64_t>().swap(words_); }
  bool test(uint16_t seq) const { return (words_[word_of(seq)] >> (seq % 64) & 1) != 0; }
  void set(uint16_t seq) { words_[word_of(seq)] |= uint64_t{1} << (seq % 64); }
  void clear(uint16_t seq) { words_[word_of(seq)] &= ~(uint64_t{1} << (seq % 64)); }
  // Bit i of the result is the bit of seq + i. The ring wraps: what lies a capacity apart shares a bit.
  uint64_t get64(uint16_t seq) const {
    unsigned shift = seq % 64;
    uint64_t low = words_[word_of(seq)] >> shift;
    if (shift == 0) return low;
    return low | words_[word_of(static_cast<uint16_t>(seq + 64))] << (64 - shift);
  }
  size_t memory() const { return words_.capacity() * sizeof(uint64_t); }

 private:
  size_t word_of(uint16_t seq) const { return (seq / 64) & (words_.size() - 1); }
  std::vector<uint64_t> words_;
};

}  // namespace millet
