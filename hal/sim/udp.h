// Datagrams between machines: what a program sees of them through hal::Datagrams, packet by packet.
//
//   send() -> uplink queue -> loss, duplicates -> delay, jitter, reordering -> downlink queue -> on_datagrams
//
// A link's queue holds LinkOptions::queue_bytes and drops what comes on top; with a target delay it is also managed (CoDel, RFC 8289, which
// here decides when a packet comes in: in a first-in first-out queue of a known rate the time that it will wait is known then). Jitter
// keeps the order of packets; only the share that LinkOptions::reorder_ppm says is overtaken. These queues are not the ones of tcp.h:
// datagrams and connections do not slow each other down.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "base/random.h"
#include "hal/datagrams.h"
#include "hal/sim/event.h"
#include "hal/sim/network.h"

namespace millet::sim {

class World;

// Sees every datagram that leaves a program's socket and every one that reaches a socket: for checks of what really went over the wire.
class DatagramTap {
 public:
  virtual ~DatagramTap() = default;
  // Whatever becomes of it on its way.
  virtual void on_sent(uint32_t machine, const Endpoint& from, const Endpoint& to, Bytes datagram) = 0;
  // Before the program sees it.
  virtual void on_received(uint32_t machine, const Endpoint& from, const Endpoint& to, Bytes datagram) = 0;
  // No program is behind this port any more.
  virtual void on_socket_closed(uint32_t machine, uint16_t port) = 0;
};

// One direction of a link.
class LinkQueue {
 public:
  enum class Verdict : uint8_t { passes, full, managed };
  // A packet comes in; `leaves` is when its last bit has left. A rate of 0 is unlimited.
  Verdict enter(Instant now, size_t bytes, uint64_t rate, uint32_t queue_bytes_max, Duration aqm_target, Instant& leaves);
  // How long a packet that comes in now waits.
  Duration wait(Instant now) const;

 private:
  bool codel_drops(Instant now, Duration wait, Duration target);

  int64_t free_ns_ = 0;  // the link is free again; nanoseconds, because at 1 Gbit/s a packet takes 12 us
  Instant above_since_ = Instant::never();
  Instant next_drop_ = Instant::never();
  uint32_t drops_ = 0;  // of this row
};

// Of all machines together.
struct UdpCounters {
  uint64_t sent = 0;
  uint64_t delivered = 0;
  uint64_t lost = 0;         // at random
  uint64_t queue_drops = 0;  // a queue was full
  uint64_t aqm_drops = 0;    // a managed queue was too long
  uint64_t reordered = 0;
  uint64_t duplicated = 0;
  uint64_t above_mtu = 0;  // vanished at a link that does not take them
  uint64_t nowhere = 0;    // no machine, no power, a cut path, no socket
};

class Udp final : public EventTarget {
 public:
  static constexpr size_t k_header_v4 = 28;  // of IP and UDP
  static constexpr size_t k_header_v6 = 48;

  // One program's socket.
  struct Owner {
    uint32_t machine = 0;
    hal::DatagramEvents* events = nullptr;  // nothing is delivered while null
    bool is_bound = false;
    bool blocked = false;
    Endpoint local;
    hal::DatagramCounters counters;
  };

  Udp(World& world, Network& network, const NetworkOptions& options);

  Result<Endpoint> bind(Owner& owner, const Endpoint& local);
  bool send(Owner& owner, std::span<hal::OutgoingRun> runs);
  // Also when the program ends, however it ends.
  void close(Owner& owner);

  void set_tap(DatagramTap* tap) { tap_ = tap; }
  const UdpCounters& counters() const { return counters_; }
  // How long a packet that a machine sends now waits in its uplink's queue.
  Duration uplink_wait(uint32_t machine) const;

  void on_event(uint32_t kind, uint64_t a, uint64_t b) override;

 private:
  enum EventKind : uint32_t { k_arrive, k_deliver, k_unreachable, k_path_mtu, k_writable };
  struct Packet {
    uint32_t from_machine = 0;
    uint32_t to_machine = 0;
    Endpoint from;
    Endpoint to;
    bool may_fragment = false;
    std::vector<uint8_t> bytes;
  };
  struct Link {
    LinkQueue up;
    LinkQueue down;
    uint16_t next_port = 32768;
  };

  Link& link(uint32_t machine);
  Owner* find(uint32_t machine, const Endpoint& to);
  bool reachable(const Packet& packet) const;
  bool is_full(const Owner& owner) const;
  bool may_come_from(const Owner& owner, const IpAddress& from) const;
  IpAddress source_of(const Owner& owner, const hal::OutgoingRun& run) const;
  bool too_big_here(const Owner& owner, const hal::OutgoingRun& run) const;
  void send_one(const Owner& owner, const hal::OutgoingRun& run, Bytes bytes);
  bool passes(LinkQueue::Verdict verdict);
  bool is_lost(const Packet& packet);
  void fly(Instant departure, const Packet& packet);
  uint64_t store(const Packet& packet);
  Packet take(uint64_t slot);
  void on_arrive(uint64_t slot);
  void on_deliver(uint64_t slot);
  void on_error(EventKind kind, uint64_t slot);
  void on_writable(uint32_t machine, uint16_t port);

  World& world_;
  Network& network_;
  const NetworkOptions options_;
  Random random_;
  DatagramTap* tap_ = nullptr;
  UdpCounters counters_;
  std::vector<Owner*> owners_;  // bound ones
  std::vector<Link> links_;
  std::map<std::pair<uint32_t, uint32_t>, Instant> last_arrival_;
  std::vector<Packet> packets_;  // on their way, by slot
  std::vector<uint64_t> free_slots_;
};

}  // namespace millet::sim
