// JSON values of the control socket: an owner around jansson that builds, reads and prints. Numbers are integers; text that is not UTF-8
// (what a peer calls itself) is shown escaped.
#pragma once

#include <jansson.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/amount.h"
#include "base/result.h"

namespace millet {

class Json {
 public:
  Json() = default;  // nothing; not even null
  static Json object() { return Json(json_object()); }
  static Json array() { return Json(json_array()); }
  static Json null() { return Json(json_null()); }
  static Json text(std::string_view value);
  static Json boolean(bool value) { return Json(json_boolean(value)); }
  // Above 2^63 - 1 it stays there.
  static Json number(uint64_t value);
  // One JSON object. Errors: bad_input with the place.
  static Result<Json> parse_object(std::string_view text);

  explicit operator bool() const { return value_ != nullptr; }

  // ---- building; Requires: an object (set) or an array (append) ----
  Json& set(const char* key, Json value);
  Json& set(const char* key, std::string_view value) { return set(key, text(value)); }
  Json& set(const char* key, const std::string& value) { return set(key, text(value)); }
  Json& set(const char* key, const char* value) { return set(key, text(value)); }
  Json& set(const char* key, bool value) { return set(key, boolean(value)); }
  Json& set(const char* key, uint64_t value) { return set(key, number(value)); }
  Json& set(const char* key, uint32_t value) { return set(key, number(value)); }
  // KEY_btt: decimal text for people, KEY_micro: micro-BTT.
  Json& set(const std::string& key, Amount value);
  // KEY_btt_per_gb: decimal text, KEY_pico_per_byte: pBTT per byte.
  Json& set(const std::string& key, Rate value);
  Json& append(Json value);

  // ---- reading ----
  // What an object has under the key, or nothing; the view lives as long as this does.
  json_t* get(const char* key) const { return json_object_get(value_.get(), key); }
  json_t* raw() const { return value_.get(); }
  // One line, keys in the order in which they were set; `pretty`: indented.
  std::string dump(bool pretty = false) const;

 private:
  struct Release {
    void operator()(json_t* value) const { json_decref(value); }
  };
  explicit Json(json_t* value) : value_(value) { CHECK(value != nullptr); }
  std::unique_ptr<json_t, Release> value_;
};

// Members of an object that was read, with a default where they are missing or of another type.
std::string_view json_text(const json_t* object, const char* key, std::string_view missing = "");
uint64_t json_number(const json_t* object, const char* key, uint64_t missing = 0);
bool json_flag(const json_t* object, const char* key);

}  // namespace millet
