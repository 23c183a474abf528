// Two uTP engines with a link between them, and every packet on it: what the tests of the engine's rules share.
#pragma once

#include "unit/utp_world.h"

namespace millet {

constexpr Instant at_seconds(int64_t seconds) { return Instant::from_us(seconds * 1'000'000); }

// Every packet that was sent, in order.
struct Wire {
  struct Sent {
    Endpoint from;
    UtpHeader header;
    size_t sack = 0;
    size_t payload = 0;
    Instant at;
  };
  UtpWorld* world = nullptr;
  std::vector<Sent> packets;

  static void tap(void* context, const UtpWorld::Node& from, const Endpoint&, Bytes bytes) {
    Wire& wire = *static_cast<Wire*>(context);
    UtpPacket packet;
    if (!decode_utp(bytes, packet)) return;
    wire.packets.push_back({from.address, packet.header, packet.sack.size(), packet.payload.size(), wire.world->now()});
  }
  void watch(UtpWorld& watched) {
    world = &watched;
    watched.tap = tap;
    watched.tap_context = this;
  }
  std::vector<Sent> of(const UtpWorld::Node& node, UtpType type) const {
    std::vector<Sent> out;
    for (const Sent& packet : packets) {
      if (packet.from == node.address && packet.header.type == type) out.push_back(packet);
    }
    return out;
  }
};

// Two nodes and the packets between them.
struct Pair {
  UtpWorld world{1};
  UtpWorld::Node& a;
  UtpWorld::Node& b;
  UtpLink& there;
  UtpLink& back;
  Wire wire;

  explicit Pair(const UtpLink& link = {}, const UtpOptions& options = {}, bool v6 = false)
      : a(world.add(options, v6)), b(world.add(options, v6)), there(world.add_link(link)), back(world.add_link(link)) {
    world.route(a, b, {&there});
    world.route(b, a, {&back});
    wire.watch(world);
  }
  bool transfer(uint64_t bytes, int64_t seconds = 60) {
    world.connect(a, b, bytes);
    return world.run(world.now() + Duration::seconds(seconds), [&] { return b_received() == bytes; }) && !b.only().bad;
  }
  uint64_t b_received() const { return b.streams.empty() ? 0 : b.streams.begin()->second.received; }
  UtpWorld::Stream& at_a() { return a.only(); }
  UtpWorld::Stream& at_b() { return b.only(); }
};

inline std::vector<uint8_t> packet_bytes(const UtpHeader& header, size_t payload = 0) {
  std::vector<uint8_t> out(k_utp_header_size + payload);
  encode_utp(header, out);
  for (size_t i = 0; i < payload; ++i) out[k_utp_header_size + i] = utp_pattern(i);
  return out;
}

// What a peer of ours could be without being ours: packets by hand.
inline const Endpoint k_stranger = {IpAddress::v4({192, 0, 2, 7}), 5000};

inline UtpHeader first_of(Wire& wire, const UtpWorld::Node& node, UtpType type) {
  std::vector<Wire::Sent> found = wire.of(node, type);
  return found.empty() ? UtpHeader() : found.front().header;
}

}  // namespace millet
