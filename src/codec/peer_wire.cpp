#include "codec/peer_wire.h"

#include <algorithm>

namespace millet::wire {
namespace {

constexpr std::string_view k_protocol =
    "\x13"
    "BitTorrent protocol";
constexpr size_t k_reserved_size = 8;
constexpr uint8_t k_extended_bit = 0x10;  // of reserved byte 5
constexpr uint8_t k_fast_bit = 0x04;      // of reserved byte 7
constexpr size_t k_extended_byte = 5;
constexpr size_t k_fast_byte = 7;
constexpr uint32_t k_range_size = 12;        // piece, begin, length
constexpr uint32_t k_piece_fields_size = 9;  // id, piece, begin
constexpr size_t k_kept_capacity = 1024;     // a reader that had to hold more gives the memory back

// Messages with one size, which counts the id.
struct FixedSize {
  uint8_t id;
  uint8_t size;
  const char* name;
};
constexpr FixedSize k_fixed_sizes[] = {
    {Choke::k_id, 1, "choke"},
    {Unchoke::k_id, 1, "unchoke"},
    {Interested::k_id, 1, "interested"},
    {NotInterested::k_id, 1, "not_interested"},
    {Have::k_id, 5, "have"},
    {Request::k_id, 1 + k_range_size, "request"},
    {Cancel::k_id, 1 + k_range_size, "cancel"},
    {Port::k_id, 3, "port"},
    {Suggest::k_id, 5, "suggest"},
    {HaveAll::k_id, 1, "have_all"},
    {HaveNone::k_id, 1, "have_none"},
    {Reject::k_id, 1 + k_range_size, "reject"},
    {AllowedFast::k_id, 5, "allowed_fast"},
};

const char* name_of_id(uint8_t id) {
  for (const FixedSize& rule : k_fixed_sizes) {
    if (rule.id == id) return rule.name;
  }
  if (id == BitfieldBits::k_id) return "bitfield";
  if (id == PieceSlice::k_id) return "piece";
  if (id == Extended::k_id) return "extended";
  return "unknown";
}

struct NameOf {
  const char* operator()(const KeepAlive&) const { return "keep_alive"; }
  const char* operator()(const Unknown&) const { return "unknown"; }
  template <typename T>
  const char* operator()(const T&) const {
    return name_of_id(T::k_id);
  }
};

bool is_known(uint8_t id) { return std::string_view(name_of_id(id)) != "unknown"; }

Error refuse(uint8_t id, uint32_t size, const std::string& rule) {
  std::string message = std::string(name_of_id(id)) + " message (id " + std::to_string(id) + ")";
  return error(Errc::protocol, message + " of " + std::to_string(size) + " bytes; " + rule);
}

BlockRange read_range(ByteReader& in) {
  BlockRange range;
  range.piece = in.u32();
  range.begin = in.u32();
  range.length = in.u32();
  return range;
}

// Length and id; the fields follow.
ByteWriter header(uint32_t fields_size, uint8_t id, std::vector<uint8_t>& out) {
  ByteWriter writer(out);
  writer.u32(1 + fields_size).u8(id);
  return writer;
}

void encode_range(uint8_t id, const BlockRange& range, std::vector<uint8_t>& out) {
  header(k_range_size, id, out).u32(range.piece).u32(range.begin).u32(range.length);
}

}  // namespace

const char* name_of(const Message& message) { return std::visit(NameOf{}, message); }

PeerId make_peer_id(SecureRandom& random) {
  static constexpr std::string_view k_prefix = "-MI0100-";
  static constexpr std::string_view k_letters = "0123456789abcdefghijklmnopqrstuv";  // 32: five bits of each random byte
  PeerId id;
  std::copy(k_prefix.begin(), k_prefix.end(), id.raw.begin());
  MutBytes tail = MutBytes(id.raw).subspan(k_prefix.size());
  random.fill(tail);
  for (uint8_t& byte : tail) byte = static_cast<uint8_t>(k_letters[byte % k_letters.size()]);
  return id;
}

std::array<uint8_t, k_piece_header_size> piece_header(const BlockRange& range) {
  CHECK(range.length <= k_block_size_max);
  std::array<uint8_t, k_piece_header_size> out;
  store_be<uint32_t>(out.data(), k_piece_fields_size + range.length);
  out[4] = PieceSlice::k_id;
  store_be<uint32_t>(out.data() + 5, range.piece);
  store_be<uint32_t>(out.data() + 9, range.begin);
  return out;
}

void encode(const Handshake& handshake, std::vector<uint8_t>& out) {
  std::array<uint8_t, k_reserved_size> reserved{};
  if (handshake.extended) reserved[k_extended_byte] |= k_extended_bit;
  if (handshake.fast) reserved[k_fast_byte] |= k_fast_bit;
  ByteWriter(out).text(k_protocol).bytes(reserved).bytes(handshake.info_hash.raw).bytes(handshake.peer_id.raw);
}

void encode(const KeepAlive&, std::vector<uint8_t>& out) { ByteWriter(out).u32(0); }
void encode(const Choke&, std::vector<uint8_t>& out) { header(0, Choke::k_id, out); }
void encode(const Unchoke&, std::vector<uint8_t>& out) { header(0, Unchoke::k_id, out); }
void encode(const Interested&, std::vector<uint8_t>& out) { header(0, Interested::k_id, out); }
void encode(const NotInterested&, std::vector<uint8_t>& out) { header(0, NotInterested::k_id, out); }
void encode(const Have& message, std::vector<uint8_t>& out) { header(4, Have::k_id, out).u32(message.piece); }
void encode(const BitfieldBits& message, std::vector<uint8_t>& out) {
  CHECK(message.bits.size() <= k_bitfield_size_max);
  header(static_cast<uint32_t>(message.bits.size()), BitfieldBits::k_id, out).bytes(message.bits);
}
void encode(const Request& message, std::vector<uint8_t>& out) { encode_range(Request::k_id, message.range, out); }
void encode(const Cancel& message, std::vector<uint8_t>& out) { encode_range(Cancel::k_id, message.range, out); }
void encode(const HaveAll&, std::vector<uint8_t>& out) { header(0, HaveAll::k_id, out); }
void encode(const HaveNone&, std::vector<uint8_t>& out) { header(0, HaveNone::k_id, out); }
void encode(const Suggest& message, std::vector<uint8_t>& out) { header(4, Suggest::k_id, out).u32(message.piece); }
void encode(const Reject& message, std::vector<uint8_t>& out) { encode_range(Reject::k_id, message.range, out); }
void encode(const Extended& message, std::vector<uint8_t>& out) {
  CHECK(message.payload.size() + 2 <= k_extended_size_max);
  header(static_cast<uint32_t>(1 + message.payload.size()), Extended::k_id, out).u8(message.extended_id).bytes(message.payload);
}

void Reader::feed(Bytes input) {
  CHECK(input_.empty());
  input_ = input;
}

void Reader::set_piece_count(uint32_t count) {
  piece_count_ = count;
  piece_count_known_ = true;
}

// The next `size` bytes as one view: of the input where they are in one, else of partial_, which this fills.
bool Reader::collect(size_t size, Bytes& out) {
  if (partial_given_) {
    partial_given_ = false;
    partial_.clear();
    if (partial_.capacity() > k_kept_capacity) std::vector<uint8_t>().swap(partial_);
  }
  if (partial_.empty() && input_.size() >= size) {
    out = input_.first(size);
    input_ = input_.subspan(size);
    return true;
  }
  size_t taken = std::min(size - partial_.size(), input_.size());
  partial_.insert(partial_.end(), input_.begin(), input_.begin() + static_cast<ptrdiff_t>(taken));
  input_ = input_.subspan(taken);
  if (partial_.size() < size) return false;
  out = partial_;
  partial_given_ = true;
  return true;
}

Result<bool> Reader::next_handshake(Handshake& out) {
  size_t had = partial_.size();
  for (size_t i = had; i < k_protocol.size() && i - had < input_.size(); ++i) {
    if (input_[i - had] != static_cast<uint8_t>(k_protocol[i])) return error(Errc::protocol, "is no BitTorrent handshake");
  }
  Bytes raw;
  if (!collect(k_handshake_size, raw)) return false;
  ByteReader in(raw.subspan(k_protocol.size()));
  Bytes reserved = in.take(k_reserved_size);
  out.extended = (reserved[k_extended_byte] & k_extended_bit) != 0;
  out.fast = (reserved[k_fast_byte] & k_fast_bit) != 0;
  out.info_hash.raw = in.array<20>();
  out.peer_id.raw = in.array<20>();
  return true;
}

Result<bool> Reader::next(Message& out) {
  Bytes raw;
  while (true) {
    switch (state_) {
      case State::length:
        if (!collect(4, raw)) return false;
        size_ = load_be<uint32_t>(raw.data());
        if (size_ == 0) {
          out = KeepAlive{};
          return true;
        }
        state_ = State::id;
        break;
      case State::id:
        if (!collect(1, raw)) return false;
        id_ = raw[0];
        TRY(check_size());
        begin_body();
        break;
      case State::body:
        if (!collect(size_ - 1, raw)) return false;
        state_ = State::length;
        out = decode_body(raw);
        return true;
      case State::piece_fields:
        if (!collect(k_piece_fields_size - 1, raw)) return false;
        block_ = {{load_be<uint32_t>(raw.data()), load_be<uint32_t>(raw.data() + 4), size_ - k_piece_fields_size}, 0, {}};
        state_ = State::block;
        break;
      case State::block: return next_slice(out);
      case State::skip: {
        uint32_t taken = static_cast<uint32_t>(std::min<size_t>(skip_left_, input_.size()));
        skip_left_ -= taken;
        input_ = input_.subspan(taken);
        if (skip_left_ > 0) return false;
        state_ = State::length;
        out = Unknown{id_, size_ - 1};
        return true;
      }
    }
  }
}

void Reader::begin_body() {
  if (id_ == PieceSlice::k_id) {
    state_ = State::piece_fields;
  } else if (is_known(id_)) {
    state_ = State::body;
  } else {
    state_ = State::skip;
    skip_left_ = size_ - 1;
  }
}

bool Reader::next_slice(Message& out) {
  uint32_t left = block_.range.length - block_.offset;
  if (left > 0 && input_.empty()) return false;
  uint32_t taken = static_cast<uint32_t>(std::min<size_t>(left, input_.size()));
  PieceSlice slice = block_;
  slice.data = input_.first(taken);
  input_ = input_.subspan(taken);
  block_.offset += taken;
  if (slice.is_last()) state_ = State::length;
  out = slice;
  return true;
}

Status Reader::check_size() const {
  for (const FixedSize& rule : k_fixed_sizes) {
    if (rule.id == id_ && rule.size != size_) return refuse(id_, size_, "it has " + std::to_string(rule.size));
  }
  uint32_t max = 1 + k_unknown_size_max;
  uint32_t min = 1;
  if (id_ == BitfieldBits::k_id) {
    max = 1 + (piece_count_known_ ? piece_count_ / 8 + (piece_count_ % 8 != 0) : k_bitfield_size_max);
    if (piece_count_known_) min = max;
  } else if (id_ == PieceSlice::k_id) {
    max = k_piece_fields_size + k_block_size_max;
    min = k_piece_fields_size;
  } else if (id_ == Extended::k_id) {
    max = k_extended_size_max;
    min = 2;
  }
  if (size_ > max) return refuse(id_, size_, "at most " + std::to_string(max) + " are accepted");
  if (size_ < min) return refuse(id_, size_, "it has at least " + std::to_string(min));
  return ok;
}

// Requires: the size was checked, so that every field is there.
Message Reader::decode_body(Bytes body) const {
  ByteReader in(body);
  switch (id_) {
    case Choke::k_id: return Choke{};
    case Unchoke::k_id: return Unchoke{};
    case Interested::k_id: return Interested{};
    case NotInterested::k_id: return NotInterested{};
    case Have::k_id: return Have{in.u32()};
    case BitfieldBits::k_id: return BitfieldBits{in.rest()};
    case Request::k_id: return Request{read_range(in)};
    case Cancel::k_id: return Cancel{read_range(in)};
    case Port::k_id: return Port{in.u16()};
    case Suggest::k_id: return Suggest{in.u32()};
    case HaveAll::k_id: return HaveAll{};
    case HaveNone::k_id: return HaveNone{};
    case Reject::k_id: return Reject{read_range(in)};
    case AllowedFast::k_id: return AllowedFast{in.u32()};
    case Extended::k_id: {
      uint8_t extended_id = in.u8();
      return Extended{extended_id, in.rest()};
    }
    default: break;
  }
  CHECK(false && "begin_body() lets only known ids here");
  return Unknown{};
}

}  // namespace millet::wire
