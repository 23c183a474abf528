#include "codec/url.h"

#include <algorithm>

#include "base/endpoint.h"

namespace millet {
namespace {

constexpr uint16_t k_http_port = 80;
constexpr uint16_t k_https_port = 443;

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_alphanumeric(char c) { return is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'z'); }

bool is_name_character(char c) { return is_alphanumeric(c) || c == '-' || c == '.' || c == '_'; }

Error refuse(std::string_view text, const std::string& wrong) {
  return error(Errc::bad_input, "URL '" + printable(text, 128) + "' " + wrong);
}

// The scheme and "//" taken off the front.
Status take_scheme(std::string_view text, Url::Schemes schemes, std::string_view& rest, bool& tls) {
  size_t end = text.find("://");
  if (end == std::string_view::npos || end == 0) return refuse(text, "does not start with http://");
  std::string scheme;
  for (char c : text.substr(0, end)) scheme += lower(c);
  if (!std::all_of(scheme.begin(), scheme.end(), [](char c) { return is_alphanumeric(c) || c == '+' || c == '-' || c == '.'; })) {
    return refuse(text, "does not start with http://");
  }
  tls = schemes == Url::Schemes::http_and_https && scheme == "https";
  if (scheme != "http" && !tls) {
    return error(Errc::unsupported, "URL '" + printable(text, 128) + "': " + printable(scheme, 16) + " is not supported, only http");
  }
  rest = text.substr(end + 3);
  return ok;
}

// What is wrong with a port, or null.
const char* parse_port(std::string_view text, uint16_t& port) {
  if (text.empty() || text.size() > 5 || !std::all_of(text.begin(), text.end(), is_digit)) return "has no proper port";
  uint32_t number = 0;
  for (char c : text) number = number * 10 + static_cast<uint32_t>(c - '0');
  if (number == 0 || number > 65535) return "has a port outside 1 to 65535";
  port = static_cast<uint16_t>(number);
  return nullptr;
}

const char* parse_authority(std::string_view authority, Url& out) {
  if (authority.find('@') != std::string_view::npos) return "has a user name: that is not supported";
  std::string_view host = authority;
  std::string_view port;
  bool has_port = false;
  if (!authority.empty() && authority[0] == '[') {
    size_t end = authority.find(']');
    if (end == std::string_view::npos) return "has an IPv6 address without ']'";
    host = authority.substr(1, end - 1);
    std::string_view behind = authority.substr(end + 1);
    if (!behind.empty() && behind[0] != ':') return "has something between ']' and the port";
    has_port = !behind.empty();
    if (has_port) port = behind.substr(1);
    if (host.find(':') == std::string_view::npos || !IpAddress::parse(host)) return "has no proper IPv6 address in its brackets";
    out.is_ipv6 = true;
  } else {
    size_t colon = authority.find(':');
    has_port = colon != std::string_view::npos;
    if (has_port) port = authority.substr(colon + 1);
    host = authority.substr(0, colon);
    if (host.empty()) return "has no host";
    if (host.size() > k_host_size_max) return "has a host name that is too long";
    if (!std::all_of(host.begin(), host.end(), is_name_character)) return "has a character in its host that does not belong there";
  }
  for (char c : host) out.host += lower(c);
  return has_port ? parse_port(port, out.port) : nullptr;
}

}  // namespace

Result<Url> Url::parse(std::string_view text, Schemes schemes) {
  if (text.size() > k_url_size_max) return refuse(text, "is longer than " + std::to_string(k_url_size_max) + " bytes");
  for (char c : text) {
    if (c <= 0x20 || c >= 0x7f) return refuse(text, "has a space or control character, or one that is not ASCII: write it as %XX");
  }
  std::string_view rest;
  Url out;
  TRY(take_scheme(text, schemes, rest, out.tls));
  if (out.tls) out.port = k_https_port;
  rest = rest.substr(0, rest.find('#'));
  size_t end = rest.find_first_of("/?\\");
  if (end != std::string_view::npos && rest[end] == '\\') return refuse(text, "has a '\\' where its path begins");
  if (const char* wrong = parse_authority(rest.substr(0, end), out)) return refuse(text, wrong);
  std::string_view target = end == std::string_view::npos ? std::string_view() : rest.substr(end);
  if (target.empty() || target[0] != '/') out.target = "/";
  out.target += target;
  return out;
}

std::string Url::authority() const {
  std::string out = is_ipv6 ? "[" + host + "]" : host;
  if (port != (tls ? k_https_port : k_http_port)) out += ":" + std::to_string(port);
  return out;
}

void append_percent_encoded(std::string_view text, std::string& out) {
  static constexpr char k_digits[] = "0123456789ABCDEF";
  for (char c : text) {
    if (is_alphanumeric(c) || c == '-' || c == '.' || c == '_' || c == '~') {
      out += c;
    } else {
      uint8_t byte = static_cast<uint8_t>(c);
      out += '%';
      out += k_digits[byte >> 4];
      out += k_digits[byte & 15];
    }
  }
}

}  // namespace millet
