#include "base/bitfield.h"

namespace millet {

Result<Bitfield> Bitfield::from_wire(Bytes bytes, uint32_t size) {
  Bitfield out(size);
  if (bytes.size() != out.bytes_.size()) return error(Errc::protocol, "bitfield has the wrong length");
  if (size % 8 != 0 && (bytes.back() & (0xffu >> (size % 8))) != 0) return error(Errc::protocol, "bitfield has spare bits set");
  out.bytes_.assign(bytes.begin(), bytes.end());
  for (uint8_t byte : out.bytes_) out.count_ += static_cast<uint32_t>(std::popcount(byte));
  return out;
}

void Bitfield::set_all() {
  for (uint32_t i = 0; i < size_; ++i) set(i);
}

void Bitfield::clear_all() {
  for (uint8_t& byte : bytes_) byte = 0;
  count_ = 0;
}

}  // namespace millet
