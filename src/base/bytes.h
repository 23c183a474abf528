// Views of bytes, big-endian loads and stores by value (no casts, no unaligned access), bounded reader and writer, hex.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace millet {

using Bytes = std::span<const uint8_t>;
using MutBytes = std::span<uint8_t>;

inline Bytes as_bytes(std::string_view text) { return {reinterpret_cast<const uint8_t*>(text.data()), text.size()}; }
inline std::string_view as_text(Bytes bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

template <typename T>
T load_be(const uint8_t* from) {
  T value = 0;
  for (size_t i = 0; i < sizeof(T); ++i) value = static_cast<T>((static_cast<uint64_t>(value) << 8) | from[i]);
  return value;
}
template <typename T>
void store_be(uint8_t* to, T value) {
  for (size_t i = sizeof(T); i-- > 0;) {
    to[i] = static_cast<uint8_t>(value);
    value = static_cast<T>(static_cast<uint64_t>(value) >> 8);
  }
}

// Lexicographic. Requires: a.size() == b.size(). (LLVM's library compares arrays from version 17 on only.)
inline std::strong_ordering compare(Bytes a, Bytes b) { return (a.empty() ? 0 : std::memcmp(a.data(), b.data(), a.size())) <=> 0; }
inline bool equal(Bytes a, Bytes b) { return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size()) == 0); }

// Reads fixed-size fields in order. After a read past the end every further read gives zeros and ok() is false: check once, at the end.
class ByteReader {
 public:
  explicit ByteReader(Bytes bytes) : bytes_(bytes) {}
  bool ok() const { return ok_; }
  // True if everything was read and nothing was missing.
  bool done() const { return ok_ && bytes_.empty(); }
  size_t left() const { return bytes_.size(); }

  uint8_t u8() { return static_cast<uint8_t>(number(1)); }
  uint16_t u16() { return static_cast<uint16_t>(number(2)); }
  uint32_t u32() { return static_cast<uint32_t>(number(4)); }
  uint64_t u64() { return number(8); }
  template <size_t N>
  std::array<uint8_t, N> array() {
    std::array<uint8_t, N> out{};
    Bytes from = take(N);
    if (from.size() == N) std::memcpy(out.data(), from.data(), N);
    return out;
  }
  // The next `size` bytes; empty if there are fewer.
  Bytes take(size_t size);
  Bytes rest() { return take(bytes_.size()); }

 private:
  uint64_t number(size_t size);
  Bytes bytes_;
  bool ok_ = true;
};

// Appends big-endian fields to a vector that the caller owns.
class ByteWriter {
 public:
  explicit ByteWriter(std::vector<uint8_t>& out) : out_(out) {}
  ByteWriter& u8(uint8_t value) { return number(value, 1); }
  ByteWriter& u16(uint16_t value) { return number(value, 2); }
  ByteWriter& u32(uint32_t value) { return number(value, 4); }
  ByteWriter& u64(uint64_t value) { return number(value, 8); }
  ByteWriter& bytes(Bytes value);
  ByteWriter& text(std::string_view value) { return bytes(as_bytes(value)); }

 private:
  ByteWriter& number(uint64_t value, size_t size);
  std::vector<uint8_t>& out_;
};

// Lower-case hexadecimal.
std::string to_hex(Bytes bytes);
// Errors: bad_input if the text is not exactly 2 * out.size() hexadecimal digits.
Status from_hex(std::string_view text, MutBytes out);
template <size_t N>
Result<std::array<uint8_t, N>> array_from_hex(std::string_view text) {
  std::array<uint8_t, N> out{};
  TRY(from_hex(text, out));
  return out;
}

// Printable ASCII and \xNN as they are, all else as \xNN, cut at `size_max` with "...": for logs and messages about foreign input.
std::string printable(Bytes bytes, size_t size_max = 64);
inline std::string printable(std::string_view text, size_t size_max = 64) { return printable(as_bytes(text), size_max); }

}  // namespace millet
