#include "swarm/utp.h"

#include <algorithm>
#include <bit>

namespace millet {

Utp::Utp(const UtpOptions& options, SecureRandom& secure, uint64_t seed)
    : options_(options), secure_(secure), random_(seed), cookies_(secure), pool_(options.reassembly_max),
      uplink_(options.ledbat, UtpMtu(true, options.link_packet_max).size()), slots_(options.connections_max),
      path_of_(options.connections_max, k_none), table_(std::bit_ceil(size_t{options.connections_max} * 2), k_none),
      answer_rate_(k_answers_per_second, k_answers_per_second) {
  CHECK(options.connections_max != 0 && options.connections_max <= 0x4000);
  uint8_t raw[8];
  secure_.fill(raw);
  table_key_ = load_be<uint64_t>(raw);
  free_slots_.reserve(options.connections_max);
  for (uint16_t slot = options.connections_max; slot-- > 0;) free_slots_.push_back(slot);
  answers_.reserve(k_answers_max);
}

Utp::~Utp() = default;

// ---- table ----

uint64_t Utp::hash_of(const Endpoint& remote, uint16_t receive_id) const {
  // Keyed, so that nobody chooses addresses that collide; the table is small and bounded anyway.
  uint64_t hash = table_key_ ^ (uint64_t{remote.port} << 16 | receive_id);
  Bytes raw = remote.address.raw();
  for (size_t i = 0; i < raw.size(); i += 4) {
    hash = (hash ^ load_be<uint32_t>(raw.data() + i)) * 0x9e3779b97f4a7c15u;
    hash ^= hash >> 29;
  }
  return hash * 0xbf58476d1ce4e5b9u >> 20;
}

uint16_t Utp::find(const Endpoint& remote, uint16_t receive_id) const {
  size_t mask = table_.size() - 1;
  for (size_t at = hash_of(remote, receive_id) & mask; table_[at] != k_none; at = (at + 1) & mask) {
    const UtpConnection& connection = *slots_[table_[at]].connection;
    if (connection.receive_id() == receive_id && connection.remote() == remote) return table_[at];
  }
  return k_none;
}

void Utp::table_insert(uint16_t slot) {
  size_t mask = table_.size() - 1;
  const UtpConnection& connection = *slots_[slot].connection;
  size_t at = hash_of(connection.remote(), connection.receive_id()) & mask;
  while (table_[at] != k_none) at = (at + 1) & mask;
  table_[at] = slot;
}

void Utp::table_remove(uint16_t slot) {
  size_t mask = table_.size() - 1;
  const UtpConnection& connection = *slots_[slot].connection;
  size_t hole = hash_of(connection.remote(), connection.receive_id()) & mask;
  while (table_[hole] != slot) hole = (hole + 1) & mask;
  // What follows without a gap moves up if it belongs before the hole.
  for (size_t at = (hole + 1) & mask; table_[at] != k_none; at = (at + 1) & mask) {
    const UtpConnection& other = *slots_[table_[at]].connection;
    size_t home = hash_of(other.remote(), other.receive_id()) & mask;
    if (((at - home) & mask) < ((at - hole) & mask)) continue;
    table_[hole] = table_[at];
    hole = at;
  }
  table_[hole] = k_none;
}

UtpConnection* Utp::connection(UtpId stream) const {
  uint16_t slot = slot_of(stream);
  if (slot >= slots_.size() || slots_[slot].connection == nullptr || slots_[slot].connection->id() != stream) return nullptr;
  return slots_[slot].connection.get();
}

UtpPath& Utp::path_for(const IpAddress& address, uint16_t& index) {
  uint16_t free = k_none;
  for (uint16_t i = 0; i < paths_.size(); ++i) {
    if (paths_[i] == nullptr)
      free = i;
    else if (paths_[i]->address == address)
      return *paths_[index = i];
  }
  if (free == k_none) {
    free = static_cast<uint16_t>(paths_.size());
    paths_.emplace_back();
  }
  paths_[free] = std::make_unique<UtpPath>(address, free, uplink_, options_.ledbat, options_.link_packet_max);
  return *paths_[index = free];
}

// k_none: no room.
uint16_t Utp::add(const Endpoint& remote, uint16_t receive_id, uint16_t send_id, uint16_t seq) {
  if (free_slots_.empty()) {
    ++counters_.refused;
    return k_none;
  }
  uint16_t slot = free_slots_.back();
  free_slots_.pop_back();
  UtpPath& path = path_for(remote.address, path_of_[slot]);
  UtpId id = ++slots_[slot].uses << 16 | slot;
  UtpConnection::Setup setup = {id, remote, receive_id, send_id, seq, options_.window};
  slots_[slot].connection = std::make_unique<UtpConnection>(setup, path, pool_);
  table_insert(slot);
  ++count_;
  return slot;
}

// The cookie is part of it: a new connection with the same ids has another one.
uint64_t Utp::ended_mark(const Endpoint& remote, uint16_t receive_id, uint16_t seq) const {
  return (hash_of(remote, receive_id) << 16 | seq) + 1;
}

void Utp::remove(uint16_t slot) {
  table_remove(slot);
  timers_.disarm(slot);
  UtpConnection& connection = *slots_[slot].connection;
  UtpPath& path = connection.path();
  if (connection.was_accepted()) {
    ended_[next_ended_] = ended_mark(connection.remote(), connection.receive_id(), connection.first_seq());
    next_ended_ = (next_ended_ + 1) % k_ended_max;
  }
  if (connection.in_ack_line) {
    acks_.erase(slot);
    late_acks_.erase(slot);
  }
  if (connection.in_news_line) news_.erase(slot);
  if (connection.in_ready_line) path.ready.erase(slot);
  if (direct_slot_ == slot) direct_slot_ = k_none;
  if (popped_slot_ == slot) popped_slot_ = k_none;
  slots_[slot].connection.reset();
  free_slots_.push_back(slot);
  --count_;
  uint16_t index = path_of_[slot];
  if (path.users != 0) {
    line_up(path, index);  // what it had in flight is room for the others
    return;
  }
  if (path.in_line) path_line_.erase(index);
  timers_.disarm(static_cast<uint16_t>(options_.connections_max + index));
  paths_[index].reset();
}

// ---- streams ----

Result<UtpId> Utp::connect(Instant now, const Endpoint& remote) {
  uint8_t raw[4];
  secure_.fill(raw);
  uint16_t receive_id = load_be<uint16_t>(raw);
  uint16_t syn = load_be<uint16_t>(raw + 2);
  for (unsigned tries = 0; find(remote, receive_id) != k_none; ++tries) {
    if (tries == 16) return error(Errc::no_room, "uTP: too many connections to " + remote.to_string());
    receive_id = static_cast<uint16_t>(random_.next());
  }
  uint16_t slot = add(remote, receive_id, static_cast<uint16_t>(receive_id + 1), static_cast<uint16_t>(syn + 1));
  if (slot == k_none) return error(Errc::no_room, "uTP: all " + std::to_string(options_.connections_max) + " connections are in use");
  slots_[slot].connection->start_connect(now);
  touch(now, slot);
  return slots_[slot].connection->id();
}

void Utp::offer(Instant now, UtpId stream, uint64_t bytes) {
  UtpConnection* found = connection(stream);
  if (found == nullptr) return;
  found->offer(now, bytes);
  touch(now, slot_of(stream));
}

uint64_t Utp::room(UtpId stream) const {
  const UtpConnection* found = connection(stream);
  if (found == nullptr) return 0;
  uint64_t out = found->room();
  if (out == 0) found->want_room();
  return out;
}

uint64_t Utp::acknowledged(UtpId stream) const {
  const UtpConnection* found = connection(stream);
  return found == nullptr ? 0 : found->acknowledged();
}

void Utp::set_reading(Instant now, UtpId stream, bool reading) {
  UtpConnection* found = connection(stream);
  if (found == nullptr) return;
  found->set_reading(now, reading);
  touch(now, slot_of(stream));
}

void Utp::close(Instant now, UtpId stream) {
  UtpConnection* found = connection(stream);
  if (found == nullptr) return;
  found->close(now);
  touch(now, slot_of(stream));
}

void Utp::abandon(Instant now, UtpId stream) {
  UtpConnection* found = connection(stream);
  if (found == nullptr) return;
  UtpHeader reset;
  if (found->make_reset(now, reset)) answer(now, {found->remote(), found->local(), reset});
  found->abandon(now);
  touch(now, slot_of(stream));
}

void Utp::stall(UtpId stream) {
  if (UtpConnection* found = connection(stream)) found->set_stalled(true);
}

void Utp::resume(Instant now, UtpId stream) {
  UtpConnection* found = connection(stream);
  if (found == nullptr) return;
  found->set_stalled(false);
  touch(now, slot_of(stream));
}

size_t Utp::memory() const {
  size_t out =
      sizeof(*this) + pool_.memory() + timers_.memory() + acks_.memory() + late_acks_.memory() + news_.memory() + path_line_.memory();
  out += slots_.capacity() * sizeof(Slot) + (free_slots_.capacity() + path_of_.capacity() + table_.capacity()) * sizeof(uint16_t);
  out += paths_.capacity() * sizeof(paths_[0]) + answers_.capacity() * sizeof(Answer);
  for (const Slot& slot : slots_) {
    if (slot.connection != nullptr) out += slot.connection->memory();
  }
  for (const auto& path : paths_) {
    if (path != nullptr) out += sizeof(*path) + path->ready.memory();
  }
  return out;
}

size_t Utp::memory(UtpId stream) const {
  UtpConnection* found = connection(stream);
  return found == nullptr ? 0 : found->memory() + sizeof(UtpPath) + found->path().ready.memory();
}

uint32_t Utp::window(UtpId stream) const {
  UtpConnection* found = connection(stream);
  return found == nullptr ? 0 : std::min(found->path().ledbat.window(), uplink_.ledbat.window());
}

uint32_t Utp::queue_us(UtpId stream) const {
  UtpConnection* found = connection(stream);
  return found == nullptr ? 0 : found->path().queue_us;
}

uint32_t Utp::packet_size(UtpId stream) const {
  UtpConnection* found = connection(stream);
  return found == nullptr ? 0 : found->path().mtu.size();
}

}  // namespace millet
