#include "swarm/utp_connection.h"

#include <algorithm>

namespace millet {
namespace {

constexpr uint32_t k_reading_window_min = 64 * 1024;  // what comes in order needs no room

}  // namespace

UtpConnection::UtpConnection(const Setup& setup, UtpPath& path, UtpPool& pool)
    : id_(setup.id), remote_(setup.remote), path_(path), sent_(setup.seq), received_(pool, 0, setup.window), pool_(pool),
      receive_id_(setup.receive_id), send_id_(setup.send_id), first_seq_(setup.seq), window_(setup.window) {
  ++path_.users;
}

UtpConnection::~UtpConnection() {
  path_.take_from_flight(sent_.in_flight());
  --path_.users;
}

void UtpConnection::start_connect(Instant now) {
  syn_due_ = true;
  last_sent_ = now;
}

void UtpConnection::start_accepted(Instant now, uint16_t next_seq) {
  received_.start(next_seq);
  accepted_ = opened_untold_ = true;
  last_sent_ = now;
  state_ = State::open;
}

void UtpConnection::fail(Errc reason, const char* text) {
  if (is_over()) return;
  if (state_ != State::lingering) {
    closed_untold_ = true;
    reason_ = reason;
    reason_text_ = text;
  }
  state_ = State::dead;
}

// ---- packets ----

// The answer to our SYN.
bool UtpConnection::on_state_packet(Instant now, const UtpPacket& packet) {
  uint16_t syn = static_cast<uint16_t>(sent_.next() - 1);
  // Data before the answer is not taken: their first number is not known yet, and it comes again.
  if (packet.header.type != UtpType::state || packet.header.ack != syn) return false;
  received_.start(packet.header.seq);  // a STATE has the number of their next packet
  state_ = State::open;
  opened_untold_ = true;
  backoff_ = 0;
  syn_due_ = false;
  peer_window_ = packet.header.window;
  if (packet.header.sent_us != 0) delay_.on_timestamp(now, packet.header.sent_us);
  // Karn: which of several SYNs was answered is not known.
  if (syns_ == 1) take_round_trip(now, static_cast<uint32_t>(std::max<int64_t>((now - last_sent_).in_us(), 1)));
  retransmit_at_ = Instant::never();
  return false;
}

bool UtpConnection::is_current(const UtpPacket& packet) const {
  int ahead = utp_distance(packet.header.ack, sent_.first());
  return utp_distance(packet.header.ack, sent_.next()) < 0 && ahead >= -k_ack_behind_max;
}

bool UtpConnection::on_packet(Instant now, const UtpPacket& packet) {
  if (is_over()) return false;
  if (state_ == State::syn_sent) return on_state_packet(now, packet);
  if (packet.header.type == UtpType::syn) {
    note_ack(now, 0, true);
    return false;
  }
  if (!is_current(packet)) return false;
  silent_ = 0;
  doubted_ = false;
  if (packet.header.sent_us != 0) delay_.on_timestamp(now, packet.header.sent_us);
  on_acknowledgement(now, packet);
  bool direct = on_payload(now, packet);
  check_fin(now);
  check_end(now);
  return direct;
}

bool UtpConnection::believes_reset(uint16_t ack) const {
  // An answer to a packet that we sent names its number or the one before; a guess from elsewhere hits that range seldom.
  return utp_distance(ack, sent_.next()) <= 0 && utp_distance(ack, sent_.first()) >= -2;
}

void UtpConnection::on_reset() { fail(Errc::unavailable, state_ == State::syn_sent ? "refused the connection" : "reset by the peer"); }

// ---- acknowledgements ----

void UtpConnection::on_acknowledgement(Instant now, const UtpPacket& packet) {
  if (utp_distance(packet.header.ack, sent_.first()) >= -1) {
    if (peer_window_ < packet.header.window) window_probe_at_ = Instant::never();
    peer_window_ = packet.header.window;
  }
  uint32_t path_before = path_.in_flight;
  uint32_t uplink_before = path_.uplink.in_flight;
  uint32_t now_us = static_cast<uint32_t>(now.in_us());
  UtpSent::Acked acked = sent_.on_ack(now_us, packet.header.ack, packet.sack, path_.base_rtt_us());
  if (acked.wire_bytes == 0 && !acked.advanced) {
    if (sent_.has_hole()) find_losses(now);
    return;
  }
  path_.take_from_flight(acked.freed_bytes);
  path_.progress_at = now;
  probes_of_window_ = 0;
  uint32_t over_base_us = UINT32_MAX;
  if (acked.rtt_us != 0) {
    take_round_trip(now, acked.rtt_us);
    over_base_us = acked.rtt_us - std::min(acked.rtt_us, path_.base_rtt_us());
  }
  delay_.on_report(now, packet.header.delay_us, over_base_us, path_.uplink.queue_us());
  if (acked.spurious) {
    path_.ledbat.undo();
    if (reorder_steps_ < k_reorder_steps_max) ++reorder_steps_;
  }
  if (acked.probe_size != 0) path_.mtu.on_probe_arrived(now);
  if (acked.size_max != 0) path_.mtu.on_arrived(static_cast<uint16_t>(acked.size_max + k_utp_header_size));
  path_.set_packet();
  feed_controllers(now, acked, path_before, uplink_before);
  backoff_ = 0;
  probed_tail_ = false;
  if (short_in_flight_ && utp_distance(sent_.first(), short_seq_) > 0) short_in_flight_ = false;
  if (recovering_ && utp_distance(sent_.first(), recovery_end_) >= 0) recovering_ = false;
  find_losses(now);
  arm_retransmission(now);
}

void UtpConnection::take_round_trip(Instant now, uint32_t rtt_us) {
  rtt_.add(rtt_us);
  path_.take_round_trip(now, rtt_us);
}

// The uplink hears of the queue that all share, the path of what it has beyond that.
void UtpConnection::feed_controllers(Instant now, const UtpSent::Acked& acked, uint32_t path_before, uint32_t uplink_before) {
  UtpUplink& uplink = path_.uplink;
  UtpLedbat::Ack ack;
  ack.bytes = acked.wire_bytes;
  ack.base_rtt_us = path_.base_rtt_us();
  if (delay_.is_known()) path_.take_queue(now, delay_.queue_us());
  uint32_t shared = uplink.add_queue(now, path_.index, path_.queue_us);
  ack.no_queue = delay_.is_known() && path_.is_no_queue(path_.queue_us);
  ack.queue_us = shared;
  ack.rtt_us = uplink.last_rtt_us;
  ack.in_flight = uplink_before;
  ack.limited = uplink.is_used(uplink_before);
  uplink.ledbat.on_ack(now, ack);
  ack.queue_us = path_.queue_us - shared;
  ack.rtt_us = path_.last_rtt_us;
  ack.in_flight = path_before;
  ack.limited = path_.is_used(path_before);
  path_.ledbat.on_ack(now, ack);
}

// RFC 8985 section 6.2: how long a packet may be overtaken before it counts as lost.
void UtpConnection::find_losses(Instant now) {
  uint32_t base = path_.base_rtt_us();
  uint32_t reorder_us = 0;
  if (sent_.reordered() || (!recovering_ && sent_.sacked() < 3)) {
    reorder_us = std::max<uint32_t>(base / 4 * reorder_steps_, 1000);
    if (rtt_.is_known()) reorder_us = std::min(reorder_us, std::max<uint32_t>(rtt_.smoothed_us(), 1000));
  }
  uint32_t wait_us = 0;
  take_losses(now, sent_.detect(static_cast<uint32_t>(now.in_us()), reorder_us, wait_us));
  reorder_at_ = wait_us == 0 ? Instant::never() : now + Duration::us(wait_us);
}

void UtpConnection::take_losses(Instant now, const UtpSent::Lost& lost) {
  if (lost.wire_bytes == 0) return;
  uint32_t path_before = path_.in_flight;
  path_.take_from_flight(lost.wire_bytes);
  if (lost.probe_size != 0) path_.mtu.on_probe_lost(now);
  if (!lost.congestion) return;
  if (!recovering_) {
    recovering_ = true;
    recovery_end_ = sent_.next();
  }
  uint32_t ago = static_cast<uint32_t>(now.in_us()) - lost.newest_sent_us;
  path_.ledbat.on_loss(now, now - Duration::us(ago), path_before, path_.is_loss_random());
}

// ---- payload ----

bool UtpConnection::on_payload(Instant now, const UtpPacket& packet) {
  if (packet.header.type == UtpType::data) return on_data(now, packet);
  if (packet.header.type == UtpType::fin) {
    on_fin(packet);
    note_ack(now, 0, true);
  }
  return false;
}

bool UtpConnection::on_data(Instant now, const UtpPacket& packet) {
  uint16_t seq = packet.header.seq;
  UtpReceived::Fate fate = received_.classify(seq);
  bool had_hole = received_.has_hole();
  bool direct = false;
  switch (fate) {
    case UtpReceived::Fate::duplicate:
    case UtpReceived::Fate::refused: break;
    case UtpReceived::Fate::in_order:
      if (!received_.is_readable() && (reading_ || state_ == State::lingering)) {
        received_.took_in_order();
        direct = state_ != State::lingering && !packet.payload.empty();
        break;
      }
      [[fallthrough]];
    case UtpReceived::Fate::kept:
      // Beyond the window that we told comes only what asks whether it is open again.
      if (state_ != State::lingering && received_.buffered() < window_) received_.keep(seq, packet.payload);
      break;
  }
  note_ack(now, packet.payload.size(), fate != UtpReceived::Fate::in_order || had_hole);
  return direct;
}

void UtpConnection::on_fin(const UtpPacket& packet) {
  if (received_.has_end() || utp_distance(packet.header.seq, received_.next()) < 0) return;
  if (static_cast<uint16_t>(packet.header.seq - received_.next()) >= UtpReceived::k_reach_max) return;
  received_.set_end(packet.header.seq);
}

// Our FIN has arrived, and all before it.
void UtpConnection::check_fin(Instant now) {
  if (state_ != State::ending || !fin_sent_ || sent_.count() != 0) return;
  closed_untold_ = true;
  reason_ = Errc::unavailable;
  reason_text_ = "closed";
  state_ = State::lingering;
  linger_until_ = now + k_linger;
}

// Their FIN and all before it have gone to the owner: what we have not sent has no reader any more.
void UtpConnection::check_end(Instant now) {
  if (!received_.is_at_end() || state_ == State::lingering || is_over()) return;
  closed_untold_ = true;
  reason_ = Errc::unavailable;
  reason_text_ = "closed by the peer";
  if (sent_.count() == 0 && unsent() == 0) fin_wanted_ = true;
  state_ = State::lingering;
  linger_until_ = now + k_linger;
  retransmit_at_ = reorder_at_ = window_probe_at_ = Instant::never();
  note_ack(now, 0, true);
}

void UtpConnection::note_ack(Instant now, size_t payload, bool at_once) {
  ++since_ack_;
  if (at_once || since_ack_ >= 2)
    ack_now_ = true;
  else if (payload != 0 && ack_at_.is_never())
    ack_at_ = now + k_ack_delay;
}

void UtpConnection::read_pop(Instant now) {
  received_.pop();
  // A window that was nearly closed and is open again is news to the peer.
  if (!received_.is_readable() && told_window_ < window_to_advertise() / 4) ack_now_ = true;
  check_end(now);
}

void UtpConnection::set_reading(Instant now, bool reading) {
  reading_ = reading;
  static_cast<void>(now);
}

uint32_t UtpConnection::window_to_advertise() const {
  uint32_t own = window_ > received_.buffered() ? window_ - received_.buffered() : 0;
  // What comes to a reader needs room only behind a hole: as long as there is some it is promised to all, and what finds none comes again.
  bool flows = reading_ && !received_.is_readable();
  if (flows) return pool_.is_scarce() ? std::min(own, k_reading_window_min) : own;
  // Else every packet needs a block, which its payload may fill by half.
  return static_cast<uint32_t>(std::min<uint64_t>(own, pool_.room() / 2));
}

// ---- the owner ----

void UtpConnection::offer(Instant now, uint64_t bytes) {
  static_cast<void>(now);
  CHECK(!fin_wanted_ || state_ == State::lingering || is_over());
  offered_ += bytes;
  wants_room_ = true;
}

uint64_t UtpConnection::whole_offset(uint32_t low) const {
  return next_offset_ - static_cast<uint32_t>(static_cast<uint32_t>(next_offset_) - low);
}

uint64_t UtpConnection::acknowledged() const { return sent_.count() == 0 ? next_offset_ : whole_offset(sent_.at(sent_.first()).offset); }

uint64_t UtpConnection::peer_room() const {
  uint64_t out = outstanding();
  return peer_window_ > out ? peer_window_ - out : 0;
}

uint64_t UtpConnection::room() const {
  if (state_ != State::open || fin_wanted_) return 0;
  uint64_t take = std::min<uint64_t>(
      {std::max<uint32_t>(std::min(path_.room(), path_.uplink.room()), path_.mtu.size()), peer_room(), UtpRun::k_size_max});
  return take > unsent() ? take - unsent() : 0;
}

// Not for every packet that leaves: half of what the windows take.
bool UtpConnection::is_room_worth_telling() const {
  uint64_t space = room();
  return wants_room_ && space != 0 && space >= unsent();
}

void UtpConnection::close(Instant now) {
  static_cast<void>(now);
  if (state_ == State::syn_sent) fail(Errc::unavailable, "closed");
  if (state_ != State::open) return;
  fin_wanted_ = true;
  state_ = State::ending;
}

void UtpConnection::abandon(Instant now) {
  closed_untold_ = opened_untold_ = false;
  closed_told_ = true;
  if (is_over()) return;
  if (state_ == State::lingering && now < linger_until_) return;
  state_ = State::dead;
}

// ---- news ----

bool UtpConnection::take_opened() {
  bool out = opened_untold_;
  opened_untold_ = false;
  return out;
}

bool UtpConnection::take_writable() {
  if (!is_room_worth_telling()) return false;
  wants_room_ = false;
  return true;
}

bool UtpConnection::take_closed() {
  bool out = closed_untold_ && !is_readable();
  if (out) {
    closed_untold_ = false;
    closed_told_ = true;
  }
  return out;
}

bool UtpConnection::has_news() const { return opened_untold_ || closed_untold_ || is_readable() || is_room_worth_telling(); }

void UtpConnection::trim() {
  sent_.trim();
  received_.trim();
}

}  // namespace millet
