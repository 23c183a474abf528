// The peer wire: a stream means the same however it is cut, what is buffered is bounded, and every message that is not for reading only
// is encoded to the bytes that it was read from.
#include "codec/extension.h"
#include "codec/peer_wire.h"
#include "fuzz/fuzz.h"

using namespace millet;
using namespace millet::wire;

namespace {

constexpr uint32_t k_pieces = 9;

struct Encoder {
  std::vector<uint8_t>& out;
  void operator()(const PieceSlice& slice) const {
    if (slice.offset == 0) {
      auto header = piece_header(slice.range);
      out.insert(out.end(), header.begin(), header.end());
    }
    out.insert(out.end(), slice.data.begin(), slice.data.end());
  }
  void operator()(const Port& port) const { ByteWriter(out).u32(3).u8(Port::k_id).u16(port.port); }
  void operator()(const AllowedFast& fast) const { ByteWriter(out).u32(5).u8(AllowedFast::k_id).u32(fast.piece); }
  void operator()(const Unknown& unknown) const { ByteWriter(out).u32(unknown.size + 1).u8(unknown.id); }
  template <typename T>
  void operator()(const T& message) const {
    encode(message, out);
  }
};

// The stream again, from its messages; `unknown` if a skipped payload is missing in it.
std::vector<uint8_t> read(Bytes input, size_t step, bool& unknown) {
  std::vector<uint8_t> out;
  Reader reader;
  reader.set_piece_count(k_pieces);
  for (size_t at = 0; at < input.size(); at += step) {
    reader.feed(input.subspan(at, std::min(step, input.size() - at)));
    while (true) {
      Message message;
      Result<bool> got = reader.next(message);
      if (!got) return out;
      if (!*got) break;
      unknown = unknown || std::holds_alternative<Unknown>(message);
      std::visit(Encoder{out}, message);
      if (auto* extended = std::get_if<Extended>(&message)) (void)decode_extension_handshake(extended->payload).has_value();
    }
    CHECK(reader.buffered() <= k_extended_size_max);
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Bytes input(data, size);
  bool unknown = false;
  const std::vector<uint8_t> whole = read(input, std::max<size_t>(size, 1), unknown);
  for (size_t step : {1, 2, 3, 7, 64}) {
    bool ignored = false;
    CHECK(equal(read(input, step, ignored), whole));
  }
  if (!unknown) CHECK(whole.size() <= size && equal(whole, input.first(whole.size())));
  Reader reader;
  Handshake handshake;
  reader.feed(input);
  (void)reader.next_handshake(handshake).has_value();
  return 0;
}

std::vector<std::string> fuzz_samples() {
  std::vector<uint8_t> all;
  const uint8_t bits[] = {0xff, 0x80};
  encode(BitfieldBits{bits}, all);
  encode(Request{{1, 2, 3}}, all);
  encode(Reject{{1, 2, 3}}, all);
  encode(Extended{0, as_bytes("d1:md9:btt_speedi3e6:ut_pexi1ee1:pi6881e4:reqqi250e11:upload_onlyi1e1:v3:abc6:yourip4:\x7f\x01\x01\x01"
                              "e")},
         all);
  encode(Have{7}, all);
  encode(KeepAlive{}, all);
  encode(HaveAll{}, all);
  auto header = piece_header({2, 0, 3});
  all.insert(all.end(), header.begin(), header.end());
  ByteWriter(all).text("abc").u32(3).u8(Port::k_id).u16(6881).u32(3).u8(99).u16(0);
  std::vector<uint8_t> handshake;
  encode(Handshake{}, handshake);
  return {std::string(as_text(all)), std::string(as_text(handshake))};
}
