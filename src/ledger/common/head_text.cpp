#include "ledger/common/head_text.h"

#include <algorithm>
#include <charconv>

namespace millet {
namespace {

// The next word of a line.
std::string_view take_word(std::string_view& rest) {
  size_t begin = rest.find_first_not_of(' ');
  rest.remove_prefix(begin == std::string_view::npos ? rest.size() : begin);
  std::string_view word = rest.substr(0, rest.find(' '));
  rest.remove_prefix(word.size());
  return word;
}

bool take_number(std::string_view& rest, uint64_t& out) {
  std::string_view word = take_word(rest);
  auto [end, failure] = std::from_chars(word.data(), word.data() + word.size(), out);
  return !word.empty() && failure == std::errc() && end == word.data() + word.size();
}

bool take_hex(std::string_view& rest, MutBytes out) { return from_hex(take_word(rest), out).has_value(); }

}  // namespace

std::string write_head_text(const HeadText& head) {
  return std::string(k_head_title) + " " + head.ledger.hex() + " " + std::to_string(head.head.size) + " " + to_hex(head.head.root) + " " +
         std::to_string(head.head.time.in_seconds()) + " " + head.head.signature.hex();
}

Result<HeadText> parse_head_text(std::string_view text) {
  HeadText out;
  uint64_t time_s = 0;
  std::string_view rest = text.substr(std::min(text.find_first_not_of(' '), text.size()));
  bool good = rest.starts_with(k_head_title);
  rest.remove_prefix(good ? k_head_title.size() : 0);
  good = good && take_hex(rest, out.ledger.raw) && take_number(rest, out.head.size) && take_hex(rest, out.head.root) &&
         take_number(rest, time_s) && take_hex(rest, out.head.signature.raw) && take_word(rest).empty();
  if (!good) return error(Errc::bad_input, "not a line of a ledger's tree head");
  out.head.time = LedgerTime::from_seconds(time_s);
  return out;
}

}  // namespace millet
