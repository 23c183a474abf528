// uTP packets: views stay within the datagram, and what was read is written to the same fields again.
#include "fuzz/fuzz.h"
#include "swarm/utp_packet.h"

using namespace millet;

namespace {

bool is_within(Bytes part, Bytes whole) {
  return part.empty() || (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

bool same(const UtpHeader& a, const UtpHeader& b) {
  return a.type == b.type && a.connection == b.connection && a.sent_us == b.sent_us && a.delay_us == b.delay_us && a.window == b.window &&
         a.seq == b.seq && a.ack == b.ack;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Bytes input(data, size);
  UtpPacket packet;
  if (!decode_utp(input, packet)) return 0;
  CHECK(is_within(packet.sack, input) && is_within(packet.payload, input));
  CHECK(k_utp_header_size + packet.sack.size() + packet.payload.size() <= size);
  uint8_t out[k_utp_header_size + 2 + k_utp_sack_size_max];
  encode_utp(packet.header, out);
  UtpPacket again;
  CHECK(decode_utp(Bytes(out, k_utp_header_size), again) && same(packet.header, again.header));
  size_t whole_words = packet.sack.size() / 4 * 4;
  if (whole_words != 0) {
    size_t written = encode_utp_sack(packet.header, packet.sack.first(whole_words), out);
    CHECK(decode_utp(Bytes(out, written), again) && same(packet.header, again.header));
    CHECK(equal(again.sack, packet.sack.first(whole_words)) && again.payload.empty());
  }
  return 0;
}

std::vector<std::string> fuzz_samples() {
  uint8_t out[64] = {};
  encode_utp({UtpType::data, 1, 2, 3, 4, 5, 6}, out);
  std::string plain(as_text(Bytes(out, k_utp_header_size)));
  const uint8_t sack[] = {1, 0, 0, 0x80, 0, 0, 0, 0};
  size_t size = encode_utp_sack({UtpType::state, 0xffff, 2, 3, 4, 0xffff, 0}, sack, out);
  std::string extended = plain;
  extended[1] = 2;
  extended += std::string("\x01\x02xy\x00\x04zzzzpayload", 17);
  return {plain + "payload", std::string(as_text(Bytes(out, size))), extended};
}
