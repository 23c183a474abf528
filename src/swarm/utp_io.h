// What goes in and out of the uTP engine (utp.h): streams by id, runs of packets to send, events.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "base/bytes.h"
#include "base/endpoint.h"
#include "swarm/utp_ledbat.h"

namespace millet {

// One uTP stream; given by the engine, never 0 and never used again.
using UtpId = uint64_t;

struct UtpOptions {
  UtpLedbat::Options ledbat;
  uint16_t connections_max = 512;      // with those that only end in good order
  uint32_t window = 4u << 20;          // bytes that a peer may have on their way to us; 4 MiB is 100 Mbit/s at 320 ms
  uint32_t reassembly_max = 4u << 20;  // bytes of the pool for packets beyond holes, of all connections
  uint16_t link_packet_max = 1500;     // largest IP packet of our own link
};

// Payload of one packet: `size` bytes of the stream from `offset` on.
struct UtpSegment {
  uint64_t offset = 0;
  uint16_t size = 0;
};

// Packets to one destination, all of `packet_size` bytes, only the last may be shorter: what UDP segmentation offload takes in one call. In
// the buffer packet i begins at i * packet_size with its header (written by Utp::commit), payload follows at k_utp_header_size (written by
// the stream's owner).
struct UtpRun {
  static constexpr size_t k_packets_max = 64;   // UDP_MAX_SEGMENTS of Linux
  static constexpr size_t k_size_max = 65'000;  // a datagram's size limit holds for the run
  UtpId stream = 0;                             // 0: no stream of ours (an answer to a stranger)
  Endpoint to;
  IpAddress from;  // of ours; 0.0.0.0: the system chooses
  uint16_t packet_size = 0;
  uint16_t last_size = 0;
  uint8_t count = 0;
  bool may_fragment = false;                       // else: Don't Fragment
  bool has_payload = false;                        // there are segments to fill
  std::array<UtpSegment, k_packets_max> segments;  // of the first `count` packets, if has_payload

  size_t size() const { return count == 0 ? 0 : size_t{packet_size} * (count - 1u) + last_size; }

  // For commit(): what the run is.
  enum class Kind : uint8_t { syn, state, fin, reset, fresh, again, probe };
  Kind kind = Kind::state;
  uint16_t seq_before = 0;  // Utp::commit checks that nothing happened since plan
  std::array<uint16_t, k_packets_max> seqs;
  std::array<uint8_t, 160> control;  // a packet without payload, whole
};

struct UtpEvent {
  enum class Kind : uint8_t {
    accepted,   // a peer has connected; `remote`
    connected,  // connect() was answered
    received,   // `bytes`, in order; valid until the next call
    writable,   // room() is worth an offer()
    closed,     // the id is dead; `reason`
  };
  Kind kind = Kind::received;
  UtpId stream = 0;
  Endpoint remote;
  Bytes bytes;
  Errc reason = Errc::unavailable;  // of closed: unavailable by the peer, timed_out, protocol; its text is `what`
  const char* what = "";
};

}  // namespace millet
