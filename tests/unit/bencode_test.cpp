// codec: bencode (BEP 3), reader, writer and message tables.
#include "codec/bencode.h"

#include <string>

#include "unit/test.h"

using namespace millet;
using namespace millet::bencode;

namespace {

constexpr Limits k_strict{1 << 20, 64, 10000, true};
constexpr Limits k_lenient{1 << 20, 64, 10000, false};

bool accepts(std::string_view text, const Limits& limits) { return parse(as_bytes(text), limits).has_value(); }

// Writes a value again by walking it with the cursors.
void rewrite(const Value& value, Writer& out) {
  if (value.kind() == Kind::integer) {
    if (auto number = value.integer())
      out.integer(*number);
    else
      out.raw(value.encoded());
  }
  if (value.is_string()) out.string(*value.string());
  if (value.is_list()) {
    out.begin_list();
    ListCursor cursor(value);
    Value item;
    while (cursor.next(item)) rewrite(item, out);
    out.end();
  }
  if (value.is_dict()) {
    out.begin_dict();
    DictCursor cursor(value);
    Bytes key;
    Value item;
    while (cursor.next(key, item)) {
      out.key(as_text(key));
      rewrite(item, out);
    }
    out.end();
  }
}

struct Sample {
  int64_t count = 0;
  std::optional<int64_t> more;
  Bytes name;
  std::optional<Bytes> note;
  Value tree;
};
constexpr Field<Sample> k_sample[] = {
    {"count", &Sample::count}, {"more", &Sample::more}, {"name", &Sample::name}, {"note", &Sample::note}, {"tree", &Sample::tree},
};
static_assert(sorted(k_sample));

constexpr std::string_view k_document = "d5:counti-7e4:listl1:a2:bci0ed0:0:ee4:morei1e4:name4:spam4:treed1:xlleleeee";

}  // namespace

static void well_formed_values_are_accepted(void**) {
  for (const char* good : {"i0e", "i-1e", "i9223372036854775807e", "0:", "4:spam", "le", "de", "lllleeee", "d1:ai1e1:b0:e", "d0:lee"}) {
    assert_true(accepts(good, k_strict));
  }
  assert_true(accepts(k_document, k_strict));
}

static void malformed_values_are_refused(void**) {
  for (const char* bad : {"",
                          "i",
                          "ie",
                          "i-e",
                          "i-0e",
                          "i01e",
                          "i1",
                          "i+1e",
                          "i1.0e",
                          "i 1e",
                          "i--1e",
                          "i123456789012345678901e",
                          "1",
                          "1:",
                          "01:a",
                          "-1:a",
                          "4:spa",
                          "99999999999999999999:a",
                          "18446744073709551616:a",
                          "4294967296:a",
                          "l",
                          "li1e",
                          "d",
                          "d1:a",
                          "d1:ae",
                          "di1ei1ee",
                          "d1:ai1e",
                          "dlei1ee",
                          "e",
                          "x",
                          " i1e",
                          "lxe"}) {
    assert_false(accepts(bad, k_strict));
    assert_false(accepts(bad, k_lenient));
  }
}

static void only_strict_wants_order_and_an_end(void**) {
  for (const char* sloppy : {"d1:bi1e1:ai2ee", "d1:ai1e1:ai2ee", "i1e\n", "d2:aai1e1:bi1e0:i1ee", "lee"}) {
    assert_false(accepts(sloppy, k_strict));
    assert_true(accepts(sloppy, k_lenient));
  }
  assert_int_equal(parse(as_bytes("i1etail"), k_lenient)->encoded().size(), 3);
}

static void errors_say_where(void**) {
  assert_string_equal(parse(as_bytes("d1:ai01ee"), k_strict).error().reason.c_str(), "bencode is no proper integer at byte 4");
  assert_string_equal(parse(as_bytes("l4:spa"), k_strict).error().reason.c_str(), "bencode ends inside a string at byte 1");
}

static void limits_hold(void**) {
  Limits limits = k_strict;
  limits.size_max = 3;
  assert_true(accepts("i1e", limits));
  assert_true(parse(as_bytes("i12e"), limits).error().code == Errc::no_room);
  limits = k_strict;
  limits.depth_max = 2;
  assert_true(accepts("llee", limits));
  assert_true(parse(as_bytes("llleee"), limits).error().code == Errc::no_room);
  limits = k_strict;
  limits.values_max = 4;  // the two ends count as well: they are work too
  assert_true(accepts("li1ei2ee", limits));
  assert_true(parse(as_bytes("li1ei2ei3ee"), limits).error().code == Errc::no_room);
}

