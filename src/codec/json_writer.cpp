#include "codec/json_writer.h"

namespace millet {

JsonWriter& JsonWriter::value(std::string_view literal) {
  if (!first_) out_ += ',';
  out_ += literal;
  first_ = false;
  return *this;
}

JsonWriter& JsonWriter::open(char bracket) {
  value(std::string_view(&bracket, 1));
  first_ = true;
  return *this;
}

JsonWriter& JsonWriter::close(char bracket) {
  out_ += bracket;
  first_ = false;
  return *this;
}

JsonWriter& JsonWriter::key(std::string_view name) {
  text(name);
  out_ += ':';
  first_ = true;
  return *this;
}

JsonWriter& JsonWriter::text(std::string_view text) {
  static constexpr char k_digits[] = "0123456789abcdef";
  std::string quoted = "\"";
  for (char c : text) {
    uint8_t byte = static_cast<uint8_t>(c);
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (byte < 0x20 || byte >= 0x7f) {
      quoted += "\\u00";
      quoted += k_digits[byte >> 4];
      quoted += k_digits[byte & 15];
    } else {
      quoted += c;
    }
  }
  return value(quoted + '"');
}

JsonWriter& JsonWriter::number(uint64_t number) { return value(std::to_string(number)); }
JsonWriter& JsonWriter::boolean(bool yes) { return value(yes ? "true" : "false"); }
JsonWriter& JsonWriter::null() { return value("null"); }

JsonWriter& JsonWriter::amount(const std::string& name, Amount amount) {
  key(name + "_btt").text(amount.to_btt());
  return key(name + "_micro").number(amount.in_micro());
}

}  // namespace millet
