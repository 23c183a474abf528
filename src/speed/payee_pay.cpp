// Channels as their payers announce them, payments, acknowledgements (PROTOCOL.md section 9).
#include <algorithm>

#include "crypto/hash.h"
#include "speed/payee.h"

namespace millet::speed {

std::optional<std::pair<PeerHandle, uint8_t>> Payee::place_of(const Channel& channel) const {
  auto account = accounts_.find(channel.terms.payer);
  if (account == accounts_.end() || !account->second.peer) return std::nullopt;
  auto peer = peers_.find(*account->second.peer);
  if (peer == peers_.end()) return std::nullopt;
  for (const auto& [slot, id] : peer->second.slots) {
    if (id == channel.id) return std::make_pair(peer->first, slot);
  }
  return std::nullopt;
}

LedgerTime Payee::margin_before(const Channel& channel, uint64_t times) const {
  // A channel is opened just before its valid_until.
  uint64_t life = channel.terms.expiry.seconds_since(channel.terms.valid_until);
  uint64_t margin = std::max(k_margin_min_s, life / 20) * times;
  uint64_t expiry = channel.effective_expiry.in_seconds();
  return LedgerTime::from_seconds(expiry > margin ? expiry - margin : 0);
}

bool Payee::is_expiring(const Channel& channel, Instant now) const { return ctx_.clock.floor(now) >= margin_before(channel, 2); }

Amount Payee::room(const PublicKey& payer, Instant now) const {
  Amount sum;
  for (const ChannelId& id : channels_of(payer)) {
    const Channel& channel = channels_.at(id);
    if (channel.state != ChannelState::active || is_expiring(channel, now)) continue;
    sum = sum.plus(channel.terms.capacity.minus_or_zero(channel.counted.cum)).value_or(Amount::supply());
  }
  return sum;
}

Status Payee::on_channel(Instant now, Peer& peer, const ChannelMessage& message) {
  if (!peer.channel_limit.take(now)) return error(Errc::protocol, "channels announced more often than once a second");
  if (peer.superseded) return ok;
  if (account_of(peer) != nullptr) {
    announce(now, peer, message);
    return ok;
  }
  if (peer.early.size() >= k_slots_max) return error(Errc::protocol, "more channels than slots");
  peer.early.push_back(message);
  peer.session->require_proof(now);
  arm(peer.session->next_deadline(now));
  return ok;
}

void Payee::announce(Instant now, Peer& peer, const ChannelMessage& message) {
  PeerHandle handle = peer.session->peer();
  ChannelTerms terms{ctx_.id.ledger, peer.session->other_key(), ctx_.id.key, message.capacity, message.expiry,
                     message.nonce,  message.valid_until};
  ChannelId id{blake2b_256(preimage(terms))};
  auto it = channels_.find(id);
  bool full = channels_of(terms.payer).size() >= size_t{2} * k_slots_max;
  bool refuse_new = it == channels_.end() && (message.capacity.is_zero() || full || !options_.enabled);
  if (refuse_new) {
    ctx_.send(handle, ResumeMessage{k_slot_unknown, id, 0, Amount(), Signature()});
    ctx_.send(handle, AckMessage{message.slot, static_cast<uint8_t>(AckStatus::bad_channel), 0, Amount(), Amount(), Amount()});
    return;
  }
  peer.slots[message.slot] = id;
  if (it == channels_.end()) {
    Channel& channel = add_channel(id, terms);
    ctx_.send(handle, ResumeMessage{k_slot_unknown, id, 0, Amount(), Signature()});
    return advance(now, channel);
  }
  Channel& channel = it->second;
  want_resume(now, channel);
  if (channel.state == ChannelState::refused) acknowledge(channel, channel.refusal);
  if (channel.state == ChannelState::closing) acknowledge(channel, AckStatus::closed);
}

// A payer that comes back is not kept waiting for its RESUME. One that asks without end must not wear out the flash: it waits for the
// commit that is due anyway.
void Payee::want_resume(Instant now, Channel& channel) {
  channel.resume_wanted = true;
  if (channel.dirty && !commit_urgent_) commit_urgent_ = resume_commits_.take(now, k_resume_commit);
  resume_if_durable(channel);
}

void Payee::resume_if_durable(Channel& channel) {
  // What is being checked counts in a moment: a payer that has crashed must not go on from below it.
  bool checking = channel.verifying || (channel.waiting && channel.state == ChannelState::active);
  if (!channel.resume_wanted || channel.dirty || channel.in_commit || checking) return;
  channel.resume_wanted = false;
  auto place = place_of(channel);
  if (!place) return;
  bool held = !channel.durable.cum.is_zero() && !ctx_.faults.has(Bug::forget_voucher);
  if (!held && channel.waiting) {
    // From an earlier connection, and the ledger has not said yet that there is such a channel.
    const PayMessage& pay = *channel.waiting;
    ctx_.send(place->first, ResumeMessage{k_slot_unknown, channel.id, pay.seq, pay.cum, pay.signature});
    return;
  }
  ctx_.send(place->first,
            held ? ResumeMessage{place->second, channel.id, channel.durable.seq, channel.durable.cum, channel.durable.signature}
                 : ResumeMessage{k_slot_unknown, channel.id, 0, Amount(), Signature()});
}

void Payee::acknowledge(const Channel& channel, AckStatus status) {
  auto place = place_of(channel);
  if (!place) return;
  auto account = accounts_.find(channel.terms.payer);
  AckMessage ack;
  ack.slot = place->second;
  ack.status = static_cast<uint8_t>(status);
  ack.seq = channel.counted.seq;
  ack.counted = channel.counted.cum;
  ack.durable = ctx_.faults.has(Bug::early_durable) ? channel.counted.cum : channel.durable.cum;
  if (account != accounts_.end()) ack.unpaid = account->second.debt.owed();
  ctx_.send(place->first, ack);
}

Status Payee::on_pay(Instant now, Peer& peer, const PayMessage& pay) {
  // One per 16 KiB served; a reconnect may bring the newest of each slot again, and a debt may be split.
  if (++peer.pays > peer.sent_paid / k_block_bytes + k_slots_max + 4) return error(Errc::protocol, "more payments than served blocks");
  auto slot = peer.slots.find(pay.slot);
  if (slot == peer.slots.end()) {
    ctx_.send(peer.session->peer(), ResumeMessage());
    return ok;
  }
  auto it = channels_.find(slot->second);
  if (it == channels_.end()) {
    ctx_.send(peer.session->peer(), AckMessage{pay.slot, static_cast<uint8_t>(AckStatus::closed), 0, Amount(), Amount(), Amount()});
    return ok;
  }
  Channel& channel = it->second;
  if (channel.state == ChannelState::refused) return acknowledge(channel, channel.refusal), ok;
  auto account = accounts_.find(channel.terms.payer);
  bool again = pay.seq <= channel.counted.seq && account != accounts_.end();
  if (again && ctx_.faults.has(Bug::replay_counts)) static_cast<void>(account->second.debt.on_paid(account->second.debt.owed()));
  if (pay.seq == channel.counted.seq && pay.cum == channel.counted.cum) return acknowledge(channel, AckStatus::counted), ok;
  if (pay.seq <= channel.counted.seq || pay.cum <= channel.counted.cum) {
    // Never a strike: a payer that lost its state looks like this.
    acknowledge(channel, AckStatus::stale);
    want_resume(now, channel);
    return ok;
  }
  if (channel.state == ChannelState::closing) return acknowledge(channel, AckStatus::closed), ok;
  if (pay.cum > channel.terms.capacity) return acknowledge(channel, AckStatus::over_capacity), ok;
  // Only the newest is worth a signature check.
  if (channel.verifying && pay.seq <= channel.verifying->seq) return ok;
  if (channel.waiting && pay.seq <= channel.waiting->seq) return ok;
  channel.waiting = pay;
  try_verify(now, channel);
  return ok;
}

void Payee::try_verify(Instant now, Channel& channel) {
  if (channel.state != ChannelState::active || channel.verifying || !channel.waiting) return;
  if (!ctx_.verifications.take(now, 1)) return arm(ctx_.verifications.ready_at(now, 1));
  channel.verifying = channel.waiting;
  channel.waiting.reset();
  auto place = place_of(channel);
  PayStatement statement{ctx_.id.ledger, channel.id, channel.verifying->seq, channel.verifying->cum};
  channel.check = ctx_.verify(Work::pay_verify, place ? place->first : 0, channel.id, channel.terms.payer, preimage(statement),
                              channel.verifying->signature);
}

Status Payee::on_verified(Instant now, const WorkRef& work, bool valid) {
  Peer* peer = find(work.peer);
  if (work.work == Work::funds_verify) {
    if (peer == nullptr || peer->funds_state != Peer::Funds::verifying || peer->funds_check != work.ticket) return ok;
    if (!valid) return error(Errc::denied, "funds that the ledger did not sign");
    peer->funds_state = Peer::Funds::good;
    peer->backing = peer->funds.available;
    peer->backing_time = peer->funds.time;
    advance_bid(now, *peer);
    return ok;
  }
  auto it = channels_.find(work.channel);
  if (it == channels_.end() || !it->second.verifying || it->second.check != work.ticket) return ok;
  Channel& channel = it->second;
  PayMessage pay = *channel.verifying;
  channel.verifying.reset();
  if (!valid && !ctx_.faults.has(Bug::forgery_counts)) {
    channel.waiting.reset();
    if (peer == nullptr) return ok;
    acknowledge(channel, AckStatus::bad_signature);
    strike(now, *peer, "bad_signature");
    return error(Errc::denied, "payment with a bad signature");
  }
  if (pay.seq > channel.counted.seq && pay.cum > channel.counted.cum) count(now, channel, pay);
  try_verify(now, channel);
  if (channel.resume_wanted) want_resume(now, channel);
  bool waits = channel.verifying || channel.waiting || stands_for_debt(channel);
  if (channel.close_wanted && !waits) start_close(now, channel, channel.close_reason);
  return ok;
}

void Payee::count(Instant now, Channel& channel, const PayMessage& pay) {
  std::optional<Amount> delta = pay.cum.minus(channel.counted.cum);
  CHECK(delta && pay.cum <= channel.terms.capacity);
  channel.counted = {pay.seq, pay.cum, pay.signature};
  if (pay.cum == channel.terms.capacity) arm(now);  // it is closed
  counted_total_ = counted_total_.plus(*delta).value_or(Amount::supply());
  touch(now, channel, false);
  Account* account = make_account(now, channel.terms.payer, nullptr);
  if (account == nullptr) {
    ctx_.history.on_earned(ctx_.clock.floor(now), InfoHash(), *delta, 0);
    return acknowledge(channel, AckStatus::counted);
  }
  Result<uint64_t> covered = account->debt.on_paid(*delta);
  uint64_t bytes = covered ? *covered : 0;
  uint64_t pieces = bytes * 256 / account->piece_size;
  if (account->debt.unpaid_bytes() < account->piece_size) account->owing = false;
  ctx_.history.on_earned(ctx_.clock.floor(now), account->torrent, *delta, bytes);
  account->streak += pieces;
  account->paid_pieces += pieces;
  account->clean_pieces += pieces;
  touch(now, *account);
  risk_ += std::max<uint64_t>(pieces, 1);
  if (account->paid_pieces >= k_known_pieces * 256 && !account->bucketless) {
    account->bucketless = true;
    release_charge(*account);
  }
  // The payer may have left while its last payment was being checked: it was earned all the same.
  if (counted_by_torrent_.contains(account->torrent) || counted_by_torrent_.size() < k_accounts_max) {
    Amount& of_torrent = counted_by_torrent_[account->torrent];
    of_torrent = of_torrent.plus(*delta).value_or(Amount::supply());
  }
  Peer* peer = account->peer ? find(*account->peer) : nullptr;
  if (peer == nullptr) return release_charge(*account);
  peer->fresh_payment = true;
  if (pay.cum == channel.terms.capacity && peer->pays > 0) --peer->pays;  // the rest of its debt is another payment
  if (!is_paid(*peer)) release_charge(*account);
  while (account->clean_pieces >= k_forgive_pieces * 256) {
    account->clean_pieces -= k_forgive_pieces * 256;
    ctx_.bans.forgive(ctx_.clock.floor(now), BanList::of(account->key));
    ctx_.bans.forgive(ctx_.clock.floor(now), BanList::of(peer->session->info().address));
  }
  account->old_owed = std::min(account->old_owed, account->debt.owed());
  std::erase_if(peer->marks, [&](const PieceMark& mark) { return is_paid_to(*account, mark.due); });
  if (peer->overdue && is_paid_to(*account, *peer->overdue)) {
    peer->overdue.reset();
    advance_bid(now, *peer);
  }
  peer->blocked_since.reset();
  bool known = account->paid_pieces >= k_known_pieces * 256;
  if (known && peer->slot == Slot::paid && peer->window != 0 && earned_window(*account, *peer) > peer->window) {
    peer->window = earned_window(*account, *peer);
    send_rate(*peer, peer->rate, peer->kind);
  }
  acknowledge(channel, is_expiring(channel, now) ? AckStatus::expiring : AckStatus::counted);
  wake(*peer);
}

// A channel that stands for what the bucket lacks stays until that is paid, or until its payer is gone for long: else one sum of money
// could stand for piece after piece, under one name after the other.
bool Payee::stands_for_debt(const Channel& channel) const {
  auto it = accounts_.find(channel.terms.payer);
  if (it == accounts_.end() || channel.state != ChannelState::active) return false;
  const Account& account = it->second;
  return account.bucketless && !is_known(account) && account.debt.unpaid_bytes() > 0;
}

Status Payee::on_close(Instant now, Peer& peer, const CloseMessage& close) {
  auto it = channels_.find(close.channel);
  if (it == channels_.end() || !peer.session->proven() || it->second.terms.payer != peer.session->other_key()) return ok;
  CloseReason reason =
      close.reason <= static_cast<uint8_t>(CloseReason::rolled_over) ? static_cast<CloseReason>(close.reason) : CloseReason::complete;
  if (stands_for_debt(it->second)) {
    it->second.close_wanted = true;
    it->second.close_reason = reason;
    return ok;
  }
  if (Account* account = account_of(peer)) note_owing(now, *account);
  start_close(now, it->second, reason);
  return ok;
}

}  // namespace millet::speed
