// Base64 as RFC 4648 defines it, and nothing else.
#include "control/base64.h"
#include "unit/test.h"

using namespace millet;

namespace {

void vectors_of_rfc_4648(void**) {
  struct {
    const char* plain;
    const char* encoded;
  } rows[] = {
      {"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"}};
  for (const auto& row : rows) {
    assert_string_equal(to_base64(as_bytes(row.plain)).c_str(), row.encoded);
    Result<std::vector<uint8_t>> back = from_base64(row.encoded);
    assert_true(back.has_value());
    assert_true(as_text(*back) == row.plain);
  }
}

void every_byte_survives(void**) {
  std::vector<uint8_t> bytes;
  for (int i = 0; i < 770; ++i) bytes.push_back(static_cast<uint8_t>(i * 7));
  for (size_t size = 0; size <= bytes.size(); ++size) {
    Result<std::vector<uint8_t>> back = from_base64(to_base64(Bytes(bytes).first(size)));
    assert_true(back.has_value());
    assert_true(equal(*back, Bytes(bytes).first(size)));
  }
}

void anything_else_is_refused(void**) {
  for (const char* text :
       {"Zg", "Zg=", "Zg===", "Z===", "====", "Zg==Zg==", "Zm9v Zm9", "Zm9v\nZm9", "Zm9-", "Zm9_", "Zh==", "Zm9=", "=Zm9"}) {
    assert_false(from_base64(text).has_value());
  }
  assert_false(from_base64(std::string_view("Zm\0v", 4)).has_value());
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {cmocka_unit_test(vectors_of_rfc_4648), cmocka_unit_test(every_byte_survives),
                              cmocka_unit_test(anything_else_is_refused)};
  return RUN_TESTS(tests);
}
