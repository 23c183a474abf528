// http and https URLs (RFC 3986), strictly: what a tracker or the ledger can be reached by. No user names, no relative references, and
// nothing that would have to be guessed at.
//
//   http[s]://host[:port][/path][?query][#fragment]        host: a name, an IPv4 address, or an IPv6 address in brackets
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace millet {

inline constexpr size_t k_url_size_max = 4096;  // a tracker's URL of 2048 bytes with everything that an announce adds
inline constexpr size_t k_host_size_max = 253;  // the longest DNS name

struct Url {
  // Which URLs are taken: a certificate authority is not known here, so only who has another way to know whom it talks to takes https.
  enum class Schemes : uint8_t { http, http_and_https };
  std::string host;  // lower case, an IPv6 address without brackets
  bool is_ipv6 = false;
  bool tls = false;
  uint16_t port = 80;  // never 0; 443 is the default of https
  std::string target;  // path and query, from the '/' on; no fragment

  // Errors: unsupported for another scheme; bad_input with what is wrong.
  static Result<Url> parse(std::string_view text, Schemes schemes = Schemes::http);
  // "host", "host:8080", "[::1]:8080": for a Host header. The scheme's default port is left out.
  std::string authority() const;
  std::string to_string() const { return (tls ? "https://" : "http://") + authority() + target; }
};

// Appends text with every byte but RFC 3986's unreserved ones as %XX.
void append_percent_encoded(std::string_view text, std::string& out);

}  // namespace millet
