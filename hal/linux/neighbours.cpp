#include "hal/linux/neighbours.h"

#include <ifaddrs.h>
#include <netinet/in.h>
#include <string.h>

#include <bit>

#include "hal/linux/address.h"

namespace millet::hal {
namespace {

constexpr uint64_t k_list_every_ms = 60'000;

bool share_prefix(const IpAddress& a, const IpAddress& b, unsigned bits) {
  if (a.is_v4() != b.is_v4() || bits > a.raw().size() * 8) return false;
  for (size_t i = 0; i < a.raw().size() && bits != 0; ++i) {
    unsigned here = bits < 8 ? bits : 8;
    if ((a.raw()[i] ^ b.raw()[i]) >> (8 - here) != 0) return false;
    bits -= here;
  }
  return true;
}

// RFC 1918 section 3, RFC 4193 section 3.1.
bool is_private(const IpAddress& address) {
  Bytes raw = address.raw();
  if (!address.is_v4()) return (raw[0] & 0xfe) == 0xfc;
  return raw[0] == 10 || (raw[0] == 172 && raw[1] >> 4 == 1) || (raw[0] == 192 && raw[1] == 168);
}

// RFC 3927, RFC 4291 section 2.5.6.
bool is_link_local(const IpAddress& address) {
  Bytes raw = address.raw();
  return address.is_v4() ? raw[0] == 169 && raw[1] == 254 : raw[0] == 0xfe && (raw[1] & 0xc0) == 0x80;
}

IpAddress address_of(const sockaddr* from) {
  SocketAddress address;
  address.size = from->sa_family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
  memcpy(&address.storage, from, address.size);
  return from_system(address).address;
}

unsigned prefix_of(const IpAddress& mask) {
  unsigned bits = 0;
  for (uint8_t byte : mask.raw()) bits += static_cast<unsigned>(std::popcount(byte));
  return bits;
}

}  // namespace

void Neighbours::list() {
  networks_.clear();
  ifaddrs* first = nullptr;
  if (::getifaddrs(&first) != 0) return;
  for (const ifaddrs* entry = first; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr || entry->ifa_netmask == nullptr) continue;
    int family = entry->ifa_addr->sa_family;
    if (family != AF_INET && family != AF_INET6) continue;
    networks_.push_back({address_of(entry->ifa_addr), prefix_of(address_of(entry->ifa_netmask))});
  }
  ::freeifaddrs(first);
}

bool Neighbours::contains(const IpAddress& address, uint64_t now_ms) {
  if (address.is_loopback() || is_link_local(address)) return true;
  if (now_ms >= list_again_ms_) {
    list();
    list_again_ms_ = now_ms + k_list_every_ms;
  }
  for (const Network& network : networks_) {
    if (network.address == address || (is_private(address) && share_prefix(network.address, address, network.prefix))) return true;
  }
  return false;
}

}  // namespace millet::hal
