#include "control/json.h"

#include <limits>

#include "base/bytes.h"

namespace millet {

Json Json::text(std::string_view value) {
  if (json_t* made = json_stringn(value.data(), value.size())) return Json(made);
  const std::string escaped = printable(value, value.size());
  return Json(json_stringn(escaped.data(), escaped.size()));
}

Json Json::number(uint64_t value) {
  const uint64_t max = static_cast<uint64_t>(std::numeric_limits<json_int_t>::max());
  return Json(json_integer(static_cast<json_int_t>(value < max ? value : max)));
}

Result<Json> Json::parse_object(std::string_view text) {
  json_error_t failure;
  json_t* value = json_loadb(text.data(), text.size(), JSON_REJECT_DUPLICATES, &failure);
  if (value == nullptr) {
    return error(Errc::bad_input,
                 "not JSON: " + printable(std::string_view(failure.text)) + " at byte " + std::to_string(failure.position));
  }
  Json owner(value);
  if (!json_is_object(value)) return error(Errc::bad_input, "not a JSON object");
  return owner;
}

Json& Json::set(const char* key, Json value) {
  CHECK(json_object_set_new_nocheck(value_.get(), key, value.value_.release()) == 0);
  return *this;
}

Json& Json::set(const std::string& key, Amount value) {
  set((key + "_btt").c_str(), value.to_btt());
  return set((key + "_micro").c_str(), value.in_micro());
}

Json& Json::set(const std::string& key, Rate value) {
  set((key + "_btt_per_gb").c_str(), value.to_btt_per_gb());
  return set((key + "_pico_per_byte").c_str(), value.in_pico_per_byte());
}

Json& Json::append(Json value) {
  CHECK(json_array_append_new(value_.get(), value.value_.release()) == 0);
  return *this;
}

std::string Json::dump(bool pretty) const {
  const size_t flags = pretty ? JSON_INDENT(2) : JSON_COMPACT;
  std::string out;
  auto append_text = [](const char* text, size_t size, void* to) {
    static_cast<std::string*>(to)->append(text, size);
    return 0;
  };
  CHECK(json_dump_callback(value_.get(), append_text, &out, flags | JSON_ENCODE_ANY) == 0);
  return out;
}

std::string_view json_text(const json_t* object, const char* key, std::string_view missing) {
  const json_t* value = json_object_get(object, key);
  return json_is_string(value) ? std::string_view(json_string_value(value), json_string_length(value)) : missing;
}

uint64_t json_number(const json_t* object, const char* key, uint64_t missing) {
  const json_t* value = json_object_get(object, key);
  if (!json_is_integer(value) || json_integer_value(value) < 0) return missing;
  return static_cast<uint64_t>(json_integer_value(value));
}

bool json_flag(const json_t* object, const char* key) { return json_is_true(json_object_get(object, key)); }

}  // namespace millet
