// codec: the peer wire protocol (BEP 3, 6, 10, 20).
#include "codec/peer_wire.h"

#include <string>

#include "base/random.h"
#include "unit/test.h"

using namespace millet;
using namespace millet::wire;

namespace {

struct FixedRandom : SecureRandom {
  uint8_t next = 0;
  void fill(MutBytes out) override {
    for (uint8_t& byte : out) byte = next++;
  }
};

template <typename T>
std::vector<uint8_t> encoded(const T& message) {
  std::vector<uint8_t> out;
  encode(message, out);
  return out;
}

// Every message that we send, each as its bytes.
std::vector<std::vector<uint8_t>> all_messages() {
  static const uint8_t bits[] = {0xff, 0x80};
  static const uint8_t payload[] = {'d', 'e'};
  BlockRange range{1, 16384, 16384};
  return {encoded(KeepAlive{}),        encoded(Choke{}),
          encoded(Unchoke{}),          encoded(Interested{}),
          encoded(NotInterested{}),    encoded(Have{7}),
          encoded(BitfieldBits{bits}), encoded(Request{range}),
          encoded(Cancel{range}),      encoded(HaveAll{}),
          encoded(HaveNone{}),         encoded(Suggest{3}),
          encoded(Reject{range}),      encoded(Extended{0, payload})};
}

// What a reader makes of bytes that come in pieces of `step` bytes: names and sizes, "!" at an error.
std::string read_all(Bytes input, size_t step, uint32_t piece_count = 9) {
  Reader reader;
  reader.set_piece_count(piece_count);
  std::string out;
  for (size_t at = 0; at < input.size(); at += step) {
    reader.feed(input.subspan(at, std::min(step, input.size() - at)));
    while (true) {
      Message message;
      Result<bool> got = reader.next(message);
      if (!got) return out + "!";
      if (!*got) break;
      if (auto* slice = std::get_if<PieceSlice>(&message); slice != nullptr && !slice->is_last()) continue;
      out += name_of(message);
      out += ' ';
    }
  }
  return out;
}

}  // namespace

static void handshake_round_trips(void**) {
  Handshake in;
  in.info_hash.raw.fill(0xab);
  FixedRandom random;
  in.peer_id = make_peer_id(random);
  in.extended = true;
  in.fast = true;
  std::vector<uint8_t> bytes = encoded(in);
  assert_int_equal(bytes.size(), k_handshake_size);
  assert_string_equal(to_hex(Bytes(bytes).first(28)).c_str(), "13426974546f7272656e742070726f746f636f6c0000000000100004");
  for (size_t step : {size_t{1}, size_t{19}, size_t{67}, size_t{68}}) {
    Reader reader;
    Handshake out;
    bool done = false;
    for (size_t at = 0; at < bytes.size(); at += step) {
      assert_false(done);
      reader.feed(Bytes(bytes).subspan(at, std::min(step, bytes.size() - at)));
      Result<bool> got = reader.next_handshake(out);
      assert_true(got.has_value());
      done = *got;
    }
    assert_true(done);
    assert_true(out.info_hash == in.info_hash && out.peer_id == in.peer_id && out.extended && out.fast);
  }
}

static void handshake_of_another_protocol_is_refused_at_its_first_wrong_byte(void**) {
  Handshake out;
  std::vector<uint8_t> bytes = encoded(Handshake{});
  for (size_t wrong = 0; wrong < 20; ++wrong) {
    std::vector<uint8_t> changed = bytes;
    changed[wrong] ^= 0x20;
    Reader reader;
    for (size_t at = 0; at <= wrong; ++at) {
      reader.feed(Bytes(changed).subspan(at, 1));
      Result<bool> got = reader.next_handshake(out);
      assert_true(got.has_value() == (at < wrong));
      if (got) assert_false(*got);
    }
  }
}

static void message_after_a_handshake_in_one_input(void**) {
  std::vector<uint8_t> bytes = encoded(Handshake{});
  encode(HaveAll{}, bytes);
  Reader reader;
  Handshake handshake;
  Message message;
  reader.feed(bytes);
  assert_true(*reader.next_handshake(handshake));
  assert_true(*reader.next(message));
  assert_true(std::holds_alternative<HaveAll>(message));
  assert_false(*reader.next(message));
}

