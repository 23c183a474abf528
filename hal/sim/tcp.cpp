#include "hal/sim/tcp.h"

#include <algorithm>

#include "hal/sim/world.h"

namespace millet::sim {
namespace {

constexpr Duration k_first_retry = Duration::ms(200);
constexpr Duration k_longest_retry = Duration::seconds(8);
constexpr Duration k_first_syn_retry = Duration::seconds(1);
// A socket reports room when a quarter of its buffer is free: a writer that is woken for every byte spends its time waking.
constexpr size_t k_writable_share = 4;

}  // namespace

Tcp::Tcp(World& world, Network& network, const NetworkOptions& options) : world_(world), network_(network), options_(options) {
  CHECK(options.send_buffer > 0 && options.receive_buffer > 0);
  world_.add_target(*this);
}

Tcp::~Tcp() = default;

Tcp::Uplink& Tcp::uplink(uint32_t machine) {
  if (uplinks_.size() <= machine) uplinks_.resize(machine + 1);
  return uplinks_[machine];
}

Tcp::Connection* Tcp::find(uint64_t id) {
  auto found = connections_.find(id);
  return found == connections_.end() ? nullptr : &found->second;
}

Tcp::Connection* Tcp::find_own(const Owner& owner, hal::StreamId stream, SideState state) {
  Connection* connection = find(stream / 2);
  if (connection == nullptr) return nullptr;
  const Side& side = connection->side[stream % 2];
  return side.owner == &owner && side.state == state ? connection : nullptr;
}

void Tcp::set_power(uint32_t machine, bool on) { uplink(machine).powered = on; }

// Whether a packet from this side gets to the other machine now.
bool Tcp::reachable(const Connection& connection, int from) const {
  uint32_t to = connection.side[1 - from].machine;
  return network_.connected(connection.side[from].machine, to) && has_power(to);
}

// ---- what a program calls ----

Result<Endpoint> Tcp::listen(Owner& owner, hal::ListenerId id, const Endpoint& local) {
  if (!local.address.is_any() && !network_.owns(owner.machine, local.address)) {
    return error(Errc::bad_input, local.to_string() + ": not an address of this machine");
  }
  Endpoint bound = local;
  if (bound.port == 0) bound.port = uplink(owner.machine).next_port++;
  for (const std::unique_ptr<Listener>& other : listeners_) {
    if (other->owner->machine != owner.machine || other->local.port != bound.port) continue;
    if (other->local.address == bound.address || other->local.address.is_any() || bound.address.is_any()) {
      return error(Errc::conflict, bound.to_string() + ": the port is in use");
    }
  }
  listeners_.push_back(std::make_unique<Listener>(Listener{&owner, id, bound, true, {}}));
  return bound;
}

Tcp::Listener* Tcp::find_listener(uint32_t machine, const Endpoint& to) {
  for (const std::unique_ptr<Listener>& listener : listeners_) {
    if (listener->owner->machine != machine || listener->local.port != to.port) continue;
    if (listener->local.address.is_any() || listener->local.address == to.address) return listener.get();
  }
  return nullptr;
}

Tcp::Listener* Tcp::find_listener(const Owner& owner, hal::ListenerId id) {
  for (const std::unique_ptr<Listener>& listener : listeners_) {
    if (listener->owner == &owner && listener->id == id) return listener.get();
  }
  return nullptr;
}

void Tcp::set_accepting(Owner& owner, hal::ListenerId id, bool accepting) {
  Listener* listener = find_listener(owner, id);
  if (listener == nullptr) return;
  listener->accepting = accepting;
  if (!accepting) return;
  for (uint64_t connection : listener->backlog) world_.schedule(Duration(), *this, k_accept, connection);
  listener->backlog.clear();
}

hal::StreamId Tcp::connect(Owner& owner, const Endpoint& remote, const std::optional<IpAddress>& local) {
  uint64_t id = next_connection_++;
  Connection& connection = connections_[id];
  Uplink& link = uplink(owner.machine);
  int to = network_.find(owner.machine, remote.address);
  connection.side[0].machine = owner.machine;
  connection.side[0].owner = &owner;
  connection.side[0].state = SideState::connecting;
  connection.side[0].local = {local ? *local : network_.source_address(owner.machine, remote.address), link.next_port};
  link.next_port = link.next_port == 65535 ? uint16_t{32768} : static_cast<uint16_t>(link.next_port + 1);
  connection.side[1].local = remote;
  world_.schedule(options_.connect_timeout, *this, k_connect_timeout, id);
  if (to < 0) return stream_id(id, 0);  // packets to nowhere: only the time-out answers
  connection.side[1].machine = static_cast<uint32_t>(to);
  for (Pipe& pipe : connection.pipe) pipe.window = options_.receive_buffer;
  if (local && !network_.owns(owner.machine, *local)) {
    world_.schedule(Duration(), *this, k_refused, id);
  } else {
    world_.schedule(network_.delay(owner.machine, connection.side[1].machine), *this, k_syn, id, 0);
  }
  return stream_id(id, 0);
}

size_t Tcp::send(Owner& owner, hal::StreamId stream, std::span<const Bytes> parts) {
  Connection* connection = find_own(owner, stream, SideState::open);
  if (connection == nullptr) return 0;
  Pipe& pipe = connection->pipe[stream % 2];
  size_t room = options_.send_buffer - std::min(options_.send_buffer, pipe.queue.size() + pipe.unacknowledged);
  size_t taken = 0;
  size_t offered = 0;
  for (Bytes part : parts) {
    offered += part.size();
    Bytes now = part.first(std::min(part.size(), room - taken));
    if (tap_ != nullptr && !now.empty()) tap_->on_sent(stream, now);
    pipe.queue.insert(pipe.queue.end(), now.begin(), now.end());
    taken += now.size();
  }
  if (taken < offered) connection->side[stream % 2].wants_writable = true;
  pump(stream);
  return taken;
}

void Tcp::set_reading(Owner& owner, hal::StreamId stream, bool reading) {
  Connection* connection = find_own(owner, stream, SideState::open);
  if (connection == nullptr || connection->side[stream % 2].reading == reading) return;
  connection->side[stream % 2].reading = reading;
  if (reading) world_.schedule(Duration(), *this, k_readable, stream);
}

void Tcp::close(Owner& owner, hal::StreamId stream) {
  Connection* connection = find(stream / 2);
  if (connection == nullptr || connection->side[stream % 2].owner != &owner) return;
  close_side(stream / 2, static_cast<int>(stream % 2));
}

Endpoint Tcp::local_endpoint(Owner& owner, hal::StreamId stream) const {
  auto found = connections_.find(stream / 2);
  if (found == connections_.end() || found->second.side[stream % 2].owner != &owner) return Endpoint{};
  return found->second.side[stream % 2].local;
}

// ---- the end of a side ----

void Tcp::close_side(uint64_t id, int index) {
  Connection& connection = connections_.at(id);
  Side& side = connection.side[index];
  if (side.state == SideState::closed || side.state == SideState::gone) return;
  bool was_open = side.state == SideState::open || side.state == SideState::backlog;
  if (tap_ != nullptr && side.state == SideState::open) tap_->on_end(stream_id(id, index));
  side.state = SideState::closed;
  side.owner = nullptr;
  side.wants_writable = false;
  if (!was_open) {
    // The other side may be in a backlog by now; it learns of the end when its program reads.
    if (connection.side[1].state == SideState::none)
      connections_.erase(id);
    else
      send_reset(connection, id, 1 - index);
    return;
  }
  const Pipe& incoming = connection.pipe[1 - index];
  if (!incoming.inbox.empty()) {
    // What arrived and was never read turns the close into a reset, and what was still to be sent is lost.
    connection.pipe[index].queue.clear();
    send_reset(connection, id, 1 - index);
  } else {
    connection.pipe[index].end_queued = true;
    pump(stream_id(id, index));
  }
  forget_if_over(id);
}

void Tcp::process_ended(Owner& owner) {
  std::erase_if(listeners_, [&](const std::unique_ptr<Listener>& listener) { return listener->owner == &owner; });
  std::vector<uint64_t> own;
  for (auto& [id, connection] : connections_) {
    for (int side = 0; side < 2; ++side) {
      if (connection.side[side].owner == &owner) own.push_back(stream_id(id, side));
    }
  }
  for (uint64_t stream : own) {
    if (find(stream / 2) != nullptr) close_side(stream / 2, static_cast<int>(stream % 2));
  }
}

void Tcp::power_lost(Owner& owner) {
  std::erase_if(listeners_, [&](const std::unique_ptr<Listener>& listener) { return listener->owner == &owner; });
  std::vector<uint64_t> touched;
  for (auto& [id, connection] : connections_) {
    for (int side = 0; side < 2; ++side) {
      if (connection.side[side].machine != owner.machine || connection.side[side].state == SideState::none) continue;
      if (tap_ != nullptr && connection.side[side].state == SideState::open) tap_->on_end(stream_id(id, side));
      connection.side[side].state = SideState::gone;
      connection.side[side].owner = nullptr;
      connection.pipe[side].queue.clear();
      connection.pipe[side].end_queued = false;
      connection.pipe[1 - side].inbox.clear();
      touched.push_back(id);
    }
  }
  for (uint64_t id : touched) forget_if_over(id);
}

void Tcp::report_closed(uint64_t id, int index, Errc code, const char* reason) {
  Connection& connection = connections_.at(id);
  Side& side = connection.side[index];
  Owner* owner = side.owner;
  bool known = side.state == SideState::open || side.state == SideState::connecting;
  if (tap_ != nullptr && side.state == SideState::open) tap_->on_end(stream_id(id, index));
  side.state = SideState::closed;
  side.owner = nullptr;
  connection.pipe[index].queue.clear();
  forget_if_over(id);
  if (known && owner != nullptr && owner->events != nullptr) owner->events->on_closed(stream_id(id, index), error(code, reason));
}

void Tcp::report_received(uint64_t id, int index, Bytes bytes) {
  if (tap_ != nullptr) tap_->on_received(stream_id(id, index), bytes);
  const Side& side = connections_.at(id).side[index];
  if (side.owner != nullptr && side.owner->events != nullptr) side.owner->events->on_received(stream_id(id, index), bytes);
}

// Drops the connection when no program can see it any more and nothing of it is still to be sent.
void Tcp::forget_if_over(uint64_t id) {
  Connection* connection = find(id);
  if (connection == nullptr) return;
  for (int side = 0; side < 2; ++side) {
    SideState state = connection->side[side].state;
    if (state == SideState::connecting || state == SideState::backlog || state == SideState::open) return;
  }
  connections_.erase(id);
}

void Tcp::send_reset(const Connection& connection, uint64_t id, int to) {
  if (!reachable(connection, 1 - to)) return;
  Duration delay = network_.delay(connection.side[0].machine, connection.side[1].machine);
  world_.schedule(delay, *this, k_reset, stream_id(id, to));
}

void Tcp::on_reset(uint64_t stream) {
  Connection* connection = find(stream / 2);
  int index = static_cast<int>(stream % 2);
  if (connection == nullptr || connection->side[index].state == SideState::gone) return;
  if (connection->side[index].state == SideState::backlog) {
    close_side(stream / 2, index);
    return;
  }
  if (connection->side[index].state == SideState::open) report_closed(stream / 2, index, Errc::io, "connection reset by the peer");
}

// ---- events ----

void Tcp::on_event(uint32_t kind, uint64_t a, uint64_t b) {
  switch (static_cast<EventKind>(kind)) {
    case k_syn: return on_syn(a, b);
    case k_connected: return on_connected(a, b);
    case k_handshake_done: return on_handshake_done(a, b);
    case k_accept: return on_accept(a);
    case k_refused:
      if (find(a) != nullptr) report_closed(a, 0, Errc::unavailable, "connection refused");
      return;
    case k_connect_timeout:
      if (Connection* c = find(a); c != nullptr && c->side[0].state == SideState::connecting) {
        report_closed(a, 0, Errc::timed_out, "no answer to the connection attempt");
      }
      return;
    case k_link_free: uplink(static_cast<uint32_t>(a)).busy = false; return serve_uplink(static_cast<uint32_t>(a));
    case k_arrive: return on_arrive(a);
    case k_deliver: return on_deliver(a);
    case k_ack: return on_ack(a, b >> 32, b & 0xffffffffu);
    case k_retry: return on_retry(a);
    case k_reset: return on_reset(a);
    case k_readable: return on_readable(a);
  }
}

// ---- the handshake ----

void Tcp::on_syn(uint64_t id, uint64_t attempt) {
  Connection* connection = find(id);
  if (connection == nullptr || connection->side[0].state != SideState::connecting) return;
  uint32_t from = connection->side[0].machine;
  uint32_t to = connection->side[1].machine;
  Duration delay = network_.delay(from, to);
  Listener* listener = find_listener(to, connection->side[1].local);
  bool answered = reachable(*connection, 0) && !network_.packet_lost(from, to);
  if (answered && listener == nullptr) {
    world_.schedule(delay, *this, k_refused, id);
    return;
  }
  if (!answered || listener->backlog.size() >= options_.backlog) {
    world_.schedule(k_first_syn_retry * (int64_t{1} << std::min<uint64_t>(attempt, 5)), *this, k_syn, id, attempt + 1);
    return;
  }
  connection->side[1].owner = listener->owner;
  connection->side[1].state = SideState::backlog;
  connection->listener = listener->id;
  world_.schedule(delay, *this, k_connected, id, 0);
}

// The answer to the SYN reaches the side that dialled.
void Tcp::on_connected(uint64_t id, uint64_t attempt) {
  Connection* connection = find(id);
  if (connection == nullptr || connection->side[0].state != SideState::connecting) return;
  if (connection->side[1].state != SideState::backlog) {
    report_closed(id, 0, Errc::unavailable, "connection refused");
    return;
  }
  if (!reachable(*connection, 1)) {
    world_.schedule(k_first_syn_retry * (int64_t{1} << std::min<uint64_t>(attempt, 5)), *this, k_connected, id, attempt + 1);
    return;
  }
  connection->side[0].state = SideState::open;
  // The last packet of the handshake travels before anything that on_connected() sends.
  world_.schedule(network_.delay(connection->side[0].machine, connection->side[1].machine), *this, k_handshake_done, id, 0);
  Owner* owner = connection->side[0].owner;
  if (tap_ != nullptr) tap_->on_open(stream_id(id, 0), owner->machine, connection->side[0].local, connection->side[1].local);
  if (owner->events != nullptr) owner->events->on_connected(stream_id(id, 0));
}

void Tcp::on_handshake_done(uint64_t id, uint64_t attempt) {
  Connection* connection = find(id);
  if (connection == nullptr || connection->side[1].state != SideState::backlog) return;
  if (!reachable(*connection, 0)) {
    world_.schedule(k_first_syn_retry * (int64_t{1} << std::min<uint64_t>(attempt, 5)), *this, k_handshake_done, id, attempt + 1);
    return;
  }
  on_accept(id);
}

void Tcp::on_accept(uint64_t id) {
  Connection* connection = find(id);
  if (connection == nullptr || connection->side[1].state != SideState::backlog) return;
  Side& side = connection->side[1];
  Listener* listener = side.owner == nullptr ? nullptr : find_listener(*side.owner, connection->listener);
  if (listener == nullptr) {
    close_side(id, 1);
    return;
  }
  if (!listener->accepting) {
    listener->backlog.push_back(id);
    return;
  }
  side.state = SideState::open;
  world_.schedule(Duration(), *this, k_readable, stream_id(id, 1));
  Endpoint remote = connection->side[0].local;
  if (tap_ != nullptr) tap_->on_open(stream_id(id, 1), side.machine, side.local, remote);
  hal::StreamEvents* events = listener->owner->events;
  if (events != nullptr) events->on_accepted(listener->id, stream_id(id, 1), remote);
}

// ---- bytes ----

void Tcp::pump(uint64_t pipe_id) {
  Connection* connection = find(pipe_id / 2);
  if (connection == nullptr) return;
  uint32_t machine = connection->side[pipe_id % 2].machine;
  if (network_.link(machine).up_rate == 0 || connection->side[1 - pipe_id % 2].machine == machine) {
    while (transmit(pipe_id)) {
    }
    return;
  }
  Pipe& pipe = connection->pipe[pipe_id % 2];
  bool has_work = (!pipe.queue.empty() && pipe.window > 0) || (pipe.queue.empty() && pipe.end_queued && !pipe.end_sent);
  if (!has_work || pipe.waits_for_link) return;
  pipe.waits_for_link = true;
  uplink(machine).waiting.push_back(pipe_id);
  serve_uplink(machine);
}

void Tcp::serve_uplink(uint32_t machine) {
  while (!uplink(machine).busy && !uplink(machine).waiting.empty()) {
    uint64_t pipe_id = uplink(machine).waiting.front();
    uplink(machine).waiting.pop_front();
    Connection* connection = find(pipe_id / 2);
    if (connection == nullptr) continue;
    connection->pipe[pipe_id % 2].waits_for_link = false;
    if (transmit(pipe_id)) pump(pipe_id);  // back to the end of the line if there is more
  }
}

bool Tcp::transmit(uint64_t pipe_id) {
  Connection& connection = connections_.at(pipe_id / 2);
  int from = static_cast<int>(pipe_id % 2);
  Pipe& pipe = connection.pipe[from];
  size_t size = std::min({pipe.queue.size(), pipe.window, k_chunk_max});
  if (size == 0 && !(pipe.queue.empty() && pipe.end_queued && !pipe.end_sent)) return false;
  if (size == 0) pipe.end_sent = true;
  pipe.wire.emplace_back(pipe.queue.begin(), pipe.queue.begin() + static_cast<ptrdiff_t>(size));
  pipe.queue.erase(pipe.queue.begin(), pipe.queue.begin() + static_cast<ptrdiff_t>(size));
  pipe.unacknowledged += size;
  pipe.window -= size;
  uint32_t sender = connection.side[from].machine;
  uint32_t receiver = connection.side[1 - from].machine;
  Instant departure = world_.now();
  uint64_t rate = network_.link(sender).up_rate;
  if (rate != 0 && sender != receiver) {
    departure = departure + Duration::us(static_cast<int64_t>(uint64_t{size} * 1'000'000 / rate + 1));
    uplink(sender).busy = true;
    world_.schedule(departure, *this, k_link_free, sender);
  }
  Instant arrival = departure + network_.delay(sender, receiver) + network_.extra_delay(sender, receiver, size);
  pipe.last_arrival = std::max(pipe.last_arrival, arrival);
  world_.schedule(pipe.last_arrival, *this, k_arrive, pipe_id);
  return true;
}

// The next chunk of the wire is at the other machine's link, or would be if the path were whole.
void Tcp::on_arrive(uint64_t pipe_id) {
  Connection* connection = find(pipe_id / 2);
  if (connection == nullptr) return;
  int from = static_cast<int>(pipe_id % 2);
  Pipe& pipe = connection->pipe[from];
  if (pipe.held_chunks > 0 || !reachable(*connection, from)) {
    ++pipe.held_chunks;
    hold(pipe_id, *connection);
    return;
  }
  uint32_t receiver = connection->side[1 - from].machine;
  uint64_t rate = network_.link(receiver).down_rate;
  if (rate == 0 || connection->side[from].machine == receiver) {
    on_deliver(pipe_id);
    return;
  }
  // Every chunk that passes here goes through the same queue, so the order of one pipe holds.
  Uplink& link = uplink(receiver);
  Instant start = std::max(world_.now(), link.down_free);
  link.down_free = start + Duration::us(static_cast<int64_t>(uint64_t{pipe.wire.at(pipe.in_downlink).size()} * 1'000'000 / rate + 1));
  ++pipe.in_downlink;
  world_.schedule(link.down_free, *this, k_deliver, pipe_id);
}

void Tcp::on_deliver(uint64_t pipe_id) {
  Connection* connection = find(pipe_id / 2);
  if (connection == nullptr) return;
  int from = static_cast<int>(pipe_id % 2);
  Pipe& pipe = connection->pipe[from];
  if (pipe.wire.empty()) return;
  std::vector<uint8_t> chunk = std::move(pipe.wire.front());
  pipe.wire.pop_front();
  pipe.in_downlink -= pipe.in_downlink > 0 ? 1 : 0;
  Side& receiver = connection->side[1 - from];
  if (receiver.state == SideState::closed || receiver.state == SideState::gone) {
    // Nobody is there: the kernel answers with a reset.
    if (connection->side[from].state == SideState::open) send_reset(*connection, pipe_id / 2, from);
    return;
  }
  if (chunk.empty()) {
    pipe.end_arrived = true;
  } else {
    world_.trace().add(chunk);
    pipe.inbox.insert(pipe.inbox.end(), chunk.begin(), chunk.end());
    // Acknowledged on arrival; the window opens when the program reads.
    bool read_now = receiver.state == SideState::open && receiver.reading && pipe.inbox.size() == chunk.size();
    send_ack(pipe_id, chunk.size(), read_now ? chunk.size() : 0, Duration());
    if (read_now && receiver.owner != nullptr) {
      pipe.inbox.clear();
      report_received(pipe_id / 2, 1 - from, chunk);
      return;
    }
  }
  on_readable(stream_id(pipe_id / 2, 1 - from));
}

// The program takes what is in the inbox, then learns of the end.
void Tcp::on_readable(uint64_t stream) {
  Connection* connection = find(stream / 2);
  if (connection == nullptr) return;
  int index = static_cast<int>(stream % 2);
  Side& side = connection->side[index];
  Pipe& pipe = connection->pipe[1 - index];
  if (side.state != SideState::open || !side.reading) return;
  if (!pipe.inbox.empty()) {
    size_t size = std::min(pipe.inbox.size(), hal::Streams::k_receive_bytes_max);
    std::vector<uint8_t> bytes(pipe.inbox.begin(), pipe.inbox.begin() + static_cast<ptrdiff_t>(size));
    pipe.inbox.erase(pipe.inbox.begin(), pipe.inbox.begin() + static_cast<ptrdiff_t>(size));
    send_ack(stream_id(stream / 2, 1 - index), 0, size, Duration());
    world_.schedule(Duration(), *this, k_readable, stream);
    report_received(stream / 2, index, bytes);
    return;
  }
  if (pipe.end_arrived) report_closed(stream / 2, index, Errc::unavailable, "closed by the peer");
}

void Tcp::send_ack(uint64_t pipe_id, size_t acknowledged, size_t window, Duration extra) {
  const Connection& connection = connections_.at(pipe_id / 2);
  Duration delay = network_.delay(connection.side[0].machine, connection.side[1].machine);
  world_.schedule(delay + extra, *this, k_ack, pipe_id, (uint64_t{acknowledged} << 32) | window);
}

void Tcp::on_ack(uint64_t pipe_id, size_t acknowledged, size_t window) {
  Connection* connection = find(pipe_id / 2);
  if (connection == nullptr) return;
  int from = static_cast<int>(pipe_id % 2);
  Pipe& pipe = connection->pipe[from];
  if (!reachable(*connection, 1 - from)) {
    pipe.held_acks += acknowledged;
    pipe.held_window += window;
    hold(pipe_id, *connection);
    return;
  }
  CHECK(pipe.unacknowledged >= acknowledged);
  pipe.unacknowledged -= acknowledged;
  pipe.window += window;
  pump(pipe_id);
  Side& side = connection->side[from];
  size_t used = pipe.queue.size() + pipe.unacknowledged;
  if (!side.wants_writable || side.state != SideState::open) return;
  if (used + options_.send_buffer / k_writable_share > options_.send_buffer) return;
  side.wants_writable = false;
  if (side.owner->events != nullptr) side.owner->events->on_writable(pipe_id);
}

// ---- a path that is cut ----

void Tcp::hold(uint64_t pipe_id, Connection& connection) {
  Pipe& pipe = connection.pipe[pipe_id % 2];
  if (!pipe.stalled_since.is_never()) return;
  pipe.stalled_since = world_.now();
  pipe.retry_after = k_first_retry + network_.delay(connection.side[0].machine, connection.side[1].machine) * 2;
  world_.schedule(pipe.retry_after, *this, k_retry, pipe_id);
}

void Tcp::on_retry(uint64_t pipe_id) {
  Connection* connection = find(pipe_id / 2);
  if (connection == nullptr) return;
  int from = static_cast<int>(pipe_id % 2);
  Pipe& pipe = connection->pipe[from];
  // A machine without power sends nothing; what it had sent is lost with it.
  if (connection->side[from].state == SideState::gone) return;
  if (!reachable(*connection, from) || !reachable(*connection, 1 - from)) {
    if (world_.now() - pipe.stalled_since >= options_.reset_after) {
      report_closed(pipe_id / 2, from, Errc::timed_out, "no answer from the peer");
      return;
    }
    pipe.retry_after = std::min(pipe.retry_after * 2, k_longest_retry);
    world_.schedule(pipe.retry_after, *this, k_retry, pipe_id);
    return;
  }
  pipe.stalled_since = Instant::never();
  if (pipe.held_acks + pipe.held_window > 0) {
    Duration again = network_.delay(connection->side[0].machine, connection->side[1].machine);
    send_ack(pipe_id, pipe.held_acks, pipe.held_window, again);
    pipe.held_acks = 0;
    pipe.held_window = 0;
  }
  uint32_t held = pipe.held_chunks;
  pipe.held_chunks = 0;
  for (uint32_t i = 0; i < held; ++i) on_arrive(pipe_id);
}

}  // namespace millet::sim
