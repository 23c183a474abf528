#include "speed/payee.h"

#include <algorithm>

namespace millet::speed {
namespace {

// Where no upload rate is set, the bucket is refilled as if it were this: a fast home line.
constexpr uint64_t k_assumed_upload_rate = 8'000'000;

uint64_t refill_of(const PayeeOptions& options) { return (options.upload_rate == 0 ? k_assumed_upload_rate : options.upload_rate) / 100; }

}  // namespace

Payee::Payee(const PayeeOptions& options, Context& context) : options_(options), ctx_(context), bucket_(refill_of(options)) {}

// ---- peers and accounts ----

Payee::Peer* Payee::find(PeerHandle peer) {
  auto it = peers_.find(peer);
  return it == peers_.end() ? nullptr : &it->second;
}

Payee::Account* Payee::account_of(const Peer& peer) {
  if (!peer.session->proven()) return nullptr;
  auto it = accounts_.find(peer.session->other_key());
  if (it == accounts_.end() || it->second.peer != peer.session->peer()) return nullptr;
  return &it->second;
}

Payee::Channel& Payee::add_channel(const ChannelId& id, const ChannelTerms& terms) {
  Channel& channel = channels_[id];
  channel.terms = terms;
  channel.id = id;
  channels_of_[terms.payer].push_back(id);
  return channel;
}

std::span<const ChannelId> Payee::channels_of(const PublicKey& payer) const {
  auto it = channels_of_.find(payer);
  return it == channels_of_.end() ? std::span<const ChannelId>() : it->second;
}

// Names are for nothing: those of one network do not take the whole table.
bool Payee::network_full(Instant now, const IpAddress& network) {
  auto count = [&] {
    return std::count_if(accounts_.begin(), accounts_.end(),
                         [&](const auto& entry) { return entry.second.network == network && !is_known(entry.second); });
  };
  if (count() < static_cast<std::ptrdiff_t>(k_network_accounts)) return false;
  forget_accounts(now);
  return count() >= static_cast<std::ptrdiff_t>(k_network_accounts);
}

Payee::Account* Payee::make_account(Instant now, const PublicKey& key, const IpAddress* network) {
  auto it = accounts_.find(key);
  if (it != accounts_.end()) return &it->second;
  if (network != nullptr && network_full(now, *network)) return nullptr;
  if (accounts_.size() >= k_accounts_max) forget_accounts(now);
  if (accounts_.size() >= k_accounts_max) return nullptr;
  Account& account = accounts_[key];
  account.key = key;
  if (network != nullptr) account.network = *network;
  account.offline_since = now;
  return &account;
}

void Payee::forget_accounts(Instant now) {
  for (auto it = accounts_.begin(); it != accounts_.end();) {
    Account& account = it->second;
    bool full = accounts_.size() >= k_accounts_max;
    if (account.peer || (now - account.offline_since < k_idle_close && !full)) {
      if (!account.peer && (account.charged > 0 || account.owing)) arm(account.offline_since + k_idle_close);
      ++it;
      continue;
    }
    // It could have paid, and did not come back to do so: whatever its name is next time, it is somebody of this address.
    bool took = account.owing && account.debt.unpaid_bytes() >= account.piece_size && account.address != IpAddress();
    account.owing = false;
    if (took && now - account.offline_since >= k_idle_close) strike(now, account.address, nullptr, "left_unpaid");
    // Gone for good, as far as anybody can tell: what it owes is lost, and the bucket recovers with time.
    if (account.charged > 0) write_off(now, account, account.debt.unpaid_bytes());
    if (channels_of_.contains(account.key)) {
      ++it;
      continue;
    }
    if (account.stored) dropped_accounts_.push_back(account.key);
    if (account.stored && !dirty_since_) dirty_since_ = now;
    it = accounts_.erase(it);
  }
}

void Payee::on_peer(Instant now, Session& session) {
  auto [it, added] = peers_.emplace(session.peer(), Peer(session, now));
  CHECK(added);
  it->second.sent = session.info().sent;
}

void Payee::on_peer_gone(Instant now, PeerHandle handle) {
  Peer* peer = find(handle);
  if (peer == nullptr) return;
  if (Account* account = account_of(*peer)) {
    note_owing(now, *account);
    account->peer.reset();
    account->offline_since = now;
    if (account->owing) arm(now + k_idle_close);
    release_charge(*account);
    if (account->charged > 0) arm(now + k_idle_close);
    if (account->stored) touch(now, *account);
    // A disconnect makes everything durable that was counted: the payer asks for it when it comes back.
    if (dirty_since_) commit_urgent_ = true;
    forget_unchecked(now, account->key);
    if (channels_of_.contains(account->key)) arm(now + k_idle_close);
  }
  peers_.erase(handle);
}

// Channels that the ledger has not confirmed, and over which nothing was paid: the payer announces them again when it comes back. While the
// ledger is away they would stay, and their payers with them.
void Payee::forget_unchecked(Instant now, const PublicKey& payer) {
  std::span<const ChannelId> all = channels_of(payer);
  for (const ChannelId& id : std::vector<ChannelId>(all.begin(), all.end())) {
    const Channel& channel = channels_.at(id);
    if (channel.state == ChannelState::checking && !channel.waiting) drop(now, id);
  }
}

void Payee::on_withdrawn(Instant now, PeerHandle handle) {
  if (Peer* peer = find(handle); peer != nullptr && is_paid(*peer)) end_slot(now, *peer, true);
  on_peer_gone(now, handle);
}

void Payee::on_proven(Instant now, PeerHandle handle) {
  Peer* peer = find(handle);
  if (peer == nullptr) return;
  const PublicKey& key = peer->session->other_key();
  if (uint64_t left = ctx_.bans.banned_for(ctx_.clock.floor(now), BanList::of(key)); left > 0) {
    uint32_t retry = static_cast<uint32_t>(std::min<uint64_t>(left, BanList::k_ban_max_s));
    ctx_.send(handle, StopMessage{static_cast<uint8_t>(StopReason::banned), retry});
    return disconnect(*peer, "the payer's key is banned");
  }
  IpAddress network = peer->session->info().address.network();
  Account* account = make_account(now, key, &network);
  if (account == nullptr) return;
  if (account->peer && *account->peer != handle) {
    if (Peer* old = find(*account->peer)) {
      ctx_.send(old->session->peer(), StopMessage{static_cast<uint8_t>(StopReason::superseded), 0});
      if (is_paid(*old)) end_slot(now, *old, true);
      old->superseded = true;
      old->slots.clear();
      old->marks.clear();
    }
  }
  account->peer = handle;
  account->torrent = peer->session->info().info_hash;
  account->piece_size = peer->session->info().piece_size;
  if (ctx_.faults.has(Bug::forget_debt)) account->debt = Debt();
  account->old_owed = account->debt.owed();
  if (account->charged > 0 && account->network != network) {
    bucket_.give_back(account->network, account->charged);
    bucket_.restore(network, account->charged);
  }
  account->network = network;
  account->address = peer->session->info().address;
  std::vector<ChannelMessage> early = std::move(peer->early);
  peer->early.clear();
  for (const ChannelMessage& message : early) announce(now, *peer, message);
  advance_bid(now, *peer);
}

void Payee::on_false_proof(Instant now, PeerHandle handle) {
  Peer* peer = find(handle);
  if (peer != nullptr && peer->bid_seq > 0) strike(now, *peer, "false_proof");
}

Status Payee::on_message(Instant now, PeerHandle handle, const Message& message) {
  Peer* peer = find(handle);
  if (peer == nullptr || !peer->session->matches() || !peer->session->requests()) return ok;
  if (const auto* bid = std::get_if<BidMessage>(&message)) return on_bid(now, *peer, *bid);
  if (const auto* funds = std::get_if<FundsMessage>(&message)) return on_funds(now, *peer, *funds);
  if (const auto* channel = std::get_if<ChannelMessage>(&message)) return on_channel(now, *peer, *channel);
  if (const auto* pay = std::get_if<PayMessage>(&message)) return on_pay(now, *peer, *pay);
  if (const auto* close = std::get_if<CloseMessage>(&message)) return on_close(now, *peer, *close);
  if (const auto* accept = std::get_if<AcceptMessage>(&message)) on_accept(now, *peer, *accept);
  if (const auto* hold = std::get_if<HoldMessage>(&message)) on_hold(now, *peer, *hold);
  return ok;
}

// ---- serving ----

bool Payee::pauses(Instant now) const {
  return ctx_.store_lags(now) || risk_ + risk_committing_ >= uint64_t{2} * 256 * options_.risk_pieces || !ctx_.clock.known();
}

// A commit, a payment that we have not looked at yet, or a channel that we could not check yet, is our delay.
bool Payee::waits_for_us(Instant now, const Peer& peer) const {
  if (pauses(now)) return true;
  for (const auto& [slot, id] : peer.slots) {
    auto it = channels_.find(id);
    if (it == channels_.end()) continue;
    const Channel& channel = it->second;
    if (channel.waiting || channel.verifying || channel.state == ChannelState::checking) return true;
  }
  return false;
}

// The payer has channels, and all that are good to be paid over are too near their end to serve against.
bool Payee::channels_expired(const Account& account, Instant now) const {
  bool expiring = false;
  for (const ChannelId& id : channels_of(account.key)) {
    const Channel& channel = channels_.at(id);
    if (channel.state != ChannelState::active) continue;
    if (!is_expiring(channel, now)) return false;
    expiring = true;
  }
  return expiring;
}

bool Payee::may_send(Instant now, PeerHandle handle, uint32_t piece, uint32_t bytes) {
  Peer* peer = find(handle);
  if (peer == nullptr || !is_paid(*peer) || peer->rate.is_zero()) return true;
  if (peer->piece_open && piece != peer->piece) {
    complete_piece(now, *peer);
    if (!is_paid(*peer)) return false;
  }
  Account* account = account_of(*peer);
  CHECK(account != nullptr);
  bool room = account->debt.unpaid_bytes() + bytes <= uint64_t{peer->window} + ctx_.faults.exposure_extra();
  if (room || peer->window == 0) {
    peer->blocked_since.reset();
  } else if (!peer->blocked_since) {
    peer->blocked_since = now;
    arm(now + k_old_debt);
  }
  bool go = room && !pauses(now) && !channels_expired(*account, now);
  peer->starved = !go;
  return go;
}

void Payee::on_block_sent(Instant now, PeerHandle handle, uint32_t piece, uint32_t piece_bytes, uint32_t bytes) {
  Peer* peer = find(handle);
  if (peer == nullptr) return;
  peer->sent += bytes;
  peer->busy_at = now;
  if (!is_paid(*peer) || peer->rate.is_zero()) return;
  Account* account = account_of(*peer);
  CHECK(account != nullptr);
  CHECK(account->debt.unpaid_bytes() + bytes <= uint64_t{peer->window} + ctx_.faults.exposure_extra());
  if (Status added = account->debt.on_sent(peer->rate, bytes); !added) return disconnect(*peer, added.error().reason);
  peer->sent_paid += bytes;
  if (!peer->piece_open) {
    peer->piece_open = true;
    peer->piece = piece;
    peer->piece_sent = 0;
  }
  peer->piece_sent += bytes;
  if (peer->piece_sent >= piece_bytes) complete_piece(now, *peer);
}

void Payee::complete_piece(Instant now, Peer& peer) {
  peer.piece_open = false;
  Account* account = account_of(peer);
  CHECK(account != nullptr);
  if (account->debt.unpaid_bytes() > 0 && peer.marks.size() >= k_marks_max) {
    // Somebody asks for crumbs of many pieces: they fall due together.
    peer.marks.back().bytes += peer.piece_sent;
    peer.marks.back().due = account->debt.due();
  } else if (account->debt.unpaid_bytes() > 0) {
    peer.marks.push_back({peer.piece, peer.piece_sent, account->debt.due(), now + k_pay_timeout});
    arm(now + k_pay_timeout / 2);
  }
  if (peer.slot == Slot::finishing) end_slot(now, peer, true);
}

Payee::Exposure Payee::exposure(PeerHandle handle) const {
  Exposure out;
  auto it = peers_.find(handle);
  if (it != peers_.end() && it->second.session->proven()) {
    auto account = accounts_.find(it->second.session->other_key());
    if (account != accounts_.end()) out.unpaid = account->second.debt.unpaid_bytes();
    if (is_paid(it->second)) out.window = it->second.window;
  }
  for (const auto& [key, account] : accounts_) {
    if (!account.bucketless) out.unpaid_unknown += account.debt.unpaid_bytes();
  }
  out.bucket = bucket_.taken();
  return out;
}

void Payee::wake(Peer& peer) {
  if (!peer.starved) return;
  peer.starved = false;
  ctx_.out.push_back(SendReady{peer.session->peer()});
}

// ---- what is not paid ----

void Payee::on_hold(Instant now, Peer& peer, const HoldMessage& hold) {
  for (const PieceMark& mark : peer.marks) {
    if (mark.held) return;  // one at a time
  }
  for (PieceMark& mark : peer.marks) {
    if (mark.piece != hold.piece) continue;
    mark.held = true;
    mark.deadline = now + k_hold_max;
    return;
  }
}

// A strike is for a payer that could have paid, seen by a provider that could have known.
bool Payee::may_strike(Instant now, const Account& account) const {
  return ctx_.clock.reached_within(now, k_ledger_fresh) && room(account.key, now) >= account.debt.owed() && !account.debt.owed().is_zero();
}

void Payee::note_owing(Instant now, Account& account) {
  bool owes = account.debt.unpaid_bytes() >= account.piece_size && room(account.key, now) >= account.debt.owed();
  account.owing = account.owing || owes;
}

void Payee::check_pieces(Instant now, Peer& peer) {
  Account* account = account_of(peer);
  if (account == nullptr || peer.marks.empty()) return;
  std::erase_if(peer.marks, [&](const PieceMark& mark) { return is_paid_to(*account, mark.due); });
  if (peer.marks.empty()) return;
  PieceMark& first = peer.marks.front();
  Instant half = first.deadline - k_pay_timeout / 2;
  if (now < half) return arm(half);
  // Whether the payer could have paid is known only to who has heard of the ledger lately.
  if (!ctx_.clock.reached_within(now, k_pay_timeout)) probe(now);
  if (now < first.deadline) return arm(first.deadline);
  if (waits_for_us(now, peer)) {
    first.deadline = now + Duration::seconds(1);
    return arm(first.deadline);
  }
  on_unpaid(now, peer);
}

void Payee::on_unpaid(Instant now, Peer& peer) {
  Account* account = account_of(peer);
  account->streak = 0;
  peer.overdue = peer.marks.back().due;
  peer.marks.clear();
  if (may_strike(now, *account)) strike(now, peer, "unpaid");
  ctx_.send(peer.session->peer(), StopMessage{static_cast<uint8_t>(StopReason::unpaid), k_retry_after_s});
  if (is_paid(peer)) end_slot(now, peer, true);
}

// What is unpaid beyond the pieces of this connection, and keeps the window shut: perhaps blocks that were lost with an earlier connection.
// Nobody can tell, so it costs a strike; or the slot, if the payer has no room for it.
void Payee::check_old_debt(Instant now, Peer& peer) {
  Account* account = account_of(peer);
  if (account == nullptr || !peer.blocked_since) return;
  uint64_t current = peer.piece_open ? peer.piece_sent : 0;
  for (const PieceMark& mark : peer.marks) current += mark.bytes;
  uint64_t unpaid = account->debt.unpaid_bytes();
  if (unpaid <= current) return;
  if (now - *peer.blocked_since < k_old_debt) return arm(*peer.blocked_since + k_old_debt);
  if (!ctx_.clock.reached_within(now, k_pay_timeout)) probe(now);
  if (waits_for_us(now, peer) || !ctx_.clock.reached_within(now, k_ledger_fresh)) return arm(now + Duration::seconds(5));
  if (!may_strike(now, *account)) {
    revoke(now, peer, StopReason::no_channel);
    return ctx_.out.push_back(RechokeWanted{});
  }
  strike(now, peer, "old_debt");
  peer.blocked_since.reset();
  write_off(now, *account, unpaid - current);
  wake(peer);
}

// Paid for everything up to a moment of this connection: what is left from earlier ones is another matter. One micro-BTT is rounding.
bool Payee::is_paid_to(const Account& account, Amount due) {
  return account.debt.paid().plus(account.old_owed).value_or(Amount::supply()).in_micro() + 1 >= due.in_micro();
}

void Payee::write_off(Instant now, Account& account, uint64_t old) {
  auto [bytes, amount] = account.debt.write_off(old);
  account.old_owed = Amount();
  account.streak = 0;
  LogLine(ctx_.log, LogLevel::info, "speed_written_off").add("payer", account.key.hex()).add("bytes", bytes);
  uint64_t lost = std::min(bytes, account.charged);
  account.charged -= lost;
  bucket_.lose(now, account.network, lost);
  if (account.stored) touch(now, account);
  Peer* peer = account.peer ? find(*account.peer) : nullptr;
  if (peer != nullptr) {
    for (PieceMark& mark : peer->marks) mark.due = mark.due.minus_or_zero(amount);
    if (peer->overdue) peer->overdue = peer->overdue->minus_or_zero(amount);
  }
  if (peer == nullptr || !is_paid(*peer)) return release_charge(account);
  uint32_t window = grant_window(now, *peer);
  if (window != peer->window) {
    peer->window = window;
    send_rate(*peer, peer->rate, peer->kind);
  }
}

void Payee::release_charge(Account& account) {
  uint64_t keep = account.bucketless ? 0 : account.debt.unpaid_bytes();
  if (account.charged <= keep) return;
  bucket_.give_back(account.network, account.charged - keep);
  account.charged = keep;
}

bool Payee::strike(Instant now, const IpAddress& address, const PublicKey* key, const char* why) {
  LedgerTime time = ctx_.clock.floor(now);
  bool banned = ctx_.bans.strike(time, BanList::of(address));
  if (key != nullptr && ctx_.bans.strike(time, BanList::of(*key))) banned = true;
  LogLine(ctx_.log, LogLevel::warn, "speed_strike")
      .add("peer", address.to_string())
      .add("why", why)
      .add("strikes", ctx_.bans.strikes(time, BanList::of(address)))
      .add("banned", banned ? "1" : "0");
  if (!dirty_since_) dirty_since_ = now;
  return banned;
}

void Payee::strike(Instant now, Peer& peer, const char* why) {
  if (Account* account = account_of(peer)) account->streak = 0;
  // Only who has paid on this connection is the key's owner for certain: a relay can pass on a proof, but not pay.
  bool is_owner = peer.session->proven() && peer.fresh_payment;
  if (!strike(now, peer.session->info().address, is_owner ? &peer.session->other_key() : nullptr, why)) return;
  ctx_.send(peer.session->peer(), StopMessage{static_cast<uint8_t>(StopReason::banned), static_cast<uint32_t>(BanList::k_ban_s)});
  disconnect(peer, std::string("banned: ") + why);
}

void Payee::disconnect(Peer& peer, const std::string& reason) { ctx_.out.push_back(DisconnectPeer{peer.session->peer(), reason}); }

// ---- time and settings ----

void Payee::on_timer(Instant now) {
  deadline_ = Instant::never();
  if (now >= claims_until_)
    claims_until_ = Instant::never();
  else
    arm(claims_until_);
  // Without the ledger's time nothing is served for money.
  if (options_.enabled && !ctx_.clock.known()) probe(now);
  for (auto& [handle, peer] : peers_) {
    check_pieces(now, peer);
    check_old_debt(now, peer);
    if (peer.slot == Slot::finishing) {
      if (now >= peer.finish_by)
        end_slot(now, peer, true);
      else
        arm(peer.finish_by);
    }
    if (now >= peer.channel_by)
      revoke_without_channel(now, peer);
    else
      arm(peer.channel_by);
    if (peer.starved && !pauses(now)) wake(peer);
    pursue_bid(now, peer);
  }
  std::vector<ChannelId> ids;
  for (const auto& [id, channel] : channels_) ids.push_back(id);
  for (const ChannelId& id : ids) {
    auto it = channels_.find(id);
    if (it != channels_.end()) advance(now, it->second);
  }
  claim_at_threshold(now);
  std::erase_if(ignored_, [&](const auto& entry) { return now >= entry.second; });
  forget_accounts(now);
}

void Payee::set_options(Instant now, const PayeeOptions& options) {
  bool off = options_.enabled && !options.enabled;
  options_ = options;
  bucket_.set_refill(now, refill_of(options));
  if (!off) return;
  for (auto& [handle, peer] : peers_) {
    if (is_paid(peer)) end_slot(now, peer, true);
    if (peer.has_bid) ctx_.send(handle, StopMessage{static_cast<uint8_t>(StopReason::disabled), 0});
    peer.has_bid = false;
  }
  // Nothing that was earned is lost: every channel is closed at what it holds.
  for (auto& [id, channel] : channels_) start_close(now, channel, CloseReason::disabled);
}

void Payee::shut_down(Instant now) {
  shutting_down_ = true;
  for (auto& [handle, peer] : peers_) {
    if (!is_paid(peer)) continue;
    ctx_.send(handle, StopMessage{static_cast<uint8_t>(StopReason::shutting_down), k_retry_after_s});
    end_slot(now, peer, true);
  }
  for (auto& [key, account] : accounts_) {
    if (account.stored) touch(now, account);
  }
  commit_urgent_ = true;
  claims_until_ = now + k_last_claims;
  arm(now);
}

// A ledger that does not answer the first time keeps nobody waiting.
bool Payee::is_claiming() const {
  if (claims_until_.is_never()) return false;
  for (const auto& [id, channel] : channels_) {
    if (channel.state != ChannelState::active || channel.retry.wait > Backoff().wait) continue;
    if (channel.durable.cum > channel.claimed) return true;
  }
  return false;
}

std::vector<ChannelView> Payee::channels() const {
  std::vector<ChannelView> out;
  for (const auto& [id, channel] : channels_) {
    ChannelView view;
    view.id = id;
    switch (channel.state) {
      case ChannelState::checking: view.state = "checking"; break;
      case ChannelState::active: view.state = "active"; break;
      case ChannelState::refused: view.state = "refused"; break;
      case ChannelState::closing: view.state = "closing"; break;
    }
    view.other = channel.terms.payer;
    view.capacity = channel.terms.capacity;
    view.amount = channel.counted.cum;
    view.durable = channel.durable.cum;
    view.claimed = channel.claimed;
    view.expiry = channel.effective_expiry.in_seconds() == 0 ? channel.terms.expiry : channel.effective_expiry;
    out.push_back(view);
  }
  return out;
}

}  // namespace millet::speed
