#include "codec/uci.h"

#include <algorithm>

#include "base/bytes.h"

namespace millet::uci {
namespace {

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r'; }

bool is_name(std::string_view text) {
  auto is_name_character = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  return !text.empty() && std::all_of(text.begin(), text.end(), is_name_character);
}

// Splits one line into the words of its statements.
class Words {
 public:
  explicit Words(std::string_view line) : rest_(line) {}

  // The words of the next statement, none at the end of the line. Returns what is wrong, or null.
  const char* next_statement(std::vector<std::string>& words) {
    words.clear();
    while (true) {
      while (!rest_.empty() && is_space(rest_.front())) rest_.remove_prefix(1);
      if (rest_.empty() || rest_.front() == '#') {
        rest_ = {};
        return nullptr;
      }
      if (rest_.front() == ';') {
        rest_.remove_prefix(1);
        if (!words.empty()) return nullptr;
        continue;
      }
      if (const char* wrong = take_word(words.emplace_back())) return wrong;
    }
  }

 private:
  const char* take_word(std::string& word) {
    char quote = '\0';
    while (!rest_.empty()) {
      char c = rest_.front();
      bool ends = is_space(c) || c == '#' || c == ';';
      if (quote == '\0' && ends) return nullptr;
      rest_.remove_prefix(1);
      if (quote == '\0' && (c == '\'' || c == '"')) {
        quote = c;
      } else if (c == quote && quote != '\0') {
        quote = '\0';
      } else if (c == '\\' && quote != '\'') {
        if (rest_.empty()) return "ends with a backslash";
        word += rest_.front();
        rest_.remove_prefix(1);
      } else {
        word += c;
      }
    }
    return quote == '\0' ? nullptr : "has a quote that is not closed";
  }

  std::string_view rest_;
};

class Parser {
 public:
  Result<std::vector<Entry>> run(std::string_view text) {
    while (!text.empty()) {
      size_t end = text.find('\n');
      std::string_view line = text.substr(0, end);
      text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
      ++line_;
      TRY(parse_line(line));
    }
    return std::move(entries_);
  }

 private:
  Error refuse(const std::string& wrong) const { return error(Errc::bad_input, "line " + std::to_string(line_) + ": " + wrong); }

  Status parse_line(std::string_view line) {
    if (line.find('\0') != std::string_view::npos) return refuse("has a zero byte: this is no text");
    Words words(line);
    std::vector<std::string> statement;
    while (true) {
      if (const char* wrong = words.next_statement(statement)) return refuse(wrong);
      if (statement.empty()) return ok;
      TRY(parse_statement(statement));
    }
  }

  Status parse_statement(std::vector<std::string>& words) {
    if (words[0] == "config") return begin_section(words);
    if (words[0] == "option" || words[0] == "list") return add_entry(words);
    // `uci export` writes the file's name; it says nothing that we need.
    if (words[0] == "package" && words.size() == 2) return ok;
    return refuse("'" + printable(words[0]) + "' is neither config, option nor list");
  }

  Status begin_section(std::vector<std::string>& words) {
    if (words.size() < 2 || words.size() > 3) return refuse("a section is written: config TYPE 'NAME'");
    if (!is_name(words[1])) return refuse("section type '" + printable(words[1]) + "' has other than letters, digits and _");
    bool has_name = words.size() == 3 && !words[2].empty();
    if (has_name && !is_name(words[2])) return refuse("section name '" + printable(words[2]) + "' has other than letters, digits and _");
    in_section_ = true;
    section_type_ = words[1];
    section_name_ = has_name ? words[2] : std::string();
    return ok;
  }

  Status add_entry(std::vector<std::string>& words) {
    if (words.size() != 3) return refuse("a value is written: " + words[0] + " NAME 'VALUE', with quotes around a value with spaces");
    if (!in_section_) return refuse("'" + printable(words[1]) + "' stands before the first section (config TYPE 'NAME')");
    if (!is_name(words[1])) return refuse("option name '" + printable(words[1]) + "' has other than letters, digits and _");
    if (entries_.size() == k_entries_max) return error(Errc::no_room, "more than " + std::to_string(k_entries_max) + " options");
    entries_.push_back({section_type_, section_name_, std::move(words[1]), std::move(words[2]), words[0] == "list", line_});
    return ok;
  }

  std::vector<Entry> entries_;
  uint32_t line_ = 0;
  bool in_section_ = false;
  std::string section_type_;
  std::string section_name_;
};

}  // namespace

Result<std::vector<Entry>> parse(std::string_view text) { return Parser().run(text); }

}  // namespace millet::uci
