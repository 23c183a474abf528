// What one uTP connection has sent and what became of it: metadata only, 16 bytes per packet. Payload is never kept; what is lost is asked
// from its owner again by its stream offset.
//
//      acknowledged        in flight, lost or selectively acknowledged          not sent
//   ------------------|--------------------------------------------------|------------------> sequence numbers
//                   first                                              next
//
// Losses are found by time (RFC 8985): a packet is lost if one that was sent later has arrived and a reordering window has passed since.
// Two lists run through the ring, one of the packets in flight in the order of their (re)sending, one of the lost; so an acknowledgement
// costs what it newly acknowledges, and loss detection what it finds.
#pragma once

#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "base/time.h"
#include "swarm/utp_bits.h"
#include "swarm/utp_packet.h"

namespace millet {

class UtpSent {
 public:
  static constexpr uint16_t k_packets_max = 1 << 15;  // more and "before" and "after" on the circle of sequence numbers lose their meaning

  struct Packet {
    uint32_t sent_us = 0;  // of the last sending; low bits of the time
    uint32_t offset = 0;   // low bits of the stream offset of the first payload byte
    uint16_t size = 0;     // payload bytes; 0: FIN
    uint8_t sends = 0;     // stays at 255
    uint8_t flags = 0;
    uint16_t before = 0;  // in its list
    uint16_t after = 0;
  };

  // What one acknowledgement told.
  struct Acked {
    uint32_t wire_bytes = 0;  // newly acknowledged, with headers
    uint32_t payload_bytes = 0;
    uint32_t freed_bytes = 0;  // of them, those that counted as in flight
    uint32_t rtt_us = 0;       // the shortest round trip of a packet sent once; 0: none
    uint16_t probe_size = 0;   // payload of a path MTU probe that arrived; 0: none
    uint16_t size_max = 0;     // the largest payload that arrived and was sent once (what is sent again may be fragmented)
    bool advanced = false;     // the first unacknowledged packet is another one
    bool spurious = false;     // something that counted as lost had arrived, and not by its retransmission
  };
  struct Lost {
    uint32_t wire_bytes = 0;
    uint32_t newest_sent_us = 0;  // when the last of them was sent
    uint16_t probe_size = 0;      // a path MTU probe among them
    bool congestion = false;      // others than the probe are among them
  };

  explicit UtpSent(uint16_t first_seq) : first_(first_seq), next_(first_seq), highest_(static_cast<uint16_t>(first_seq - 1)) {}

  uint16_t first() const { return first_; }
  uint16_t next() const { return next_; }
  uint16_t count() const { return static_cast<uint16_t>(next_ - first_); }
  bool is_full() const { return count() == k_packets_max - 1; }
  // Bytes that are on their way: sent, neither acknowledged nor lost; with headers.
  uint32_t in_flight() const { return in_flight_; }
  bool has_in_flight() const { return sent_.head != k_none; }
  bool has_lost() const { return lost_.head != k_none; }
  bool has_hole() const { return sacked_ != 0; }
  bool reordered() const { return reordered_; }
  uint32_t sacked() const { return sacked_; }
  // When the packet in flight that was sent longest ago was sent. Requires: has_in_flight().
  uint32_t oldest_sent_us() const { return ring_[sent_.head].sent_us; }
  // The packet in flight that was sent last. Requires: has_in_flight().
  uint16_t newest_in_flight() const { return seq_of(sent_.tail); }
  // One packet. Requires: first() <= seq < next().
  const Packet& at(uint16_t seq) const { return ring_[index(seq)]; }

  // A new packet goes out as number next(). Requires: !is_full().
  void push(uint32_t now_us, uint32_t offset, uint16_t size, bool probe);
  // The n lost packets that wait for retransmission, in the order in which they are to go: writes up to `max` numbers.
  size_t peek_lost(uint16_t* out, size_t max) const;
  // A lost packet, or one in flight (a tail loss probe), goes out again.
  void resend(uint32_t now_us, uint16_t seq);

  // Requires: ack is before next() (the connection has checked it). `min_rtt_us`: an acknowledgement of a retransmission that comes faster
  // is of the original.
  Acked on_ack(uint32_t now_us, uint16_t ack, Bytes sack, uint32_t min_rtt_us);
  // Finds losses; `wait_us` is how long until the next packet is one, if nothing arrives (0: none waits).
  Lost detect(uint32_t now_us, uint32_t reorder_us, uint32_t& wait_us);
  // Everything that has not arrived is lost (a retransmission timeout).
  Lost lose_all();

  // Gives memory back that the packets in flight do not need.
  void trim();
  size_t memory() const { return ring_.capacity() * sizeof(Packet) + bits_.memory(); }

 private:
  static constexpr uint16_t k_none = 0xffff;
  static constexpr size_t k_capacity_min = 64;
  enum : uint8_t { k_in_flight = 1, k_lost = 2, k_sacked = 4, k_probe = 8 };
  struct List {
    uint16_t head = k_none;
    uint16_t tail = k_none;
  };

  uint16_t index(uint16_t seq) const { return static_cast<uint16_t>(seq & (ring_.size() - 1)); }
  uint16_t seq_of(uint16_t at) const { return static_cast<uint16_t>(first_ + ((at - first_) & (ring_.size() - 1))); }
  uint32_t wire_size(const Packet& packet) const { return packet.size + static_cast<uint32_t>(k_utp_header_size); }
  void append(List& list, uint16_t at);
  void unlink(List& list, uint16_t at);
  void resize(size_t capacity);
  void deliver(uint32_t now_us, uint16_t seq, uint32_t min_rtt_us, Acked& out);
  void on_sack(uint32_t now_us, uint16_t ack, Bytes sack, uint32_t min_rtt_us, Acked& out);
  void lose(uint16_t at, Lost& out);
  bool is_before_newest(const Packet& packet, uint16_t seq) const;

  std::vector<Packet> ring_;
  UtpBits bits_;  // selectively acknowledged
  List sent_;     // in flight, in the order of sending
  List lost_;
  uint32_t in_flight_ = 0;
  uint32_t sacked_ = 0;
  uint16_t first_;
  uint16_t next_;
  uint16_t highest_;        // the highest number that has arrived
  bool reordered_ = false;  // the path is known to reorder
  // RFC 8985 section 5.2: the packet sent last of those that have arrived.
  bool has_newest_ = false;
  uint32_t newest_sent_us_ = 0;
  uint16_t newest_seq_ = 0;
  uint32_t newest_rtt_us_ = 0;
};

}  // namespace millet
