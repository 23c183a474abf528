#include "node/choking.h"

namespace millet {

// BEP 21: who downloads nothing gets no slot.
bool Choking::is_candidate(const Peer& peer) const {
  if (!peer.is_open() || !peer.session->interested_in_us() || peer.session->is_upload_only() || core_.shutting_down) return false;
  const Torrent* torrent = core_.torrents.find(peer.torrent);
  return torrent != nullptr && torrent->is_serving();
}

// A candidate for whom it is worth waking a disk that sleeps.
bool Choking::may_have_slot(Instant now, const Peer& peer) const {
  if (!is_candidate(peer)) return false;
  return !core_.device.paid_only || payments_.holds_slot(peer) || !payments_.backed_bid(now, peer).is_zero();
}

void Choking::fill(Instant now) { decide(now, false); }

void Choking::on_timer(Instant now) {
  if (now >= next_round_) decide(now, true);
}

// speed/PROTOCOL.md: one slot is optimistic, some are for peers without a bid, the rest is sold.
uint32_t Choking::slots_for_sale() const {
  // With fewer slots than are set, it is the free ones that go first.
  const uint32_t slots = core_.upload_slots();
  uint32_t kept = slots < core_.config.upload_slots ? 1 : 1 + core_.config.free_slots;
  return slots > kept ? slots - kept : 0;
}

// A sold slot is taken away by the auction only: its payee must know.
bool Choking::needs_auction() const {
  if (payments_.wants_auction()) return true;
  for (const Peer& peer : core_.peers) {
    if (peer.slot == SlotKind::auction && !is_candidate(peer)) return true;
  }
  return false;
}

void Choking::hold_auction(Instant now) {
  std::vector<PeerHandle> interested;
  for (const Peer& peer : core_.peers) {
    if (is_candidate(peer)) interested.push_back(peer.handle);
  }
  payments_.hold_auction(now, interested, slots_for_sale());
}

void Choking::drop_others(Instant now) {
  for (Peer& peer : core_.peers) {
    if (may_have_slot(now, peer) || peer.slot == SlotKind::none || peer.slot == SlotKind::auction) continue;
    peer.slot = SlotKind::none;
    peer.waiting_since = now;
    if (!peer.is_open()) continue;
    Uploads::choke(core_, peer);
    payments_.on_free_choke(now, peer);
  }
}

ChokeCandidate Choking::candidate_of(Instant now, Peer& peer) {
  // While a torrent downloads, those count that give the most; a seed looks at who takes the most.
  bool leeching = core_.torrent_of(peer).is_downloading();
  Rate bid = payments_.backed_bid(now, peer);
  ChokeCandidate candidate;
  candidate.peer = peer.handle;
  candidate.address = peer.remote.address;
  // A slot that is sold counts from the offer on, also while its winner is still choked.
  candidate.slot = payments_.holds_slot(peer) ? SlotKind::auction : peer.slot;
  candidate.rate = leeching ? peer.down.rate(now) : peer.up.rate(now);
  candidate.snubbed = leeching && peer.snubbed;
  // Whoever bids enough to take part in the auction has its chance there.
  candidate.bidding = !bid.is_zero() && bid >= core_.torrent_of(peer).reserve.value_or(core_.config.reserve) && slots_for_sale() > 0;
  candidate.bid = bid.in_pico_per_byte();
  candidate.waiting_since = peer.waiting_since;
  return candidate;
}

void Choking::apply(Instant now, const ChokeDecision& decision) {
  Peer& peer = *core_.peers.find(decision.peer);
  if (decision.slot == SlotKind::auction) return;  // choked and unchoked by the auction
  bool had_slot = peer.slot != SlotKind::none;
  bool has_slot = decision.slot != SlotKind::none;
  peer.slot = decision.slot;
  if (has_slot && !had_slot) {
    // The bid is answered before the unchoke.
    payments_.on_free_unchoke(now, peer);
    Uploads::unchoke(core_, peer);
  } else if (had_slot && !has_slot) {
    peer.waiting_since = now;
    Uploads::choke(core_, peer);
    payments_.on_free_choke(now, peer);
  }
}

void Choking::decide(Instant now, bool full) {
  if (full || needs_auction()) hold_auction(now);
  drop_others(now);
  candidates_.clear();
  decisions_.clear();
  for (Peer& peer : core_.peers) {
    if (may_have_slot(now, peer)) candidates_.push_back(candidate_of(now, peer));
  }
  if (candidates_.empty()) {
    next_round_ = Instant::never();
    return;
  }
  if (full || next_round_.is_never()) next_round_ = now + Choker::k_round;
  choker_.decide(now, core_.upload_slots(), full, candidates_, decisions_);
  for (const ChokeDecision& decision : decisions_) apply(now, decision);
}

}  // namespace millet