static void peer_id_is_ours_and_printable(void**) {
  FixedRandom random;
  PeerId id = make_peer_id(random);
  assert_string_equal(std::string(as_text(id.raw)).c_str(), "-MI0100-0123456789ab");
}

static void messages_have_the_layout_of_the_beps(void**) {
  struct {
    std::vector<uint8_t> bytes;
    const char* hex;
  } table[] = {
      {encoded(KeepAlive{}), "00000000"},
      {encoded(Choke{}), "0000000100"},
      {encoded(Unchoke{}), "0000000101"},
      {encoded(Interested{}), "0000000102"},
      {encoded(NotInterested{}), "0000000103"},
      {encoded(Have{0x01020304}), "000000050401020304"},
      {encoded(Request{{1, 2, 3}}), "0000000d06000000010000000200000003"},
      {encoded(Cancel{{1, 2, 3}}), "0000000d08000000010000000200000003"},
      {encoded(Suggest{9}), "000000050d00000009"},
      {encoded(HaveAll{}), "000000010e"},
      {encoded(HaveNone{}), "000000010f"},
      {encoded(Reject{{1, 2, 3}}), "0000000d10000000010000000200000003"},
      {encoded(Extended{3, as_bytes("x")}), "00000003140378"},
  };
  for (const auto& row : table) assert_string_equal(to_hex(row.bytes).c_str(), row.hex);
  assert_string_equal(to_hex(piece_header({1, 0x4000, 0x4000})).c_str(), "00004009070000000100004000");
}

static void messages_round_trip_however_the_stream_is_cut(void**) {
  std::vector<uint8_t> stream;
  for (const auto& bytes : all_messages()) stream.insert(stream.end(), bytes.begin(), bytes.end());
  auto header = piece_header({2, 0, 3});
  stream.insert(stream.end(), header.begin(), header.end());
  ByteWriter(stream).text("abc").u32(3).u8(Port::k_id).u16(6881).u32(5).u8(AllowedFast::k_id).u32(1).u32(3).u8(99).u16(0).u32(0);
  const std::string all =
      "keep_alive choke unchoke interested not_interested have bitfield request cancel have_all have_none suggest reject extended "
      "piece port allowed_fast unknown keep_alive ";
  for (size_t step = 1; step <= stream.size(); ++step) assert_string_equal(read_all(stream, step).c_str(), all.c_str());
}

static void fields_survive_the_round_trip(void**) {
  std::vector<uint8_t> stream;
  BlockRange range{5, 16384, 12345};
  encode(Request{range}, stream);
  encode(Reject{range}, stream);
  encode(Have{77}, stream);
  encode(Extended{9, as_bytes("payload")}, stream);
  Reader reader;
  Message message;
  reader.feed(stream);
  assert_true(*reader.next(message));
  assert_true(std::get_if<Request>(&message)->range == range);
  assert_true(*reader.next(message));
  assert_true(std::get_if<Reject>(&message)->range == range);
  assert_true(*reader.next(message));
  assert_int_equal(std::get_if<Have>(&message)->piece, 77);
  assert_true(*reader.next(message));
  assert_int_equal(std::get_if<Extended>(&message)->extended_id, 9);
  assert_true(as_text(std::get_if<Extended>(&message)->payload) == "payload");
}

static void a_block_comes_in_slices_without_being_copied(void**) {
  std::vector<uint8_t> stream;
  auto header = piece_header({3, 16384, k_block_size_max});
  stream.insert(stream.end(), header.begin(), header.end());
  for (uint32_t i = 0; i < k_block_size_max; ++i) stream.push_back(static_cast<uint8_t>(i * 7));
  for (size_t step : {size_t{1}, size_t{13}, size_t{1000}, stream.size()}) {
    Reader reader;
    std::vector<uint8_t> block;
    for (size_t at = 0; at < stream.size(); at += step) {
      Bytes input = Bytes(stream).subspan(at, std::min(step, stream.size() - at));
      reader.feed(input);
      Message message;
      while (*reader.next(message)) {
        auto* slice = std::get_if<PieceSlice>(&message);
        assert_non_null(slice);
        assert_true(slice->range == (BlockRange{3, 16384, k_block_size_max}));
        assert_int_equal(slice->offset, block.size());
        assert_true(slice->data.data() >= input.data() && slice->data.data() + slice->data.size() <= input.data() + input.size());
        block.insert(block.end(), slice->data.begin(), slice->data.end());
        assert_true(slice->is_last() == (block.size() == k_block_size_max));
      }
      assert_true(reader.buffered() <= k_piece_header_size);
    }
    assert_true(equal(block, Bytes(stream).subspan(k_piece_header_size)));
  }
}