static void nesting_of_ten_thousand_is_refused_without_recursion(void**) {
  std::string deep = std::string(10000, 'l') + std::string(10000, 'e');
  assert_true(parse(as_bytes(deep), {deep.size(), k_depth_max, 100000, false}).error().code == Errc::no_room);
  std::string dicts;
  for (int i = 0; i < 10000; ++i) dicts += "d1:a";
  assert_true(parse(as_bytes(dicts), {dicts.size(), k_depth_max, 100000, false}).error().code == Errc::no_room);
}

static void integers_outside_64_bits_are_no_integers(void**) {
  Result<Value> big = parse(as_bytes("i18446744073709551615e"), k_strict);
  assert_true(big.has_value());
  assert_false(big->integer().has_value());
  assert_true(parse(as_bytes("i-9223372036854775808e"), k_strict)->integer() == INT64_MIN);
  assert_false(parse(as_bytes("i-9223372036854775809e"), k_strict)->integer().has_value());
}

static void find_gives_the_exact_bytes_of_a_value(void**) {
  Result<Value> root = parse(as_bytes(k_document), k_strict);
  assert_true(as_text(root->find("tree").encoded()) == "d1:xlleleee");
  assert_true(as_text(root->find("list").encoded()) == "l1:a2:bci0ed0:0:ee");
  assert_true(root->find("none").kind() == Kind::none);
  assert_true(root->find("count").find("x").kind() == Kind::none);
}

static void walking_and_writing_gives_the_same_bytes(void**) {
  Result<Value> root = parse(as_bytes(k_document), k_strict);
  std::vector<uint8_t> out;
  Writer writer(out);
  rewrite(*root, writer);
  assert_true(as_text(out) == k_document);
}

static void message_tables_round_trip(void**) {
  Result<Value> root = parse(as_bytes(k_document), k_strict);
  Result<Sample> sample = decode(*root, k_sample);
  assert_true(sample.has_value());
  assert_true(sample->count == -7 && sample->more == 1 && as_text(sample->name) == "spam" && !sample->note && sample->tree.is_dict());
  std::vector<uint8_t> out;
  Writer writer(out);
  encode(*sample, k_sample, writer);
  assert_true(as_text(out) == "d5:counti-7e4:morei1e4:name4:spam4:treed1:xlleleeee");
}

static void message_tables_refuse_missing_double_and_mistyped_keys(void**) {
  struct {
    const char* text;
    const char* says;
  } table[] = {
      {"i1e", "is no dictionary"},
      {"d5:counti1ee", "'name' is missing"},
      {"d4:name1:xe", "'count' is missing"},
      {"d5:counti1e4:name1:x5:counti2ee", "'count' is there twice"},
      {"d5:counti1e4:namei1ee", "'name' is of the wrong type or out of range"},
      {"d5:counti99999999999999999999e4:name1:xe", "'count' is of the wrong type or out of range"},
      {"d5:counti1e4:more1:x4:name1:xe", "'more' is of the wrong type or out of range"},
  };
  for (const auto& row : table) {
    Result<Value> root = parse(as_bytes(row.text), k_lenient);
    assert_string_equal(decode(*root, k_sample).error().reason.c_str(), row.says);
  }
}

static void every_truncation_is_refused(void**) {
  for (size_t size = 0; size < k_document.size(); ++size) {
    assert_false(accepts(k_document.substr(0, size), k_strict));
    assert_false(accepts(k_document.substr(0, size), k_lenient));
  }
}

static void mutations_that_are_accepted_round_trip(void**) {
  size_t accepted = 0;
  for (size_t at = 0; at < k_document.size(); ++at) {
    for (int byte = 0; byte < 256; ++byte) {
      std::string changed(k_document);
      changed[at] = static_cast<char>(byte);
      Result<Value> lenient = parse(as_bytes(changed), k_lenient);
      if (lenient) (void)decode(*lenient, k_sample).has_value();
      Result<Value> root = parse(as_bytes(changed), k_strict);
      if (!root) continue;
      ++accepted;
      std::vector<uint8_t> out;
      Writer writer(out);
      rewrite(*root, writer);
      assert_true(as_text(out) == changed);
    }
  }
  assert_true(accepted > 500);
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(well_formed_values_are_accepted),
      cmocka_unit_test(malformed_values_are_refused),
      cmocka_unit_test(only_strict_wants_order_and_an_end),
      cmocka_unit_test(errors_say_where),
      cmocka_unit_test(limits_hold),
      cmocka_unit_test(nesting_of_ten_thousand_is_refused_without_recursion),
      cmocka_unit_test(integers_outside_64_bits_are_no_integers),
      cmocka_unit_test(find_gives_the_exact_bytes_of_a_value),
      cmocka_unit_test(walking_and_writing_gives_the_same_bytes),
      cmocka_unit_test(message_tables_round_trip),
      cmocka_unit_test(message_tables_refuse_missing_double_and_mistyped_keys),
      cmocka_unit_test(every_truncation_is_refused),
      cmocka_unit_test(mutations_that_are_accepted_round_trip),
  };
  return RUN_TESTS(tests);
}
