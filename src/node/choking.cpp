#include "node/choking.h"

namespace millet {

// BEP 21: who downloads nothing gets no slot.
bool Choking::is_candidate(const Peer& peer) const {
  if (!peer.is_open() || !peer.session->interested_in_us() || peer.session->is_upload_only() || core_.shutting_down) return false;
  const Torrent* torrent = core_.torrents.find(peer.torrent);
  return torrent != nullptr && torrent->is_serving();
}

void Choking::fill(Instant now) { decide(now, false); }

void Choking::on_timer(Instant now) {
  if (now >= next_round_) decide(now, true);
}

void Choking::decide(Instant now, bool full) {
  candidates_.clear();
  decisions_.clear();
  for (Peer& peer : core_.peers) {
    if (!is_candidate(peer)) {
      if (peer.slot == SlotKind::none) continue;
      peer.slot = SlotKind::none;
      peer.waiting_since = now;
      if (peer.is_open()) uploads_.choke(peer);
      continue;
    }
    // While a torrent downloads, those count that give the most; a seed looks at who takes the most.
    bool leeching = core_.torrent_of(peer).is_downloading();
    ChokeCandidate candidate;
    candidate.peer = peer.handle;
    candidate.address = peer.remote.address;
    candidate.slot = peer.slot;
    candidate.rate = leeching ? peer.down.rate(now) : peer.up.rate(now);
    candidate.snubbed = leeching && peer.snubbed;
    candidate.waiting_since = peer.waiting_since;
    candidates_.push_back(candidate);
  }
  if (candidates_.empty()) {
    next_round_ = Instant::never();
    return;
  }
  if (full || next_round_.is_never()) next_round_ = now + Choker::k_round;
  choker_.decide(now, core_.config.upload_slots, full, candidates_, decisions_);
  for (const ChokeDecision& decision : decisions_) {
    Peer& peer = *core_.peers.find(decision.peer);
    if (peer.slot != SlotKind::none && decision.slot == SlotKind::none) peer.waiting_since = now;
    peer.slot = decision.slot;
    if (decision.slot == SlotKind::none) {
      uploads_.choke(peer);
    } else {
      uploads_.unchoke(peer);
    }
  }
}

}  // namespace millet
