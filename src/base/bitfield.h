// A set of piece indexes, in the order of the wire's bitfield message (BEP 3): bit 7 of byte 0 is piece 0; spare bits are zero.
#pragma once

#include <bit>
#include <cstdint>
#include <vector>

#include "base/bytes.h"

namespace millet {

class Bitfield {
 public:
  Bitfield() = default;
  explicit Bitfield(uint32_t size) : bytes_((static_cast<size_t>(size) + 7) / 8), size_(size) {}
  // Errors: protocol if the length is wrong or a spare bit is set.
  static Result<Bitfield> from_wire(Bytes bytes, uint32_t size);

  uint32_t size() const { return size_; }
  uint32_t count() const { return count_; }
  bool all() const { return count_ == size_; }
  bool none() const { return count_ == 0; }
  Bytes wire() const { return bytes_; }

  bool test(uint32_t index) const {
    CHECK(index < size_);
    return (bytes_[index / 8] >> (7 - index % 8)) & 1;
  }
  void set(uint32_t index) {
    if (test(index)) return;
    bytes_[index / 8] = static_cast<uint8_t>(bytes_[index / 8] | (0x80u >> (index % 8)));
    ++count_;
  }
  void clear(uint32_t index) {
    if (!test(index)) return;
    bytes_[index / 8] = static_cast<uint8_t>(bytes_[index / 8] & ~(0x80u >> (index % 8)));
    --count_;
  }
  void set_all();
  void clear_all();

 private:
  std::vector<uint8_t> bytes_;
  uint32_t size_ = 0;
  uint32_t count_ = 0;
};

}  // namespace millet
