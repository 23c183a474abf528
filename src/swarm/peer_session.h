// One connection's side of the peer wire protocol: handshakes, framing, who chokes whom, which pieces the other side has, extensions
// (BEP 3; BEP 6 without allowed-fast; BEP 10; BEP 20; BEP 21). Bytes go in with feed() and come back as events; the send functions
// append to an output that the connection's owner takes when its socket has room. Blocks that we send are not written here: the owner
// puts piece_header() and the block behind the output.
//
//   incoming:  feed -> event handshake -> accept() writes ours -> greet() -> messages
//   outgoing:  start() writes ours -> feed -> event handshake -> accept() -> greet() -> messages
//
// What breaks the protocol is an error and ends the connection; what merely should not be is counted (flood_meter.h).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/bitfield.h"
#include "base/time.h"
#include "codec/extension.h"
#include "codec/peer_wire.h"
#include "swarm/flood_meter.h"
#include "torrent/layout.h"

namespace millet {

struct PeerEvent {
  enum class Kind : uint8_t {
    handshake,  // info_hash() and peer_id() are known: accept() it or drop the connection; nothing is read before
    pieces,     // the other side told what it has: pieces()
    have,       // range.piece is new in pieces()
    choked,
    unchoked,
    interested,
    not_interested,
    request,  // range lies within a piece; its length may be any
    cancel,
    reject,
    block,       // range with its bytes in `data`
    extensions,  // the extension handshake came: remote()
    speed,       // a message of the btt_speed extension in `payload`
  };
  Kind kind = Kind::handshake;
  wire::BlockRange range;
  std::vector<uint8_t> data;
  Bytes payload;  // valid until the next call
};

// What the extension handshake says about us.
struct SessionHello {
  uint16_t listen_port = 0;
  uint32_t requests_max = 0;
  bool upload_only = false;
  bool speed = false;
  IpAddress remote;  // "yourip"
};

class PeerSession {
 public:
  static constexpr Duration k_handshake_time = Duration::seconds(10);
  // BEP 3: keep-alives come every two minutes; half a minute of grace for slow lines.
  static constexpr Duration k_silence_max = Duration::seconds(150);
  // Some clients drop a connection after exactly two minutes of silence.
  static constexpr Duration k_keep_alive_every = Duration::seconds(90);
  // Messages that a peer did not take yet, unless limit_output() says less: it reads nothing, and more would only fill memory.
  static constexpr size_t k_output_max = 512 * 1024;
  // Under which we receive messages of btt_speed (BEP 10: each side chooses).
  static constexpr uint8_t k_speed_id = 1;

  // `now`: when the connection came up.
  PeerSession(Instant now, const PeerId& own_id);

  // Writes our handshake: for an outgoing connection.
  void start(const InfoHash& info_hash);
  // Answers the handshake. `layout` must outlive the session.
  void accept(const PieceLayout& layout);
  // Says what we have and who we are; first of all messages (BEP 3, BEP 6, BEP 10). Requires: accepted.
  void greet(const Bitfield& have, const SessionHello& hello);

  // Requires: next() gave false before.
  void feed(Instant now, Bytes bytes);
  // The next event; false when the input is used up. Errors: protocol; the connection is to be closed.
  Result<bool> next(Instant now, PeerEvent& event);

  // ---- sending; each appends to the output. Requires: greeted ----
  void send_choke(bool choke);            // no-op if it is so already
  void send_interested(bool interested);  // no-op if it is so already
  void send_have(uint32_t piece);
  void send_request(const wire::BlockRange& range);
  void send_cancel(const wire::BlockRange& range);
  // Tells that a request will not be served: only with BEP 6, else nothing is sent.
  void send_reject(const wire::BlockRange& range);
  // A later extension handshake, where something in it changed. No-op if the peer has no extensions.
  void send_hello(const SessionHello& hello);
  // Requires: speed_id() != 0.
  void send_speed(Bytes payload);

  // Appends what is to go out now.
  void take_output(std::vector<uint8_t>& out);
  bool has_output() const { return !output_.empty(); }
  // A bitfield that is still to go out counts besides.
  void limit_output(size_t bytes) { output_max_ = bytes; }
  // Bytes that it holds, itself included.
  size_t memory() const {
    return sizeof(*this) + output_.capacity() + block_.capacity() + reader_.buffered() + pieces_.wire().size() + late_.wire().size();
  }
  // Bytes went out at `now`: ours or a block.
  void on_sent(Instant now) { last_sent_ = now; }

  Instant next_deadline() const;
  // Errors: timed_out when the other side is silent for too long.
  Status on_timer(Instant now);

  // ---- state ----
  bool is_accepted() const { return layout_ != nullptr; }
  bool is_greeted() const { return greeted_; }
  const InfoHash& info_hash() const { return handshake_.info_hash; }
  const PeerId& peer_id() const { return handshake_.peer_id; }
  bool fast() const { return handshake_.fast; }
  const wire::ExtensionHandshake& remote() const { return remote_; }
  // The id under which the other side gets messages of btt_speed; 0: it has none.
  uint8_t speed_id() const { return remote_.btt_speed.value_or(0); }
  // Our extension handshake named btt_speed.
  bool offers_speed() const { return offered_speed_; }
  // What the other side has; never shrinks.
  const Bitfield& pieces() const { return pieces_; }
  bool choking_us() const { return choking_us_; }
  bool choked_by_us() const { return choked_by_us_; }
  bool interested_in_us() const { return interested_in_us_; }
  bool we_are_interested() const { return we_are_interested_; }
  // Downloads nothing: has everything or says so (BEP 21).
  bool is_upload_only() const { return pieces_.all() || remote_.upload_only.value_or(false); }
  // For what the owner finds wrong with a request.
  FloodMeter& meter() { return meter_; }

 private:
  Result<bool> on_message(Instant now, const wire::Message& message, PeerEvent& event);
  Result<bool> on_pieces(Instant now, Result<Bitfield> pieces, PeerEvent& event);
  bool next_late_have(PeerEvent& event);
  Result<bool> on_have(Instant now, uint32_t piece, PeerEvent& event);
  Result<bool> on_flag(Instant now, bool& flag, bool value, PeerEvent::Kind kind, PeerEvent& event);
  Result<bool> on_range(const wire::BlockRange& range, PeerEvent::Kind kind, PeerEvent& event);
  Result<bool> on_slice(const wire::PieceSlice& slice, PeerEvent& event);
  Result<bool> on_extended(Instant now, const wire::Extended& message, PeerEvent& event);
  Status need_fast(const char* name) const;

  PeerId own_id_;
  wire::Reader reader_;
  wire::Handshake handshake_;  // theirs
  wire::ExtensionHandshake remote_;
  Bitfield pieces_;
  const PieceLayout* layout_ = nullptr;
  FloodMeter meter_;
  std::vector<uint8_t> output_;
  size_t output_max_ = k_output_max;
  std::vector<uint8_t> block_;  // that is on its way
  Bitfield late_;               // pieces of a bitfield that came late, to be told one by one
  uint32_t late_at_ = 0;
  Instant started_;
  Instant last_received_;
  Instant last_sent_;
  bool outgoing_ = false;
  bool shaken_ = false;  // their handshake is here
  bool greeted_ = false;
  bool pieces_known_ = false;  // a bitfield or its like came, or a have
  bool offered_speed_ = false;
  bool choking_us_ = true;
  bool choked_by_us_ = true;
  bool interested_in_us_ = false;
  bool we_are_interested_ = false;
};

}  // namespace millet
