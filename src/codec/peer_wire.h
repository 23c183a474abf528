// The peer wire protocol over a stream: handshake and messages of BEP 3, the fast extension's messages (BEP 6) and the extension
// protocol's frame (BEP 10; what is inside is extension.h and speed).
//
//   handshake   19 "BitTorrent protocol" reserved[8] info_hash[20] peer_id[20]                        68 bytes
//   message     length:u32  id:u8  fields...            length counts id and fields; 0 is a keep-alive
//
//    id  message          fields                       id  message        fields
//     0  choke            -                            13  suggest        piece:u32                        BEP 6
//     1  unchoke          -                            14  have_all       -                                BEP 6
//     2  interested       -                            15  have_none      -                                BEP 6
//     3  not_interested   -                            16  reject         piece:u32 begin:u32 length:u32   BEP 6
//     4  have             piece:u32                    17  allowed_fast   piece:u32                        BEP 6, read and ignored
//     5  bitfield         bits                         20  extended       extended_id:u8 payload           BEP 10
//     6  request          piece:u32 begin:u32 length:u32
//     7  piece            piece:u32 begin:u32 data
//     8  cancel           piece:u32 begin:u32 length:u32
//     9  port             port:u16                     BEP 5, read and ignored: there is no DHT
//
// Whether an index lies inside the torrent, and whether a message is due, is for the session that knows; here only form is checked.
#pragma once

#include <array>
#include <cstddef>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/random.h"
#include "base/result.h"

