// codec: configuration files in UCI syntax.
#include "codec/uci.h"

#include <string>

#include "unit/test.h"

using namespace millet;

// "type.name.option=value" per entry, list values with "+="; "!" and the reason at an error.
static std::string read(std::string_view text) {
  Result<std::vector<uci::Entry>> entries = uci::parse(text);
  if (!entries) return "!" + entries.error().reason;
  std::string out;
  for (const uci::Entry& entry : *entries) {
    out += entry.section_type + "." + entry.section_name + "." + entry.option + (entry.is_list ? "+=" : "=") + entry.value + "|";
  }
  return out;
}

static void sections_options_and_lists_are_read(void**) {
  const char* text =
      "package millet\n"
      "\n"
      "# a comment\n"
      "config millet 'node'\n"
      "\toption listen '[::]:6881'   # another\n"
      "\tlist tracker http://a/b\n"
      "  list\ttracker \"http://c/d\"\r\n"
      "config empty\n"
      "config speed\n"
      "option enabled 1";
  assert_string_equal(read(text).c_str(),
                      "millet.node.listen=[::]:6881|millet.node.tracker+=http://a/b|millet.node.tracker+=http://c/d|speed..enabled=1|");
}

static void quoting_follows_uci(void**) {
  struct {
    const char* word;
    const char* value;
  } table[] = {
      {"''", ""},
      {"\"\"", ""},
      {"'a b'", "a b"},
      {"\"a b\"", "a b"},
      {"'a\"b'", "a\"b"},
      {"\"a'b\"", "a'b"},
      {"'a\\b'", "a\\b"},
      {"\"a\\\"b\"", "a\"b"},
      {"\"a\\\\b\"", "a\\b"},
      {"a\\ b", "a b"},
      {"'a'\\''b'", "a'b"},
      {"a'b'\"c\"d", "abcd"},
      {"'a#b;c'", "a#b;c"},
      {"a#b", "a"},
      {"a\\#b", "a#b"},
      {"\xc3\xa9", "\xc3\xa9"},
      {"'\t'", "\t"},
  };
  for (const auto& row : table) {
    std::string expected = std::string("t.n.o=") + row.value + "|";
    assert_string_equal(read(std::string("config t n\noption o ") + row.word).c_str(), expected.c_str());
  }
}

static void semicolons_end_statements(void**) {
  assert_string_equal(read("config t n; option a 1;option b 2 ;; # end").c_str(), "t.n.a=1|t.n.b=2|");
}

static void lines_are_counted(void**) {
  Result<std::vector<uci::Entry>> entries = uci::parse("\n\nconfig t n\n\noption a 1\noption b 2\n");
  assert_int_equal((*entries)[0].line, 5);
  assert_int_equal((*entries)[1].line, 6);
}

static void mistakes_are_named_with_their_line(void**) {
  struct {
    const char* text;
    const char* says;
  } table[] = {
      {"option a 1", "!line 1: 'a' stands before the first section"},
      {"config t n\n\noption a", "!line 3: a value is written: option NAME 'VALUE'"},
      {"config t n\noption a b c", "!line 2: a value is written"},
      {"config t n\nlist a", "!line 2: a value is written: list NAME 'VALUE'"},
      {"config", "!line 1: a section is written: config TYPE 'NAME'"},
      {"config a b c", "!line 1: a section is written"},
      {"config 'a b'", "!line 1: section type 'a b' has other than"},
      {"config t 'a-b'", "!line 1: section name 'a-b' has other than"},
      {"config t n\noption 'a.b' 1", "!line 2: option name 'a.b' has other than"},
      {"config t n\noption a 'b\noption c d'", "!line 2: has a quote that is not closed"},
      {"config t n\noption a \"b\\\"", "!line 2: has a quote that is not closed"},
      {"config t n\noption a b\\", "!line 2: ends with a backslash"},
      {"listen = 1", "!line 1: 'listen' is neither config, option nor list"},
      {"config t n\n{", "!line 2: '{' is neither"},
  };
  for (const auto& row : table) {
    std::string got = read(row.text);
    if (got.find(row.says) != 0) print_message("got: %s\nwanted: %s\n", got.c_str(), row.says);
    assert_true(got.find(row.says) == 0);
  }
  assert_string_equal(read(std::string_view("config t n\noption a \0", 21)).c_str(), "!line 2: has a zero byte: this is no text");
}

static void the_number_of_options_is_bounded(void**) {
  std::string text = "config t n\n";
  for (size_t i = 0; i < uci::k_entries_max; ++i) text += "list a b\n";
  assert_true(uci::parse(text).has_value());
  assert_true(uci::parse(text + "list a b\n").error().code == Errc::no_room);
}

static void mutations_are_survived(void**) {
  const std::string text = "config t 'n'\noption a \"b\\\"c\" # d\nlist e 'f';option g h\\ i\n";
  size_t accepted = 0;
  for (size_t at = 0; at < text.size(); ++at) {
    for (int value = 0; value < 256; ++value) {
      std::string changed = text;
      changed[at] = static_cast<char>(value);
      accepted += uci::parse(changed).has_value();
      (void)uci::parse(changed.substr(0, at)).has_value();
    }
  }
  assert_true(accepted > 1000);
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(sections_options_and_lists_are_read),
      cmocka_unit_test(quoting_follows_uci),
      cmocka_unit_test(semicolons_end_statements),
      cmocka_unit_test(lines_are_counted),
      cmocka_unit_test(mistakes_are_named_with_their_line),
      cmocka_unit_test(the_number_of_options_is_bounded),
      cmocka_unit_test(mutations_are_survived),
  };
  return RUN_TESTS(tests);
}
