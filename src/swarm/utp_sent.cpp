#include "swarm/utp_sent.h"

#include <algorithm>
#include <bit>

namespace millet {
namespace {

// a - b of truncated times; right as long as they are less than 35 minutes apart.
int32_t since(uint32_t a, uint32_t b) { return static_cast<int32_t>(a - b); }

uint64_t load_le(const uint8_t* from, size_t size) {
  uint64_t value = 0;
  for (size_t i = 0; i < size; ++i) value |= uint64_t{from[i]} << (8 * i);
  return value;
}

}  // namespace

void UtpSent::append(List& list, uint16_t at) {
  Packet& packet = ring_[at];
  packet.before = list.tail;
  packet.after = k_none;
  if (list.tail == k_none)
    list.head = at;
  else
    ring_[list.tail].after = at;
  list.tail = at;
}

void UtpSent::unlink(List& list, uint16_t at) {
  const Packet& packet = ring_[at];
  if (packet.before == k_none)
    list.head = packet.after;
  else
    ring_[packet.before].after = packet.after;
  if (packet.after == k_none)
    list.tail = packet.before;
  else
    ring_[packet.after].before = packet.before;
}

// Moves every packet to its place in a ring of another size; the lists keep their order.
void UtpSent::resize(size_t capacity) {
  CHECK(capacity > count() && capacity <= k_packets_max);
  std::vector<Packet> old(capacity);
  old.swap(ring_);
  bits_.reset(capacity);
  auto old_seq = [&](uint16_t at) { return static_cast<uint16_t>(first_ + ((at - first_) & (old.size() - 1))); };
  auto moved = [&](uint16_t at) { return at == k_none ? k_none : index(old_seq(at)); };
  for (uint16_t i = 0; i < count(); ++i) {
    uint16_t seq = static_cast<uint16_t>(first_ + i);
    Packet packet = old[seq & (old.size() - 1)];
    if ((packet.flags & k_sacked) != 0) {
      bits_.set(seq);
    } else {
      packet.before = moved(packet.before);
      packet.after = moved(packet.after);
    }
    ring_[index(seq)] = packet;
  }
  for (List* list : {&sent_, &lost_}) *list = {moved(list->head), moved(list->tail)};
}

void UtpSent::trim() {
  if (count() == 0) {
    std::vector<Packet>().swap(ring_);
    bits_.release();
    return;
  }
  size_t capacity = k_capacity_min;
  while (capacity <= count()) capacity *= 2;
  if (capacity < ring_.size()) resize(capacity);
}

void UtpSent::push(uint32_t now_us, uint32_t offset, uint16_t size, bool probe) {
  CHECK(!is_full());
  if (count() >= ring_.size()) resize(ring_.empty() ? k_capacity_min : ring_.size() * 2);
  uint16_t at = index(next_);
  ring_[at] = {now_us, offset, size, 1, static_cast<uint8_t>(k_in_flight | (probe ? k_probe : 0)), k_none, k_none};
  append(sent_, at);
  in_flight_ += wire_size(ring_[at]);
  ++next_;
}

size_t UtpSent::peek_lost(uint16_t* out, size_t max) const {
  size_t count = 0;
  for (uint16_t at = lost_.head; at != k_none && count < max; at = ring_[at].after) out[count++] = seq_of(at);
  return count;
}

void UtpSent::resend(uint32_t now_us, uint16_t seq) {
  uint16_t at = index(seq);
  Packet& packet = ring_[at];
  CHECK((packet.flags & (k_in_flight | k_lost)) != 0);
  if ((packet.flags & k_lost) != 0) {
    unlink(lost_, at);
    in_flight_ += wire_size(packet);
  } else {
    unlink(sent_, at);
  }
  packet.flags = k_in_flight;  // a probe that was lost is an ordinary packet now
  packet.sent_us = now_us;
  if (packet.sends < 255) ++packet.sends;
  append(sent_, at);
}

void UtpSent::deliver(uint32_t now_us, uint16_t seq, uint32_t min_rtt_us, Acked& out) {
  uint16_t at = index(seq);
  Packet& packet = ring_[at];
  uint32_t rtt = static_cast<uint32_t>(std::max(since(now_us, packet.sent_us), 1));
  // RFC 8985 section 5.2: too fast to be the answer to the retransmission.
  bool of_original = packet.sends > 1 && rtt < min_rtt_us;
  if ((packet.flags & k_in_flight) != 0) {
    unlink(sent_, at);
    in_flight_ -= wire_size(packet);
    out.freed_bytes += wire_size(packet);
    if (of_original && rtt < min_rtt_us / 2) out.spurious = true;
  } else {
    unlink(lost_, at);
    out.spurious = true;
  }
  out.wire_bytes += wire_size(packet);
  out.payload_bytes += packet.size;
  if ((packet.flags & k_probe) != 0) out.probe_size = packet.size;
  if (packet.sends == 1) {
    out.size_max = std::max(out.size_max, packet.size);
    if (out.rtt_us == 0 || rtt < out.rtt_us) out.rtt_us = rtt;
    if (utp_distance(seq, highest_) < 0) reordered_ = true;
  }
  if (utp_distance(seq, highest_) > 0) highest_ = seq;
  if (!of_original && (!has_newest_ || !is_before_newest(packet, seq))) {
    has_newest_ = true;
    newest_sent_us_ = packet.sent_us;
    newest_seq_ = seq;
    newest_rtt_us_ = rtt;
  }
}

void UtpSent::on_sack(uint32_t now_us, uint16_t ack, Bytes sack, uint32_t min_rtt_us, Acked& out) {
  for (size_t i = 0; i < sack.size(); i += 8) {
    uint16_t from = static_cast<uint16_t>(ack + 2 + 8 * i);
    if (utp_distance(from, next_) >= 0) return;
    uint64_t fresh = load_le(sack.data() + i, std::min<size_t>(8, sack.size() - i)) & ~bits_.get64(from);
    for (; fresh != 0; fresh &= fresh - 1) {
      uint16_t seq = static_cast<uint16_t>(from + std::countr_zero(fresh));
      if (utp_distance(seq, first_) < 0 || utp_distance(seq, next_) >= 0) continue;
      deliver(now_us, seq, min_rtt_us, out);
      ring_[index(seq)].flags = k_sacked;
      bits_.set(seq);
      ++sacked_;
    }
  }
}

UtpSent::Acked UtpSent::on_ack(uint32_t now_us, uint16_t ack, Bytes sack, uint32_t min_rtt_us) {
  Acked out;
  CHECK(utp_distance(ack, next_) < 0);
  while (utp_distance(ack, first_) >= 0) {
    if ((ring_[index(first_)].flags & k_sacked) != 0) {
      bits_.clear(first_);
      --sacked_;
    } else {
      deliver(now_us, first_, min_rtt_us, out);
    }
    ring_[index(first_)].flags = 0;
    ++first_;
    out.advanced = true;
  }
  if (count() != 0) on_sack(now_us, ack, sack, min_rtt_us, out);
  return out;
}

bool UtpSent::is_before_newest(const Packet& packet, uint16_t seq) const {
  int32_t later = since(packet.sent_us, newest_sent_us_);
  return later < 0 || (later == 0 && utp_distance(seq, newest_seq_) < 0);
}

void UtpSent::lose(uint16_t at, Lost& out) {
  Packet& packet = ring_[at];
  unlink(sent_, at);
  in_flight_ -= wire_size(packet);
  out.wire_bytes += wire_size(packet);
  if ((packet.flags & k_probe) != 0)
    out.probe_size = packet.size;
  else
    out.congestion = true;
  if (out.newest_sent_us == 0 || since(packet.sent_us, out.newest_sent_us) > 0) out.newest_sent_us = packet.sent_us;
  packet.flags = static_cast<uint8_t>((packet.flags & ~k_in_flight) | k_lost);
  append(lost_, at);
}

UtpSent::Lost UtpSent::detect(uint32_t now_us, uint32_t reorder_us, uint32_t& wait_us) {
  Lost out;
  wait_us = 0;
  if (!has_newest_) return out;
  while (sent_.head != k_none) {
    const Packet& packet = ring_[sent_.head];
    if (!is_before_newest(packet, seq_of(sent_.head))) break;
    int32_t left = since(packet.sent_us + newest_rtt_us_ + reorder_us, now_us);
    if (left > 0) {
      wait_us = static_cast<uint32_t>(left);
      break;
    }
    lose(sent_.head, out);
  }
  return out;
}

UtpSent::Lost UtpSent::lose_all() {
  Lost out;
  while (sent_.head != k_none) lose(sent_.head, out);
  // In the order of the stream from here on: the receiver can deliver the first ones at once.
  lost_ = {};
  for (uint16_t seq = first_; seq != next_; ++seq) {
    if ((ring_[index(seq)].flags & k_lost) != 0) append(lost_, index(seq));
  }
  return out;
}

}  // namespace millet
