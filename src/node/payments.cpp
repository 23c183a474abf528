#include "node/payments.h"

#include <bit>
#include <utility>

#include "node/uploads.h"
#include "speed/records.h"

namespace millet {
namespace {

// key "ledger": id of the ledger[32], its key[32]
constexpr const char* k_node_table = "node";
constexpr std::string_view k_ledger_record = "ledger";

std::vector<uint8_t> bytes_of(std::string_view text) { return {text.begin(), text.end()}; }

struct LedgerRecord {
  LedgerId id;
  PublicKey key;
};

Result<std::optional<LedgerRecord>> load_ledger(StoreTransaction& state) {
  TRY_ASSIGN(std::optional<Bytes> bytes, state.get(k_node_table, as_bytes(k_ledger_record)));
  if (!bytes) return std::optional<LedgerRecord>();
  ByteReader reader(*bytes);
  LedgerRecord record{{reader.array<LedgerId::k_size>()}, {reader.array<PublicKey::k_size>()}};
  if (!reader.done()) return error(Errc::bad_input, "the state's record of the ledger has the wrong size");
  return std::optional<LedgerRecord>(record);
}

// Calls `take(key, value)` for each record of a table.
template <typename Take>
Status for_each_record(StoreTransaction& state, const char* table, Take take) {
  std::vector<uint8_t> from;
  for (;;) {
    TRY_ASSIGN(std::optional<StoreTransaction::Entry> entry, state.seek(table, from));
    if (!entry) return ok;
    TRY(take(entry->key, entry->value));
    from.assign(entry->key.begin(), entry->key.end());
    from.push_back(0);
  }
}

}  // namespace

Payments::Payments(Core& core, Persistence& persistence) : core_(core), persistence_(persistence), locked_(core.identity.locked) {}

// ---- life ----

bool Payments::is_enabled() const {
  if (core_.config.speed_enabled) return true;
  for (const Torrent& torrent : core_.torrents) {
    if (torrent.speed_enabled.value_or(false)) return true;
  }
  return false;
}

speed::SpeedOptions Payments::options() const {
  speed::SpeedOptions out;
  // A ledger that contradicts itself gets no new channels; those that are open are settled.
  out.payee.enabled = out.payer.enabled = is_enabled() && (!link_ || link_->is_trusted());
  out.payee.reserve = core_.config.reserve;
  out.payee.claim_threshold = core_.config.claim_threshold;
  out.payee.window_pieces = core_.config.exposure_pieces;
  out.payee.upload_rate = core_.config.upload_rate;
  if (params_) out.payer.capacity_min = params_->capacity_min;
  return out;
}

Status Payments::restore(Instant now, StoreTransaction& state) {
  if (locked_) return ok;
  TRY_ASSIGN(std::optional<LedgerRecord> record, load_ledger(state));
  const NodeConfig& config = core_.config;
  if (config.ledger_url.empty() || config.ledger_key.is_zero()) return ok;
  bool same = record && record->key == config.ledger_key;
  for (const char* table : {speed::k_table_payee_channels, speed::k_table_payer_channels}) {
    if (same || !record) break;
    TRY_ASSIGN(std::optional<StoreTransaction::Entry> entry, state.seek(table, Bytes()));
    if (!entry) continue;
    return error(Errc::bad_input, "the state has channels of the ledger with the key " + record->key.hex() + ", but ledger.key is " +
                                      config.ledger_key.hex() +
                                      ": put the old key back until they are settled (millet channels), or use another --state");
  }
  if (same) {
    make_speed(record->id);
    for (const char* table : speed::k_tables) {
      TRY(for_each_record(state, table, [&](Bytes key, Bytes value) -> Status {
        // It was removed, and the process ended before that was known here.
        bool gone = table == speed::k_table_payer_torrents && key.size() == InfoHash::k_size &&
                    core_.find_torrent(InfoHash::from_bytes(key)) == nullptr;
        if (gone) {
          persistence_.add({{table, {key.begin(), key.end()}, std::nullopt}});
          return ok;
        }
        Status restored = speed_->restore(now, table, key, value);
        return restored ? restored : Status(std::move(restored).error().in(std::string("state, table ") + table));
      }));
    }
    speed_->start(now);
  }
  link_.emplace(LedgerLink::Options{config.ledger_url, config.ledger_key, core_.identity.key, ledger_}, core_.secure, core_.log);
  TRY(for_each_record(state, k_table_watch, [&](Bytes key, Bytes value) -> Status {
    if (same) return link_->restore_watch(key, value);
    persistence_.add({{k_table_watch, {key.begin(), key.end()}, std::nullopt}});  // about another ledger
    return ok;
  }));
  if (speed_ != nullptr) speed_->set_options(now, options());
  link_->start(now);
  pump(now);
  return ok;
}

Status Payments::unlock(Instant now, StoreTransaction& state) {
  CHECK(locked_);
  locked_ = false;
  Status restored = restore(now, state);
  if (restored) {
    set_config(now);  // peers that are there already are told
    return ok;
  }
  locked_ = true;
  speed_.reset();
  link_.reset();
  ledger_.reset();
  return restored;
}

void Payments::make_speed(const LedgerId& ledger) {
  ledger_ = ledger;
  speed::Identity identity{ledger, core_.identity.key, core_.config.ledger_key};
  speed_ = std::make_unique<speed::Speed>(identity, options(), core_.secure, core_.log, core_.faults);
}

// The ledger has answered for the first time in this process.
void Payments::introduce(Instant now, const LedgerLink::Introduced& hello) {
  params_ = hello.params;
  if (speed_ == nullptr) {
    make_speed(hello.ledger);
    std::vector<uint8_t> value;
    ByteWriter(value).bytes(hello.ledger.bytes()).bytes(core_.config.ledger_key.bytes());
    persistence_.add({{k_node_table, bytes_of(k_ledger_record), std::move(value)}});
    speed_->start(now);
    core_.greet_again = true;  // peers are told of btt_speed now
  }
  speed_->set_options(now, options());
  speed_->on_ledger_time(now, hello.time);
  for (const Torrent& torrent : core_.torrents) core_.money_changed.insert(torrent.info_hash);
}

void Payments::set_config(Instant now) {
  if (speed_ != nullptr) speed_->set_options(now, options());
  for (const Torrent& torrent : core_.torrents) core_.money_changed.insert(torrent.info_hash);
  core_.greet_again = true;
  pump(now);
}

void Payments::shut_down(Instant now) {
  if (speed_ != nullptr) speed_->shut_down(now);
  pump(now);
}

// ---- connections ----

bool Payments::offers(const Torrent& torrent) const {
  return speed_ != nullptr && !core_.shutting_down && torrent.speed_enabled.value_or(core_.config.speed_enabled);
}

bool Payments::bans(Instant now, const IpAddress& address) const { return speed_ != nullptr && speed_->banned_for(now, address) > 0; }

void Payments::on_extensions(Instant now, Peer& peer) {
  if (speed_ == nullptr || !peer.is_open()) return;
  const Torrent& torrent = core_.torrent_of(peer);
  bool both = peer.session->offers_speed() && peer.session->speed_id() != 0;
  if (both == peer.speaks_speed) return;
  peer.speaks_speed = both;
  if (!both) {
    speed_->on_withdrawn(now, peer.handle);
    return pump(now);
  }
  speed::PeerInfo info;
  info.address = peer.remote.address;
  info.info_hash = torrent.info_hash;
  info.own_peer_id = core_.identity.peer_id;
  info.other_peer_id = peer.session->peer_id();
  info.opened_by_us = !peer.incoming;
  info.piece_size = torrent.layout.nominal_piece_size();
  info.sent = peer.uploaded;
  info.received = peer.downloaded;
  speed_->on_connected(now, peer.handle, info);
  if (peer.session->we_are_interested()) speed_->payer().set_wanted(now, peer.handle, true);
  if (peer.slot == SlotKind::regular || peer.slot == SlotKind::optimistic) speed_->payee().on_free_unchoke(peer.handle);
  pump(now);
}

void Payments::on_message(Instant now, Peer& peer, Bytes payload) {
  if (!peer.speaks_speed) return;
  speed_->on_message(now, peer.handle, payload);
  pump(now);
}

void Payments::on_gone(Instant now, Peer& peer) {
  if (speed_ == nullptr) return;
  if (peer.speaks_speed) remember_bid(peer);
  peer.speaks_speed = false;
  speed_->on_disconnected(now, peer.handle);
  pump(now);
}

// ---- provider ----

bool Payments::holds_slot(const Peer& peer) const { return peer.speaks_speed && speed_->payee().holds_slot(peer.handle); }

bool Payments::may_send(Instant now, const Peer& peer, const wire::BlockRange& range) {
  if (!peer.speaks_speed) return true;
  bool may = speed_->payee().may_send(now, peer.handle, range.piece, range.length);
  pump(now);  // it may have ended the slot, or wait for a deadline from now on
  return may && !peer.requests.empty();
}

bool Payments::on_block_sent(Instant now, Peer& peer, const wire::BlockRange& range) {
  if (!peer.speaks_speed) return false;
  bool sold = holds_slot(peer);
  uint32_t piece_bytes = core_.torrent_of(peer).layout.piece_size(range.piece);
  speed_->payee().on_block_sent(now, peer.handle, range.piece, piece_bytes, range.length);
  pump(now);
  return sold;
}

void Payments::hold_auction(Instant now, const std::vector<PeerHandle>& interested, uint32_t slots) {
  auction_wanted_ = false;
  if (speed_ == nullptr) return;
  std::vector<speed::Candidate> candidates;
  for (PeerHandle handle : interested) {
    const Peer* peer = core_.peers.find(handle);
    if (peer == nullptr || !peer->speaks_speed) continue;
    bool free = peer->slot == SlotKind::regular || peer->slot == SlotKind::optimistic;
    const Torrent& torrent = core_.torrent_of(*peer);
    uint64_t bonus = 0;
    // speed/PROTOCOL.md section 6: while we download, what a peer gives in return counts like money.
    if (torrent.is_downloading())
      bonus = speed::bonus_for(speed_->payer().bid_of(torrent.info_hash), peer->down.rate(now), peer->up.rate(now));
    candidates.push_back({handle, free, bonus, core_.upload_gate.is_waiting(handle)});
  }
  speed::AuctionResult result = speed_->payee().rechoke(now, candidates, slots, interested.size() > core_.upload_slots());
  if (!result.entries.empty()) remember(result, slots);
  pump(now);
}

void Payments::on_free_unchoke(Instant now, const Peer& peer) {
  if (!peer.speaks_speed) return;
  speed_->payee().on_free_unchoke(peer.handle);
  pump(now);
}

void Payments::on_free_choke(Instant now, const Peer& peer) {
  if (!peer.speaks_speed) return;
  speed_->payee().on_free_choke(now, peer.handle);
  pump(now);
}

Rate Payments::backed_bid(Instant now, const Peer& peer) {
  return peer.speaks_speed ? speed_->payee().backed_bid(now, peer.handle) : Rate();
}

// ---- requester ----

void Payments::on_choked(Instant now, const Peer& peer) {
  if (!peer.speaks_speed) return;
  speed_->payer().on_choked(now, peer.handle);
  pump(now);
}

void Payments::on_unchoked(Instant now, const Peer& peer) {
  if (!peer.speaks_speed) return;
  speed_->payer().on_unchoked(now, peer.handle);
  pump(now);
}

bool Payments::is_bought(const Peer& peer) const { return peer.speaks_speed && !speed_->payer().price(peer.handle).is_zero(); }

bool Payments::on_block_received(Instant now, const Peer& peer, const wire::BlockRange& range) {
  if (!peer.speaks_speed) return false;
  bool bought = is_bought(peer);
  speed_->payer().on_block_received(now, peer.handle, range.piece, range.length);
  pump(now);
  return bought;
}

void Payments::on_piece_verified(Instant now, const InfoHash& torrent, uint32_t piece) {
  if (speed_ == nullptr) return;
  speed_->payer().on_piece_verified(now, torrent, piece);
  core_.money_changed.insert(torrent);
  pump(now);
}

void Payments::on_piece_failed(Instant now, const InfoHash& torrent, uint32_t piece) {
  if (speed_ == nullptr) return;
  speed_->payer().on_piece_failed(now, torrent, piece);
  pump(now);
}

bool Payments::is_pending(PeerHandle peer, const InfoHash& torrent, uint32_t piece) const {
  return speed_ != nullptr && speed_->payer().is_pending(peer, torrent, piece);
}

void Payments::on_bad_blocks(Instant now, PeerHandle peer, const InfoHash& torrent, uint32_t piece) {
  if (speed_ == nullptr) return;
  speed_->payer().on_bad_blocks(now, peer, torrent, piece);
  pump(now);
}

void Payments::forget_blocks(PeerHandle peer, const InfoHash& torrent, uint32_t piece) {
  if (speed_ != nullptr) speed_->payer().forget_blocks(peer, torrent, piece);
}

void Payments::update_budget(Instant now, const InfoHash& hash) {
  const Torrent* torrent = core_.find_torrent(hash);
  if (torrent == nullptr) {
    told_.erase(hash);
    speed_->payee().forget(hash);
    return speed_->payer().forget(now, hash);
  }
  speed_->payee().set_reserve(hash, torrent->reserve);
  bool buys = torrent->is_downloading() && torrent->phase == TorrentPhase::active && offers(*torrent);
  auto told = told_.find(hash);
  if (!buys) {
    if (told == told_.end()) return;
    speed_->payer().finish(now, hash);
    told_.erase(told);
    return;
  }
  speed::TorrentBudget budget;
  budget.budget = torrent->budget.value_or(core_.config.budget);
  budget.bidding.spending_ppm = core_.config.spending_ppm;
  budget.bidding.max_rate = torrent->max_rate.value_or(core_.config.max_rate);
  if (told == told_.end() || told->second.budget != budget) {
    speed_->payer().set_torrent(now, hash, budget);
    told_[hash].budget = budget;
  }
  update_rarity(now, *torrent);
  speed_->payer().set_bytes_left(now, hash, torrent->layout.total_size() - torrent->bytes_done());
}

// Walks all pieces: not at every verified one.
void Payments::update_rarity(Instant now, const Torrent& torrent) {
  Bought& bought = told_.at(torrent.info_hash);
  if (now < bought.rare_until) return;
  bought.rare_until = now + k_rarity_every;
  bought.rare = torrent.picker->availability().rare(torrent.have);
  for (PeerHandle handle : torrent.peers) {
    if (const Peer* peer = core_.peers.find(handle)) tell_rarity(now, torrent, bought.rare, *peer);
  }
}

void Payments::tell_rarity(Instant now, const Torrent& torrent, const Bitfield& rare, const Peer& peer) {
  if (!peer.speaks_speed || !peer.is_open()) return;
  Bytes has = peer.session->pieces().wire();
  Bytes have = torrent.have.wire();
  Bytes scarce = rare.wire();
  if (has.size() != have.size() || scarce.size() != have.size()) return;
  uint64_t wanted = 0, of_it = 0;
  for (size_t i = 0; i < has.size(); ++i) {
    uint8_t missing = static_cast<uint8_t>(has[i] & ~have[i]);
    wanted += static_cast<uint32_t>(std::popcount(missing));
    of_it += static_cast<uint32_t>(std::popcount(static_cast<uint8_t>(missing & scarce[i])));
  }
  if (wanted == 0) return;
  speed_->payer().set_rarity(now, peer.handle, static_cast<uint32_t>(of_it * speed::Payer::k_rarity_max / wanted));
}

// ---- outputs ----

Ticket Payments::ticket_for(bool of_link, uint64_t inner) {
  Ticket ticket = core_.new_ticket(TicketKind::payments);
  works_[ticket] = {of_link, inner};
  return ticket;
}

std::optional<Payments::Work> Payments::take_work(Ticket ticket) {
  auto found = works_.extract(ticket);
  if (found.empty()) return std::nullopt;
  return found.mapped();
}

// What concerns a connection. It may be gone: then there is nothing to do.
void Payments::carry_out_peer(Instant now, speed::Output& output) {
  auto open = [&](PeerHandle handle) {
    Peer* peer = core_.peers.find(handle);
    return peer != nullptr && peer->is_open() ? peer : nullptr;
  };
  if (auto* send = std::get_if<speed::SendMessage>(&output)) {
    if (Peer* peer = open(send->peer); peer != nullptr && peer->session->speed_id() != 0) {
      peer->session->send_speed(send->payload);
      core_.pull(*peer);
    }
  } else if (auto* choke = std::get_if<speed::ChokePeer>(&output)) {
    if (Peer* peer = open(choke->peer)) {
      if (peer->slot != SlotKind::none) peer->waiting_since = now;
      peer->slot = SlotKind::none;
      Uploads::choke(core_, *peer);
      core_.slots_changed = true;
    }
  } else if (auto* unchoke = std::get_if<speed::UnchokePeer>(&output)) {
    if (Peer* peer = open(unchoke->peer)) {
      peer->slot = SlotKind::auction;
      Uploads::unchoke(core_, *peer);
    }
  } else if (auto* ready = std::get_if<speed::SendReady>(&output)) {
    if (Peer* peer = open(ready->peer)) core_.pull(*peer);
  } else if (auto* disconnect = std::get_if<speed::DisconnectPeer>(&output)) {
    // A ban is the engine's (Payments::bans); what ends here is the connection.
    if (Peer* peer = core_.peers.find(disconnect->peer)) core_.doom(*peer, error(Errc::denied, disconnect->reason));
  }
}

void Payments::carry_out(Instant now, speed::Output& output) {
  if (auto* sign = std::get_if<speed::SignBytes>(&output)) {
    core_.act(SignBytes{ticket_for(false, sign->ticket), std::move(sign->message)});
  } else if (auto* check = std::get_if<speed::VerifyBytes>(&output)) {
    core_.act(VerifyBytes{ticket_for(false, check->ticket), check->key, std::move(check->message), check->signature});
  } else if (auto* commit = std::get_if<speed::Commit>(&output)) {
    commits_.push_back({persistence_.add(std::move(commit->changes)), commit->sequence});
  } else if (auto* call = std::get_if<speed::LedgerCall>(&output)) {
    link_->call(now, *call);
  } else if (std::get_if<speed::RechokeWanted>(&output) != nullptr) {
    auction_wanted_ = true;
  } else {
    carry_out_peer(now, output);
  }
}

bool Payments::pump_speed(Instant now) {
  bool any = false;
  speed::Output output;
  while (speed_ != nullptr && speed_->poll(now, output)) {
    carry_out(now, output);
    any = true;
  }
  if (auto seen = speed_ != nullptr ? speed_->take_tree_head_seen() : std::nullopt; seen && link_) link_->on_gossip(now, *seen);
  return any;
}

bool Payments::pump_link(Instant now) {
  bool any = false;
  LedgerLink::Output output;
  while (link_ && link_->poll(output)) {
    any = true;
    if (auto* sign = std::get_if<LedgerClient::SignBytes>(&output)) {
      core_.act(SignBytes{ticket_for(true, sign->ticket), std::move(sign->message)});
    } else if (auto* check = std::get_if<LedgerClient::VerifyBytes>(&output)) {
      core_.act(VerifyBytes{ticket_for(true, check->ticket), check->key, std::move(check->message), check->signature});
    } else if (auto* post = std::get_if<LedgerLink::Post>(&output)) {
      core_.act(HttpExchange{ticket_for(true, post->ticket), std::move(post->url), std::move(post->body), k_reply_size_max,
                             LedgerLink::k_timeout_ms, std::move(post->pin)});
    } else if (auto* answer = std::get_if<LedgerLink::Answer>(&output)) {
      if (speed_ != nullptr) speed_->on_ledger(now, answer->ticket, answer->reply);
    } else if (auto* hello = std::get_if<LedgerLink::Introduced>(&output)) {
      introduce(now, *hello);
    } else if (auto* kept = std::get_if<LedgerWatch::Keep>(&output)) {
      if (kept->unhurried) {
        persistence_.add_unhurried(std::move(kept->changes));
      } else {
        persistence_.add(std::move(kept->changes));
      }
    } else if (auto* head = std::get_if<LedgerWatch::NewHead>(&output)) {
      if (speed_ != nullptr) speed_->set_tree_head(encode_fields(head->head));
    } else if (auto* alarm = std::get_if<LedgerWatch::Alarm>(&output)) {
      core_.act(KeepEvidence{std::move(alarm->evidence)});
      if (speed_ != nullptr) speed_->set_options(now, options());
    }
  }
  return any;
}

void Payments::pump(Instant now) {
  // Carrying out an output may lead back here; the outer call goes on with what that left.
  if (pumping_) return;
  pumping_ = true;
  while (pump_speed(now) || pump_link(now)) {
  }
  pumping_ = false;
  deadline_ = speed_ != nullptr ? speed_->next_deadline(now) : Instant::never();
  if (link_) deadline_ = earlier(deadline_, link_->next_deadline());
}

// ---- answers ----

void Payments::on_signed(Instant now, Ticket ticket, const Signature& signature) {
  std::optional<Work> work = take_work(ticket);
  if (!work) return;
  if (work->of_link) {
    link_->on_signed(now, work->inner, signature);
  } else {
    speed_->on_signed(now, work->inner, signature);
  }
  pump(now);
}

void Payments::on_verified(Instant now, Ticket ticket, bool valid) {
  std::optional<Work> work = take_work(ticket);
  if (!work) return;
  if (work->of_link) {
    link_->on_verified(now, work->inner, valid);
  } else {
    speed_->on_verified(now, work->inner, valid);
  }
  pump(now);
}

void Payments::on_http_done(Instant now, Ticket ticket, const Result<HttpReply>& reply) {
  std::optional<Work> work = take_work(ticket);
  if (!work) return;
  // The ledger signs its refusals too: the HTTP status adds nothing to them.
  Result<std::vector<uint8_t>> body = reply ? Result<std::vector<uint8_t>>(reply->body) : Result<std::vector<uint8_t>>(reply.error());
  link_->on_reply(now, work->inner, std::move(body), reply ? reply->tls_not_after : std::nullopt);
  pump(now);
}

void Payments::on_durable(Instant now) {
  while (!commits_.empty() && commits_.front().node_sequence <= persistence_.durable()) {
    speed_->on_durable(now, commits_.front().speed_sequence);
    commits_.pop_front();
  }
  pump(now);
}

void Payments::on_timer(Instant now) {
  if (deadline_ > now) return;
  if (link_) link_->on_timer(now);
  if (speed_ != nullptr) speed_->on_timer(now);
  pump(now);
}

void Payments::settle(Instant now) {
  if (speed_ == nullptr) {
    core_.money_changed.clear();
    core_.interest_changed.clear();
    return;
  }
  for (const InfoHash& hash : std::exchange(core_.money_changed, {})) update_budget(now, hash);
  for (PeerHandle handle : std::exchange(core_.interest_changed, {})) {
    const Peer* peer = core_.peers.find(handle);
    if (peer == nullptr || !peer->speaks_speed) continue;
    const Torrent& torrent = core_.torrent_of(*peer);
    if (auto bought = told_.find(torrent.info_hash); bought != told_.end() && peer->session->we_are_interested()) {
      update_rarity(now, torrent);
      tell_rarity(now, torrent, bought->second.rare, *peer);
    }
    speed_->payer().set_wanted(now, handle, peer->session->we_are_interested());
  }
  pump(now);
}

}  // namespace millet
