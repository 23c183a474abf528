// Between Endpoint and the addresses of the system.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include "base/endpoint.h"

namespace millet::hal {

struct SocketAddress {
  sockaddr_storage storage = {};
  socklen_t size = sizeof(sockaddr_storage);
  sockaddr* raw() { return reinterpret_cast<sockaddr*>(&storage); }
  int family() const { return storage.ss_family; }
};

SocketAddress to_system(const Endpoint& endpoint);
// For an IPv6 socket: an IPv4 address as ::ffff:a.b.c.d.
SocketAddress to_system_v6(const Endpoint& endpoint);
// What a message's control data says of an address of ours (IP_PKTINFO, IPV6_PKTINFO): where it is to come from, where it came to. For an
// IPv6 socket IPv4 addresses are mapped ones.
in_pktinfo to_packet_info(const IpAddress& from);
in6_pktinfo to_packet_info_v6(const IpAddress& from);
IpAddress from_packet_info(const in_pktinfo& info);
IpAddress from_packet_info(const in6_pktinfo& info);
// 0.0.0.0:0 for what is not an internet address. Requires: the address came from the system.
Endpoint from_system(const SocketAddress& address);

}  // namespace millet::hal