namespace millet::wire {

inline constexpr size_t k_handshake_size = 68;
inline constexpr uint32_t k_block_size_max = 16 * 1024;  // what everybody requests, and the most that we accept in one piece message
// An extension handshake has 100 to 600 bytes in the field; a payment message has less. Larger ones belong to extensions that we do
// not announce.
inline constexpr uint32_t k_extended_size_max = 4096;
// A .torrent of 8 MiB (metainfo.h) has room for 419,430 piece hashes, so no bitfield is larger; what bounds it until set_piece_count().
inline constexpr uint32_t k_bitfield_size_max = 52 * 1024;
inline constexpr uint32_t k_unknown_size_max = k_block_size_max;  // a message of an unknown id is skipped; a larger one is garbage

// What a peer says it can do, from the handshake's reserved bits.
struct Handshake {
  InfoHash info_hash;
  PeerId peer_id;
  bool extended = false;  // BEP 10: byte 5, 0x10
  bool fast = false;      // BEP 6: byte 7, 0x04
};

struct KeepAlive {};
struct Choke {
  static constexpr uint8_t k_id = 0;
};
struct Unchoke {
  static constexpr uint8_t k_id = 1;
};
struct Interested {
  static constexpr uint8_t k_id = 2;
};
struct NotInterested {
  static constexpr uint8_t k_id = 3;
};
struct Have {
  static constexpr uint8_t k_id = 4;
  uint32_t piece = 0;
};
struct BitfieldBits {  // Bitfield::from_wire checks the spare bits
  static constexpr uint8_t k_id = 5;
  Bytes bits;
};
// Which bytes of the torrent request, cancel and reject mean.
struct BlockRange {
  uint32_t piece = 0;
  uint32_t begin = 0;   // bytes from the piece's start
  uint32_t length = 0;  // bytes
  auto operator<=>(const BlockRange&) const = default;
};
struct Request {
  static constexpr uint8_t k_id = 6;
  BlockRange range;
};
// Some bytes of a piece message, as they come from the socket: a block arrives as one or more slices, in order, without gaps.
struct PieceSlice {
  static constexpr uint8_t k_id = 7;
  BlockRange range;     // the whole block that the message carries; length <= k_block_size_max
  uint32_t offset = 0;  // of these bytes inside the block
  Bytes data;
  bool is_last() const { return offset + data.size() == range.length; }
};
struct Cancel {
  static constexpr uint8_t k_id = 8;
  BlockRange range;
};
struct Port {
  static constexpr uint8_t k_id = 9;
  uint16_t port = 0;
};
struct Suggest {
  static constexpr uint8_t k_id = 13;
  uint32_t piece = 0;
};
struct HaveAll {
  static constexpr uint8_t k_id = 14;
};
struct HaveNone {
  static constexpr uint8_t k_id = 15;
};
struct Reject {
  static constexpr uint8_t k_id = 16;
  BlockRange range;
};
struct AllowedFast {
  static constexpr uint8_t k_id = 17;
  uint32_t piece = 0;
};
struct Extended {
  static constexpr uint8_t k_id = 20;
  uint8_t extended_id = 0;  // 0 is the extension handshake; else what our handshake's "m" says
  Bytes payload;
};
// A message that we do not know; its payload was skipped.
struct Unknown {
  uint8_t id = 0;
  uint32_t size = 0;  // bytes of payload
};

using Message = std::variant<KeepAlive, Choke, Unchoke, Interested, NotInterested, Have, BitfieldBits, Request, PieceSlice, Cancel, Port,
                             Suggest, HaveAll, HaveNone, Reject, AllowedFast, Extended, Unknown>;

// The message's name as in the table above: for logs.
const char* name_of(const Message& message);

// "-MI0100-" and twelve random characters (BEP 20). Digits and letters only: peer ids stand in announce URLs and in logs.
PeerId make_peer_id(SecureRandom& random);

// A piece message's fixed part; the block's bytes go out behind it from wherever they are. Requires: range.length <= k_block_size_max.
inline constexpr size_t k_piece_header_size = 13;
std::array<uint8_t, k_piece_header_size> piece_header(const BlockRange& range);

// Each appends one whole message.
void encode(const Handshake& handshake, std::vector<uint8_t>& out);
void encode(const KeepAlive&, std::vector<uint8_t>& out);
void encode(const Choke&, std::vector<uint8_t>& out);
void encode(const Unchoke&, std::vector<uint8_t>& out);
void encode(const Interested&, std::vector<uint8_t>& out);
void encode(const NotInterested&, std::vector<uint8_t>& out);
void encode(const Have& message, std::vector<uint8_t>& out);
void encode(const BitfieldBits& message, std::vector<uint8_t>& out);
void encode(const Request& message, std::vector<uint8_t>& out);
void encode(const Cancel& message, std::vector<uint8_t>& out);
void encode(const HaveAll&, std::vector<uint8_t>& out);
void encode(const HaveNone&, std::vector<uint8_t>& out);
void encode(const Suggest& message, std::vector<uint8_t>& out);
void encode(const Reject& message, std::vector<uint8_t>& out);
// Requires: payload.size() + 2 <= k_extended_size_max.
void encode(const Extended& message, std::vector<uint8_t>& out);

// Splits a stream into a handshake and messages. Views that it gives out are valid until the next call of any function. It copies a
// message only when the message is spread over two inputs, never a block's data, and holds at most the largest bound above.
//
//     reader.feed(bytes);
//     while (true) { TRY_ASSIGN(bool got, reader.next(message)); if (!got) break; ... }
class Reader {
 public:
  // Requires: the last input was drained (next() gave false), and no error was returned.
  void feed(Bytes input);
  // The handshake, first. False: needs more bytes. Errors: protocol, as soon as it can be no BitTorrent handshake.
  Result<bool> next_handshake(Handshake& out);
  // The next message. False: needs more bytes. Errors: protocol if a length is wrong or beyond its bound; the stream is lost then.
  Result<bool> next(Message& out);
  // From here on a bitfield has exactly the length that the torrent needs.
  void set_piece_count(uint32_t count);
  // Bytes that wait for the rest of their message.
  size_t buffered() const { return partial_.size(); }

 private:
  enum class State : uint8_t { length, id, body, piece_fields, block, skip };
  bool collect(size_t size, Bytes& out);
  Status check_size() const;
  void begin_body();
  Message decode_body(Bytes body) const;
  bool next_slice(Message& out);

  Bytes input_;                   // what feed() gave and nobody has taken
  std::vector<uint8_t> partial_;  // the start of something whose end is not in the input
  bool partial_given_ = false;    // partial_ is what the last view points to
  State state_ = State::length;
  uint8_t id_ = 0;
  uint32_t size_ = 0;  // of the message, with its id
  uint32_t piece_count_ = 0;
  bool piece_count_known_ = false;
  PieceSlice block_;  // the piece message that is on its way; offset counts what was given
  uint32_t skip_left_ = 0;
};

}  // namespace millet::wire
