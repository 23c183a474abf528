// The sending half of a uTP connection: what goes out next, and the timers that send again.
#include <algorithm>

#include "swarm/utp_connection.h"

namespace millet {
namespace {

constexpr uint8_t k_window_probes_max = 6;  // doublings of the pause between probes of a closed window

}  // namespace

uint16_t UtpConnection::ack_number() const {
  bool at_end = received_.has_end() && received_.next() == received_.end();
  return at_end ? received_.end() : static_cast<uint16_t>(received_.next() - 1);
}

UtpHeader UtpConnection::header(Instant now, UtpType type, uint16_t seq) const {
  UtpHeader out;
  out.type = type;
  out.connection = type == UtpType::syn ? receive_id_ : send_id_;
  out.sent_us = std::max<uint32_t>(static_cast<uint32_t>(now.in_us()), 1);  // 0 means none to libtorrent
  out.delay_us = delay_.report();
  out.window = window_to_advertise();
  out.seq = seq;
  out.ack = state_ == State::syn_sent ? 0 : ack_number();
  return out;
}

bool UtpConnection::make_reset(Instant now, UtpHeader& out) const {
  if (state_ != State::open && state_ != State::ending) return false;
  out = header(now, UtpType::reset, sent_.next());
  return true;
}

// ---- planning ----

void UtpConnection::set_control(UtpRun& run, UtpRun::Kind kind, const UtpHeader& head, Bytes sack) {
  run.kind = kind;
  run.count = 1;
  run.has_payload = false;
  run.may_fragment = true;
  run.seqs[0] = head.seq;
  size_t size = k_utp_header_size;
  if (sack.empty())
    encode_utp(head, run.control);
  else
    size = encode_utp_sack(head, sack, run.control);
  run.packet_size = run.last_size = static_cast<uint16_t>(size);
}

bool UtpConnection::plan_control(Instant now, UtpRun& run) {
  if (state_ == State::dead) return false;
  run.stream = id_;
  run.to = remote_;
  run.from = local_;
  run.seq_before = sent_.next();
  if (state_ == State::syn_sent) {
    if (!syn_due_) return false;
    set_control(run, UtpRun::Kind::syn, header(now, UtpType::syn, static_cast<uint16_t>(sent_.next() - 1)), {});
    return true;
  }
  if (state_ == State::lingering && may_fin()) {
    set_control(run, UtpRun::Kind::fin, header(now, UtpType::fin, sent_.next()), {});
    return true;
  }
  if (!ack_now_) return false;
  uint8_t sack[UtpReceived::k_sack_size_max];
  size_t size = received_.write_sack(sack);
  set_control(run, UtpRun::Kind::state, header(now, UtpType::state, sent_.next()), Bytes(sack, size));
  return true;
}

bool UtpConnection::wants_send() const {
  if (stalled_ || (state_ != State::open && state_ != State::ending)) return false;
  if (send_one_ || sent_.has_lost() || may_fin()) return true;
  return unsent() != 0 && !sent_.is_full();
}

void UtpConnection::add_segment(UtpRun& run, uint16_t seq, uint64_t offset, uint16_t size) {
  run.segments[run.count] = {offset, size};
  run.seqs[run.count] = seq;
  ++run.count;
  run.last_size = static_cast<uint16_t>(size + k_utp_header_size);
  if (run.count == 1) run.packet_size = run.last_size;
}

UtpConnection::Plan UtpConnection::plan_payload(Instant now, UtpRun& run) {
  if (!wants_send()) return Plan::nothing;
  run.stream = id_;
  run.to = remote_;
  run.from = local_;
  run.seq_before = sent_.next();
  run.count = 0;
  run.may_fragment = false;
  run.has_payload = true;
  uint32_t budget = path_.budget();
  if (sent_.has_lost()) return plan_again(now, run, budget) ? Plan::run : Plan::no_room;
  if (may_fin()) {
    set_control(run, UtpRun::Kind::fin, header(now, UtpType::fin, sent_.next()), {});
    return Plan::run;
  }
  uint64_t least = std::min<uint64_t>(path_.batch_of_both(), unsent() + k_utp_header_size);
  if (unsent() != 0 && !send_one_ && path_.in_flight != 0 && budget < least) return Plan::no_room;
  if (plan_probe(now, run) || plan_fresh(now, run, budget)) return Plan::run;
  if (!send_one_) return Plan::nothing;
  send_one_ = false;
  if (!sent_.has_in_flight()) return Plan::nothing;
  return plan_one_again(now, run, sent_.newest_in_flight()) ? Plan::run : Plan::nothing;
}

bool UtpConnection::plan_one_again(Instant now, UtpRun& run, uint16_t seq) {
  const UtpSent::Packet& packet = sent_.at(seq);
  if (packet.size == 0) {
    set_control(run, UtpRun::Kind::again, header(now, UtpType::fin, seq), {});
    return true;
  }
  run.kind = UtpRun::Kind::again;
  // Its bytes belong to its number: a packet that is too large by now can't be cut, only fragmented.
  run.may_fragment = packet.size + k_utp_header_size > path_.mtu.size() || packet.sends > 1 || backoff_ != 0;
  add_segment(run, seq, whole_offset(packet.offset), packet.size);
  return true;
}

// Lost packets of one size, oldest first.
bool UtpConnection::plan_again(Instant now, UtpRun& run, uint32_t budget) {
  uint16_t lost[UtpRun::k_packets_max];
  size_t count = sent_.peek_lost(lost, std::min<size_t>(UtpRun::k_packets_max, std::max<uint32_t>(budget / k_utp_header_size, 1)));
  size_t first_size = sent_.at(lost[0]).size + k_utp_header_size;
  if (first_size > budget && path_.in_flight != 0 && !send_one_) return false;
  plan_one_again(now, run, lost[0]);
  if (!run.has_payload) return true;
  size_t total = first_size;
  for (size_t i = 1; i < count; ++i) {
    const UtpSent::Packet& packet = sent_.at(lost[i]);
    size_t size = packet.size + k_utp_header_size;
    bool fragment = size > path_.mtu.size() || packet.sends > 1 || backoff_ != 0;
    total += size;
    if (packet.size == 0 || size > first_size || fragment != run.may_fragment || total > budget) break;
    add_segment(run, lost[i], whole_offset(packet.offset), packet.size);
    if (size < first_size) break;  // a shorter one ends a run
  }
  return true;
}

// A packet larger than those that are known to pass, to find out.
bool UtpConnection::plan_probe(Instant now, UtpRun& run) {
  if (!rtt_.is_known() || acknowledged() == 0 || recovering_ || backoff_ != 0 || send_one_ || sent_.has_hole()) return false;
  uint16_t size = path_.mtu.probe(now);
  if (size == 0) return false;
  uint16_t payload = static_cast<uint16_t>(size - k_utp_header_size);
  if (unsent() < payload || peer_room() < payload || !path_.has_room(size)) return false;
  run.kind = UtpRun::Kind::probe;
  add_segment(run, sent_.next(), next_offset_, payload);
  return true;
}

bool UtpConnection::plan_fresh(Instant now, UtpRun& run, uint32_t budget) {
  uint64_t left = unsent();
  if (left == 0 || sent_.is_full()) return false;
  // Beyond a hole others keep only so much.
  if (sent_.has_hole() && sent_.count() >= k_reach && !send_one_) return false;
  uint16_t full = static_cast<uint16_t>(path_.mtu.size() - k_utp_header_size);
  uint64_t allowed = send_one_ ? full : peer_room();
  if (allowed < std::min<uint64_t>(full, left)) {
    // A window that holds no packet opens by itself, or is asked for.
    if (sent_.count() == 0 && window_probe_at_.is_never()) window_probe_at_ = now + window_probe_pause();
    return false;
  }
  run.kind = UtpRun::Kind::fresh;
  size_t count_max =
      std::min<size_t>({UtpRun::k_packets_max, budget / path_.mtu.size(), size_t{UtpSent::k_packets_max} - 1 - sent_.count()});
  if (send_one_ || count_max == 0) count_max = 1;
  uint64_t offset = next_offset_;
  for (uint16_t seq = sent_.next(); run.count < count_max && left >= full && allowed >= full; ++seq) {
    add_segment(run, seq, offset, full);
    offset += full;
    left -= full;
    allowed -= full;
  }
  // Minshall: a short packet waits while another short one is on its way, unless the stream ends with it.
  bool may_be_short = !short_in_flight_ || fin_wanted_ || send_one_;
  if (run.count < count_max && left != 0 && left < full && left <= allowed && may_be_short) {
    add_segment(run, static_cast<uint16_t>(sent_.next() + run.count), offset, static_cast<uint16_t>(left));
  }
  return run.count != 0;
}

Duration UtpConnection::window_probe_pause() const {
  return Duration::ms(int64_t{500} << std::min(probes_of_window_, k_window_probes_max));
}

// ---- sending ----

void UtpConnection::commit(Instant now, const UtpRun& run, MutBytes buffer) {
  CHECK(run.seq_before == sent_.next() && buffer.size() >= run.size());
  uint32_t now_us = static_cast<uint32_t>(now.in_us());
  uint32_t in_flight_before = sent_.in_flight();
  if (!run.has_payload) {
    std::memcpy(buffer.data(), run.control.data(), run.packet_size);
    commit_control(now, run);
  } else {
    UtpHeader head = header(now, UtpType::data, 0);
    bool fresh = run.kind != UtpRun::Kind::again;
    for (size_t i = 0; i < run.count; ++i) {
      head.seq = run.seqs[i];
      encode_utp(head, buffer.subspan(i * run.packet_size, k_utp_header_size));
      const UtpSegment& segment = run.segments[i];
      if (fresh) {
        sent_.push(now_us, static_cast<uint32_t>(segment.offset), segment.size, run.kind == UtpRun::Kind::probe);
        next_offset_ = segment.offset + segment.size;
      } else {
        sent_.resend(now_us, run.seqs[i]);
      }
    }
    if (run.kind == UtpRun::Kind::fresh && run.last_size < path_.mtu.size()) {
      short_in_flight_ = true;
      short_seq_ = run.seqs[run.count - 1u];
    }
    if (run.kind == UtpRun::Kind::probe) path_.mtu.on_probe_sent(now);
    send_one_ = false;
    // A data packet acknowledges too, as long as there is nothing to acknowledge selectively.
    if (!received_.has_hole()) note_acknowledged(head.window);
  }
  last_sent_ = now;
  path_.put_in_flight(sent_.in_flight() - in_flight_before);
  if (run.kind != UtpRun::Kind::state && run.kind != UtpRun::Kind::syn) path_.on_payload_sent(now, static_cast<uint32_t>(run.size()));
  if (retransmit_at_.is_never()) arm_retransmission(now);
}

void UtpConnection::commit_control(Instant now, const UtpRun& run) {
  uint32_t now_us = static_cast<uint32_t>(now.in_us());
  switch (run.kind) {
    case UtpRun::Kind::syn:
      syn_due_ = false;
      ++syns_;
      retransmit_at_ = now + UtpRtt().timeout(backoff_);
      return;
    case UtpRun::Kind::fin:
      sent_.push(now_us, static_cast<uint32_t>(next_offset_), 0, false);
      fin_sent_ = true;
      break;
    case UtpRun::Kind::again:
      sent_.resend(now_us, run.seqs[0]);
      send_one_ = false;
      break;
    default: break;
  }
  note_acknowledged(load_be<uint32_t>(run.control.data() + 12));
}

void UtpConnection::note_acknowledged(uint32_t window) {
  ack_now_ = false;
  since_ack_ = 0;
  ack_at_ = Instant::never();
  told_window_ = window;
}

// ---- timers ----

void UtpConnection::arm_retransmission(Instant now) {
  if (state_ == State::lingering || !sent_.has_in_flight()) {
    if (state_ != State::syn_sent) retransmit_at_ = Instant::never();
    return;
  }
  Duration wait = rtt_.timeout(backoff_);
  bool may_probe = !probed_tail_ && backoff_ == 0 && rtt_.is_known() && !sent_.has_hole() && !recovering_;
  if (may_probe) wait = std::min(wait, rtt_.probe_timeout(sent_.count() == 1));
  retransmit_at_ = now + wait;
}

void UtpConnection::on_retransmission_timer(Instant now) {
  retransmit_at_ = Instant::never();
  if (state_ == State::syn_sent) {
    if (++backoff_ >= k_syns_max)
      fail(Errc::timed_out, "does not answer");
    else
      syn_due_ = true;
    return;
  }
  if (!sent_.has_in_flight()) return;
  bool may_probe = !probed_tail_ && backoff_ == 0 && rtt_.is_known() && !sent_.has_hole() && !recovering_;
  if (may_probe) {
    // RFC 8985 section 7: one packet more makes the peer tell whether the last ones have arrived.
    probed_tail_ = send_one_ = true;
    retransmit_at_ = now + rtt_.timeout(0);
    return;
  }
  if (++silent_ > (doubted_ ? k_timeouts_doubted_max : k_timeouts_max)) {
    fail(Errc::timed_out, "answers no more");
    return;
  }
  if (backoff_ < k_timeouts_max) ++backoff_;
  uint16_t first_size = static_cast<uint16_t>(sent_.at(sent_.first()).size + k_utp_header_size);
  bool path_works = path_.progress_at + rtt_.timeout(0) > now;
  Instant sent_at = now - Duration::us(static_cast<uint32_t>(static_cast<uint32_t>(now.in_us()) - sent_.oldest_sent_us()));
  uint32_t path_before = path_.in_flight;
  UtpSent::Lost lost = sent_.lose_all();
  path_.take_from_flight(lost.wire_bytes);
  if (lost.probe_size != 0) path_.mtu.on_probe_lost(now);
  if (path_.mtu.on_timeout(now, first_size)) path_.set_packet();
  recovering_ = true;
  recovery_end_ = sent_.next();
  reorder_at_ = Instant::never();
  if (!lost.congestion) return;
  // One dead peer behind an address must not stop the others behind it.
  if (path_works && path_.users > 1)
    path_.ledbat.on_loss(now, sent_at, path_before, false);
  else
    path_.ledbat.on_timeout(now, path_before);
}

void UtpConnection::on_timer(Instant now) {
  if (is_over()) return;
  if (now >= linger_until_) {
    state_ = State::dead;
    return;
  }
  if (now >= ack_at_) {
    ack_at_ = Instant::never();
    ack_now_ = true;
  }
  if (now >= reorder_at_) find_losses(now);
  if (now >= retransmit_at_) on_retransmission_timer(now);
  if (now >= window_probe_at_) {
    window_probe_at_ = Instant::never();
    ++probes_of_window_;
    send_one_ = unsent() != 0;
  }
  if (state_ != State::syn_sent && now >= keep_alive_at()) {
    ack_now_ = true;
    last_sent_ = now;
    trim();
  }
}

// The next multiple of the grid after a pause: many connections share one wake of the machine.
Instant UtpConnection::keep_alive_at() const {
  int64_t grid = k_keep_alive_grid.in_us();
  int64_t due = (last_sent_ + k_keep_alive).in_us();
  return Instant::from_us((due + grid - 1) / grid * grid);
}

Instant UtpConnection::deadline() const {
  if (is_over()) return Instant::from_us(0);
  Instant out = earlier(earlier(ack_at_, reorder_at_), earlier(retransmit_at_, window_probe_at_));
  if (state_ == State::syn_sent) return out;
  return earlier(earlier(out, linger_until_), keep_alive_at());
}

}  // namespace millet
