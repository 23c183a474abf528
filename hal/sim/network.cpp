#include "hal/sim/network.h"

#include <algorithm>

#include "hal/sim/world.h"

namespace millet::sim {
namespace {

constexpr size_t k_packet_size = 1448;  // an Ethernet frame's TCP payload
constexpr Duration k_loopback_delay = Duration::us(10);
constexpr Duration k_retransmit_timeout = Duration::ms(200);  // Linux: the smallest RTO

}  // namespace

Network::Network(World& world) : random_(world.random("network")) {}

void Network::add_machine(const std::vector<IpAddress>& addresses, const LinkOptions& link) {
  uint32_t index = static_cast<uint32_t>(links_.size());
  links_.push_back(link);
  addresses_.push_back(addresses);
  groups_.push_back(0);
  for (const IpAddress& address : addresses) {
    bool is_new = owners_.emplace(address, index).second;
    CHECK(is_new);
  }
}

int Network::find(uint32_t from, const IpAddress& address) const {
  if (address.is_loopback()) return static_cast<int>(from);
  auto owner = owners_.find(address);
  return owner == owners_.end() ? -1 : static_cast<int>(owner->second);
}

IpAddress Network::source_address(uint32_t from, const IpAddress& to) const {
  if (to.is_loopback()) return to;
  for (const IpAddress& own : addresses_.at(from)) {
    if (own.is_v4() == to.is_v4()) return own;
  }
  return to.is_v4() ? IpAddress::v4({127, 0, 0, 1}) : to;
}

void Network::partition(std::span<const uint32_t> isolated) {
  uint32_t group = next_group_++;
  for (uint32_t machine : isolated) groups_.at(machine) = group;
}

void Network::heal() { std::fill(groups_.begin(), groups_.end(), 0); }

Duration Network::delay(uint32_t a, uint32_t b) const {
  if (a == b) return k_loopback_delay;
  return links_.at(a).delay + links_.at(b).delay;
}

bool Network::packet_lost(uint32_t a, uint32_t b) {
  uint32_t loss_ppm = a == b ? 0 : links_.at(a).loss_ppm + links_.at(b).loss_ppm;
  return loss_ppm != 0 && random_.below(1'000'000) < loss_ppm;
}

Duration Network::extra_delay(uint32_t a, uint32_t b, size_t bytes) {
  if (a == b) return Duration();
  Duration extra;
  uint64_t jitter_us = static_cast<uint64_t>((links_.at(a).jitter + links_.at(b).jitter).in_us());
  if (jitter_us != 0) extra = Duration::us(static_cast<int64_t>(random_.below(jitter_us + 1)));
  Duration round_trip = delay(a, b) * 2;
  for (size_t sent = 0; sent < bytes; sent += k_packet_size) {
    if (!packet_lost(a, b)) continue;
    // Packets behind it tell the sender soon (fast retransmit); when the copy is lost too, only a time-out does, and each one doubles.
    Duration repair = round_trip;
    Duration timeout = k_retransmit_timeout + round_trip;
    while (packet_lost(a, b) && timeout < Duration::seconds(10)) {
      repair = repair + timeout;
      timeout = timeout * 2;
    }
    extra = std::max(extra, repair);
  }
  return extra;
}

const std::vector<IpAddress>* Network::resolve(const std::string& name) const {
  auto found = names_.find(name);
  return found == names_.end() ? nullptr : &found->second;
}

}  // namespace millet::sim
