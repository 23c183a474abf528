#include "swarm/utp_packet.h"

namespace millet {
namespace {

constexpr uint8_t k_version = 1;
constexpr uint8_t k_extension_none = 0;
constexpr uint8_t k_extension_sack = 1;

void encode(const UtpHeader& header, uint8_t extension, MutBytes out) {
  CHECK(out.size() >= k_utp_header_size);
  uint8_t* to = out.data();
  to[0] = static_cast<uint8_t>((static_cast<uint8_t>(header.type) << 4) | k_version);
  to[1] = extension;
  store_be<uint16_t>(to + 2, header.connection);
  store_be<uint32_t>(to + 4, header.sent_us);
  store_be<uint32_t>(to + 8, header.delay_us);
  store_be<uint32_t>(to + 12, header.window);
  store_be<uint16_t>(to + 16, header.seq);
  store_be<uint16_t>(to + 18, header.ack);
}

}  // namespace

bool decode_utp(Bytes datagram, UtpPacket& out) {
  if (datagram.size() < k_utp_header_size) return false;
  const uint8_t* from = datagram.data();
  uint8_t type = from[0] >> 4;
  if ((from[0] & 0x0f) != k_version || type > static_cast<uint8_t>(UtpType::syn)) return false;
  out.header.type = static_cast<UtpType>(type);
  out.header.connection = load_be<uint16_t>(from + 2);
  out.header.sent_us = load_be<uint32_t>(from + 4);
  out.header.delay_us = load_be<uint32_t>(from + 8);
  out.header.window = load_be<uint32_t>(from + 12);
  out.header.seq = load_be<uint16_t>(from + 16);
  out.header.ack = load_be<uint16_t>(from + 18);
  out.sack = {};
  Bytes rest = datagram.subspan(k_utp_header_size);
  for (uint8_t extension = from[1]; extension != k_extension_none;) {
    if (rest.size() < 2 || rest.size() - 2 < rest[1]) return false;
    uint8_t next = rest[0];
    size_t size = rest[1];
    if (extension == k_extension_sack) out.sack = rest.subspan(2, size);
    rest = rest.subspan(2 + size);
    extension = next;
  }
  out.payload = rest;
  return true;
}

void encode_utp(const UtpHeader& header, MutBytes out) { encode(header, k_extension_none, out); }

size_t encode_utp_sack(const UtpHeader& header, Bytes sack, MutBytes out) {
  CHECK(!sack.empty() && sack.size() % 4 == 0 && sack.size() <= k_utp_sack_size_max);
  size_t size = k_utp_header_size + 2 + sack.size();
  CHECK(out.size() >= size);
  encode(header, k_extension_sack, out);
  out[k_utp_header_size] = k_extension_none;
  out[k_utp_header_size + 1] = static_cast<uint8_t>(sack.size());
  std::memcpy(out.data() + k_utp_header_size + 2, sack.data(), sack.size());
  return size;
}

}  // namespace millet
