// uTP packets: bytes as BEP 29 draws them, extensions, rubbish.
#include "swarm/utp_packet.h"
#include "unit/test.h"

using namespace millet;

namespace {

constexpr UtpHeader k_header = {UtpType::data, 0x1234, 0x01020304, 0xa1a2a3a4, 0x00100000, 0xfffe, 0x0102};
constexpr uint8_t k_data[] = {0x01, 0x00, 0x12, 0x34, 0x01, 0x02, 0x03, 0x04, 0xa1, 0xa2, 0xa3,
                              0xa4, 0x00, 0x10, 0x00, 0x00, 0xff, 0xfe, 0x01, 0x02, 'h',  'i'};
constexpr uint8_t k_state[] = {0x21, 0x01, 0x12, 0x34, 0x01, 0x02, 0x03, 0x04, 0xa1, 0xa2, 0xa3, 0xa4, 0x00,
                               0x10, 0x00, 0x00, 0xff, 0xfe, 0x01, 0x02, 0x00, 0x04, 0x80, 0x00, 0x00, 0x01};

void header_has_the_bytes_of_bep_29(void**) {
  std::array<uint8_t, k_utp_header_size> out;
  encode_utp(k_header, out);
  assert_memory_equal(out.data(), k_data, out.size());
  UtpPacket packet;
  assert_true(decode_utp(k_data, packet));
  assert_int_equal(packet.header.type, UtpType::data);
  assert_int_equal(packet.header.connection, 0x1234);
  assert_int_equal(packet.header.sent_us, 0x01020304);
  assert_int_equal(packet.header.delay_us, 0xa1a2a3a4);
  assert_int_equal(packet.header.window, 0x00100000);
  assert_int_equal(packet.header.seq, 0xfffe);
  assert_int_equal(packet.header.ack, 0x0102);
  assert_true(packet.sack.empty());
  assert_true(as_text(packet.payload) == "hi");
}

void selective_acknowledgement_has_the_bytes_of_bep_29(void**) {
  UtpHeader header = k_header;
  header.type = UtpType::state;
  std::array<uint8_t, sizeof(k_state)> out;
  const uint8_t sack[] = {0x80, 0, 0, 1};
  assert_int_equal(encode_utp_sack(header, sack, out), out.size());
  assert_memory_equal(out.data(), k_state, out.size());
  UtpPacket packet;
  assert_true(decode_utp(k_state, packet));
  assert_int_equal(packet.header.type, UtpType::state);
  assert_int_equal(packet.sack.size(), 4);
  assert_memory_equal(packet.sack.data(), sack, 4);
  assert_true(packet.payload.empty());
}

void types_are_those_of_bep_29(void**) {
  const struct {
    UtpType type;
    uint8_t first;
  } rows[] = {{UtpType::data, 0x01}, {UtpType::fin, 0x11}, {UtpType::state, 0x21}, {UtpType::reset, 0x31}, {UtpType::syn, 0x41}};
  for (const auto& row : rows) {
    std::array<uint8_t, k_utp_header_size> out;
    UtpHeader header = k_header;
    header.type = row.type;
    encode_utp(header, out);
    assert_int_equal(out[0], row.first);
    UtpPacket packet;
    assert_true(decode_utp(out, packet));
    assert_int_equal(packet.header.type, row.type);
  }
}

std::vector<uint8_t> with_extensions(uint8_t first, std::initializer_list<uint8_t> bytes) {
  std::vector<uint8_t> out;
  ByteWriter(out).bytes(Bytes(k_data, k_utp_header_size)).bytes(Bytes(bytes.begin(), bytes.size()));
  out[1] = first;
  return out;
}

void unknown_extensions_are_skipped(void**) {
  UtpPacket packet;
  // Old extension bits, then a selective acknowledgement of an odd size, then libtorrent's reason for closing, then payload.
  std::vector<uint8_t> bytes = with_extensions(2, {1, 8, 0, 0, 0, 0, 0, 0, 0, 0, 3, 5, 1, 2, 3, 4, 5, 0, 4, 0, 0, 0, 9, 'x'});
  assert_true(decode_utp(bytes, packet));
  assert_int_equal(packet.sack.size(), 5);
  assert_int_equal(packet.sack[4], 5);
  assert_true(as_text(packet.payload) == "x");
  bytes = with_extensions(77, {0, 0});
  assert_true(decode_utp(bytes, packet));
  assert_true(packet.sack.empty() && packet.payload.empty());
  std::vector<uint8_t> longest = with_extensions(1, {0, 255});
  longest.resize(longest.size() + 255, 0xff);
  assert_true(decode_utp(longest, packet));
  assert_int_equal(packet.sack.size(), 255);
}

void extensions_past_the_end_are_refused(void**) {
  UtpPacket packet;
  assert_false(decode_utp(with_extensions(1, {}), packet));
  assert_false(decode_utp(with_extensions(1, {0}), packet));
  assert_false(decode_utp(with_extensions(1, {0, 1}), packet));
  assert_false(decode_utp(with_extensions(9, {9, 1, 0}), packet));
}

void rubbish_is_refused(void**) {
  UtpPacket packet;
  for (size_t size = 0; size < k_utp_header_size; ++size) assert_false(decode_utp(Bytes(k_data, size), packet));
  uint8_t bytes[sizeof(k_data)];
  memcpy(bytes, k_data, sizeof(k_data));
  for (unsigned first = 0; first < 256; ++first) {
    bytes[0] = static_cast<uint8_t>(first);
    bool good = (first & 15) == 1 && first >> 4 <= 4;
    assert_int_equal(decode_utp(bytes, packet), good);
  }
  // What else comes to the port: a DHT query (BEP 5), an answer of a UDP tracker (BEP 15).
  assert_false(decode_utp(as_bytes("d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe"), packet));
  const uint8_t tracker[20] = {0, 0, 0, 1, 1, 2, 3, 4};
  assert_false(decode_utp(tracker, packet));
}

void sequence_numbers_are_a_circle(void**) {
  assert_int_equal(utp_distance(5, 3), 2);
  assert_int_equal(utp_distance(3, 5), -2);
  assert_int_equal(utp_distance(1, 0xffff), 2);
  assert_int_equal(utp_distance(0xffff, 1), -2);
  assert_int_equal(utp_distance(0x8000, 0), -32768);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(header_has_the_bytes_of_bep_29),      cmocka_unit_test(selective_acknowledgement_has_the_bytes_of_bep_29),
      cmocka_unit_test(types_are_those_of_bep_29),           cmocka_unit_test(unknown_extensions_are_skipped),
      cmocka_unit_test(extensions_past_the_end_are_refused), cmocka_unit_test(rubbish_is_refused),
      cmocka_unit_test(sequence_numbers_are_a_circle),
  };
  return RUN_TESTS(tests);
}
