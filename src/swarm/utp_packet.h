// uTP packets (BEP 29): bytes to fields and back. What the fields mean over time is utp_connection.h.
//
//    0       4       8               16              24              32
//    +-------+-------+---------------+---------------+---------------+
//    | type  | ver 1 | extension     | connection id                 |
//    +-------+-------+---------------+---------------+---------------+
//    | timestamp, microseconds, of the sender's clock                |
//    | difference: receiver's clock less the last timestamp received |
//    | window: bytes that the sender of this packet takes            |
//    +---------------+---------------+---------------+---------------+
//    | sequence number               | acknowledged number           |
//    +---------------+---------------+---------------+---------------+
//
// then, while `extension` (or the last extension's own first byte) is not 0: | next extension | length | `length` bytes |, then the
// payload. Extension 1 is the selective acknowledgement: bit i, from the lowest bit of the first byte on, stands for packet ack + 2 + i.
// Others are skipped: 2 was used by early clients, 3 is libtorrent's reason for closing.
#pragma once

#include "base/bytes.h"

namespace millet {

enum class UtpType : uint8_t { data = 0, fin = 1, state = 2, reset = 3, syn = 4 };

inline constexpr size_t k_utp_header_size = 20;
// Bytes of a selective acknowledgement that we send: a multiple of 4 (BEP 29) in an 8-bit length.
inline constexpr size_t k_utp_sack_size_max = 252;

struct UtpHeader {
  UtpType type = UtpType::data;
  uint16_t connection = 0;
  uint32_t sent_us = 0;
  uint32_t delay_us = 0;
  uint32_t window = 0;
  uint16_t seq = 0;
  uint16_t ack = 0;
};

struct UtpPacket {
  UtpHeader header;
  Bytes sack;  // of the datagram; empty: none
  Bytes payload;
};

// a - b on the circle of sequence numbers, from -32768 to 32767: positive if a is the later one.
constexpr int utp_distance(uint16_t a, uint16_t b) { return static_cast<int16_t>(static_cast<uint16_t>(a - b)); }

// False if the datagram is not a uTP packet: too short, another version or type (as everything else that shares our port has: BEP 5, BEP
// 15), extensions that run past its end. Not a Result: a flood of rubbish must cost nothing. The views are of `datagram`.
bool decode_utp(Bytes datagram, UtpPacket& out);

// Requires: out.size() >= k_utp_header_size.
void encode_utp(const UtpHeader& header, MutBytes out);
// A packet without payload and with a selective acknowledgement; returns its size. Requires: sack.size() is a multiple of 4, at least 4 and
// at most k_utp_sack_size_max; out has k_utp_header_size + 2 + sack.size() bytes.
size_t encode_utp_sack(const UtpHeader& header, Bytes sack, MutBytes out);

}  // namespace millet
