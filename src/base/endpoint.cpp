#include "base/endpoint.h"

#include <arpa/inet.h>

#include <algorithm>

namespace millet {

IpAddress IpAddress::v4(const std::array<uint8_t, 4>& raw) {
  IpAddress out;
  std::copy(raw.begin(), raw.end(), out.raw_.begin());
  return out;
}

IpAddress IpAddress::v6(const std::array<uint8_t, 16>& raw) {
  static constexpr uint8_t k_mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (std::memcmp(raw.data(), k_mapped, sizeof k_mapped) == 0) return v4({raw[12], raw[13], raw[14], raw[15]});
  IpAddress out;
  out.v4_ = false;
  out.raw_ = raw;
  return out;
}

Result<IpAddress> IpAddress::parse(std::string_view text) {
  std::string copy(text.substr(0, 64));
  std::array<uint8_t, 16> raw{};
  if (inet_pton(AF_INET, copy.c_str(), raw.data()) == 1) return v4({raw[0], raw[1], raw[2], raw[3]});
  if (inet_pton(AF_INET6, copy.c_str(), raw.data()) == 1) return v6(raw);
  return error(Errc::bad_input, "'" + printable(text) + "' is not an IP address");
}

bool IpAddress::is_any() const {
  return std::all_of(raw_.begin(), raw_.end(), [](uint8_t byte) { return byte == 0; });
}

bool IpAddress::is_loopback() const {
  if (v4_) return raw_[0] == 127;
  return std::all_of(raw_.begin(), raw_.end() - 1, [](uint8_t byte) { return byte == 0; }) && raw_[15] == 1;
}

bool IpAddress::is_unusable() const {
  if (v4_) return raw_[0] == 0 || raw_[0] >= 224;
  return is_any() || raw_[0] == 0xff;
}

IpAddress IpAddress::network() const {
  IpAddress out = *this;
  std::fill(out.raw_.begin() + (v4_ ? 3 : 6), out.raw_.end(), uint8_t{0});
  return out;
}

std::string IpAddress::to_string() const {
  char text[INET6_ADDRSTRLEN] = {};
  inet_ntop(v4_ ? AF_INET : AF_INET6, raw_.data(), text, sizeof text);
  return text;
}

Result<Endpoint> Endpoint::parse(std::string_view text) {
  auto refuse = [&] { return error(Errc::bad_input, "'" + printable(text) + "' is not ADDRESS:PORT (an IPv6 address goes in brackets)"); };
  size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return refuse();
  std::string_view host = text.substr(0, colon);
  std::string_view port = text.substr(colon + 1);
  bool bracketed = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  Result<IpAddress> address = IpAddress::parse(host);
  if (!address || (!bracketed && host.find(':') != std::string_view::npos)) return refuse();
  if (port.empty() || port.size() > 5) return refuse();
  uint32_t number = 0;
  for (char c : port) {
    if (c < '0' || c > '9') return refuse();
    number = number * 10 + static_cast<uint32_t>(c - '0');
  }
  if (number > 65535) return refuse();
  return Endpoint{*address, static_cast<uint16_t>(number)};
}

std::string Endpoint::to_string() const {
  std::string host = address.to_string();
  return (address.is_v4() ? host : "[" + host + "]") + ":" + std::to_string(port);
}

}  // namespace millet
