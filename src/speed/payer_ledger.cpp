// A channel's way through the ledger as its payer goes it (PROTOCOL.md section 9): planned and durable, signed, opened, watched until its
// end. Nothing here sleeps on an unreachable ledger: every step is repeated until there is a signed answer.
#include <algorithm>

#include "crypto/hash.h"
#include "speed/payer.h"

namespace millet::speed {

// 75 % of the newest channel is allocated, or what is owed does not fit any more; and there is something left to buy.
bool Payer::wants_channel(Instant now, const Provider& provider, const Peer& peer) const {
  Amount room;
  Amount newest;
  for (const ChannelId& id : provider.channels) {
    const Channel& channel = channels_.at(id);
    if (channel.state == PayerChannelState::opening) return false;
    // From an earlier process, and the provider is about to say what it holds: then we know what room it has.
    if (channel.unsure && channel.slot && !channel.refused && channel.state == PayerChannelState::open) return false;
    if (!usable(now, channel) || channel.retiring || channel.close_wanted) continue;
    room = room.plus(channel.terms.capacity.minus_or_zero(channel.cum)).value_or(Amount::supply());
    newest = channel.terms.capacity;
  }
  Amount due = owed(provider);
  if (room < due) return true;
  if (!peer.rated || peer.rate.is_zero()) return false;
  auto t = torrents_.find(peer.session->info().info_hash);
  if (t == torrents_.end() || !t->second.active) return false;
  Meter expected;
  for (const auto& [piece, pending] : provider.pending) {
    if (!expected.add(pending.cost)) return true;
  }
  Amount rest = price_of(peer.rate, t->second.bytes_left);
  Amount needed = due.plus(expected.due()).value_or(Amount::supply()).plus(rest).value_or(Amount::supply());
  return (room < needed && room.in_micro() <= newest.in_micro() / 4) || room < covering(peer, t->second);
}

// Nothing was bought from it yet, as far as we remember.
bool Payer::is_untried(const Provider& provider) const {
  if (provider.known || !provider.payable.due().is_zero()) return false;
  for (const ChannelId& id : provider.channels) {
    if (!channels_.at(id).cum.is_zero()) return false;
  }
  return true;
}

// As many as there may be: keys and addresses of one network cost its owner nothing.
bool Payer::has_untried_neighbours(const Provider& provider, const IpAddress& network) const {
  size_t count = 0;
  for (const auto& [key, other] : providers_) {
    if (&other != &provider && other.network == network && !other.channels.empty() && is_untried(other)) ++count;
  }
  return count >= k_first_channels_max;
}

// Section 8: what a provider wants to see that has no room in its bucket for us. Zero if it has, or if so much is not left to buy.
Amount Payer::covering(const Peer& peer, const Torrent& t) const {
  uint64_t bytes = Payee::k_covering_pieces * peer.session->info().piece_size;
  if (!peer.rated || peer.window != 0 || t.bytes_left < bytes) return Amount();
  return price_of(peer.rate, bytes);
}

// What may be locked with this provider now: all channels of a torrent together stay within its budget, and one that we have bought nothing
// from gets a few pieces. What is owed is spent already.
Amount Payer::most_for(const Provider& provider, const Peer& peer) const {
  const InfoHash& hash = peer.session->info().info_hash;
  auto t = torrents_.find(hash);
  Amount due = owed(provider);
  Amount most = t == torrents_.end() ? Amount() : budget_left(t->second);
  bool first = true;
  for (const auto& [id, channel] : channels_) {
    if (channel.torrent != hash) continue;
    most = most.minus_or_zero(channel.terms.capacity.minus_or_zero(channel.cum));
    first = false;
  }
  if (t != torrents_.end() && !is_untried(provider)) {
    Amount half = Amount::micro(most.in_micro() / 2);  // the other providers' turn comes, too
    if (half >= std::max(options_.capacity_min, covering(peer, t->second))) most = half;
  } else if (!peer.bids.empty()) {
    uint64_t pieces = peer.window == 0 ? Payee::k_covering_pieces : k_first_pieces;
    Amount few = price_of(std::max(peer.rate, peer.bids.back().rate), pieces * peer.session->info().piece_size);
    most = std::min(most, std::max(few, options_.capacity_min));
  }
  most = most.plus(due).value_or(Amount::supply());
  return first || !due.is_zero() ? std::max(most, options_.capacity_min) : most;
}

// What the provider was paid in ten minutes, by what its newest channel has taken since it was planned; k_channel_growth bounds it.
Amount Payer::recent_traffic(Instant now, const Provider& provider) const {
  if (provider.channels.empty()) return Amount();
  const Channel& newest = channels_.at(provider.channels.back());
  uint64_t seconds = 1 + static_cast<uint64_t>((now - newest.planned).in_ms()) / 1000;
  uint64_t most = newest.terms.capacity.in_micro() * k_channel_growth;
  uint64_t traffic = std::min(newest.here.in_micro() / seconds, most / k_channel_s) * k_channel_s;
  return Amount::micro(std::min(traffic, Amount::supply().in_micro()));
}

// 64 pieces at our bid or ten minutes of what it was paid lately, or what is left to buy and one piece more, within what the account and
// the budget have.
Amount Payer::capacity_for(Instant now, const Provider& provider, const Peer& peer, const Torrent& t) const {
  Amount due = owed(provider);
  Amount want;
  if (peer.rated && !peer.rate.is_zero() && t.active) {
    uint64_t piece = peer.session->info().piece_size;
    Rate bid = peer.bids.empty() ? peer.rate : std::max(peer.rate, peer.bids.back().rate);
    Amount budget = budget_left(t);
    Amount share = Amount::micro(std::min(budget, funds_.left).in_micro() / k_channel_share);
    want = std::max(price_of(bid, k_channel_pieces * piece), std::min(recent_traffic(now, provider), share));
    want = std::min({want, price_of(bid, t.bytes_left + piece), budget});
  }
  want = std::max(want.plus(due).value_or(Amount::supply()), options_.capacity_min);
  return std::min(want, funds_.left);
}

void Payer::ensure_channel(Instant now, Provider& provider) {
  if (shutting_down_ || !provider.peer || !ctx_.clock.known()) return;
  const Peer& peer = peers_.at(*provider.peer);
  if (peer.rated && !peer.rate.is_zero()) reopen(now, provider);
  if (!wants_channel(now, provider, peer)) return;
  if (provider.channels.size() >= k_slots_max) return;
  if (now < provider.open_retry.at) return arm(provider.open_retry.at);
  if (!funds_.known) return fetch_funds(now);
  const IpAddress network = peer.session->info().address.network();
  const Torrent& t = torrent(peer.session->info().info_hash);
  Amount most = most_for(provider, peer);
  if (most < std::max(options_.capacity_min, covering(peer, t))) return;  // until channels end, or prices change
  if (is_untried(provider) && has_untried_neighbours(provider, network)) {
    provider.open_retry.failed(now);
    return arm(provider.open_retry.at);
  }
  Amount capacity = std::min(most, capacity_for(now, provider, peer, t));
  if (capacity < options_.capacity_min || capacity < owed(provider)) {
    LogLine(ctx_.log, LogLevel::warn, "speed_no_funds").add("available", funds_.left.to_btt()).add("needed", owed(provider).to_btt());
    provider.open_retry.failed(now);
    arm(provider.open_retry.at);
    return fetch_funds(now);
  }
  provider.network = network;
  plan_channel(now, provider, peer, capacity);
}

// A channel that was being opened when the process ended: the same operation again, which the ledger does once.
void Payer::reopen(Instant now, Provider& provider) {
  for (const ChannelId& id : provider.channels) {
    Channel& channel = channels_.at(id);
    if (channel.state != PayerChannelState::opening || !channel.restored) continue;
    if (ctx_.clock.best(now) >= channel.terms.valid_until) continue;
    channel.restored = false;
    channel.retry.reset();
    advance(now, channel);
  }
}

void Payer::plan_channel(Instant now, Provider& provider, const Peer& peer, Amount capacity) {
  LedgerTime time = *ctx_.clock.now(now);
  ChannelTerms terms;
  terms.ledger = ctx_.id.ledger;
  terms.payer = ctx_.id.key;
  terms.payee = provider.key;
  terms.capacity = capacity;
  terms.valid_until = time.plus_seconds(k_valid_s);
  terms.expiry = time.plus_seconds(provider.known ? k_life_s : k_first_life_s);
  ctx_.random.fill(terms.nonce);
  ChannelId id{blake2b_256(preimage(terms))};
  Channel& channel = channels_[id];
  channel.terms = terms;
  channel.id = id;
  channel.torrent = peer.session->info().info_hash;
  channel.planned = now;
  channel.lease_wanted = true;
  provider.channels.push_back(id);
  funds_.left = funds_.left.minus_or_zero(capacity);
  // The terms must be durable before they are signed: a channel that we do not remember is money lost until it expires.
  touch(now, channel, true);
}

void Payer::advance(Instant now, Channel& channel) {
  if (channel.step != Step::none) return;
  if (now < channel.retry.at) return arm(channel.retry.at);
  LedgerTime time = ctx_.clock.best(now);
  if (channel.state == PayerChannelState::opening) {
    if (!channel.stored && !ctx_.faults.has(Bug::skip_persist)) return;
    if (!channel.restored && time < channel.terms.valid_until) {
      // The same bytes give the same signature and the same operation: the ledger does it once.
      channel.step = Step::sign_open;
      ctx_.sign(Work::open_sign, 0, channel.id, preimage(channel.terms));
      return;
    }
  } else if (channel.state == PayerChannelState::open && !channel.refused && !channel.restored) {
    if (time < channel.terms.expiry) return arm(ctx_.clock.when(now, channel.terms.expiry));
    end(now, channel);
    return;
  }
  channel.step = Step::query;
  ctx_.call(Work::payer_query, channel.id, QueryChannel{channel.id});
}

void Payer::on_ledger(Instant now, const WorkRef& work, const LedgerReply& reply) {
  if (work.work == Work::payer_funds) {
    funds_.asking = false;
    if (reply.outcome != LedgerOutcome::done) {
      funds_.retry.failed(now);
      return arm(funds_.retry.at);
    }
    funds_.retry.reset();
    if (reply.available.is_zero() && channels_.empty() && (!funds_.known || !funds_.available.is_zero()))
      LogLine(ctx_.log, LogLevel::warn, "speed_no_funds").add("reason", "the account is empty, so nothing is bid: millet wallet claim");
    // What was counted on until now were the channels alone: no reason to hold the first real bid back.
    if (!funds_.known) {
      for (auto& [hash, t] : torrents_) t.bidder.budget_changed();
    }
    funds_.known = true;
    funds_.available = funds_.left = reply.available;
    funds_.time = reply.time;
    funds_.signature = reply.fund;
    // What we plan is not at the ledger yet.
    for (const auto& [id, channel] : channels_) {
      if (channel.state == PayerChannelState::opening) funds_.left = funds_.left.minus_or_zero(channel.terms.capacity);
    }
    return on_timer(now);
  }
  auto it = channels_.find(work.channel);
  if (it == channels_.end()) return;
  Channel& channel = it->second;
  channel.step = Step::none;
  if (reply.outcome == LedgerOutcome::unavailable) {
    channel.retry.failed(now);
    return arm(channel.retry.at);
  }
  if (work.work == Work::payer_query) return on_queried(now, channel, reply);
  if (reply.outcome == LedgerOutcome::done) return on_opened(now, channel);
  on_open_failed(now, channel, reply);
}

void Payer::on_opened(Instant now, Channel& channel) {
  channel.state = PayerChannelState::open;
  channel.restored = false;
  channel.retry.reset();
  touch(now, channel, false);
  LogLine(ctx_.log, LogLevel::info, "speed_channel_open").add("channel", channel.id.hex()).add("capacity", channel.terms.capacity.to_btt());
  Provider& provider = providers_.at(channel.terms.payee);
  provider.open_retry.reset();
  if (provider.peer) announce(now, provider, channel);
  arm(ctx_.clock.when(now, channel.terms.expiry));
}

void Payer::on_open_failed(Instant now, Channel& channel, const LedgerReply& reply) {
  Provider& provider = providers_.at(channel.terms.payee);
  LogLine(ctx_.log, LogLevel::warn, "speed_open_failed").add("channel", channel.id.hex()).add("why", reply.reason);
  provider.open_retry.failed(now);
  arm(provider.open_retry.at);
  funds_.time = LedgerTime();  // what we thought the account has is wrong
  drop(now, channel.id);
  fetch_funds(now);
}

void Payer::on_queried(Instant now, Channel& channel, const LedgerReply& reply) {
  bool opening = channel.state == PayerChannelState::opening;
  if (reply.outcome == LedgerOutcome::unknown_channel) {
    if (!opening) return on_final(now, channel, Amount(), "the ledger does not know it");
    if (reply.time > channel.terms.valid_until) return on_open_failed(now, channel, reply);
    if (!channel.restored) return advance(now, channel);
    // It can still come to be: only the ledger's word after valid_until says that it never will.
    channel.retry.at = ctx_.clock.when(now, channel.terms.valid_until.plus_seconds(1));
    return arm(channel.retry.at);
  }
  if (reply.outcome != LedgerOutcome::done) {
    channel.retry.failed(now);
    return arm(channel.retry.at);
  }
  if (!reply.open) return on_final(now, channel, reply.claimed, "it has ended");
  bool restored = channel.restored;
  if (opening) on_opened(now, channel);
  if (opening && !restored) return;
  if (channel.state == PayerChannelState::open && restored && !channel.refused) {
    // Killed after the torrent's end, perhaps between CLOSE and the commit: the payee ends the channel, and only the ledger tells us.
    auto t = torrents_.find(channel.torrent);
    bool needed = channel.slot || (t != torrents_.end() && t->second.active);
    channel.restored = !needed;
    if (!needed) channel.retry.failed(now);
    return arm(needed ? now : channel.retry.at);
  }
  Provider& provider = providers_.at(channel.terms.payee);
  if (channel.state == PayerChannelState::open && channel.refused) {
    Peer* peer = provider.peer ? find(*provider.peer) : nullptr;
    if (++provider.refusals >= 2 && peer != nullptr) ban(now, *peer, k_ban_refusal_s, "refuses payments that are good");
    end(now, channel);
    return ensure_channel(now, provider);
  }
  channel.retry.failed(now);
  arm(channel.retry.at);
}

// The ledger has the last word on a channel. What it did not pay out is owed again.
void Payer::on_final(Instant now, Channel& channel, Amount paid, const char* why) {
  LogLine(ctx_.log, LogLevel::info, "speed_channel_ended")
      .add("channel", channel.id.hex())
      .add("paid", paid.to_btt())
      .add("signed", channel.cum.to_btt())
      .add("why", why);
  Provider& provider = providers_.at(channel.terms.payee);
  if (!channel.unresolved.is_zero()) resolve(now, channel, paid.minus_or_zero(channel.here));
  Amount unpaid = std::min(channel.cum.minus_or_zero(paid), channel.here);
  provider.allocated = provider.allocated.minus_or_zero(unpaid);
  provider.owed_again = provider.owed_again || !unpaid.is_zero();
  // What an earlier process has signed is owed to nobody any more.
  ctx_.history.on_returned(ctx_.clock.floor(now), channel.torrent, channel.cum.minus_or_zero(paid).minus_or_zero(unpaid));
  if (!paid.is_zero()) provider.known = true;
  funds_.time = LedgerTime();
  drop(now, channel.id);
  pay(now, provider);
}

// No new payments; what is signed stays good until the ledger says how it ended.
void Payer::end(Instant now, Channel& channel) {
  if (channel.state != PayerChannelState::open) return;
  channel.state = PayerChannelState::ending;
  channel.retry.reset();
  channel.retry.at = now + Duration::seconds(2);
  arm(channel.retry.at);
  touch(now, channel, false);
}

void Payer::drop(Instant now, const ChannelId& id) {
  auto it = channels_.find(id);
  CHECK(it != channels_.end());
  std::erase(providers_.at(it->second.terms.payee).channels, id);
  if (it->second.stored || it->second.in_commit) {
    dropped_.push_back(id);
    commit_by(now + k_commit_interval);
  }
  InfoHash torrent = it->second.torrent;
  channels_.erase(it);
  forget_if_unused(now, torrent);
}

}  // namespace millet::speed
