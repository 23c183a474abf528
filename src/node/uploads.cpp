#include "node/uploads.h"

namespace millet {

Status Uploads::on_request(Instant now, Peer& peer, const wire::BlockRange& range) {
  if (range.length > k_request_length_absurd) {
    return error(Errc::protocol, "requests " + std::to_string(range.length) + " bytes at once");
  }
  const char* refusal = nullptr;
  FloodMeter& meter = peer.session->meter();
  if (range.length > k_request_length_max) {
    TRY(meter.glitch(now, "a request of more than 16 KiB"));
    refusal = "too long";
  } else if (!core_.torrent_of(peer).have.test(range.piece)) {
    TRY(meter.glitch(now, "a request for a piece that we did not announce"));
    refusal = "not there";
  } else if (peer.session->choked_by_us()) {
    // It may have crossed our choke on the line.
    TRY(meter.chatter(now, "request while choked"));
    refusal = "choked";
  } else if (!peer.requests.push(range)) {
    TRY(meter.chatter(now, "request beyond the queue"));
    refusal = "too many";
  }
  if (refusal != nullptr) peer.session->send_reject(range);
  if (refusal == nullptr || peer.session->has_output()) core_.pull(peer);
  return ok;
}

Status Uploads::on_cancel(Instant now, Peer& peer, const wire::BlockRange& range) {
  if (!peer.requests.cancel(range)) return peer.session->meter().chatter(now, "cancel");
  // BEP 6: every request is answered, by its block or by a reject.
  peer.session->send_reject(range);
  if (peer.session->has_output()) core_.pull(peer);
  return ok;
}

void Uploads::choke(Core& core, Peer& peer) {
  if (peer.session->choked_by_us()) return;
  peer.session->send_choke(true);
  for (uint32_t i = 0; i < peer.requests.size(); ++i) peer.session->send_reject(peer.requests.at(i));
  peer.requests.clear();
  core.upload_gate.leave(peer.handle);
  core.pull(peer);
}

void Uploads::unchoke(Core& core, Peer& peer) {
  peer.session->send_choke(false);
  if (peer.session->has_output()) core.pull(peer);
}

bool Uploads::may_send(Instant now, Peer& peer) {
  if (peer.requests.empty()) return false;
  const wire::BlockRange& next = peer.requests.front();
  return payments_.may_send(now, peer, next) && core_.upload_gate.take(now, peer.handle, next.length);
}

bool Uploads::next_send(Instant now, Peer& peer, SendItem& item, bool with_block) {
  item.block.reset();
  bytes_.clear();
  if (peer.session != nullptr && !peer.doom) {
    peer.session->take_output(bytes_);
    bool go = with_block && peer.is_open() && may_send(now, peer);
    // Asking whether a block may be sent can lead to messages that stand before it.
    peer.session->take_output(bytes_);
    if (go) add_block(now, peer, item);
  }
  item.bytes = bytes_;
  if (bytes_.empty()) peer.pulling = false;
  return !bytes_.empty();
}

void Uploads::add_block(Instant now, Peer& peer, SendItem& item) {
  wire::BlockRange range = peer.requests.front();
  peer.requests.pop();
  auto header = wire::piece_header(range);
  bytes_.insert(bytes_.end(), header.begin(), header.end());
  item.block = BlockRef{peer.torrent, range.piece, range.begin, range.length};
  Torrent& torrent = core_.torrent_of(peer);
  for (RateMeter* meter : {&peer.up, &torrent.up, &core_.up}) meter->add(now, range.length);
  peer.uploaded += range.length;
  torrent.counters.uploaded += range.length;
  bool sold = payments_.on_block_sent(now, peer, range);
  peer.sold = peer.sold || sold;
  (sold ? torrent.counters.paid_up : torrent.counters.free_up) += range.length;
}

void Uploads::on_granted(Instant now) {
  std::vector<uint32_t> granted;
  core_.upload_gate.grant(now, granted);
  for (PeerHandle handle : granted) {
    Peer* peer = core_.peers.find(handle);
    if (peer != nullptr) core_.pull(*peer);
  }
}

}  // namespace millet
