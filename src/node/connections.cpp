#include "node/connections.h"

#include <algorithm>
#include <utility>

#include "base/heap_sort.h"
#include "node/memory_use.h"

namespace millet {
namespace {

PeerList::Ending ending_of(const Peer& peer) {
  // With another connection to the same peer, or as two seeds, there is nothing to gain from a new one soon.
  if (peer.doom->code == Errc::conflict) return PeerList::Ending::useless;
  bool worked = peer.session != nullptr && peer.session->is_accepted() && peer.doom->code != Errc::protocol;
  return worked ? PeerList::Ending::worked : PeerList::Ending::failed;
}

}  // namespace

// ---- who may connect ----

bool Connections::is_banned(Instant now, const IpAddress& address) const {
  return std::any_of(bans_.begin(), bans_.end(), [&](const Ban& ban) { return ban.address == address && now < ban.until; }) ||
         payments_.bans(now, address);
}

void Connections::ban(Instant now, const IpAddress& address, Duration time, const std::string& reason) {
  bans_.erase_if([&](const Ban& ban) { return ban.address == address || ban.until <= now; });
  if (bans_.size() == k_bans_max) bans_.pop_front();
  bans_.push_back({address, now + time});
  LogLine(core_.log, LogLevel::warn, "peer_banned")
      .add("address", address.to_string())
      .add("seconds", static_cast<uint64_t>(time.in_seconds()))
      .add("reason", reason);
}

uint32_t Connections::count_from(const IpAddress& address) const {
  uint32_t count = 0;
  for (const Peer& peer : core_.peers) count += peer.remote.address == address;
  return count;
}

std::optional<PeerHandle> Connections::on_accepted(Instant now, const Endpoint& remote, const IpAddress& local, Transport transport) {
  if (core_.shutting_down || !has_room() || is_banned(now, remote.address) ||
      count_from(remote.address) >= core_.config.peers_per_address) {
    return std::nullopt;
  }
  auto peer = std::make_unique<Peer>();
  peer->handle = core_.peers.next_handle();
  peer->remote = remote;
  peer->local = local;
  peer->transport = transport;
  peer->incoming = peer->is_up = true;
  peer->waiting_since = now;
  peer->session = std::make_unique<PeerSession>(now, core_.identity.peer_id);
  peer->session->limit_output(size_t{core_.plan().peer_output_kib} * 1024);
  core_.peer_deadlines.arm(peer->handle, peer->session->next_deadline());
  return core_.peers.insert(std::move(peer)).handle;
}

// By count, and by what those that are there hold: nothing is allocated for one more that does not fit.
bool Connections::has_room() const {
  return core_.peers.size() < core_.peers_max() && memory_of_peers(core_) < uint64_t{core_.plan().peers_kib} * 1024;
}

// ---- whom to dial ----

uint32_t Connections::dialling() const {
  uint32_t count = 0;
  for (const Peer& peer : core_.peers) count += !peer.is_up;
  return count;
}

bool Connections::may_dial(const Torrent& torrent) const {
  if (torrent.phase != TorrentPhase::active || core_.shutting_down) return false;
  return torrent.peers.size() < (torrent.is_downloading() ? k_peers_per_torrent : k_peers_per_seed);
}

bool Connections::dial_one(Instant now, Torrent& torrent) {
  std::optional<Endpoint> remote = torrent.peer_list.next(now);
  if (!remote) return false;
  bool own = std::find(own_addresses_.begin(), own_addresses_.end(), *remote) != own_addresses_.end();
  if (own || is_banned(now, remote->address)) {
    torrent.peer_list.remove(*remote);
    return true;
  }
  if (count_from(remote->address) >= core_.config.peers_per_address) {
    torrent.peer_list.on_closed(now, *remote, PeerList::Ending::failed);
    return true;
  }
  auto peer = std::make_unique<Peer>();
  peer->handle = core_.peers.next_handle();
  peer->torrent = torrent.handle;
  peer->remote = *remote;
  peer->listed = *remote;
  peer->waiting_since = now;
  core_.peer_deadlines.arm(peer->handle, now + k_dial_time);
  core_.act(ConnectPeer{peer->handle, *remote});
  core_.peers.insert(std::move(peer));
  return true;
}

void Connections::dial(Instant now) {
  core_.dial_wanted = false;
  next_dial_ = Instant::never();  // with no room left, the next connection that ends calls again
  if (!core_.device.has_network) return;
  const uint32_t dialling_max = std::min(k_dialling_max, core_.device.dialling_max);
  // Round robin over the torrents, so that one with many addresses does not keep the others waiting.
  for (bool more = true; more;) {
    more = false;
    for (Torrent& torrent : core_.torrents) {
      if (dialling() >= dialling_max || !has_room()) return;
      if (may_dial(torrent) && dial_one(now, torrent)) more = true;
    }
  }
  next_dial_ = first_retry();
}

Instant Connections::first_retry() const {
  Instant first = Instant::never();
  for (const Torrent& torrent : core_.torrents) {
    if (may_dial(torrent)) first = earlier(first, torrent.peer_list.next_deadline());
  }
  return first;
}

void Connections::on_connected(Instant now, Peer& peer, const IpAddress& local, Transport transport) {
  Torrent* torrent = core_.torrents.find(peer.torrent);
  if (torrent == nullptr || peer.doom) return;
  peer.is_up = true;
  peer.local = local;
  peer.transport = transport;
  peer.waiting_since = now;
  peer.session = std::make_unique<PeerSession>(now, core_.identity.peer_id);
  peer.session->limit_output(size_t{core_.plan().peer_output_kib} * 1024);
  peer.session->start(torrent->info_hash);
  core_.peer_deadlines.arm(peer.handle, peer.session->next_deadline());
  core_.pull(peer);
  core_.dial_wanted = true;
}

// ---- handshake ----

void Connections::on_received(Instant now, Peer& peer, Bytes bytes) {
  if (peer.doom || peer.session == nullptr) return;
  peer.session->feed(now, bytes);
  PeerEvent event;
  while (!peer.doom) {
    Result<bool> got = peer.session->next(now, event);
    Status status = got ? Status(ok) : Status(got.error());
    if (got) {
      if (!*got) return;
      status = on_event(now, peer, event);
    }
    if (!status) core_.doom(peer, status.error());
  }
}

Status Connections::on_handshake(Peer& peer) {
  PeerSession& session = *peer.session;
  Torrent* torrent = peer.torrent != 0 ? core_.torrents.find(peer.torrent) : core_.find_torrent(session.info_hash());
  bool takes_peers = torrent != nullptr && torrent->phase != TorrentPhase::stopped && !core_.shutting_down;
  if (!takes_peers) return error(Errc::not_found, "asks for a torrent that is not served here");
  peer.torrent = torrent->handle;
  if (session.peer_id() == core_.identity.peer_id) return on_ourselves(*torrent, peer);
  TRY(check_duplicate(*torrent, peer));
  session.accept(torrent->layout);
  auto at = std::lower_bound(torrent->peers.begin(), torrent->peers.end(), peer.handle);
  torrent->peers.insert(at, peer.handle);
  if (peer.listed) torrent->peer_list.on_connected(*peer.listed);
  if (torrent->is_serving()) greet(*torrent, peer);
  core_.pull(peer);
  return ok;
}

// The end that dialled learns from the answer that the address is ours; the other end answers and says nothing more.
Status Connections::on_ourselves(Torrent& torrent, Peer& peer) {
  if (peer.incoming) {
    peer.session->accept(torrent.layout);
    core_.pull(peer);
    return ok;
  }
  if (own_addresses_.size() == k_own_addresses_max) own_addresses_.erase(own_addresses_.begin());
  own_addresses_.push_back(peer.remote);
  torrent.peer_list.remove(peer.remote);
  return error(Errc::conflict, "this is ourselves");
}

// Both sides may have dialled each other, and both must keep the same connection. Who is asked for a second one refuses it by not
// answering: the first may carry a sale, and blocks that are lost with a connection stay unpaid for ever. Only where each had answered the
// other before it knew of its own answer are there two that both sides know: the one that the larger peer id began stays, and nothing is
// lost, because the end that began the other one drops it as soon as it is answered.
Status Connections::check_duplicate(Torrent& torrent, Peer& peer) {
  for (PeerHandle handle : torrent.peers) {
    Peer* other = core_.peers.find(handle);
    if (other == nullptr || other->doom || other->session->peer_id() != peer.session->peer_id()) continue;
    bool keep_new = !peer.incoming && other->incoming && core_.identity.peer_id > peer.session->peer_id();
    Peer& kept = keep_new ? peer : *other;
    Peer& dropped = keep_new ? *other : peer;
    // The address where it listens stays marked as connected.
    if (!kept.listed) kept.listed = std::exchange(dropped.listed, std::nullopt);
    Error reason = error(Errc::conflict, "connected to this peer already");
    if (!keep_new) return reason;
    core_.doom(dropped, reason);
  }
  return ok;
}

SessionHello Connections::hello_for(const Torrent& torrent, const Peer& peer) const {
  SessionHello hello;
  hello.listen_port = core_.listen_port;
  hello.requests_max = k_requests_said;
  hello.upload_only = torrent.is_complete();
  hello.speed = payments_.offers(torrent);
  hello.remote = peer.remote.address;
  return hello;
}

void Connections::greet(Torrent& torrent, Peer& peer) {
  if (peer.session->is_greeted()) return;
  peer.session->greet(torrent.have, hello_for(torrent, peer));
  core_.extensions_changed.insert(peer.handle);
  core_.pull(peer);
  if (torrent.is_downloading()) {
    downloads_.on_pieces(peer);
    core_.hungry.insert(torrent.handle);
  }
  core_.slots_changed = true;
}

void Connections::greet_all(Torrent& torrent) {
  for (PeerHandle handle : torrent.peers) {
    Peer* peer = core_.peers.find(handle);
    if (peer != nullptr && !peer->doom) greet(torrent, *peer);
  }
  core_.dial_wanted = true;
}

void Connections::send_hello_again() {
  for (Peer& peer : core_.peers) {
    if (!peer.is_open()) continue;
    const Torrent& torrent = core_.torrent_of(peer);
    if (payments_.offers(torrent) == peer.session->offers_speed()) continue;
    peer.session->send_hello(hello_for(torrent, peer));
    core_.extensions_changed.insert(peer.handle);
    core_.pull(peer);
  }
}

// ---- messages ----

Status Connections::on_event(Instant now, Peer& peer, PeerEvent& event) {
  using Kind = PeerEvent::Kind;
  if (event.kind == Kind::handshake) return on_handshake(peer);
  Torrent& torrent = core_.torrent_of(peer);
  // Before we have said what we have, nothing can be served or asked; the session keeps what the peer says about itself.
  bool greeted = peer.session->is_greeted();
  switch (event.kind) {
    case Kind::handshake: return ok;
    case Kind::pieces:
      if (greeted) downloads_.on_pieces(peer);
      check_useless(now, torrent, peer);
      break;
    case Kind::have:
      if (greeted) downloads_.on_have(peer, event.range.piece);
      check_useless(now, torrent, peer);
      if (greeted && torrent.is_downloading()) downloads_.fill(now, peer);
      break;
    case Kind::choked:
      if (greeted) downloads_.on_choked(now, peer);
      break;
    case Kind::unchoked:
      if (greeted) downloads_.on_unchoked(now, peer);
      break;
    case Kind::interested:
    case Kind::not_interested: core_.slots_changed = true; break;
    case Kind::request:
      if (greeted) return uploads_.on_request(now, peer, event.range);
      break;
    case Kind::cancel:
      if (greeted) return uploads_.on_cancel(now, peer, event.range);
      break;
    case Kind::reject:
      if (greeted) return downloads_.on_reject(now, peer, event.range);
      break;
    case Kind::block:
      if (greeted) return downloads_.on_block(now, peer, event.range, std::move(event.data));
      return error(Errc::protocol, "sends blocks that nobody asked for");
    case Kind::extensions: {
      const wire::ExtensionHandshake& remote = peer.session->remote();
      if (remote.request_count_max) peer.asked.set_limit(*remote.request_count_max);
      // BEP 10: where an incoming peer can be reached.
      if (peer.incoming && !peer.listed && remote.listen_port) {
        peer.listed = Endpoint{peer.remote.address, *remote.listen_port};
        torrent.peer_list.add(now, *peer.listed, PeerSource::incoming);
        torrent.peer_list.on_connected(*peer.listed);
      }
      check_useless(now, torrent, peer);
      core_.slots_changed = true;
      if (greeted && !peer.doom) payments_.on_extensions(now, peer);
      break;
    }
    case Kind::speed: payments_.on_message(now, peer, event.payload); break;
  }
  return ok;
}

void Connections::check_useless(Instant now, Torrent& torrent, Peer& peer) {
  bool useless = torrent.phase == TorrentPhase::active && torrent.is_complete() && peer.session->is_upload_only();
  if (!useless) {
    peer.leave_by = Instant::never();
    core_.leaving.erase(peer.handle);
  } else if (peer.leave_by.is_never()) {
    peer.leave_by = now + k_leave_time;
    core_.leaving.insert(peer.handle);
    core_.peer_deadlines.arm(peer.handle, peer.leave_by);
  }
}

void Connections::drop_leaving(Instant now) {
  for (auto at = core_.leaving.begin(); at != core_.leaving.end();) {
    Peer* peer = core_.peers.find(*at);
    if (peer == nullptr || peer->doom) {
      at = core_.leaving.erase(at);
      continue;
    }
    // Who has sold waits for the payer, who knows when it has said everything; the payer's words must be on their way.
    bool talks = peer->sold || payments_.is_busy(*peer) || (peer->speaks_speed && (peer->session->has_output() || peer->pulling));
    if (!talks || now >= peer->leave_by) core_.doom(*peer, error(Errc::conflict, "both sides are complete"));
    ++at;
  }
}

// Those of least use go first: without a slot and without interest, then without a slot; of two alike the one that came last.
void Connections::shrink_to(uint32_t count, const char* reason) {
  struct Place {
    bool has_slot;
    bool interested;
    PeerHandle peer;
  };
  std::vector<Place> places;
  for (const Peer& peer : core_.peers) {
    if (!peer.doom) places.push_back({peer.slot != SlotKind::none, peer.is_open() && peer.session->interested_in_us(), peer.handle});
  }
  if (places.size() <= count) return;
  heap_sort(places, [](const Place& x, const Place& y) {
    if (x.has_slot != y.has_slot) return x.has_slot;
    if (x.interested != y.interested) return x.interested;
    return x.peer < y.peer;
  });
  for (size_t i = count; i < places.size(); ++i) core_.doom(*core_.peers.find(places[i].peer), error(Errc::no_room, reason));
}

void Connections::drop_seeds(Instant now, Torrent& torrent) {
  for (PeerHandle handle : torrent.peers) {
    Peer* peer = core_.peers.find(handle);
    if (peer != nullptr && !peer->doom) check_useless(now, torrent, *peer);
  }
}

// ---- endings ----

void Connections::on_closed(Instant now, Peer& peer, const Error& reason) {
  if (!peer.doom) peer.doom = reason;
  close(now, peer, false);
}

// BitTorrent clients have bugs, and addresses are shared: one offence closes the connection, several ban the address.
void Connections::on_offence(Instant now, const IpAddress& address, const std::string& reason) {
  offences_.erase_if([&](const Ban& offence) { return offence.until <= now; });
  if (offences_.size() == k_bans_max) offences_.pop_front();
  offences_.push_back({address, now + k_protocol_ban});
  auto count = std::count_if(offences_.begin(), offences_.end(), [&](const Ban& offence) { return offence.address == address; });
  if (static_cast<size_t>(count) >= k_offences_max) ban(now, address, k_protocol_ban, reason);
}

// Another connection is known to be of this endpoint: the peer may have refused a second one, because of its own.
bool Connections::is_listed(const Torrent& torrent, const Endpoint& endpoint) const {
  return std::any_of(torrent.peers.begin(), torrent.peers.end(), [&](PeerHandle handle) {
    const Peer* peer = core_.peers.find(handle);
    return peer != nullptr && !peer->doom && peer->listed == endpoint;
  });
}

void Connections::close(Instant now, Peer& peer, bool by_us) {
  LogLine(core_.log, LogLevel::debug, "peer_closed").add("peer", peer.remote.to_string()).add("reason", peer.doom->reason);
  if (peer.ban > Duration()) {
    ban(now, peer.remote.address, peer.ban, peer.doom->reason);
  } else if (peer.doom->code == Errc::protocol) {
    on_offence(now, peer.remote.address, peer.doom->reason);
  }
  payments_.on_gone(now, peer);
  if (Torrent* torrent = core_.torrents.find(peer.torrent)) {
    if (std::erase(torrent->peers, peer.handle) > 0) downloads_.on_gone(*torrent, peer);
    if (peer.listed && !is_listed(*torrent, *peer.listed)) torrent->peer_list.on_closed(now, *peer.listed, ending_of(peer));
  }
  uploads_.on_gone(peer);
  if (gone_.size() == k_gone_max) gone_.pop_front();
  gone_.push_back({peer.handle, peer.remote.address});
  core_.peer_deadlines.disarm(peer.handle);
  if (by_us) core_.act(ClosePeer{peer.handle});
  core_.slots_changed = core_.slots_changed || peer.slot != SlotKind::none;
  core_.dial_wanted = true;
  core_.peers.erase(peer.handle);
}

bool Connections::close_doomed(Instant now) {
  if (core_.doomed.empty()) return false;
  std::vector<PeerHandle> doomed;
  doomed.swap(core_.doomed);
  for (PeerHandle handle : doomed) {
    Peer* peer = core_.peers.find(handle);
    if (peer != nullptr) close(now, *peer, true);
  }
  return true;
}

void Connections::drop_all(Torrent& torrent, const char* reason) {
  for (Peer& peer : core_.peers) {
    if (peer.torrent == torrent.handle) core_.doom(peer, error(Errc::unavailable, reason));
  }
}

void Connections::blame(Instant now, const Core::Blame& blame) {
  if (Peer* peer = core_.peers.find(blame.source)) {
    core_.doom(*peer, error(Errc::protocol, blame.reason), blame.ban);
    return;
  }
  for (const Gone& gone : gone_) {
    if (gone.peer == blame.source) return ban(now, gone.address, blame.ban, blame.reason);
  }
}

void Connections::on_timer(Instant now, Peer& peer) {
  if (peer.doom) return;
  if (!peer.is_up) {
    core_.doom(peer, error(Errc::timed_out, "does not answer"));
    return;
  }
  Status status = peer.session->on_timer(now);
  if (!status) {
    core_.doom(peer, status.error());
    return;
  }
  if (peer.session->has_output()) core_.pull(peer);
  if (peer.is_open() && peer.asked.overdue_at() <= now) downloads_.on_overdue(now, peer);
  if (peer.is_open()) downloads_.on_timer(now, peer);
  core_.peer_deadlines.arm(peer.handle, peer.session->next_deadline());
  core_.peer_deadlines.arm(peer.handle, peer.asked.overdue_at());
  core_.peer_deadlines.arm(peer.handle, peer.ask_again);
  if (peer.leave_by > now) core_.peer_deadlines.arm(peer.handle, peer.leave_by);  // else drop_leaving() ends it within this call
}

}  // namespace millet
