// The packet size of one uTP path: search for the largest that passes (RFC 8899), and return to the base when full packets stop arriving
// while the path was known to pass them (a black hole). Sizes here are of UDP payload: header and payload of a uTP packet.
//
// The engine probes with data packets of a larger size, one at a time, that must not be fragmented. A lost probe says nothing about
// congestion; it goes out again as a packet that may be fragmented, because its sequence number belongs to its bytes.
#pragma once

#include <array>
#include <cstdint>

#include "base/time.h"

namespace millet {

class UtpMtu {
 public:
  // `link_max`: the largest IP packet that our own link takes.
  UtpMtu(bool v4, uint16_t link_max);

  // For packets that are not probes.
  uint16_t size() const { return size_; }
  uint16_t base() const { return base_; }
  // The size of the probe that is to go out now; 0: none.
  uint16_t probe(Instant now) const;
  void on_probe_sent(Instant now);
  void on_probe_arrived(Instant now);
  void on_probe_lost(Instant now);
  // Our own system refused a packet of that size.
  void on_refused(Instant now, uint16_t size);
  // A packet of that size, and not a probe, arrived.
  void on_arrived(uint16_t size) {
    if (size > base_) timeouts_ = 0;
  }
  // A retransmission timeout while a packet of that size was the first that had not arrived. True: the path is a black hole for the current
  // size, which is the base now.
  bool on_timeout(Instant now, uint16_t size);

 private:
  static constexpr Duration k_retry = Duration::minutes(10);       // RFC 8899 section 5.1.1: PMTU_RAISE_TIMER
  static constexpr Duration k_probe_time = Duration::seconds(30);  // a probe whose connection has ended is forgotten
  static constexpr unsigned k_first_probes_max = 2;  // lost probes of our own link's size, which most paths pass, and it does not pass
  static constexpr unsigned k_timeouts_max = 2;

  void choose(Instant now);

  uint16_t overhead_;
  uint16_t base_;
  uint16_t size_;
  uint16_t limit_;  // sizes from here on do not pass
  uint16_t link_max_;
  uint16_t probe_ = 0;  // 0: the search is over until search_at_
  bool in_flight_ = false;
  Instant sent_at_;
  unsigned lost_ = 0;
  unsigned timeouts_ = 0;
  Instant search_at_;
};

}  // namespace millet
