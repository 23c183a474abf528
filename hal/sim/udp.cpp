#include "hal/sim/udp.h"

#include <algorithm>

#include "hal/sim/tcp.h"
#include "hal/sim/world.h"

namespace millet::sim {
namespace {

constexpr Duration k_codel_interval = Duration::ms(100);  // RFC 8289 section 4.2: a round trip in the worst case

uint64_t integer_root(uint64_t value) {
  uint64_t root = 0;
  for (uint64_t bit = uint64_t{1} << 31; bit != 0; bit >>= 1) {
    if ((root | bit) * (root | bit) <= value) root |= bit;
  }
  return root;
}

size_t packet_size(const Endpoint& to, size_t bytes) { return bytes + (to.address.is_v4() ? Udp::k_header_v4 : Udp::k_header_v6); }

}  // namespace

// ---- one queue ----

Duration LinkQueue::wait(Instant now) const {
  int64_t left_ns = free_ns_ - now.in_us() * 1000;
  return left_ns <= 0 ? Duration() : Duration::us((left_ns + 999) / 1000);
}

LinkQueue::Verdict LinkQueue::enter(Instant now, size_t bytes, uint64_t rate, uint32_t queue_bytes_max, Duration aqm_target,
                                    Instant& leaves) {
  leaves = now;
  if (rate == 0) return Verdict::passes;
  int64_t now_ns = now.in_us() * 1000;
  int64_t left_ns = std::max<int64_t>(free_ns_ - now_ns, 0);
  uint64_t queued = static_cast<uint64_t>(left_ns / 1000) * rate / 1'000'000;
  if (queue_bytes_max != 0 && queued + bytes > queue_bytes_max) return Verdict::full;
  if (aqm_target > Duration() && codel_drops(now, wait(now), aqm_target)) return Verdict::managed;
  free_ns_ = now_ns + left_ns + static_cast<int64_t>(uint64_t{bytes} * 1'000'000'000 / rate);
  leaves = Instant::from_us((free_ns_ + 999) / 1000);
  return Verdict::passes;
}

bool LinkQueue::codel_drops(Instant now, Duration wait, Duration target) {
  if (wait < target) {
    above_since_ = next_drop_ = Instant::never();
    return false;
  }
  if (above_since_.is_never()) {
    above_since_ = now;
    drops_ = 0;
    next_drop_ = now + k_codel_interval;
    return false;
  }
  if (now < next_drop_) return false;
  ++drops_;
  // interval / sqrt(drops), with three decimals of the root.
  next_drop_ = next_drop_ + k_codel_interval * 1000 / static_cast<int64_t>(integer_root(uint64_t{drops_} * 1'000'000));
  return true;
}

// ---- what a program calls ----

Udp::Udp(World& world, Network& network, const NetworkOptions& options)
    : world_(world), network_(network), options_(options), random_(world.random("udp")) {
  world_.add_target(*this);
}

Udp::Link& Udp::link(uint32_t machine) {
  if (links_.size() <= machine) links_.resize(machine + 1);
  return links_[machine];
}

Duration Udp::uplink_wait(uint32_t machine) const { return machine < links_.size() ? links_[machine].up.wait(world_.now()) : Duration(); }

Result<Endpoint> Udp::bind(Owner& owner, const Endpoint& local) {
  CHECK(!owner.is_bound);
  if (!local.address.is_any() && !network_.owns(owner.machine, local.address)) {
    return error(Errc::bad_input, local.to_string() + ": not an address of this machine");
  }
  Endpoint bound = local;
  if (bound.port == 0) bound.port = link(owner.machine).next_port++;
  for (const Owner* other : owners_) {
    if (other->machine != owner.machine || other->local.port != bound.port) continue;
    if (other->local.address == bound.address || other->local.address.is_any() || bound.address.is_any()) {
      return error(Errc::conflict, bound.to_string() + ": the port is in use");
    }
  }
  owner.local = bound;
  owner.is_bound = true;
  owner.blocked = false;
  owners_.push_back(&owner);
  return bound;
}

void Udp::close(Owner& owner) {
  if (owner.is_bound && tap_ != nullptr) tap_->on_socket_closed(owner.machine, owner.local.port);
  owner.is_bound = false;
  std::erase(owners_, &owner);
}

bool Udp::is_full(const Owner& owner) const {
  const LinkOptions& own = network_.link(owner.machine);
  if (options_.datagram_send_buffer == 0 || own.up_rate == 0) return false;
  uint64_t queued = static_cast<uint64_t>(uplink_wait(owner.machine).in_us()) * own.up_rate / 1'000'000;
  return queued >= options_.datagram_send_buffer;
}

// Our own system knows the size that our own link takes.
bool Udp::too_big_here(const Owner& owner, const hal::OutgoingRun& run) const {
  if (run.size > hal::k_datagram_max) return true;
  if (run.to.address.is_loopback() || network_.owns(owner.machine, run.to.address)) return false;
  bool may_fragment = run.may_fragment || run.size <= hal::k_fragment_size_min;
  return !may_fragment && packet_size(run.to, std::min(run.size, run.bytes.size())) > network_.link(owner.machine).mtu;
}

bool Udp::may_come_from(const Owner& owner, const IpAddress& from) const { return from.is_any() || network_.owns(owner.machine, from); }

// The machine of a socket that is bound to all addresses picks the one that the routes prefer, unless it is told.
IpAddress Udp::source_of(const Owner& owner, const hal::OutgoingRun& run) const {
  if (!run.from.is_any() && run.from.is_v4() == run.to.address.is_v4()) return run.from;
  return owner.local.address.is_any() ? network_.source_address(owner.machine, run.to.address) : owner.local.address;
}

bool Udp::send(Owner& owner, std::span<hal::OutgoingRun> runs) {
  CHECK(owner.is_bound);
  ++owner.counters.send_calls;
  for (hal::OutgoingRun& run : runs) {
    if (run.done == run.count()) continue;
    bool no_way = (owner.local.address.is_v4() && !run.to.address.is_v4()) || !may_come_from(owner, run.from);
    if (no_way || too_big_here(owner, run)) {
      run.outcome = no_way ? hal::SendOutcome::unreachable : hal::SendOutcome::too_big;
      (no_way ? owner.counters.unreachable : owner.counters.too_big) += run.count() - run.done;
      run.done = run.count();
      continue;
    }
    for (; run.done < run.count(); ++run.done) {
      if (is_full(owner)) {
        if (!owner.blocked) {
          // The socket reports room when half of what it may hold has left.
          uint64_t half_us = uint64_t{options_.datagram_send_buffer} * 500'000 / network_.link(owner.machine).up_rate;
          world_.schedule(Duration::us(static_cast<int64_t>(half_us) + 1), *this, k_writable, owner.machine, owner.local.port);
        }
        owner.blocked = true;
        return false;
      }
      size_t begin = run.done * run.size;
      Bytes bytes = run.bytes.subspan(begin, std::min(run.size, run.bytes.size() - begin));
      ++owner.counters.sent;
      owner.counters.sent_bytes += bytes.size();
      send_one(owner, run, bytes);
    }
  }
  return true;
}

// ---- the way of one packet ----

bool Udp::passes(LinkQueue::Verdict verdict) {
  if (verdict == LinkQueue::Verdict::full) ++counters_.queue_drops;
  if (verdict == LinkQueue::Verdict::managed) ++counters_.aqm_drops;
  return verdict == LinkQueue::Verdict::passes;
}

void Udp::send_one(const Owner& owner, const hal::OutgoingRun& run, Bytes bytes) {
  ++counters_.sent;
  int to = network_.find(owner.machine, run.to.address);
  Packet packet;
  packet.from_machine = owner.machine;
  packet.to_machine = static_cast<uint32_t>(to);
  packet.from = {source_of(owner, run), owner.local.port};
  packet.to = run.to;
  if (tap_ != nullptr) tap_->on_sent(owner.machine, packet.from, packet.to, bytes);
  packet.may_fragment = run.may_fragment || run.size <= hal::k_fragment_size_min;
  packet.bytes.assign(bytes.begin(), bytes.end());
  const LinkOptions& own = network_.link(owner.machine);
  Instant departure = world_.now();
  bool is_own = to == static_cast<int>(owner.machine);
  size_t size = packet_size(run.to, bytes.size());
  if (!is_own && !passes(link(owner.machine).up.enter(world_.now(), size, own.up_rate, own.queue_bytes, own.aqm_target, departure))) return;
  if (to < 0) {
    ++counters_.nowhere;
    return;
  }
  if (is_own) {
    world_.schedule(network_.delay(owner.machine, owner.machine), *this, k_deliver, store(packet));
    return;
  }
  if (is_lost(packet)) {
    ++counters_.lost;
    return;
  }
  uint32_t duplicate_ppm = own.duplicate_ppm + network_.link(packet.to_machine).duplicate_ppm;
  if (duplicate_ppm != 0 && random_.below(1'000'000) < duplicate_ppm) {
    ++counters_.duplicated;
    fly(departure, packet);
  }
  fly(departure, packet);
}

// A packet is lost when one of its fragments is.
bool Udp::is_lost(const Packet& packet) {
  size_t mtu = std::min(network_.link(packet.from_machine).mtu, network_.link(packet.to_machine).mtu);
  size_t size = packet_size(packet.to, packet.bytes.size());
  bool lost = false;
  for (size_t sent = 0; sent < size; sent += mtu) lost = network_.packet_lost(packet.from_machine, packet.to_machine) || lost;
  return lost;
}

void Udp::fly(Instant departure, const Packet& packet) {
  const LinkOptions& own = network_.link(packet.from_machine);
  const LinkOptions& other = network_.link(packet.to_machine);
  Instant arrival = departure + network_.delay(packet.from_machine, packet.to_machine);
  uint64_t jitter_us = static_cast<uint64_t>((own.jitter + other.jitter).in_us());
  if (jitter_us != 0) arrival = arrival + Duration::us(static_cast<int64_t>(random_.below(jitter_us + 1)));
  Instant& last = last_arrival_[{packet.from_machine, packet.to_machine}];
  arrival = std::max(arrival, last);
  uint32_t reorder_ppm = own.reorder_ppm + other.reorder_ppm;
  if (reorder_ppm != 0 && random_.below(1'000'000) < reorder_ppm) {
    ++counters_.reordered;
    arrival = arrival + std::max(own.reorder_delay, other.reorder_delay);
  } else {
    last = arrival;
  }
  world_.schedule(arrival, *this, k_arrive, store(packet));
}

uint64_t Udp::store(const Packet& packet) {
  if (free_slots_.empty()) {
    packets_.push_back(packet);
    return packets_.size() - 1;
  }
  uint64_t slot = free_slots_.back();
  free_slots_.pop_back();
  packets_[slot] = packet;
  return slot;
}

Udp::Packet Udp::take(uint64_t slot) {
  Packet out = std::move(packets_.at(slot));
  packets_[slot] = Packet{};
  free_slots_.push_back(slot);
  return out;
}

bool Udp::reachable(const Packet& packet) const {
  return network_.connected(packet.from_machine, packet.to_machine) && world_.has_power(packet.to_machine);
}

Udp::Owner* Udp::find(uint32_t machine, const Endpoint& to) {
  for (Owner* owner : owners_) {
    if (owner->machine != machine || owner->local.port != to.port) continue;
    if (owner->local.address == to.address || (owner->local.address.is_any() && (to.address.is_v4() || !owner->local.address.is_v4())))
      return owner;
  }
  return nullptr;
}

// ---- events ----

void Udp::on_event(uint32_t kind, uint64_t a, uint64_t b) {
  switch (static_cast<EventKind>(kind)) {
    case k_arrive: return on_arrive(a);
    case k_deliver: return on_deliver(a);
    case k_unreachable:
    case k_path_mtu: return on_error(static_cast<EventKind>(kind), a);
    case k_writable: return on_writable(static_cast<uint32_t>(a), static_cast<uint16_t>(b));
  }
}

// The packet is at the other machine's link.
void Udp::on_arrive(uint64_t slot) {
  const Packet& packet = packets_.at(slot);
  const LinkOptions& here = network_.link(packet.to_machine);
  size_t size = packet_size(packet.to, packet.bytes.size());
  if (!reachable(packet)) {
    ++counters_.nowhere;
    take(slot);
    return;
  }
  if (!packet.may_fragment && size > here.mtu) {
    ++counters_.above_mtu;
    if (here.reports_mtu) {
      world_.schedule(network_.delay(packet.from_machine, packet.to_machine), *this, k_path_mtu, slot);
    } else {
      take(slot);
    }
    return;
  }
  Instant delivery;
  if (!passes(link(packet.to_machine).down.enter(world_.now(), size, here.down_rate, here.queue_bytes, here.aqm_target, delivery))) {
    take(slot);
    return;
  }
  if (here.down_rate == 0) return on_deliver(slot);
  world_.schedule(delivery, *this, k_deliver, slot);
}

void Udp::on_deliver(uint64_t slot) {
  const Packet& waiting = packets_.at(slot);
  Owner* owner = reachable(waiting) ? find(waiting.to_machine, waiting.to) : nullptr;
  if (owner == nullptr) {
    ++counters_.nowhere;
    // A machine that is on answers for a port that nobody has (RFC 1122).
    if (reachable(waiting)) {
      world_.schedule(network_.delay(waiting.from_machine, waiting.to_machine), *this, k_unreachable, slot);
    } else {
      take(slot);
    }
    return;
  }
  Packet packet = take(slot);
  ++counters_.delivered;
  ++owner->counters.received;
  ++owner->counters.receive_calls;
  owner->counters.received_bytes += packet.bytes.size();
  world_.trace().add(packet.bytes);
  if (owner->events == nullptr) return;
  if (tap_ != nullptr) tap_->on_received(packet.to_machine, packet.from, packet.to, packet.bytes);
  hal::IncomingRun run{packet.from, Bytes(packet.bytes), std::max<size_t>(packet.bytes.size(), 1)};
  if (owner->local.address.is_any()) run.local = packet.to.address;
  owner->events->on_datagrams(std::span<const hal::IncomingRun>(&run, 1));
}

// ICMP, back at the machine that sent the packet.
void Udp::on_error(EventKind kind, uint64_t slot) {
  Packet packet = take(slot);
  if (!network_.connected(packet.from_machine, packet.to_machine)) return;
  Owner* owner = find(packet.from_machine, packet.from);
  if (owner == nullptr || owner->events == nullptr) return;
  if (kind == k_path_mtu) {
    owner->events->on_path_mtu(packet.to, network_.link(packet.to_machine).mtu);
    return;
  }
  ++owner->counters.unreachable;
  owner->events->on_unreachable(packet.to);
}

void Udp::on_writable(uint32_t machine, uint16_t port) {
  for (Owner* owner : owners_) {
    if (owner->machine != machine || owner->local.port != port || !owner->blocked) continue;
    owner->blocked = false;
    if (owner->events != nullptr) owner->events->on_datagrams_writable();
    return;
  }
}

}  // namespace millet::sim
