#include "hal/linux/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

namespace millet::hal {

SocketAddress to_system(const Endpoint& endpoint) {
  SocketAddress out;
  Bytes raw = endpoint.address.raw();
  if (endpoint.address.is_v4()) {
    sockaddr_in v4 = {};
    v4.sin_family = AF_INET;
    v4.sin_port = htons(endpoint.port);
    std::memcpy(&v4.sin_addr, raw.data(), raw.size());
    std::memcpy(&out.storage, &v4, sizeof v4);
    out.size = sizeof v4;
    return out;
  }
  sockaddr_in6 v6 = {};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(endpoint.port);
  std::memcpy(&v6.sin6_addr, raw.data(), raw.size());
  std::memcpy(&out.storage, &v6, sizeof v6);
  out.size = sizeof v6;
  return out;
}

SocketAddress to_system_v6(const Endpoint& endpoint) {
  if (!endpoint.address.is_v4()) return to_system(endpoint);
  SocketAddress out;
  sockaddr_in6 v6 = {};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(endpoint.port);
  v6.sin6_addr.s6_addr[10] = v6.sin6_addr.s6_addr[11] = 0xff;
  std::memcpy(&v6.sin6_addr.s6_addr[12], endpoint.address.raw().data(), 4);
  std::memcpy(&out.storage, &v6, sizeof v6);
  out.size = sizeof v6;
  return out;
}

in_pktinfo to_packet_info(const IpAddress& from) {
  in_pktinfo out = {};
  std::memcpy(&out.ipi_spec_dst, from.raw().data(), sizeof out.ipi_spec_dst);
  return out;
}

in6_pktinfo to_packet_info_v6(const IpAddress& from) {
  in6_pktinfo out = {};
  uint8_t* to = out.ipi6_addr.s6_addr;
  Bytes raw = from.raw();
  if (from.is_v4()) to[10] = to[11] = 0xff;
  std::memcpy(from.is_v4() ? to + 12 : to, raw.data(), raw.size());
  return out;
}

// The address of the interface that it came to: also of a broadcast, which nothing can be sent from.
IpAddress from_packet_info(const in_pktinfo& info) {
  std::array<uint8_t, 4> raw{};
  std::memcpy(raw.data(), &info.ipi_spec_dst, raw.size());
  return IpAddress::v4(raw);
}

IpAddress from_packet_info(const in6_pktinfo& info) {
  std::array<uint8_t, 16> raw{};
  std::memcpy(raw.data(), &info.ipi6_addr, raw.size());
  return IpAddress::v6(raw);
}

Endpoint from_system(const SocketAddress& address) {
  if (address.family() == AF_INET) {
    sockaddr_in v4 = {};
    std::memcpy(&v4, &address.storage, sizeof v4);
    std::array<uint8_t, 4> raw{};
    std::memcpy(raw.data(), &v4.sin_addr, raw.size());
    return {IpAddress::v4(raw), ntohs(v4.sin_port)};
  }
  if (address.family() == AF_INET6) {
    sockaddr_in6 v6 = {};
    std::memcpy(&v6, &address.storage, sizeof v6);
    std::array<uint8_t, 16> raw{};
    std::memcpy(raw.data(), &v6.sin6_addr, raw.size());
    return {IpAddress::v6(raw), ntohs(v6.sin6_port)};
  }
  return {};
}

}  // namespace millet::hal