static void wrong_lengths_are_refused_by_name(void**) {
  struct {
    uint32_t size;
    uint8_t id;
    const char* says;
  } table[] = {
      {2, 0, "choke"},          {4, 4, "have"},
      {6, 4, "have"},           {12, 6, "request"},
      {14, 6, "request"},       {13 + 1, 8, "cancel"},
      {2, 5, "bitfield"},       {4, 5, "bitfield"},
      {8, 7, "piece"},          {9 + 16385, 7, "piece"},
      {0xffffffff, 7, "piece"}, {1, 20, "extended"},
      {4097, 20, "extended"},   {0xffffffff, 20, "extended"},
      {16386, 99, "unknown"},   {0xffffffff, 99, "unknown"},
      {2, 14, "have_all"},      {1, 16, "reject"},
      {1, 9, "port"},
  };
  for (const auto& row : table) {
    std::vector<uint8_t> stream;
    ByteWriter(stream).u32(row.size).u8(row.id);
    Reader reader;
    reader.set_piece_count(9);
    reader.feed(stream);
    Message message;
    Result<bool> got = reader.next(message);
    assert_false(got.has_value());
    assert_true(got.error().code == Errc::protocol);
    assert_true(got.error().reason.find(row.says) == 0);
  }
}

static void a_bitfield_is_bounded_before_the_torrent_is_known(void**) {
  std::vector<uint8_t> stream;
  ByteWriter(stream).u32(1 + k_bitfield_size_max + 1).u8(BitfieldBits::k_id);
  Reader reader;
  reader.feed(stream);
  Message message;
  assert_false(reader.next(message).has_value());
}

static void every_truncation_is_incomplete(void**) {
  for (const auto& bytes : all_messages()) {
    for (size_t size = 0; size < bytes.size(); ++size) assert_string_equal(read_all(Bytes(bytes).first(size), 1000).c_str(), "");
  }
}

static void mutations_end_in_messages_or_an_error(void**) {
  std::vector<uint8_t> stream;
  for (const auto& bytes : all_messages()) stream.insert(stream.end(), bytes.begin(), bytes.end());
  Random random(1);
  size_t refused = 0;
  for (size_t at = 0; at < stream.size(); ++at) {
    for (int value = 0; value < 256; ++value) {
      std::vector<uint8_t> changed = stream;
      changed[at] = static_cast<uint8_t>(value);
      size_t step = 1 + static_cast<size_t>(random.below(stream.size()));
      std::string names = read_all(changed, step);
      assert_string_equal(names.c_str(), read_all(changed, 1).c_str());
      refused += !names.empty() && names.back() == '!';
    }
  }
  assert_true(refused > 1000);
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(handshake_round_trips),
      cmocka_unit_test(handshake_of_another_protocol_is_refused_at_its_first_wrong_byte),
      cmocka_unit_test(message_after_a_handshake_in_one_input),
      cmocka_unit_test(peer_id_is_ours_and_printable),
      cmocka_unit_test(messages_have_the_layout_of_the_beps),
      cmocka_unit_test(messages_round_trip_however_the_stream_is_cut),
      cmocka_unit_test(fields_survive_the_round_trip),
      cmocka_unit_test(a_block_comes_in_slices_without_being_copied),
      cmocka_unit_test(wrong_lengths_are_refused_by_name),
      cmocka_unit_test(a_bitfield_is_bounded_before_the_torrent_is_known),
      cmocka_unit_test(every_truncation_is_incomplete),
      cmocka_unit_test(mutations_end_in_messages_or_an_error),
  };
  return RUN_TESTS(tests);
}
