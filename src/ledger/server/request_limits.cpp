#include "ledger/server/request_limits.h"

namespace millet {

IpAddress one_sender(const IpAddress& address) {
  if (address.is_v4()) return address;
  std::array<uint8_t, 16> raw{};
  std::memcpy(raw.data(), address.raw().data(), 8);
  return IpAddress::v6(raw);
}

bool RequestLimits::take(Instant now, const IpAddress& from, uint64_t requests) {
  // Its own bucket first: one that asks too much takes nothing from its neighbours.
  return count(addresses_.take(now, one_sender(from), requests) && networks_.take(now, from.network(), requests));
}

}  // namespace millet
