#include "base/bytes.h"

namespace millet {
namespace {

constexpr char k_digits[] = "0123456789abcdef";

int digit_of(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// "\x" and two digits, as printable() makes them: an error's reason has gone through it once when it is logged.
bool is_escape(Bytes bytes) {
  return bytes.size() >= 4 && bytes[0] == '\\' && bytes[1] == 'x' && digit_of(static_cast<char>(bytes[2])) >= 0 &&
         digit_of(static_cast<char>(bytes[3])) >= 0;
}

}  // namespace

Bytes ByteReader::take(size_t size) {
  if (size > bytes_.size()) {
    ok_ = false;
    bytes_ = {};
    return {};
  }
  Bytes out = bytes_.first(size);
  bytes_ = bytes_.subspan(size);
  return out;
}
uint64_t ByteReader::number(size_t size) {
  uint64_t value = 0;
  for (uint8_t byte : take(size)) value = (value << 8) | byte;
  return value;
}

ByteWriter& ByteWriter::bytes(Bytes value) {
  // Not insert(): GCC 12 warns of overflows in it that can't happen.
  size_t at = out_.size();
  out_.resize(at + value.size());
  if (!value.empty()) std::memcpy(out_.data() + at, value.data(), value.size());
  return *this;
}
ByteWriter& ByteWriter::number(uint64_t value, size_t size) {
  size_t at = out_.size();
  out_.resize(at + size);
  for (size_t i = size; i-- > 0; value >>= 8) out_[at + i] = static_cast<uint8_t>(value);
  return *this;
}

std::string to_hex(Bytes bytes) {
  std::string out;
  out.reserve(bytes.size() * 2);
  for (uint8_t byte : bytes) {
    out += k_digits[byte >> 4];
    out += k_digits[byte & 15];
  }
  return out;
}

Status from_hex(std::string_view text, MutBytes out) {
  if (text.size() != out.size() * 2) return error(Errc::bad_input, "expected " + std::to_string(out.size() * 2) + " hexadecimal digits");
  for (size_t i = 0; i < out.size(); ++i) {
    int high = digit_of(text[2 * i]);
    int low = digit_of(text[2 * i + 1]);
    if (high < 0 || low < 0) return error(Errc::bad_input, "'" + printable(text) + "' is not hexadecimal");
    out[i] = static_cast<uint8_t>(high * 16 + low);
  }
  return ok;
}

std::string printable(Bytes bytes, size_t size_max) {
  std::string out;
  for (size_t i = 0; i < bytes.size(); ++i) {
    uint8_t byte = bytes[i];
    if (out.size() >= size_max) return out + "...";
    if (byte >= 0x20 && byte < 0x7f && (byte != '\\' || is_escape(bytes.subspan(i)))) {
      out += static_cast<char>(byte);
    } else {
      out += "\\x";
      out += k_digits[byte >> 4];
      out += k_digits[byte & 15];
    }
  }
  return out;
}

}  // namespace millet
