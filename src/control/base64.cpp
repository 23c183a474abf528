#include "control/base64.h"

namespace millet {
namespace {

constexpr char k_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

// The value of a digit, -1 for none.
int digit(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+') return 62;
  return c == '/' ? 63 : -1;
}

}  // namespace

std::string to_base64(Bytes bytes) {
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t left = bytes.size() - i;
    const uint32_t group =
        uint32_t{bytes[i]} << 16 | (left > 1 ? uint32_t{bytes[i + 1]} << 8 : 0) | (left > 2 ? uint32_t{bytes[i + 2]} : 0);
    out += k_alphabet[group >> 18];
    out += k_alphabet[group >> 12 & 63];
    out += left > 1 ? k_alphabet[group >> 6 & 63] : '=';
    out += left > 2 ? k_alphabet[group & 63] : '=';
  }
  return out;
}

Result<std::vector<uint8_t>> from_base64(std::string_view text) {
  if (text.size() % 4 != 0) return error(Errc::bad_input, "base64 text is cut short");
  const size_t padding = text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0;
  std::vector<uint8_t> out;
  out.reserve(text.size() / 4 * 3);
  for (size_t i = 0; i < text.size(); i += 4) {
    const size_t digits = i + 4 == text.size() ? 4 - padding : 4;
    uint32_t group = 0;
    for (size_t j = 0; j < 4; ++j) {
      const int value = j < digits ? digit(text[i + j]) : 0;
      if (value < 0)
        return error(Errc::bad_input, "base64 text has a character at " + std::to_string(i + j) + " that does not belong there");
      group = group << 6 | static_cast<uint32_t>(value);
    }
    // RFC 4648 section 3.5: bits below the padding are zero, so that a file has one text only.
    if ((digits == 3 && (group & 0xff) != 0) || (digits == 2 && (group & 0xffff) != 0))
      return error(Errc::bad_input, "base64 text has bits behind its end");
    for (size_t j = 0; j + 1 < digits; ++j) out.push_back(static_cast<uint8_t>(group >> (16 - 8 * j)));
  }
  return out;
}

}  // namespace millet
