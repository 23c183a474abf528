// Bids, the auction and the paid slots (PROTOCOL.md sections 5 and 6).
#include <algorithm>

#include "speed/payee.h"

namespace millet::speed {

Status Payee::on_bid(Instant now, Peer& peer, const BidMessage& bid) {
  bool withdraw = (bid.flags & BidMessage::k_flag_withdraw) != 0 || bid.rate.is_zero();
  if (bid.bid_seq <= peer.bid_seq || peer.superseded) return ok;
  if (!withdraw && !peer.bids.take(now)) return ok;  // more often than once a minute: ignored
  peer.bid_seq = bid.bid_seq;
  peer.has_bid = !withdraw;
  peer.bid = withdraw ? Rate() : bid.rate;
  if (withdraw) {
    if (is_paid(peer)) lose_slot(now, peer);
    return ok;
  }
  advance_bid(now, peer);
  return ok;
}

Status Payee::on_funds(Instant now, Peer& peer, const FundsMessage& funds) {
  if (!peer.funds_limit.take(now)) return ok;
  if (peer.funds_state == Peer::Funds::verifying) return ok;
  if (peer.funds_state == Peer::Funds::good && funds.time <= peer.funds.time) return ok;
  peer.funds = funds;
  peer.funds_state = Peer::Funds::held;
  advance_bid(now, peer);
  return ok;
}

// Takes the next step towards a bid that counts: the proof of the key, then the ledger's word for the funds. Signatures are checked only
// for bids that could win something. True if nothing is missing.
bool Payee::pursue_bid(Instant now, Peer& peer) {
  if (!options_.enabled || shutting_down_ || !peer.has_bid || peer.superseded || peer.bid < reserve_of(peer)) return false;
  if (!peer.session->proven()) {
    peer.session->require_proof(now);
    arm(peer.session->next_deadline(now));
    return false;
  }
  if (peer.funds_state == Peer::Funds::held) {
    if (!ctx_.verifications.take(now, 1)) {
      arm(ctx_.verifications.ready_at(now, 1));
      return false;
    }
    peer.funds_state = Peer::Funds::verifying;
    FundStatement statement{ctx_.id.ledger, peer.session->other_key(), peer.funds.available, peer.funds.time};
    peer.funds_check =
        ctx_.verify(Work::funds_verify, peer.session->peer(), ChannelId(), ctx_.id.ledger_key, preimage(statement), peer.funds.signature);
  }
  // A bid that could be backed in a moment must not lose to the order of messages.
  return peer.funds_state != Peer::Funds::verifying;
}

void Payee::advance_bid(Instant now, Peer& peer) {
  if (pursue_bid(now, peer) && !is_paid(peer) && eligible(now, peer)) want_rechoke_if_idle();
}

// The first bid on an idle node does not wait for the interval.
void Payee::want_rechoke_if_idle() {
  if (slots_held() == 0) ctx_.out.push_back(RechokeWanted{});
}

bool Payee::is_backed(Instant now, const Peer& peer) const {
  const PublicKey& key = peer.session->other_key();
  uint64_t piece = peer.session->info().piece_size;
  std::optional<LedgerTime> time = ctx_.clock.now(now);
  if (time && time->seconds_since(peer.backing_time) <= k_funds_life_s && peer.backing >= price_of(peer.bid, piece * k_backing_pieces))
    return true;
  return room(key, now) >= price_of(peer.bid, piece);
}

bool Payee::eligible(Instant now, const Peer& peer) const {
  if (!options_.enabled || shutting_down_ || !peer.has_bid || peer.superseded || peer.overdue) return false;
  if (!peer.session->proven() || !ctx_.clock.known()) return false;
  auto account = accounts_.find(peer.session->other_key());
  if (account == accounts_.end() || account->second.peer != peer.session->peer()) return false;
  auto ignored = ignored_.find(peer.session->other_key());
  return ignored == ignored_.end() || now >= ignored->second;
}

Rate Payee::backed_bid(Instant now, PeerHandle handle) {
  Peer* peer = find(handle);
  return peer != nullptr && eligible(now, *peer) && is_backed(now, *peer) ? peer->bid : Rate();
}

AuctionResult Payee::auction(Instant now, std::span<const Candidate> candidates, uint32_t slots) {
  AuctionRules rules;
  rules.slots = slots;
  rules.reserve = options_.reserve;
  rules.faults = ctx_.faults;
  ctx_.random.fill(rules.tie_seed);
  std::vector<AuctionBidder> bidders;
  for (const Candidate& candidate : candidates) {
    Peer* peer = find(candidate.peer);
    if (peer == nullptr || !eligible(now, *peer)) continue;
    AuctionBidder bidder;
    bidder.peer = candidate.peer;
    bidder.key = peer->session->other_key();
    bidder.address = peer->session->info().address;
    bidder.bid_seq = peer->bid_seq;
    bidder.bid = peer->bid;
    bidder.bonus = candidate.bonus;
    bidder.reserve = reserve_of(*peer);
    bidder.backed = is_backed(now, *peer);
    bidder.incumbent = is_paid(*peer);
    bidder.waiting_since = peer->waiting_since;
    bidders.push_back(bidder);
  }
  return hold_auction(rules, std::move(bidders));
}

// Nothing goes out of the slot, and that is the payer's doing.
bool Payee::is_idle(Instant now, Peer& peer, bool in_line) {
  const Account* account = account_of(peer);
  // While the window is shut by whole pieces, their pay timer runs.
  bool unpaid = !peer.marks.empty() && account->debt.unpaid_bytes() + k_block_bytes > peer.window;
  bool excused = peer.slot == Slot::offered || in_line || unpaid || waits_for_us(now, peer);
  // A new channel can't be opened while the ledger is away.
  if (!excused && channels_expired(*account, now) && !ctx_.clock.reached_within(now, k_ledger_fresh)) {
    probe(now);
    excused = true;
  }
  if (excused) peer.busy_at = now;
  if (now - peer.busy_at >= k_idle_slot) return true;
  if (!excused && now - peer.metered_from < k_slow_slot) return false;
  bool slow = !excused && peer.sent - peer.metered_sent < std::min<uint64_t>(peer.session->info().piece_size, k_slow_bytes);
  peer.metered_from = now;
  peer.metered_sent = peer.sent;
  return slow;
}

AuctionResult Payee::rechoke(Instant now, std::span<const Candidate> candidates, uint32_t slots, bool others_wait) {
  std::map<PeerHandle, bool> unchoked;
  std::vector<Peer*> idle;
  for (const Candidate& candidate : candidates) {
    unchoked[candidate.peer] = candidate.unchoked;
    Peer* peer = find(candidate.peer);
    if (peer != nullptr && is_paid(*peer) && is_idle(now, *peer, candidate.in_line)) idle.push_back(peer);
  }
  AuctionResult result = auction(now, candidates, slots);
  for (const AuctionEntry& entry : result.entries)
    others_wait = others_wait || (entry.outcome == AuctionOutcome::lost && entry.bidder.backed);
  // Nobody is thrown out while nobody else wants the slot.
  if (others_wait && !idle.empty()) {
    for (Peer* peer : idle) revoke(now, *peer, StopReason::idle);
    result = auction(now, candidates, slots);
  }

  std::map<PeerHandle, const AuctionEntry*> winners;
  for (const AuctionEntry& entry : result.entries) {
    if (entry.outcome == AuctionOutcome::won) winners[entry.bidder.peer] = &entry;
  }
  // Losers first: their choke goes out before anybody takes their place.
  for (auto& [handle, peer] : peers_) {
    if (!is_paid(peer) || winners.contains(handle)) continue;
    if (unchoked.contains(handle))
      lose_slot(now, peer);
    else
      end_slot(now, peer, true);
  }
  for (const auto& [handle, entry] : winners) grant(now, *find(handle), unchoked[handle], *entry);
  // A bid from somebody whom the choker serves for nothing is answered, too.
  for (auto& [handle, peer] : peers_) {
    if (peer.slot == Slot::free && peer.has_bid && peer.rate_seq != peer.bid_seq) send_rate(peer, Rate(), RateKind::free);
  }
  return result;
}

Rate Payee::reserve_of(const Peer& peer) const {
  auto found = reserves_.find(peer.session->info().info_hash);
  return found == reserves_.end() ? options_.reserve : found->second;
}

void Payee::set_reserve(const InfoHash& torrent, std::optional<Rate> reserve) {
  if (reserve)
    reserves_[torrent] = *reserve;
  else
    reserves_.erase(torrent);
}

void Payee::forget(const InfoHash& torrent) {
  reserves_.erase(torrent);
  counted_by_torrent_.erase(torrent);
}

void Payee::grant(Instant now, Peer& peer, bool unchoked, const AuctionEntry& entry) {
  RateKind kind = entry.price_by_bid ? RateKind::auction : RateKind::reserve;
  if (is_paid(peer)) {
    if (peer.slot == Slot::finishing) peer.slot = Slot::paid;  // one that was to be choked after its piece stays
    const Account* account = account_of(peer);
    bool changed = account->paid_pieces >= k_known_pieces * 256 && peer.window != 0 && earned_window(*account, peer) != peer.window;
    if (changed) peer.window = earned_window(*account, peer);
    // Who has held a slot for long pays what a newcomer in its place would pay.
    if (changed || peer.rate != entry.price || peer.rate_seq != peer.bid_seq) send_rate(peer, entry.price, kind);
    return;
  }
  if (unchoked || peer.slot == Slot::free) ctx_.out.push_back(ChokePeer{peer.session->peer()});
  peer.slot = Slot::offered;
  peer.rate = entry.price;
  peer.blocked_since.reset();
  peer.window = grant_window(now, peer);
  send_rate(peer, entry.price, kind);
  peer.channel_by = now + k_channel_timeout;
  arm(peer.channel_by);
}

// Whatever the requester asked for before it knew the price has been refused by now: only then is it unchoked.
void Payee::on_accept(Instant now, Peer& peer, const AcceptMessage& accept) {
  if (peer.slot != Slot::offered || accept.epoch != peer.epoch) return;
  peer.slot = Slot::paid;
  peer.busy_at = peer.metered_from = now;
  peer.metered_sent = peer.sent;
  ctx_.out.push_back(UnchokePeer{peer.session->peer()});
}

// One piece, doubled for every 16 pieces that the payer has paid for in a row, as far as the owner allows. Only once it has paid on this
// connection: a relay can prove somebody else's key, but not pay.
uint32_t Payee::earned_window(const Account& account, const Peer& peer) const {
  uint64_t piece = peer.session->info().piece_size;
  uint64_t doublings = peer.fresh_payment ? std::min<uint64_t>(account.streak / (k_streak_pieces * 256), 6) : 0;
  uint64_t pieces = std::min<uint64_t>(uint64_t{1} << doublings, std::clamp<uint32_t>(options_.window_pieces, 1, k_window_pieces_max));
  return static_cast<uint32_t>(std::min<uint64_t>(piece * pieces, std::max<uint64_t>(piece, UINT32_MAX / 2)));
}

// The window of one piece, and who answers for it: the payer itself once it is known, else the bucket, else a channel that is large enough.
uint32_t Payee::grant_window(Instant now, Peer& peer) {
  Account* account = account_of(peer);
  CHECK(account != nullptr);
  uint32_t piece = peer.session->info().piece_size;
  uint64_t unpaid = account->debt.unpaid_bytes();
  bool known = account->paid_pieces >= k_known_pieces * 256;
  if (known || unpaid == 0) account->bucketless = known;
  if (account->charged > 0) bucket_.give_back(account->network, account->charged);
  account->charged = 0;
  if (known) return earned_window(*account, peer);
  if (account->bucketless) return piece;
  if (bucket_.take(now, account->network, piece)) {
    account->charged = std::max<uint64_t>(piece, unpaid);
    bucket_.restore(account->network, account->charged - piece);
    return piece;
  }
  if (room(account->key, now) >= price_of(peer.rate, uint64_t{piece} * k_covering_pieces)) {
    account->bucketless = true;
    return piece;
  }
  bucket_.restore(account->network, unpaid);
  account->charged = unpaid;
  return 0;
}

void Payee::send_rate(Peer& peer, Rate rate, RateKind kind) {
  peer.rate = rate;
  peer.kind = kind;
  peer.rate_seq = peer.bid_seq;
  RateMessage message;
  message.epoch = ++peer.epoch;
  message.bid_seq = peer.bid_seq;
  message.rate = rate;
  message.kind = static_cast<uint8_t>(kind);
  message.window = kind == RateKind::free ? 0 : peer.window;
  message.pay_timeout_s = static_cast<uint16_t>(k_pay_timeout.in_seconds());
  message.sent = peer.sent;
  ctx_.send(peer.session->peer(), message);
}

// A loser finishes the piece that it has begun.
void Payee::lose_slot(Instant now, Peer& peer) {
  if (!peer.piece_open || peer.rate.is_zero() || peer.slot == Slot::offered) return end_slot(now, peer, true);
  if (peer.slot == Slot::finishing) return;
  peer.slot = Slot::finishing;
  peer.finish_by = now + k_finish_max;
  arm(peer.finish_by);
}

void Payee::end_slot(Instant now, Peer& peer, bool choke) {
  peer.slot = Slot::none;
  peer.rate = Rate();
  peer.window = 0;
  peer.waiting_since = now;
  peer.channel_by = Instant::never();
  peer.blocked_since.reset();
  peer.starved = false;
  if (Account* account = account_of(peer)) release_charge(*account);
  if (choke) ctx_.out.push_back(ChokePeer{peer.session->peer()});
}

// The slot was held for nothing.
void Payee::revoke(Instant now, Peer& peer, StopReason reason) {
  ctx_.send(peer.session->peer(), StopMessage{static_cast<uint8_t>(reason), static_cast<uint32_t>(k_ignore.in_seconds())});
  ignored_[peer.session->other_key()] = now + k_ignore;
  arm(now + k_ignore);
  end_slot(now, peer, true);
}

void Payee::revoke_without_channel(Instant now, Peer& peer) {
  Amount left = room(peer.session->other_key(), now);
  const Account* account = account_of(peer);
  bool payable = peer.rate.is_zero() || (!left.is_zero() && left >= account->debt.owed());
  if (payable && peer.slot != Slot::offered) {
    peer.channel_by = Instant::never();
    return;
  }
  // The clock of this rule stands still while we can't ask the ledger, or are asking it.
  bool fresh = ctx_.clock.reached_within(now, k_ledger_fresh);
  if (!fresh) probe(now);
  if (peer.slot != Slot::offered && (!fresh || waits_for_us(now, peer))) {
    peer.channel_by = now + Duration::seconds(1);
    return arm(peer.channel_by);
  }
  revoke(now, peer, StopReason::no_channel);
  // The price of the others falls now, not at the next interval.
  ctx_.out.push_back(RechokeWanted{});
}

bool Payee::holds_slot(PeerHandle handle) const {
  auto it = peers_.find(handle);
  return it != peers_.end() && is_paid(it->second);
}

uint32_t Payee::slots_held() const {
  uint32_t count = 0;
  for (const auto& [handle, peer] : peers_) count += is_paid(peer) ? 1 : 0;
  return count;
}

void Payee::on_free_unchoke(PeerHandle handle) {
  Peer* peer = find(handle);
  if (peer == nullptr || is_paid(*peer)) return;
  peer->slot = Slot::free;
  bool told = peer->has_bid || peer->epoch > 0;
  if (told && peer->session->matches()) send_rate(*peer, Rate(), RateKind::free);
}

void Payee::on_free_choke(Instant now, PeerHandle handle) {
  Peer* peer = find(handle);
  if (peer == nullptr || peer->slot != Slot::free) return;
  peer->slot = Slot::none;
  peer->waiting_since = now;
}

}  // namespace millet::speed
