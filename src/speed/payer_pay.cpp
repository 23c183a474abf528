// What is owed for verified pieces, and how it is paid (PROTOCOL.md sections 7, 9 and 10).
#include <algorithm>

#include "speed/payer.h"

namespace millet::speed {

// ---- blocks and pieces ----

void Payer::on_block_received(Instant now, PeerHandle handle, uint32_t piece, uint32_t bytes) {
  Peer* peer = find(handle);
  if (peer == nullptr) return;
  peer->received += bytes;
  if (!peer->rated || peer->rate.is_zero()) return;
  Provider* provider = provider_of(*peer);
  if (provider == nullptr) return;
  PendingKey key{peer->session->info().info_hash, piece, handle};
  if (provider->pending.size() >= k_pending_max && !provider->pending.contains(key)) {
    return disconnect(*peer, "too many paid pieces that are not verified");
  }
  Pending& pending = provider->pending[key];
  for (uint32_t left = bytes; left > 0;) {
    uint32_t part = std::min(left, Meter::k_bytes_max);
    if (!pending.cost.add(peer->rate, part)) return disconnect(*peer, "a piece that costs more than there is");
    left -= part;
  }
  pending.bytes += bytes;
  pending.rate = peer->rate;
  pending.address = peer->session->info().address;
  pending.proven = peer->session->proven();
  provider->pending_bytes += bytes;
  if (ctx_.faults.has(Bug::pay_unverified)) on_piece_verified(now, key.torrent, piece);
}

// What a torrent has spent and the history of it: in one commit, always. False if the sum would pass the supply.
bool Payer::add_spent(Instant now, const InfoHash& hash, const Meter& cost, uint64_t bytes) {
  Torrent& t = torrent(hash);
  Amount before = t.spent.due();
  if (!t.spent.add(cost)) return false;
  t.dirty = true;
  ctx_.history.on_spent(ctx_.clock.floor(now), hash, t.spent.due().minus_or_zero(before), bytes);
  return true;
}

Payer::Pending Payer::take_pending(Provider& provider, std::map<PendingKey, Pending>::iterator& it) {
  Pending pending = it->second;
  provider.pending_bytes -= pending.bytes;
  it = provider.pending.erase(it);
  return pending;
}

// The cost of a verified piece becomes owed. False if this provider had no part in it.
bool Payer::settle_piece(Instant now, Provider& provider, const InfoHash& hash, uint32_t piece) {
  bool any = false;
  auto it = provider.pending.lower_bound({hash, piece, 0});
  while (it != provider.pending.end() && it->first.torrent == hash && it->first.piece == piece) {
    if (settle_blocks(now, provider, hash, take_pending(provider, it))) any = true;
  }
  return any;
}

bool Payer::settle_blocks(Instant now, Provider& provider, const InfoHash& hash, const Pending& pending) {
  Torrent& t = torrent(hash);
  Meter spent = t.spent;
  bool fits = spent.add(pending.cost).has_value();
  std::optional<Amount> all = spent.due().plus(t.unresolved);
  // The bid keeps a torrent within its budget; waste (blocks sent twice) can still eat it up. The budget wins.
  if (!fits || !all || *all > t.budget || !provider.payable.add(pending.cost)) {
    LogLine(ctx_.log, LogLevel::warn, "speed_budget_exhausted").add("torrent", hash.hex()).add("budget", t.budget.to_btt());
    return false;
  }
  if (ctx_.faults.has(Bug::pay_twice)) static_cast<void>(provider.payable.add(pending.cost));
  add_spent(now, hash, pending.cost, pending.bytes);
  provider.verified_bytes += pending.bytes;
  market_.sold(now, provider.sales, pending.rate, providers_);
  commit_by(now + k_spent_interval);
  provider.torrent = hash;
  return true;
}

void Payer::on_piece_verified(Instant now, const InfoHash& hash, uint32_t piece) {
  for (auto& [key, provider] : providers_) {
    if (settle_piece(now, provider, hash, piece)) pay(now, provider);
  }
}

void Payer::on_piece_failed(Instant, const InfoHash& hash, uint32_t piece) {
  for (auto& [key, provider] : providers_) {
    auto it = provider.pending.lower_bound({hash, piece, 0});
    bool paid = it != provider.pending.end() && it->first.torrent == hash && it->first.piece == piece;
    if (provider.peer && paid) ctx_.send(*provider.peer, HoldMessage{piece});
  }
}

bool Payer::is_pending(PeerHandle handle, const InfoHash& hash, uint32_t piece) const {
  for (const auto& [key, provider] : providers_) {
    if (provider.pending.contains({hash, piece, handle})) return true;
  }
  return false;
}

void Payer::forget_blocks(PeerHandle handle, const InfoHash& hash, uint32_t piece) {
  for (auto provider = providers_.begin(); provider != providers_.end(); ++provider) {
    auto it = provider->second.pending.find({hash, piece, handle});
    if (it == provider->second.pending.end()) continue;
    take_pending(provider->second, it);
    return drop_if_idle(provider);
  }
}

void Payer::on_bad_blocks(Instant now, PeerHandle handle, const InfoHash& hash, uint32_t piece) {
  constexpr const char* k_why = "blocks of a piece that failed its hash";
  const Peer* peer = find(handle);
  for (auto provider = providers_.begin(); provider != providers_.end(); ++provider) {
    auto it = provider->second.pending.find({hash, piece, handle});
    if (it == provider->second.pending.end()) continue;
    Pending pending = take_pending(provider->second, it);
    if (peer != nullptr) break;
    ban(now, pending.address, pending.proven ? &provider->first : nullptr, k_ban_bad_piece_s, k_why);
    // It may have come back.
    const Peer* newer = provider->second.peer ? find(*provider->second.peer) : nullptr;
    if (newer != nullptr && pending.proven && newer->session->proven()) disconnect(*newer, std::string("banned: ") + k_why);
    return drop_if_idle(provider);
  }
  if (peer != nullptr) ban(now, *peer, k_ban_bad_piece_s, k_why);
}

// ---- owed and allocated ----

Amount Payer::owed(const Provider& provider) const { return provider.payable.due().minus_or_zero(provider.allocated); }

bool Payer::usable(Instant now, const Channel& channel) const {
  if (channel.state != PayerChannelState::open || channel.refused || channel.close_sent || channel.unsure) return false;
  // As the provider counts: it takes no payment in the last tenth of a channel's life, or the last 20 minutes.
  uint64_t life = channel.terms.expiry.seconds_since(channel.terms.valid_until);
  uint64_t margin = std::max<uint64_t>(Payee::k_margin_min_s, life / 20);
  return channel.terms.expiry.seconds_since(ctx_.clock.floor(now)) > margin && channel.cum < channel.terms.capacity;
}

// At once if less than one piece of the window would remain free; else once per 64 KiB and 250 ms, whichever is more.
bool Payer::pays_now(Instant now, const Provider& provider) const {
  const Peer& peer = peers_.at(*provider.peer);
  // What no channel paid was due long ago: the provider's clock for it runs, and its window may be shut.
  if (!peer.rated || peer.rate.is_zero() || provider.owed_again) return true;
  uint64_t open = provider.pending_bytes + provider.verified_bytes;
  if (open + peer.session->info().piece_size > peer.window) return true;
  return provider.verified_bytes >= k_pay_bytes && now - provider.last_pay >= k_pay_interval;
}

void Payer::pay(Instant now, Provider& provider) {
  if (!provider.peer || shutting_down_) return;
  Amount left = owed(provider);
  if (left.is_zero()) return;
  if (!pays_now(now, provider)) return arm(std::max(now, provider.last_pay) + k_pay_interval);
  for (bool retiring : {false, true}) {
    for (const ChannelId& id : provider.channels) {
      Channel& channel = channels_.at(id);
      if (left.is_zero()) break;
      if (channel.retiring != retiring || !usable(now, channel)) continue;
      Amount part = std::min(left, channel.terms.capacity.minus_or_zero(channel.cum));
      left = left.minus_or_zero(part);
      allocate(now, provider, channel, part);
    }
  }
  if (left.is_zero()) {
    provider.last_pay = now;
    provider.verified_bytes = 0;
    provider.owed_again = false;
  }
  ensure_channel(now, provider);
}

void Payer::allocate(Instant now, Provider& provider, Channel& channel, Amount part) {
  std::optional<Amount> cum = channel.cum.plus(part);
  std::optional<Amount> allocated = provider.allocated.plus(part);
  CHECK(cum && allocated && *cum <= channel.terms.capacity && *allocated <= provider.payable.due());
  channel.cum = *cum;
  channel.here = channel.here.plus(part).value_or(Amount::supply());
  channel.torrent = peers_.at(*provider.peer).session->info().info_hash;
  provider.allocated = *allocated;
  signed_total_ = signed_total_.plus(part).value_or(Amount::supply());
  advance_signature(now, channel);
}

// Signs the channel's amount if it is within the durable lease; else asks for a larger one first.
void Payer::advance_signature(Instant now, Channel& channel) {
  if (channel.state == PayerChannelState::opening || !channel.slot || !channel.resumed || channel.signing) return;
  if (channel.cum <= channel.signed_cum && !channel.sign_again) return;
  if (channel.cum.is_zero()) return;
  bool leased = channel.cum <= channel.ceiling && channel.seq + 1 <= channel.seq_ceiling;
  Amount quarter = Amount::micro(channel.terms.capacity.in_micro() / 16);
  bool low = channel.cum.plus(quarter).value_or(Amount::supply()) > channel.ceiling && channel.ceiling < channel.terms.capacity;
  if (!leased || low) {
    channel.lease_wanted = true;
    touch(now, channel, true);
  }
  if (!leased && !ctx_.faults.has(Bug::skip_persist)) return;
  channel.sign_again = false;
  channel.signing = PayMessage{*channel.slot, ++channel.seq, channel.cum, Signature()};
  PayStatement statement{ctx_.id.ledger, channel.id, channel.signing->seq, channel.signing->cum};
  ctx_.sign(Work::pay_sign, *providers_.at(channel.terms.payee).peer, channel.id, preimage(statement));
}

void Payer::send_pay(Channel& channel) {
  if (!channel.slot || !channel.resumed || !channel.last) return;
  channel.last->slot = *channel.slot;
  ctx_.send(*providers_.at(channel.terms.payee).peer, *channel.last);
}

// ---- channels on a connection ----

void Payer::announce(Instant now, Provider& provider, Channel& channel) {
  std::set<uint8_t> taken;
  for (const ChannelId& id : provider.channels) {
    if (const Channel& other = channels_.at(id); other.slot) taken.insert(*other.slot);
  }
  uint8_t slot = 0;
  while (taken.contains(slot)) ++slot;
  if (slot >= k_slots_max) return;
  channel.slot = slot;
  channel.resumed = false;
  channel.resume_by = now + k_resume_wait;
  arm(channel.resume_by);
  ctx_.send(*provider.peer,
            ChannelMessage{slot, channel.terms.capacity, channel.terms.expiry, channel.terms.nonce, channel.terms.valid_until});
}

void Payer::announce_all(Instant now, Provider& provider) {
  for (const ChannelId& id : provider.channels) {
    Channel& channel = channels_.at(id);
    channel.slot.reset();
    channel.resuming.reset();
    channel.close_unanswered = false;
  }
  for (const ChannelId& id : provider.channels) {
    Channel& channel = channels_.at(id);
    if (channel.state == PayerChannelState::opening || channel.refused) continue;
    // A payee that lost its newest payment gets it again, even after the end.
    if (channel.state == PayerChannelState::ending && channel.durable >= channel.cum) continue;
    if (channel.state == PayerChannelState::ending) channel.close_wanted = true;
    channel.close_sent = false;
    announce(now, provider, channel);
  }
}

Payer::Channel* Payer::on_slot(const Peer& peer, uint8_t slot) {
  Provider* provider = provider_of(peer);
  if (provider == nullptr || provider->peer != peer.session->peer()) return nullptr;
  for (const ChannelId& id : provider->channels) {
    if (Channel& channel = channels_.at(id); channel.slot == slot) return &channel;
  }
  return nullptr;
}

Status Payer::on_ack(Instant now, Peer& peer, const AckMessage& ack) {
  Channel* channel = on_slot(peer, ack.slot);
  if (channel == nullptr) return ok;
  if (ack.counted > channel->terms.capacity) return error(Errc::protocol, "ack above the channel's capacity");
  channel->counted = std::max(channel->counted, ack.counted);
  channel->durable = std::max(channel->durable, ack.durable);
  Provider& provider = *provider_of(peer);
  close_if_full(now, *channel);
  switch (static_cast<AckStatus>(ack.status)) {
    case AckStatus::counted:
      if (!ack.counted.is_zero()) provider.refusals = 0;
      break;
    case AckStatus::expiring:
      channel->retiring = true;
      ensure_channel(now, provider);
      break;
    case AckStatus::closed:
      channel->close_unanswered = false;
      end(now, *channel);
      ensure_channel(now, provider);
      break;
    case AckStatus::bad_channel:
      // The ledger says whether that is true; if it is not, the provider refuses good money.
      channel->refused = true;
      channel->close_unanswered = false;
      channel->retry.reset();
      advance(now, *channel);
      break;
    case AckStatus::stale: break;  // RESUME follows and says what is held
    case AckStatus::over_capacity:
    case AckStatus::bad_signature:
      LogLine(ctx_.log, LogLevel::error, "speed_payment_refused").add("channel", channel->id.hex()).add("status", uint32_t{ack.status});
      break;
  }
  return ok;
}

Status Payer::on_resume(Instant now, Peer& peer, const ResumeMessage& resume) {
  Provider* provider = provider_of(peer);
  if (provider == nullptr || provider->peer != peer.session->peer()) return ok;
  if (resume.slot == k_slot_unknown && resume.channel.is_zero()) {
    if (peer.resend_asked) return error(Errc::protocol, "the provider forgets its channels");
    peer.resend_asked = true;
    announce_all(now, *provider);
    return ok;
  }
  auto it = channels_.find(resume.channel);
  if (it == channels_.end() || it->second.terms.payee != provider->key || !it->second.slot) return ok;
  Channel& channel = it->second;
  const bool held = resume.slot != k_slot_unknown;
  if (!held && resume.cum.is_zero()) {
    resumed(now, channel, Amount());
    return ok;
  }
  if ((held && resume.slot != *channel.slot) || resume.cum > channel.terms.capacity)
    return error(Errc::protocol, "resume of another channel");
  if (resume.cum > channel.signed_cum || resume.seq > channel.seq) {
    // More than we remember: after a crash, or with an old copy of our store. Our own signature tells.
    if (channel.resuming) return ok;
    PayStatement statement{ctx_.id.ledger, channel.id, resume.seq, resume.cum};
    Ticket check = ctx_.verify(Work::resume_verify, peer.session->peer(), channel.id, ctx_.id.key, preimage(statement), resume.signature);
    channel.resuming = Resuming{resume, check};
    return ok;
  }
  resolve(now, channel, Amount());
  if (held) channel.durable = std::max(channel.durable, resume.cum);
  resumed(now, channel, resume.cum);
  close_if_full(now, channel);
  return ok;
}

Status Payer::on_verified(Instant now, const WorkRef& work, bool valid) {
  auto it = channels_.find(work.channel);
  if (it == channels_.end() || !it->second.resuming || it->second.resuming->check != work.ticket) return ok;
  Channel& channel = it->second;
  ResumeMessage resume = channel.resuming->message;
  channel.resuming.reset();
  if (!valid) return error(Errc::denied, "resume with a signature that is not ours");
  adopt(now, channel, resume.seq, resume.cum);
  resumed(now, channel, resume.cum);
  return ok;
}

// max(own, RESUME), for the amount and for the sequence. What this process has allocated since comes on top: the signature is an older
// one's.
void Payer::adopt(Instant now, Channel& channel, uint64_t seq, Amount cum) {
  channel.seq = std::max(channel.seq, seq);
  if (cum > channel.signed_cum) {
    Amount wanted = cum.plus(channel.here).value_or(Amount::supply());
    Amount overflow = wanted.minus_or_zero(channel.terms.capacity);
    Provider& provider = providers_.at(channel.terms.payee);
    channel.here = channel.here.minus_or_zero(overflow);
    provider.allocated = provider.allocated.minus_or_zero(overflow);
    provider.owed_again = provider.owed_again || !overflow.is_zero();
    // Without an unresolved lease our store is older than the signature (a backup): it counts all the same.
    if (channel.unresolved.is_zero()) channel.ceiling_at_start = channel.signed_cum;
    channel.cum = wanted.minus_or_zero(overflow);
    channel.signed_cum = cum;
    resolve(now, channel, cum);
  }
  channel.lease_wanted = true;
  touch(now, channel, true);
}

// What a crash left open is known now: of what it had allocated, `truth` was signed in all.
void Payer::resolve(Instant now, Channel& channel, Amount truth) {
  Torrent& t = torrent(channel.torrent);
  Amount base = channel.ceiling_at_start.minus_or_zero(channel.unresolved);
  t.unresolved = t.unresolved.minus_or_zero(channel.unresolved);
  channel.unresolved = Amount();
  Amount more = truth.minus_or_zero(base);
  channel.ceiling_at_start = base.plus(more).value_or(Amount::supply());
  if (more.is_zero()) return;
  add_spent(now, channel.torrent, Meter::restore(more.in_micro(), 0), 0);
  update_bid(now, channel.torrent);
}

void Payer::resumed(Instant now, Channel& channel, Amount held) {
  channel.resumed = true;
  channel.unsure = false;
  if (held < channel.signed_cum) {
    if (channel.last && channel.last->cum == channel.signed_cum)
      send_pay(channel);
    else
      channel.sign_again = true;
  }
  advance_signature(now, channel);
  Provider& provider = providers_.at(channel.terms.payee);
  pay(now, provider);
  close_if_paid(now, provider);
}

// ---- end ----

bool Payer::is_busy(PeerHandle handle) const {
  auto it = peers_.find(handle);
  if (it == peers_.end() || !it->second.session->provides()) return false;
  auto found = providers_.find(it->second.session->other_key());
  if (found == providers_.end() || found->second.peer != handle) return false;
  const Provider& provider = found->second;
  bool payable = !owed(provider).is_zero();
  for (const ChannelId& id : provider.channels) {
    const Channel& channel = channels_.at(id);
    if (channel.close_unanswered) return true;
    if (channel.state == PayerChannelState::ending && (channel.close_sent || !channel.slot)) continue;
    if (channel.signing || channel.cum > channel.signed_cum || channel.close_wanted) return true;
    if (channel.state == PayerChannelState::opening && payable) return true;
  }
  return payable && !provider.channels.empty();
}

// A full channel whose newest payment is durable at the payee has nothing more to do, and its slot is needed.
void Payer::close_if_full(Instant now, Channel& channel) {
  if (channel.state != PayerChannelState::open || channel.durable < channel.terms.capacity || channel.close_wanted) return;
  channel.close_wanted = true;
  channel.close_reason = CloseReason::rolled_over;
  close_if_paid(now, providers_.at(channel.terms.payee));
}

void Payer::close_if_paid(Instant now, Provider& provider) {
  std::vector<ChannelId> ids = provider.channels;
  for (const ChannelId& id : ids) {
    Channel& channel = channels_.at(id);
    if (!channel.close_wanted || channel.close_sent || channel.state == PayerChannelState::opening) continue;
    if (provider.peer && channel.slot) {
      bool paid = (owed(provider).is_zero() || channel.cum == channel.terms.capacity) && !channel.signing &&
                  channel.cum <= channel.signed_cum && !channel.sign_again && channel.resumed;
      if (!paid) continue;
      channel.close_sent = channel.close_unanswered = true;
      ctx_.send(*provider.peer, CloseMessage{channel.id, static_cast<uint8_t>(channel.close_reason), channel.seq, channel.cum});
    }
    end(now, channel);
  }
}

void Payer::on_signed(Instant now, const WorkRef& work, const Signature& signature) {
  auto it = channels_.find(work.channel);
  if (it == channels_.end()) return;
  Channel& channel = it->second;
  if (work.work == Work::open_sign) {
    if (channel.step != Step::sign_open) return;
    channel.step = Step::call_open;
    channel.open_signature = signature;
    return ctx_.call(Work::payer_open, channel.id, OpenChannel{channel.terms, signature});
  }
  if (!channel.signing) return;
  channel.last = channel.signing;
  channel.last->signature = signature;
  channel.signing.reset();
  channel.signed_cum = std::max(channel.signed_cum, channel.last->cum);
  send_pay(channel);
  advance_signature(now, channel);
  close_if_paid(now, providers_.at(channel.terms.payee));
}

}  // namespace millet::speed
