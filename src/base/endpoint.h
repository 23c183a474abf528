// An internet address and port. IPv4 is kept as IPv4 (never as a mapped IPv6 address), so that equal peers compare equal.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace millet {

class IpAddress {
 public:
  IpAddress() = default;  // 0.0.0.0
  static IpAddress v4(const std::array<uint8_t, 4>& raw);
  // An IPv4-mapped address (::ffff:0:0/96) becomes IPv4.
  static IpAddress v6(const std::array<uint8_t, 16>& raw);
  // "192.0.2.1", "2001:db8::1"; no names. Errors: bad_input.
  static Result<IpAddress> parse(std::string_view text);

  bool is_v4() const { return v4_; }
  // 4 or 16 bytes in network order.
  Bytes raw() const { return Bytes(raw_).first(v4_ ? 4 : 16); }
  bool is_any() const;       // 0.0.0.0 or ::
  bool is_loopback() const;  // 127/8 or ::1
  // Not an address that a peer can have: 0/8, multicast, broadcast, and their IPv6 kin.
  bool is_unusable() const;
  // What limits per network count: the /24 of an IPv4 address, the /48 of an IPv6 address.
  IpAddress network() const;
  std::string to_string() const;
  bool operator==(const IpAddress&) const = default;
  // IPv6 before IPv4.
  std::strong_ordering operator<=>(const IpAddress& other) const {
    return v4_ != other.v4_ ? v4_ <=> other.v4_ : compare(raw_, other.raw_);
  }

 private:
  bool v4_ = true;
  std::array<uint8_t, 16> raw_{};
};

struct Endpoint {
  IpAddress address;
  uint16_t port = 0;

  // "192.0.2.1:6881", "[2001:db8::1]:6881". Errors: bad_input.
  static Result<Endpoint> parse(std::string_view text);
  std::string to_string() const;
  auto operator<=>(const Endpoint&) const = default;
};

}  // namespace millet
