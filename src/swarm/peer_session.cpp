#include "swarm/peer_session.h"

#include <utility>

namespace millet {
namespace {

constexpr std::string_view k_client = "millet 0.1";

wire::Handshake own_handshake(const InfoHash& info_hash, const PeerId& peer_id) { return wire::Handshake{info_hash, peer_id, true, true}; }

}  // namespace

PeerSession::PeerSession(Instant now, const PeerId& own_id) : own_id_(own_id), started_(now), last_received_(now), last_sent_(now) {}

void PeerSession::start(const InfoHash& info_hash) {
  outgoing_ = true;
  handshake_.info_hash = info_hash;
  wire::encode(own_handshake(info_hash, own_id_), output_);
}

void PeerSession::accept(const PieceLayout& layout) {
  CHECK(shaken_ && layout_ == nullptr);
  layout_ = &layout;
  pieces_ = Bitfield(layout.piece_count());
  reader_.set_piece_count(layout.piece_count());
  if (!outgoing_) wire::encode(own_handshake(handshake_.info_hash, own_id_), output_);
}

void PeerSession::greet(const Bitfield& have, const SessionHello& hello) {
  CHECK(is_accepted() && !greeted_);
  greeted_ = true;
  if (handshake_.fast && have.all()) {
    wire::encode(wire::HaveAll{}, output_);
  } else if (handshake_.fast && have.none()) {
    wire::encode(wire::HaveNone{}, output_);
  } else if (!have.none()) {
    wire::encode(wire::BitfieldBits{have.wire()}, output_);
  }
  send_hello(hello);
}

void PeerSession::send_hello(const SessionHello& hello) {
  if (!handshake_.extended) return;
  wire::ExtensionHandshake handshake;
  // BEP 10: id 0 withdraws what an earlier handshake offered.
  if (hello.speed) {
    handshake.btt_speed = k_speed_id;
  } else if (offered_speed_) {
    handshake.btt_speed = 0;
  }
  offered_speed_ = hello.speed;
  if (hello.listen_port != 0) handshake.listen_port = hello.listen_port;
  handshake.request_count_max = hello.requests_max;
  if (hello.upload_only) handshake.upload_only = true;
  handshake.your_address = hello.remote;
  handshake.client = k_client;
  std::vector<uint8_t> payload;
  wire::encode(handshake, payload);
  wire::encode(wire::Extended{0, payload}, output_);
}

void PeerSession::feed(Instant now, Bytes bytes) {
  last_received_ = now;
  reader_.feed(bytes);
}

Result<bool> PeerSession::next(Instant now, PeerEvent& event) {
  if (!shaken_) {
    wire::Handshake theirs;
    TRY_ASSIGN(bool got, reader_.next_handshake(theirs));
    if (!got) return false;
    if (outgoing_ && theirs.info_hash != handshake_.info_hash) return error(Errc::protocol, "answered for another torrent");
    handshake_ = theirs;
    shaken_ = true;
    event.kind = PeerEvent::Kind::handshake;
    return true;
  }
  CHECK(is_accepted());
  if (late_.size() > 0 && next_late_have(event)) return true;
  for (;;) {
    wire::Message message;
    TRY_ASSIGN(bool got, reader_.next(message));
    if (!got) return false;
    TRY_ASSIGN(bool is_event, on_message(now, message, event));
    if (is_event) return true;
  }
}

Result<bool> PeerSession::on_message(Instant now, const wire::Message& message, PeerEvent& event) {
  using Kind = PeerEvent::Kind;
  if (auto* slice = std::get_if<wire::PieceSlice>(&message)) return on_slice(*slice, event);
  if (auto* request = std::get_if<wire::Request>(&message)) return on_range(request->range, Kind::request, event);
  if (auto* have = std::get_if<wire::Have>(&message)) return on_have(now, have->piece, event);
  if (auto* bits = std::get_if<wire::BitfieldBits>(&message))
    return on_pieces(now, Bitfield::from_wire(bits->bits, layout_->piece_count()), event);
  if (auto* extended = std::get_if<wire::Extended>(&message)) return on_extended(now, *extended, event);
  if (std::get_if<wire::Choke>(&message)) return on_flag(now, choking_us_, true, Kind::choked, event);
  if (std::get_if<wire::Unchoke>(&message)) return on_flag(now, choking_us_, false, Kind::unchoked, event);
  if (std::get_if<wire::Interested>(&message)) return on_flag(now, interested_in_us_, true, Kind::interested, event);
  if (std::get_if<wire::NotInterested>(&message)) return on_flag(now, interested_in_us_, false, Kind::not_interested, event);
  if (auto* cancel = std::get_if<wire::Cancel>(&message)) return on_range(cancel->range, Kind::cancel, event);
  if (auto* reject = std::get_if<wire::Reject>(&message)) {
    TRY(need_fast("reject"));
    return on_range(reject->range, Kind::reject, event);
  }
  if (std::get_if<wire::HaveAll>(&message) || std::get_if<wire::HaveNone>(&message)) {
    TRY(need_fast("have_all or have_none"));
    Bitfield pieces(layout_->piece_count());
    if (std::get_if<wire::HaveAll>(&message)) pieces.set_all();
    return on_pieces(now, std::move(pieces), event);
  }
  if (std::get_if<wire::Suggest>(&message) || std::get_if<wire::AllowedFast>(&message)) TRY(need_fast("suggest or allowed_fast"));
  if (std::get_if<wire::Unknown>(&message)) TRY(meter_.glitch(now, "a message of an unknown kind"));
  // Keep-alive, port, suggest and allowed_fast say nothing that we use.
  TRY(meter_.chatter(now, wire::name_of(message)));
  return false;
}

Status PeerSession::need_fast(const char* name) const {
  // BEP 6: these are only for connections where both sides set the bit; we always do.
  if (!handshake_.fast) return error(Errc::protocol, std::string(name) + " message without the fast extension");
  return ok;
}

Result<bool> PeerSession::on_pieces(Instant now, Result<Bitfield> pieces, PeerEvent& event) {
  if (!pieces) return std::move(pieces).error();
  if (!pieces_known_) {
    pieces_known_ = true;
    pieces_ = std::move(*pieces);
    event.kind = PeerEvent::Kind::pieces;
    return true;
  }
  // BEP 3 wants it first or not at all, but aria2 sends one in place of many haves.
  TRY(meter_.chatter(now, "bitfield"));
  for (uint32_t piece = 0; piece < pieces_.size(); ++piece) {
    if (pieces_.test(piece) && !pieces->test(piece)) return error(Errc::protocol, "takes back pieces that it had");
  }
  late_ = std::move(*pieces);
  late_at_ = 0;
  return next_late_have(event);
}

bool PeerSession::next_late_have(PeerEvent& event) {
  while (late_at_ < late_.size()) {
    uint32_t piece = late_at_++;
    if (!late_.test(piece) || pieces_.test(piece)) continue;
    pieces_.set(piece);
    event.kind = PeerEvent::Kind::have;
    event.range.piece = piece;
    return true;
  }
  late_ = {};
  return false;
}

Result<bool> PeerSession::on_have(Instant now, uint32_t piece, PeerEvent& event) {
  if (piece >= layout_->piece_count()) return error(Errc::protocol, "have for piece " + std::to_string(piece) + ", which does not exist");
  pieces_known_ = true;
  if (pieces_.test(piece)) {
    TRY(meter_.glitch(now, "have for a piece that it had"));
    return false;
  }
  pieces_.set(piece);
  event.kind = PeerEvent::Kind::have;
  event.range.piece = piece;
  return true;
}

Result<bool> PeerSession::on_flag(Instant now, bool& flag, bool value, PeerEvent::Kind kind, PeerEvent& event) {
  TRY(meter_.chatter(now, "choke or interested"));
  if (flag == value) return false;
  flag = value;
  event.kind = kind;
  return true;
}

Result<bool> PeerSession::on_range(const wire::BlockRange& range, PeerEvent::Kind kind, PeerEvent& event) {
  if (range.length == 0 || !layout_->contains(range.piece, range.begin, range.length)) {
    return error(Errc::protocol, "message about " + std::to_string(range.length) + " bytes at " + std::to_string(range.begin) +
                                     " of piece " + std::to_string(range.piece) + ", which do not exist");
  }
  event.kind = kind;
  event.range = range;
  return true;
}

Result<bool> PeerSession::on_slice(const wire::PieceSlice& slice, PeerEvent& event) {
  if (slice.offset == 0) {
    TRY(on_range(slice.range, PeerEvent::Kind::block, event));
    block_.clear();
    block_.reserve(slice.range.length);
  }
  block_.insert(block_.end(), slice.data.begin(), slice.data.end());
  if (!slice.is_last()) return false;
  event.kind = PeerEvent::Kind::block;
  event.range = slice.range;
  event.data = std::exchange(block_, {});
  return true;
}

Result<bool> PeerSession::on_extended(Instant now, const wire::Extended& message, PeerEvent& event) {
  if (!handshake_.extended) return error(Errc::protocol, "extended message without the extension protocol");
  if (message.extended_id == k_speed_id && offered_speed_) {
    event.kind = PeerEvent::Kind::speed;
    event.payload = message.payload;
    return true;
  }
  if (message.extended_id != 0) {
    TRY(meter_.glitch(now, "an extension that we did not offer"));
    return false;
  }
  TRY(meter_.chatter(now, "extension handshake"));
  Result<wire::ExtensionHandshake> handshake = wire::decode_extension_handshake(message.payload);
  if (!handshake) return error(Errc::protocol, handshake.error().reason);
  // BEP 10: a later handshake changes what it mentions.
  if (handshake->btt_speed) remote_.btt_speed = handshake->btt_speed;
  if (handshake->listen_port) remote_.listen_port = handshake->listen_port;
  if (handshake->request_count_max) remote_.request_count_max = handshake->request_count_max;
  if (handshake->upload_only) remote_.upload_only = handshake->upload_only;
  if (handshake->your_address) remote_.your_address = handshake->your_address;
  if (!handshake->client.empty()) remote_.client = handshake->client;
  event.kind = PeerEvent::Kind::extensions;
  return true;
}

void PeerSession::send_choke(bool choke) {
  CHECK(greeted_);
  if (choked_by_us_ == choke) return;
  choked_by_us_ = choke;
  choke ? wire::encode(wire::Choke{}, output_) : wire::encode(wire::Unchoke{}, output_);
}

void PeerSession::send_interested(bool interested) {
  CHECK(greeted_);
  if (we_are_interested_ == interested) return;
  we_are_interested_ = interested;
  interested ? wire::encode(wire::Interested{}, output_) : wire::encode(wire::NotInterested{}, output_);
}

void PeerSession::send_have(uint32_t piece) {
  CHECK(greeted_);
  wire::encode(wire::Have{piece}, output_);
}

void PeerSession::send_request(const wire::BlockRange& range) {
  CHECK(greeted_);
  wire::encode(wire::Request{range}, output_);
}

void PeerSession::send_cancel(const wire::BlockRange& range) {
  CHECK(greeted_);
  wire::encode(wire::Cancel{range}, output_);
}

void PeerSession::send_reject(const wire::BlockRange& range) {
  CHECK(greeted_);
  if (handshake_.fast) wire::encode(wire::Reject{range}, output_);
}

void PeerSession::send_speed(Bytes payload) {
  CHECK(greeted_ && speed_id() != 0);
  wire::encode(wire::Extended{speed_id(), payload}, output_);
}

void PeerSession::take_output(std::vector<uint8_t>& out) {
  if (out.empty()) {
    out.swap(output_);  // the buffers change places: nothing is copied or allocated
    return;
  }
  out.insert(out.end(), output_.begin(), output_.end());
  output_.clear();
}

Instant PeerSession::next_deadline() const {
  if (!shaken_) return started_ + k_handshake_time;
  Instant silence = last_received_ + k_silence_max;
  return greeted_ ? earlier(silence, last_sent_ + k_keep_alive_every) : silence;
}

Status PeerSession::on_timer(Instant now) {
  if (!shaken_) {
    if (now >= started_ + k_handshake_time) return error(Errc::timed_out, "no handshake within 10 s");
    return ok;
  }
  if (now >= last_received_ + k_silence_max) return error(Errc::timed_out, "silent for 150 s");
  if (output_.size() > output_max_ + pieces_.wire().size()) return error(Errc::timed_out, "does not read what it is sent");
  if (greeted_ && now >= last_sent_ + k_keep_alive_every) {
    wire::encode(wire::KeepAlive{}, output_);
    last_sent_ = now;
  }
  return ok;
}

}  // namespace millet
