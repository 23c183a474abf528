#include "sim/utp_tap.h"

#include <algorithm>

namespace millet::simtest {
namespace {

bool carries(const UtpPacket& packet) {
  return packet.header.type == UtpType::fin || (packet.header.type == UtpType::data && !packet.payload.empty());
}

}  // namespace

// BEP 29: the side that dialled receives with the id of its SYN and sends with the one above it; the other side the other way round.
UtpTap::Key UtpTap::find(const Endpoint& from, const Endpoint& to, uint16_t connection, int& from_side) const {
  Key dialled{from, to, static_cast<uint16_t>(connection - 1)};
  from_side = connections_.contains(dialled) ? 0 : 1;
  return from_side == 0 ? dialled : Key{to, from, connection};
}

// It names the connection as its sender does, or, if that never knew it, as the packet did that it answers.
void UtpTap::on_reset_received(const Endpoint& from, const Endpoint& to, uint16_t connection) {
  uint16_t below = static_cast<uint16_t>(connection - 1);
  const std::pair<Key, int> candidates[] = {
      {{to, from, connection}, 0}, {{from, to, below}, 1}, {{to, from, below}, 0}, {{from, to, connection}, 1}};
  for (const auto& [key, side] : candidates) {
    auto found = connections_.find(key);
    if (found == connections_.end() || found->second.side[side].state != End::open) continue;
    return end(found->second, side);
  }
}

void UtpTap::on_syn_sent(uint32_t machine, const Endpoint& from, const Endpoint& to, const UtpHeader& header) {
  Key key{from, to, header.connection};
  auto found = connections_.find(key);
  if (found != connections_.end()) {
    if (found->second.syn_seq == header.seq && found->second.side[0].state == End::open) return;  // sent again
    end(found->second, 0);
    end(found->second, 1);
    connections_.erase(found);
  }
  Connection& connection = connections_[key];
  connection.stream = next_stream_;
  next_stream_ += 2;
  connection.syn_seq = header.seq;
  connection.way[0].next_sent = connection.way[0].next_received = static_cast<uint16_t>(header.seq + 1);
  connection.way[0].begun = true;
  open(key, connection, 0, machine);
}

void UtpTap::on_sent(uint32_t machine, const Endpoint& from, const Endpoint& to, Bytes datagram) {
  UtpPacket packet;
  if (!decode_utp(datagram, packet)) return;
  if (packet.header.type == UtpType::syn) return on_syn_sent(machine, from, to, packet.header);
  int side = 0;
  auto found = connections_.find(find(from, to, packet.header.connection, side));
  if (found == connections_.end()) return;
  if (packet.header.type == UtpType::reset) return end(found->second, side);
  if (carries(packet)) take_sent(found->second, side, packet);
}

void UtpTap::on_received(uint32_t machine, const Endpoint& from, const Endpoint& to, Bytes datagram) {
  UtpPacket packet;
  if (!decode_utp(datagram, packet)) return;
  if (packet.header.type == UtpType::reset) return on_reset_received(from, to, packet.header.connection);
  int side = 0;
  auto found = connections_.find(find(from, to, packet.header.connection, side));
  if (found != connections_.end() && carries(packet)) take_received(found->first, found->second, side, machine, packet);
}

void UtpTap::on_socket_closed(uint32_t machine, uint16_t port) {
  for (auto it = open_.lower_bound({machine, port, 0}); it != open_.end(); it = open_.lower_bound({machine, port, 0})) {
    const auto& [of, behind, stream] = it->first;
    if (of != machine || behind != port) return;
    end(*it->second, static_cast<int>(stream % 2));
  }
}

UtpTap::Place UtpTap::place(const Connection& connection, int side) {
  return {connection.side[side].machine, connection.side[side].port, connection.stream + static_cast<uint64_t>(side)};
}

void UtpTap::open(const Key& key, Connection& connection, int side, uint32_t machine) {
  connection.side[side].state = End::open;
  connection.side[side].machine = machine;
  const Endpoint& dialled = std::get<0>(key);
  const Endpoint& accepted = std::get<1>(key);
  connection.side[side].port = side == 0 ? dialled.port : accepted.port;
  open_[place(connection, side)] = &connection;
  out_.on_open(connection.stream + static_cast<uint64_t>(side), machine, side == 0 ? dialled : accepted, side == 0 ? accepted : dialled);
}

void UtpTap::end(Connection& connection, int side) {
  if (connection.side[side].state == End::open) {
    open_.erase(place(connection, side));
    out_.on_end(connection.stream + static_cast<uint64_t>(side));
  }
  connection.side[side].state = End::over;
  // What the other side still sends is nobody's.
  connection.way[1 - side].arrived.clear();
  connection.way[side].sent.clear();
}

void UtpTap::end_if_finished(Connection& connection, int side) {
  if (connection.side[side].fin_sent && connection.side[side].fin_received) end(connection, side);
}

void UtpTap::take_sent(Connection& connection, int side, const UtpPacket& packet) {
  if (connection.side[side].state != End::open) return;
  Direction& way = connection.way[side];
  if (!way.begun) way.next_sent = way.next_received = packet.header.seq;
  way.begun = true;
  bool fin = packet.header.type == UtpType::fin;
  bool told = utp_distance(packet.header.seq, way.next_sent) < 0;
  auto first = way.sent.find(packet.header.seq);
  if (told || first != way.sent.end()) {
    ++retransmissions_;
    if (first == way.sent.end()) return;
    const std::vector<uint8_t>& before = first->second.payload;
    bool same = first->second.fin == fin && std::equal(before.begin(), before.end(), packet.payload.begin(), packet.payload.end());
    changed_ += same ? 0 : 1;
    return;
  }
  way.sent[packet.header.seq] = {fin, {packet.payload.begin(), packet.payload.end()}};
  for (auto next = way.sent.find(way.next_sent); next != way.sent.end(); next = way.sent.find(way.next_sent)) {
    way.sent.erase(static_cast<uint16_t>(way.next_sent - k_kept));
    ++way.next_sent;
    if (!next->second.payload.empty()) out_.on_sent(connection.stream + static_cast<uint64_t>(side), next->second.payload);
    if (!next->second.fin) continue;
    connection.side[side].fin_sent = true;
    return end_if_finished(connection, side);
  }
}

void UtpTap::take_received(const Key& key, Connection& connection, int from_side, uint32_t machine, const UtpPacket& packet) {
  int side = 1 - from_side;
  Direction& way = connection.way[from_side];
  if (!way.begun || connection.side[side].state == End::over) return;
  // Who was dialled is a side once it has a first packet: before, it keeps nothing of the connection.
  if (connection.side[side].state == End::none) open(key, connection, side, machine);
  if (utp_distance(packet.header.seq, way.next_received) < 0) return;
  way.arrived[packet.header.seq] = {packet.header.type == UtpType::fin, {packet.payload.begin(), packet.payload.end()}};
  for (auto next = way.arrived.find(way.next_received); next != way.arrived.end(); next = way.arrived.find(way.next_received)) {
    Packet arrived = std::move(next->second);
    way.arrived.erase(next);
    ++way.next_received;
    if (!arrived.payload.empty()) out_.on_received(connection.stream + static_cast<uint64_t>(side), arrived.payload);
    if (!arrived.fin) continue;
    connection.side[side].fin_received = true;
    return end_if_finished(connection, side);
  }
}

}  // namespace millet::simtest
