#include "hal/linux/resolver.h"

#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>

#include "hal/linux/address.h"

namespace millet::hal {
namespace {

constexpr size_t k_addresses_max = 8;  // a tracker behind more has enough with these

IpAddress address_of(const addrinfo& from) {
  SocketAddress address;
  std::memcpy(&address.storage, from.ai_addr, from.ai_addrlen);
  return from_system(address).address;
}

}  // namespace

Result<std::vector<IpAddress>> LinuxResolver::resolve(const std::string& name) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG;
  addrinfo* list = nullptr;
  int failed = getaddrinfo(name.c_str(), nullptr, &hints, &list);
  if (failed != 0) {
    bool unknown = failed == EAI_NONAME || failed == EAI_FAIL;
    return error(unknown ? Errc::not_found : Errc::unavailable, "host name '" + printable(name) + "': " + gai_strerror(failed));
  }
  std::vector<IpAddress> out;
  for (const addrinfo* entry = list; entry != nullptr && out.size() < k_addresses_max; entry = entry->ai_next) {
    if (entry->ai_family != AF_INET && entry->ai_family != AF_INET6) continue;
    IpAddress address = address_of(*entry);
    if (std::find(out.begin(), out.end(), address) == out.end()) out.push_back(address);
  }
  freeaddrinfo(list);
  if (out.empty()) return error(Errc::not_found, "host name '" + printable(name) + "' has no address");
  return out;
}

}  // namespace millet::hal
