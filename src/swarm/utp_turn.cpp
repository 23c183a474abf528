// One turn of the uTP engine: datagrams and timers in, events and runs out.
#include <algorithm>

#include "swarm/utp.h"

namespace millet {

// ---- in ----

void Utp::on_datagram(Instant now, const Endpoint& from, Bytes datagram, const IpAddress& local) {
  CHECK(direct_slot_ == k_none);
  UtpPacket packet;
  if (!decode_utp(datagram, packet)) return;
  ++counters_.packets_in;
  if (packet.header.type == UtpType::reset) {
    on_reset(now, from, packet.header);
    return;
  }
  if (packet.header.type == UtpType::syn) {
    on_syn(now, from, packet, local);
    return;
  }
  uint16_t slot = find(from, packet.header.connection);
  if (slot == k_none) {
    on_stranger(now, from, packet, local);
    return;
  }
  deliver(now, slot, packet, local);
}

void Utp::deliver(Instant now, uint16_t slot, const UtpPacket& packet, const IpAddress& local) {
  UtpConnection& connection = *slots_[slot].connection;
  if (connection.on_packet(now, packet)) {
    direct_slot_ = slot;
    direct_ = packet.payload;
    counters_.payload_in += packet.payload.size();
  }
  if (connection.state() != UtpConnection::State::syn_sent) connection.settle_local(local);
  uint16_t path = path_of_[slot];
  touch(now, slot);
  // What the peer has acknowledged is room for others on the path too.
  if (paths_[path] != nullptr) line_up(*paths_[path], path);
}

// A RESET carries our receiving id, or, from an end that does not know the connection, the id of the packet that it answers.
void Utp::on_reset(Instant now, const Endpoint& from, const UtpHeader& header) {
  for (int step : {0, -1, 1}) {
    uint16_t slot = find(from, static_cast<uint16_t>(header.connection + step));
    if (slot == k_none) continue;
    UtpConnection& connection = *slots_[slot].connection;
    if ((step != 0 && connection.send_id() != header.connection) || !connection.believes_reset(header.ack)) continue;
    ++counters_.resets_in;
    connection.on_reset();
    touch(now, slot);
    return;
  }
}

void Utp::on_syn(Instant now, const Endpoint& from, const UtpPacket& packet, const IpAddress& local) {
  uint16_t slot = find(from, static_cast<uint16_t>(packet.header.connection + 1));
  if (slot != k_none) {
    if (slots_[slot].connection->was_accepted()) deliver(now, slot, packet, local);
    return;
  }
  UtpHeader header;
  header.type = UtpType::state;
  header.connection = packet.header.connection;
  header.sent_us = std::max<uint32_t>(static_cast<uint32_t>(now.in_us()), 1);
  header.delay_us = packet.header.sent_us == 0 ? 0 : static_cast<uint32_t>(now.in_us()) - packet.header.sent_us;
  header.window = options_.window;
  header.seq = cookies_.make(now, from, packet.header.connection, packet.header.seq);
  header.ack = packet.header.seq;
  answer(now, {from, local, header});
}

// The first packets of a connection whose SYN we have answered; everything else from nobody we know is answered by a RESET.
void Utp::on_stranger(Instant now, const Endpoint& from, const UtpPacket& packet, const IpAddress& local) {
  ++counters_.strangers;
  if (packet.header.type == UtpType::data || packet.header.type == UtpType::state) {
    uint16_t slot = accept(now, from, packet);
    if (slot != k_none) {
      deliver(now, slot, packet, local);
      return;
    }
  }
  UtpHeader header;
  header.type = UtpType::reset;
  header.connection = packet.header.connection;
  header.sent_us = std::max<uint32_t>(static_cast<uint32_t>(now.in_us()), 1);
  header.seq = static_cast<uint16_t>(random_.next());
  header.ack = packet.header.seq;
  answer(now, {from, local, header});
}

uint16_t Utp::accept(Instant now, const Endpoint& from, const UtpPacket& packet) {
  uint16_t syn_id = static_cast<uint16_t>(packet.header.connection - 1);
  uint16_t cookie = static_cast<uint16_t>(packet.header.ack + 1);
  unsigned tries = packet.header.type == UtpType::data ? UtpCookies::k_first_packets : 1;
  for (unsigned i = 1; i <= tries; ++i) {
    uint16_t syn_seq = static_cast<uint16_t>(packet.header.seq - i);
    if (!cookies_.check(now, from, syn_id, syn_seq, cookie)) continue;
    if (std::find(ended_.begin(), ended_.end(), ended_mark(from, packet.header.connection, cookie)) != ended_.end()) return k_none;
    uint16_t slot = add(from, packet.header.connection, syn_id, cookie);
    // A process that began anew knows nothing of its earlier streams: it answers with a reset, and does so now instead of at the next
    // keep-alive.
    for (uint16_t other = 0; other < slots_.size() && slot != k_none; ++other) {
      if (other == slot || slots_[other].connection == nullptr || !(slots_[other].connection->remote() == from)) continue;
      slots_[other].connection->acknowledge_now();
      touch(now, other);
    }
    if (slot != k_none) slots_[slot].connection->start_accepted(now, static_cast<uint16_t>(syn_seq + 1));
    return slot;
  }
  return k_none;
}

void Utp::on_unreachable(const Endpoint& remote) {
  for (const Slot& slot : slots_) {
    if (slot.connection != nullptr && slot.connection->remote() == remote) slot.connection->doubt();
  }
}

void Utp::answer(Instant now, const Answer& what) {
  if (answers_.size() == k_answers_max || !answer_rate_.take(now, 1)) return;
  answers_.push_back(what);
}

void Utp::on_timer(Instant now) {
  uint16_t key = 0;
  while (timers_.pop(now, key)) {
    if (key == 2 * options_.connections_max) continue;  // the uplink: plan() looks
    if (key >= options_.connections_max) {
      uint16_t index = static_cast<uint16_t>(key - options_.connections_max);
      if (paths_[index] != nullptr) line_up(*paths_[index], index);
      continue;
    }
    slots_[key].connection->on_timer(now);
    touch(now, key);
  }
}

// Something happened to a connection: puts it into the lines that it belongs in.
void Utp::touch(Instant now, uint16_t slot) {
  UtpConnection& connection = *slots_[slot].connection;
  if (!connection.in_news_line && connection.has_news()) {
    connection.in_news_line = true;
    news_.push(slot);
  }
  if (connection.state() == UtpConnection::State::dead) {
    if (!connection.has_news()) remove(slot);
    return;
  }
  if (!connection.in_ack_line && connection.wants_control()) {
    connection.in_ack_line = true;
    acks_.push(slot);
  }
  UtpPath& path = connection.path();
  if (!connection.in_ready_line && connection.wants_send()) {
    connection.in_ready_line = true;
    path.ready.push(slot);
  }
  if (connection.in_ready_line) line_up(path, path_of_[slot]);
  static_cast<void>(now);
  timers_.arm(slot, connection.deadline());
}

void Utp::line_up(UtpPath& path, uint16_t index) {
  if (path.in_line || path.ready.empty()) return;
  path.in_line = true;
  path_line_.push(index);
}

// ---- events ----

bool Utp::poll(Instant now, UtpEvent& out) {
  if (popped_slot_ != k_none) {
    uint16_t slot = popped_slot_;
    popped_slot_ = k_none;
    slots_[slot].connection->read_pop(now);
    touch(now, slot);
  }
  while (!news_.empty()) {
    uint16_t slot = news_.front();
    if (poll_connection(now, slot, out)) return true;
    news_.pop();
    slots_[slot].connection->in_news_line = false;
    touch(now, slot);
  }
  if (direct_slot_ == k_none) return false;
  out.kind = UtpEvent::Kind::received;
  out.stream = slots_[direct_slot_].connection->id();
  out.bytes = direct_;
  uint16_t slot = direct_slot_;
  direct_slot_ = k_none;
  // What waited behind it comes next.
  touch(now, slot);
  return true;
}

bool Utp::poll_connection(Instant now, uint16_t slot, UtpEvent& out) {
  UtpConnection& connection = *slots_[slot].connection;
  out.stream = connection.id();
  if (connection.take_opened()) {
    out.kind = connection.was_accepted() ? UtpEvent::Kind::accepted : UtpEvent::Kind::connected;
    out.remote = connection.remote();
    return true;
  }
  if (direct_slot_ == slot) {
    out.kind = UtpEvent::Kind::received;
    out.bytes = direct_;
    direct_slot_ = k_none;
    return true;
  }
  if (connection.is_readable()) {
    out.kind = UtpEvent::Kind::received;
    out.bytes = connection.read_front();
    counters_.payload_in += out.bytes.size();
    popped_slot_ = slot;
    if (!out.bytes.empty()) return true;
    popped_slot_ = k_none;
    connection.read_pop(now);
    return poll_connection(now, slot, out);
  }
  if (connection.take_closed()) {
    out.kind = UtpEvent::Kind::closed;
    out.reason = connection.reason();
    out.what = connection.reason_text();
    return true;
  }
  if (connection.take_writable()) {
    out.kind = UtpEvent::Kind::writable;
    return true;
  }
  return false;
}

// ---- runs ----

bool Utp::plan(Instant now, UtpRun& out) {
  return plan_answer(out) || plan_ack(now, acks_, false, out) || plan_payload(now, out) || plan_ack(now, late_acks_, true, out);
}

bool Utp::plan_answer(UtpRun& out) {
  if (answers_.empty()) return false;
  out.stream = 0;
  out.to = answers_.back().to;
  out.from = answers_.back().from;
  out.count = 1;
  out.packet_size = out.last_size = k_utp_header_size;
  out.may_fragment = true;
  out.has_payload = false;
  encode_utp(answers_.back().header, out.control);
  return true;
}

// `all`: also of connections that have payload to send.
bool Utp::plan_ack(Instant now, UtpLine& line, bool all, UtpRun& out) {
  while (!line.empty()) {
    uint16_t slot = line.front();
    UtpConnection& connection = *slots_[slot].connection;
    bool is_late = !all && connection.in_ready_line;
    if (!is_late && connection.plan_control(now, out)) return true;
    line.pop();
    if (is_late)
      late_acks_.push(slot);
    else
      connection.in_ack_line = false;
  }
  return false;
}

// Whether the uplink takes a run now; if it is only too early, a timer says when.
bool Utp::uplink_is_open(Instant now) {
  uint32_t packet = paths_[path_line_.front()]->mtu.size();
  if (uplink_.in_flight != 0 && uplink_.room() < uplink_.batch(packet)) return false;
  if (now >= uplink_.release_at) return true;
  timers_.arm(static_cast<uint16_t>(2 * options_.connections_max), uplink_.release_at);
  return false;
}

// Paths in turn, and the connections of one path in turn.
bool Utp::plan_payload(Instant now, UtpRun& out) {
  while (!path_line_.empty()) {
    if (!uplink_is_open(now)) return false;
    uint16_t index = path_line_.front();
    UtpPath* path = paths_[index].get();
    while (!path->ready.empty()) {
      uint16_t slot = path->ready.front();
      UtpConnection& connection = *slots_[slot].connection;
      if (now < path->release_at) {
        timers_.arm(static_cast<uint16_t>(options_.connections_max + index), path->release_at);
        break;
      }
      UtpConnection::Plan plan = connection.plan_payload(now, out);
      if (plan == UtpConnection::Plan::run) return true;
      if (plan == UtpConnection::Plan::no_room) break;
      path->ready.pop();
      connection.in_ready_line = false;
      timers_.arm(slot, connection.deadline());
    }
    path_line_.pop();
    path->in_line = false;
  }
  return false;
}

void Utp::commit(Instant now, const UtpRun& run, MutBytes buffer) {
  counters_.packets_out += run.count;
  if (run.stream == 0) {
    CHECK(!answers_.empty() && buffer.size() >= run.size());
    std::memcpy(buffer.data(), run.control.data(), run.packet_size);
    answers_.pop_back();
    return;
  }
  UtpConnection* found = connection(run.stream);
  CHECK(found != nullptr);
  found->commit(now, run, buffer);
  if (run.has_payload) {
    size_t payload = run.size() - run.count * k_utp_header_size;
    (run.kind == UtpRun::Kind::again ? counters_.payload_again : counters_.payload_out) += payload;
    // The next connection of the path is next in turn, and the next path.
    UtpPath& path = found->path();
    uint16_t slot = path.ready.pop();
    found->in_ready_line = false;
    uint16_t index = path_line_.pop();
    path.in_line = false;
    CHECK(slot == slot_of(run.stream) && index == path_of_[slot]);
    touch(now, slot);
    line_up(path, index);
    return;
  }
  touch(now, slot_of(run.stream));
}

void Utp::on_too_big(Instant now, const UtpRun& run) {
  UtpConnection* found = connection(run.stream);
  if (found == nullptr) return;
  found->on_refused(now, run.packet_size);
  touch(now, slot_of(run.stream));
}

}  // namespace millet
