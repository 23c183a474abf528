#include "speed/payer.h"

#include <algorithm>

namespace millet::speed {

Payer::Payer(const PayerOptions& options, Context& context) : options_(options), ctx_(context) {}

// ---- torrents ----

Payer::Peer* Payer::find(PeerHandle peer) {
  auto it = peers_.find(peer);
  return it == peers_.end() ? nullptr : &it->second;
}

Payer::Torrent& Payer::torrent(const InfoHash& hash) {
  auto it = torrents_.find(hash);
  if (it == torrents_.end()) it = torrents_.emplace(hash, Torrent(BidderSettings())).first;
  return it->second;
}

Amount Payer::spent(const InfoHash& hash) const {
  auto it = torrents_.find(hash);
  if (it == torrents_.end()) return Amount();
  return it->second.spent.due().plus(it->second.unresolved).value_or(Amount::supply());
}

Rate Payer::bid_of(const InfoHash& hash) const {
  auto it = torrents_.find(hash);
  return it == torrents_.end() || !it->second.active ? Rate() : it->second.bidder.bid();
}

// Budget left = budget - spent - unresolved ceilings. What lies in channels is not spent. Each provider's sum is rounded up to a whole
// micro-BTT once: that much is kept back.
Amount Payer::budget_left(const Torrent& t) const {
  Amount rounding = Amount::micro(k_rounding_micro + providers_.size() + t.roundings);
  return t.budget.minus_or_zero(t.spent.due()).minus_or_zero(t.unresolved).minus_or_zero(rounding);
}

void Payer::set_torrent(Instant now, const InfoHash& hash, const TorrentBudget& budget) {
  Torrent& t = torrent(hash);
  t.wanted = true;
  if (t.active && t.budget == budget.budget && t.bidder.settings() == budget.bidding) return;
  t.active = true;
  t.budget = budget.budget;
  t.bidder.set(budget.bidding);
  update_bid(now, hash);
}

void Payer::set_bytes_left(Instant now, const InfoHash& hash, uint64_t bytes) {
  Torrent& t = torrent(hash);
  t.wanted = true;
  t.bytes_left = bytes;
  update_bid(now, hash);
}

void Payer::finish(Instant now, const InfoHash& hash) {
  auto it = torrents_.find(hash);
  if (it == torrents_.end()) return;
  it->second.active = false;
  it->second.bytes_left = 0;
  update_bid(now, hash);
  for (auto& [key, provider] : providers_) {
    bool used_elsewhere = false;
    if (Peer* peer = provider.peer ? find(*provider.peer) : nullptr) {
      const InfoHash& other = peer->session->info().info_hash;
      used_elsewhere = other != hash && torrents_.contains(other) && torrents_.at(other).active;
    }
    if (used_elsewhere) continue;
    for (const ChannelId& id : provider.channels) {
      Channel& channel = channels_.at(id);
      channel.close_wanted = channel.close_wanted || channel.torrent == hash;
    }
    pay(now, provider);
    close_if_paid(now, provider);
  }
}

void Payer::forget(Instant now, const InfoHash& hash) {
  finish(now, hash);
  for (auto& [key, provider] : providers_) {
    auto pending = provider.pending.lower_bound({hash, 0, 0});
    while (pending != provider.pending.end() && pending->first.torrent == hash) {
      provider.pending_bytes -= pending->second.bytes;
      pending = provider.pending.erase(pending);
    }
  }
  auto it = torrents_.find(hash);
  if (it == torrents_.end()) return;
  it->second.wanted = false;
  it->second.spent = Meter();
  it->second.dirty = it->second.stored;
  forget_if_unused(now, hash);
}

void Payer::forget_if_unused(Instant now, const InfoHash& hash) {
  auto it = torrents_.find(hash);
  if (it == torrents_.end() || it->second.wanted) return;
  for (const auto& [id, channel] : channels_) {
    if (channel.torrent == hash) return;
  }
  if (it->second.stored) {
    dropped_torrents_.push_back(hash);
    commit_by(now + k_commit_interval);
  }
  torrents_.erase(it);
}

// The bid of a torrent from what is left of its budget, and of the account: nobody bids what it can't pay.
void Payer::update_bid(Instant now, const InfoHash& hash) {
  Torrent& t = torrent(hash);
  Amount left = t.active && options_.enabled && !shutting_down_ ? budget_left(t) : Amount();
  if (!left.is_zero()) {
    fetch_funds(now);
    Amount able = funds_.left;
    for (const auto& [id, channel] : channels_) {
      if (channel.state == PayerChannelState::open)
        able = able.plus(channel.terms.capacity.minus_or_zero(channel.cum)).value_or(Amount::supply());
    }
    left = std::min(left, able);
  }
  std::optional<Rate> market = market_.cap(now);
  bool changed = t.bidder.update(now, left, t.bytes_left, market);
  arm(t.bidder.next_deadline());
  if (market && t.bidder.bid() >= *market) arm(now + MarketRate::k_lift_interval);
  if (!changed) return;
  for (auto& [handle, peer] : peers_) {
    if (peer.session->info().info_hash == hash) advance_bid(now, peer);
  }
}

void Payer::fetch_funds(Instant now) {
  std::optional<LedgerTime> time = ctx_.clock.now(now);
  uint64_t life_s = k_funds_refresh_s;
  // Whoever has just claimed an initial balance is not kept waiting.
  if (funds_.available.is_zero() && std::any_of(peers_.begin(), peers_.end(), [](const auto& entry) { return entry.second.wanted; }))
    life_s = k_no_funds_refresh_s;
  bool fresh = funds_.known && time && time->seconds_since(funds_.time) < life_s;
  if (fresh) return arm(ctx_.clock.when(now, funds_.time.plus_seconds(life_s)));
  if (funds_.asking) return;
  if (now < funds_.retry.at) return arm(funds_.retry.at);
  funds_.asking = true;
  ctx_.call(Work::payer_funds, ChannelId(), QueryFunds{});
}

// ---- connections ----

Payer::Provider* Payer::provider_of(const Peer& peer) {
  if (!peer.session->provides()) return nullptr;
  auto it = providers_.find(peer.session->other_key());
  return it == providers_.end() ? nullptr : &it->second;
}

Payer::Provider& Payer::make_provider(const PublicKey& key) {
  Provider& provider = providers_[key];
  provider.key = key;
  return provider;
}

void Payer::on_peer(Instant now, Session& session) {
  auto [it, added] = peers_.emplace(session.peer(), Peer(session));
  CHECK(added);
  it->second.received = session.info().received;
  it->second.bid_credit_since = now;
}

void Payer::on_matched(Instant now, PeerHandle handle) {
  Peer* peer = find(handle);
  if (peer == nullptr || !peer->session->provides()) return;
  peer->matched = ++last_matched_;
  // The provider is owed something, or paid on an older connection, perhaps one to a process that is gone.
  if (provider_of(*peer) != nullptr) prove(now, *peer);
  advance_bid(now, *peer);
}

// Anybody can name a key: bids, channels and payments are for its owner only.
void Payer::prove(Instant now, Peer& peer) {
  peer.session->require_proof(now);
  arm(peer.session->next_deadline(now));
}

// Connections of the same provider for the same torrent that matched before this one.
std::vector<PeerHandle> Payer::older_connections(const Peer& peer) const {
  std::vector<PeerHandle> out;
  for (const auto& [handle, other] : peers_) {
    bool same = other.session->provides() && other.session->other_key() == peer.session->other_key() &&
                other.session->info().info_hash == peer.session->info().info_hash;
    if (same && other.matched < peer.matched) out.push_back(handle);
  }
  return out;
}

void Payer::wait_for_proof(Instant now, PeerHandle handle) {
  if (Peer* peer = find(handle)) arm(peer->session->next_deadline(now));
}

// Makes this the provider's paying connection: its channels are announced here, which also lets debts of earlier connections be paid.
void Payer::attach(Instant now, Peer& peer) {
  CHECK(peer.session->proven());
  Provider& provider = make_provider(peer.session->other_key());
  provider.peer = peer.session->peer();
  announce_all(now, provider);
  advance_bid(now, peer);
}

void Payer::on_proven(Instant now, PeerHandle handle) {
  Peer* peer = find(handle);
  if (peer == nullptr || !peer->session->provides()) return;
  Provider& provider = make_provider(peer->session->other_key());
  supersede(now, *peer, provider);
  if (!provider.peer) attach(now, *peer);
  ensure_channel(now, provider);
}

// Section 4: of a provider's connections for one torrent the newest proven one pays, as the provider sees it too. What is owed belongs to
// the keys, and is paid here.
void Payer::supersede(Instant now, Peer& peer, Provider& provider) {
  bool moved = false;
  for (PeerHandle handle : older_connections(peer)) {
    moved = moved || provider.peer == handle;
    disconnect(peers_.at(handle), "superseded by a newer connection of the same provider");
  }
  if (moved) attach(now, peer);
}

void Payer::on_peer_gone(Instant now, PeerHandle handle) {
  Peer* peer = find(handle);
  if (peer == nullptr) return;
  Provider* provider = provider_of(*peer);
  peers_.erase(handle);
  if (provider == nullptr || provider->peer != handle) return;
  provider->peer.reset();
  for (const ChannelId& id : provider->channels) {
    Channel& channel = channels_.at(id);
    channel.slot.reset();
    channel.resumed = false;
    channel.resuming.reset();
    channel.close_unanswered = false;
    if (channel.close_wanted) close_if_paid(now, *provider);
  }
  for (auto& [other, candidate] : peers_) {
    if (!candidate.session->provides() || candidate.session->other_key() != provider->key) continue;
    if (candidate.session->proven()) return attach(now, candidate);
    prove(now, candidate);
  }
  provider->gone_since = now;
  forget_providers(now);
}

// Who is gone costs memory, and others could make us remember without end: keys are free.
void Payer::forget_providers(Instant now) {
  size_t gone = 0;
  auto oldest = providers_.end();
  for (auto it = providers_.begin(); it != providers_.end();) {
    const Provider& provider = it->second;
    if (provider.peer || !provider.channels.empty()) {
      ++it;
      continue;
    }
    bool nothing = provider.pending.empty() && owed(provider).is_zero() && !provider.known;
    if (nothing || now - provider.gone_since >= k_gone_for) {
      it = forget_provider(now, it);
      continue;
    }
    arm(provider.gone_since + k_gone_for);
    if (oldest == providers_.end() || provider.gone_since < oldest->second.gone_since) oldest = it;
    ++gone;
    ++it;
  }
  if (gone > k_gone_max) forget_provider(now, oldest);
}

std::map<PublicKey, Payer::Provider>::iterator Payer::forget_provider(Instant now, std::map<PublicKey, Provider>::iterator it) {
  const Provider& provider = it->second;
  if (!owed(provider).is_zero()) {
    ctx_.history.on_returned(ctx_.clock.floor(now), provider.torrent, owed(provider));
    commit_by(now + k_commit_interval);
  }
  if (!provider.payable.due().is_zero()) {
    for (auto& [hash, t] : torrents_) ++t.roundings;
  }
  return providers_.erase(it);
}

void Payer::drop_if_idle(std::map<PublicKey, Provider>::iterator it) {
  const Provider& provider = it->second;
  if (!provider.peer && provider.channels.empty() && provider.pending.empty() && owed(provider).is_zero() && !provider.known)
    providers_.erase(it);
}

void Payer::set_wanted(Instant now, PeerHandle handle, bool wanted) {
  Peer* peer = find(handle);
  if (peer == nullptr || peer->wanted == wanted) return;
  peer->wanted = wanted;
  const InfoHash& hash = peer->session->info().info_hash;
  if (funds_.known && funds_.available.is_zero() && torrents_.contains(hash)) update_bid(now, hash);
  advance_bid(now, *peer);
}

Status Payer::on_message(Instant now, PeerHandle handle, const Message& message) {
  Peer* peer = find(handle);
  if (peer == nullptr || !peer->session->provides()) return ok;
  if (const auto* stop = std::get_if<StopMessage>(&message)) return on_stop(now, *peer, *stop);
  // Prices and words on channels count from the owner of the key only: nobody else has a bid or a channel to speak of.
  if (!peer->session->proven()) return ok;
  if (const auto* rate = std::get_if<RateMessage>(&message)) return on_rate(now, *peer, *rate);
  if (const auto* ack = std::get_if<AckMessage>(&message)) return on_ack(now, *peer, *ack);
  if (const auto* resume = std::get_if<ResumeMessage>(&message)) return on_resume(now, *peer, *resume);
  if (const auto* close = std::get_if<CloseMessage>(&message)) {
    auto it = channels_.find(close->channel);
    if (it == channels_.end() || it->second.terms.payee != peer->session->other_key()) return ok;
    it->second.close_unanswered = false;
    end(now, it->second);
    if (Provider* provider = provider_of(*peer)) ensure_channel(now, *provider);
  }
  return ok;
}

// ---- bids ----

bool Payer::wants_to_bid(Instant now, Peer& peer) {
  auto t = torrents_.find(peer.session->info().info_hash);
  if (t == torrents_.end() || t->second.bidder.bid().is_zero() || !peer.wanted || shutting_down_) return false;
  if (now < peer.stopped_until || !ctx_.clock.known() || !funds_.known) return false;
  if (ctx_.bans.banned_for(ctx_.clock.floor(now), BanList::of(peer.session->other_key())) > 0) return false;
  if (!peer.session->proven()) {
    prove(now, peer);
    return false;
  }
  Provider* provider = provider_of(peer);
  return provider != nullptr && provider->peer == peer.session->peer();
}

// White paper: "a picture of piece rarity it can use to inform bid amounts".
Rate Payer::bid_to(const Peer& peer) const {
  const Bidder& bidder = torrents_.at(peer.session->info().info_hash).bidder;
  uint64_t base = bidder.bid().in_pico_per_byte();
  uint64_t more = base / 4 * peer.rarity;  // at most doubles 2^46
  return Rate::pico_per_byte(std::min(base + more, std::max(base, bidder.settings().max_rate.in_pico_per_byte())));
}

void Payer::set_rarity(Instant now, PeerHandle handle, uint32_t quarters) {
  CHECK(quarters <= k_rarity_max);
  Peer* peer = find(handle);
  if (peer == nullptr || peer->rarity_wanted == quarters) return;
  peer->rarity_wanted = quarters;
  advance_bid(now, *peer);
}

void Payer::advance_bid(Instant now, Peer& peer) {
  if (!peer.session->provides()) return;
  Rate current = peer.bids.empty() ? Rate() : peer.bids.back().rate;
  bool wants = wants_to_bid(now, peer);
  if (now < peer.stopped_until) arm(peer.stopped_until);
  while (peer.bid_credit < 2 && now - peer.bid_credit_since >= k_bid_interval) {
    ++peer.bid_credit;
    peer.bid_credit_since = peer.bid_credit_since + k_bid_interval;
  }
  if (peer.bid_credit == 2) peer.bid_credit_since = now;
  Rate rate = wants ? bid_to(peer) : Rate();
  // What is rare now goes with a bid that is sent anyway. A bid for its sake is never the last of a minute: the user may want that one.
  if (peer.rarity != peer.rarity_wanted && (rate != current || peer.bid_credit == 2)) {
    peer.rarity = peer.rarity_wanted;
    if (wants) rate = bid_to(peer);
  } else if (peer.rarity != peer.rarity_wanted && wants) {
    arm(peer.bid_credit_since + k_bid_interval);
  }
  if (rate == current) {
    // A statement backs a bid for ten minutes only, and a bid may wait for hours.
    bool old = ctx_.clock.floor(now).seconds_since(peer.funds_sent) >= k_funds_refresh_s;
    if (!rate.is_zero() && old) send_funds(peer);
    return;
  }
  if (!rate.is_zero()) {
    if (peer.bid_credit == 0) return arm(peer.bid_credit_since + k_bid_interval);
    --peer.bid_credit;
  }
  send_bid(now, peer, rate);
}

void Payer::send_funds(Peer& peer) {
  if (!funds_.known || peer.funds_sent >= funds_.time) return;
  peer.funds_sent = funds_.time;
  ctx_.send(peer.session->peer(), FundsMessage{funds_.available, funds_.time, funds_.signature});
}

void Payer::send_bid(Instant now, Peer& peer, Rate rate) {
  PeerHandle handle = peer.session->peer();
  bool withdraw = rate.is_zero();
  if (!withdraw) send_funds(peer);
  if (!peer.bids.empty()) peer.bids.back().until = now + (withdraw ? k_withdrawn : k_honour);
  std::erase_if(peer.bids, [&](const SentBid& bid) { return now > bid.until; });
  peer.bids.push_back({++peer.bid_seq, rate, Instant::never()});
  if (!withdraw) peer.last_bid = rate;
  if (peer.rated) arm(now + (withdraw ? k_withdrawn : k_honour));
  ctx_.send(handle, BidMessage{peer.bid_seq, withdraw ? BidMessage::k_flag_withdraw : uint8_t{0}, rate});
}

// The bid that it names, or an older one for 30 s, or any of ours if it is not above what we bid now.
bool Payer::names_our_bid(Instant now, const Peer& peer, const RateMessage& rate) const {
  if (peer.bids.empty()) return false;
  for (const SentBid& bid : peer.bids) {
    if (bid.seq != rate.bid_seq || rate.rate > bid.rate) continue;
    return now <= bid.until || rate.rate <= peer.bids.back().rate;
  }
  return rate.rate.is_zero() && rate.bid_seq <= peer.bid_seq;
}

Status Payer::on_rate(Instant now, Peer& peer, const RateMessage& rate) {
  if (!peer.rates.take(now, 1)) return error(Errc::protocol, "rates without end");
  const char* fault = nullptr;
  if (rate.epoch != peer.epoch + 1)
    fault = "a rate with a wrong epoch";
  else if (rate.sent != peer.received)
    fault = "a rate that counts other bytes than came";
  else if (!names_our_bid(now, peer, rate) && !ctx_.faults.has(Bug::any_price))
    fault = "a rate above our bid";
  if (fault != nullptr) {
    // Not a ban: on an unencrypted connection somebody else may have written it.
    if (!peer.bids.empty() && !peer.bids.back().rate.is_zero()) send_bid(now, peer, Rate());
    return error(Errc::protocol, fault);
  }
  peer.epoch = rate.epoch;
  peer.rated = true;
  peer.rate = rate.rate;
  if (!rate.rate.is_zero()) peer.last_price = rate.rate;
  peer.window = rate.window;
  check_honour(now, peer);
  if (!peer.rated) return ok;
  if (!peer.unchoked && rate.kind != static_cast<uint8_t>(RateKind::free)) ctx_.send(peer.session->peer(), AcceptMessage{rate.epoch});
  Provider* provider = provider_of(peer);
  if (provider != nullptr && !rate.rate.is_zero() && provider->peer == peer.session->peer()) ensure_channel(now, *provider);
  return ok;
}

// A rate above what we bid now is honoured for a while, so that messages may cross.
void Payer::check_honour(Instant now, Peer& peer) {
  if (!peer.rated || peer.bids.empty() || peer.rate <= peer.bids.back().rate || ctx_.faults.has(Bug::any_price)) return;
  Instant until = Instant();
  for (const SentBid& bid : peer.bids) {
    if (bid.rate >= peer.rate) until = std::max(until, bid.until);
  }
  if (now < until) return arm(until);
  peer.rated = false;
  peer.rate = Rate();
  disconnect(peer, "the rate stays above our bid");
}

Status Payer::on_stop(Instant now, Peer& peer, const StopMessage& stop) {
  LogLine(ctx_.log, LogLevel::info, "speed_stopped")
      .add("peer", peer.session->info().address.to_string())
      .add("reason", uint32_t{stop.reason})
      .add("retry_after", stop.retry_after_s);
  bool for_ever = stop.reason == static_cast<uint8_t>(StopReason::superseded) || stop.reason == static_cast<uint8_t>(StopReason::disabled);
  Duration wait = Duration::seconds(std::max<uint32_t>(stop.retry_after_s, 30));
  peer.stopped_until = for_ever ? Instant::never() : now + wait;
  // The provider has dropped the bid; sending it again later must be a new one.
  advance_bid(now, peer);
  return ok;
}

void Payer::on_choked(Instant now, PeerHandle handle) {
  Peer* peer = find(handle);
  if (peer == nullptr) return;
  peer->unchoked = false;
  peer->rated = false;
  peer->rate = Rate();
  if (Provider* provider = provider_of(*peer)) pay(now, *provider);
}

void Payer::on_unchoked(Instant, PeerHandle handle) {
  if (Peer* peer = find(handle)) peer->unchoked = true;
}

Rate Payer::price(PeerHandle handle) const {
  auto it = peers_.find(handle);
  return it == peers_.end() || !it->second.rated ? Rate() : it->second.rate;
}

void Payer::disconnect(const Peer& peer, const std::string& reason) { ctx_.out.push_back(DisconnectPeer{peer.session->peer(), reason}); }

void Payer::ban(Instant now, const Peer& peer, uint64_t seconds, const char* why) {
  // The key only if it is the peer's for certain, or anybody could have another provider banned.
  ban(now, peer.session->info().address, peer.session->proven() ? &peer.session->other_key() : nullptr, seconds, why);
  disconnect(peer, std::string("banned: ") + why);
}

void Payer::ban(Instant now, const IpAddress& address, const PublicKey* key, uint64_t seconds, const char* why) {
  LedgerTime time = ctx_.clock.floor(now);
  ctx_.bans.ban(time, BanList::of(address), seconds);
  if (key != nullptr) ctx_.bans.ban(time, BanList::of(*key), seconds);
  LogLine(ctx_.log, LogLevel::warn, "speed_ban").add("peer", address.to_string()).add("why", why).add("seconds", seconds);
  commit_by(now + k_commit_interval);
}

// ---- time and settings ----

void Payer::on_timer(Instant now) {
  deadline_ = Instant::never();
  std::vector<InfoHash> hashes;
  for (const auto& [hash, t] : torrents_) hashes.push_back(hash);
  for (const InfoHash& hash : hashes) update_bid(now, hash);
  for (auto& [handle, peer] : peers_) {
    check_honour(now, peer);
    advance_bid(now, peer);
    if (peer.session->proof_required()) arm(peer.session->next_deadline(now));
  }
  std::vector<ChannelId> ids;
  for (const auto& [id, channel] : channels_) ids.push_back(id);
  for (const ChannelId& id : ids) {
    auto it = channels_.find(id);
    if (it == channels_.end()) continue;
    if (it->second.slot && !it->second.resumed) {
      // No answer: what we know ourselves must do.
      if (now >= it->second.resume_by)
        resumed(now, it->second, it->second.last ? it->second.last->cum : it->second.cum);
      else
        arm(it->second.resume_by);
    }
    advance(now, it->second);
  }
  for (auto& [key, provider] : providers_) {
    pay(now, provider);
    ensure_channel(now, provider);
  }
  forget_providers(now);
}

void Payer::set_options(Instant now, const PayerOptions& options) {
  options_ = options;
  std::vector<InfoHash> hashes;
  for (const auto& [hash, t] : torrents_) hashes.push_back(hash);
  for (const InfoHash& hash : hashes) update_bid(now, hash);
  if (options_.enabled) return;
  for (auto& [key, provider] : providers_) {
    for (const ChannelId& id : provider.channels) channels_.at(id).close_wanted = true;
    pay(now, provider);
    close_if_paid(now, provider);
  }
}

void Payer::shut_down(Instant now) {
  shutting_down_ = true;
  std::vector<InfoHash> hashes;
  for (const auto& [hash, t] : torrents_) hashes.push_back(hash);
  for (const InfoHash& hash : hashes) update_bid(now, hash);
  for (auto& [id, channel] : channels_) touch(now, channel, true);
}

std::vector<ChannelView> Payer::channels() const {
  std::vector<ChannelView> out;
  for (const auto& [id, channel] : channels_) {
    ChannelView view;
    view.id = id;
    switch (channel.state) {
      case PayerChannelState::opening: view.state = "opening"; break;
      case PayerChannelState::open: view.state = "open"; break;
      case PayerChannelState::ending: view.state = "ending"; break;
    }
    view.other = channel.terms.payee;
    view.capacity = channel.terms.capacity;
    view.amount = channel.cum;
    view.durable = channel.durable;
    view.expiry = channel.terms.expiry;
    out.push_back(view);
  }
  return out;
}

std::vector<BidView> Payer::bids() const {
  std::vector<BidView> out;
  for (const auto& [handle, peer] : peers_) {
    if (peer.bids.empty()) continue;
    BidView view;
    view.peer = handle;
    view.bid_seq = peer.bid_seq;
    view.bid = peer.bids.back().rate;
    view.price = peer.rated ? peer.rate : Rate();
    view.last_bid = peer.last_bid;
    view.last_price = peer.last_price;
    view.rarity = peer.rarity;
    if (auto t = torrents_.find(peer.session->info().info_hash); t != torrents_.end()) view.basis = t->second.bidder.basis();
    if (peer.rated && peer.unchoked)
      view.state = peer.rate.is_zero() ? "free" : "won";
    else if (!view.bid.is_zero())
      view.state = "waiting";
    else
      view.state = peer.stopped_until > Instant() ? "stopped" : "withdrawn";
    out.push_back(view);
  }
  return out;
}

}  // namespace millet::speed
