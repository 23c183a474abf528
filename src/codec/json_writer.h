// JSON text (RFC 8259), written only: what servers answer with. Commas are its own business; nesting is the caller's.
//
//   JsonWriter json;
//   json.open('{').key("name").text("x").key("rows").open('[').number(1).number(2).close(']').close('}');
#pragma once

#include <string>
#include <string_view>

#include "base/amount.h"
#include "base/bytes.h"

namespace millet {

class JsonWriter {
 public:
  JsonWriter& open(char bracket);
  JsonWriter& close(char bracket);
  JsonWriter& key(std::string_view name);
  // Bytes above ASCII are escaped one by one: foreign text is shown, not trusted to be UTF-8.
  JsonWriter& text(std::string_view value);
  JsonWriter& number(uint64_t value);
  JsonWriter& boolean(bool value);
  JsonWriter& null();
  JsonWriter& hex(Bytes value) { return text(to_hex(value)); }
  // NAME_btt: decimal text; NAME_micro: micro-BTT as a number, which may pass 2^53.
  JsonWriter& amount(const std::string& name, Amount value);

  const std::string& str() const { return out_; }

 private:
  JsonWriter& value(std::string_view literal);
  std::string out_;
  bool first_ = true;  // of its object or array, or behind a key: no comma
};

}  // namespace millet
