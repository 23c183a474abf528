#include "apps/store_name.h"

#include <algorithm>
#include <cctype>

namespace millet {
namespace {

constexpr std::string_view k_hidden = "***";
constexpr std::string_view k_password = "password";

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

size_t skip_spaces(std::string_view text, size_t at) {
  while (at < text.size() && is_space(text[at])) ++at;
  return at;
}

// Where the value ends that begins at `at`; a quote that nobody closes hides the rest.
size_t end_of_value(std::string_view text, size_t at, bool is_uri) {
  if (is_uri) return std::min(text.find('&', at), text.size());
  bool quoted = at < text.size() && text[at] == '\'';
  if (quoted) ++at;
  for (; at < text.size(); ++at) {
    if (text[at] == '\\') {
      ++at;
    } else if (quoted ? text[at] == '\'' : is_space(text[at])) {
      return quoted ? at + 1 : at;
    }
  }
  return text.size();
}

// user:password@ of a URI: what stands between the first colon and the last @, as a password that is not encoded may hold others.
void hide_of_user(std::string& uri) {
  size_t begin = uri.find("://");
  size_t at = uri.rfind('@', uri.find('?'));
  if (begin == std::string::npos || at == std::string::npos || at < begin + 3) return;
  size_t colon = uri.find(':', begin + 3);
  if (colon < at) uri.replace(colon + 1, at - colon - 1, k_hidden);
}

}  // namespace

std::string without_passwords(std::string_view name) {
  std::string text(name);
  const bool is_uri = text.find("://") != std::string::npos;
  if (is_uri) hide_of_user(text);
  std::string low = text;
  std::transform(low.begin(), low.end(), low.begin(),
                 [](char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); });
  std::string out;
  size_t copied = 0;
  for (size_t found = low.find(k_password); found != std::string::npos; found = low.find(k_password, found)) {
    size_t equals = skip_spaces(text, found + k_password.size());
    if (equals >= text.size() || text[equals] != '=') {
      found += k_password.size();
      continue;
    }
    size_t begin = is_uri ? equals + 1 : skip_spaces(text, equals + 1);
    out.append(text, copied, begin - copied).append(k_hidden);
    found = copied = end_of_value(text, begin, is_uri);
  }
  return out.append(text, copied, std::string::npos);
}

}  // namespace millet
