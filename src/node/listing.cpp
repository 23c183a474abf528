#include "node/listing.h"

namespace millet {
namespace {

TorrentState state_of(const Torrent& torrent) {
  if (!torrent.error.empty()) return torrent.missing ? TorrentState::missing : TorrentState::error;
  if (torrent.paused) return TorrentState::paused;
  if (torrent.phase == TorrentPhase::looking || torrent.phase == TorrentPhase::checking) return TorrentState::checking;
  if (torrent.phase == TorrentPhase::stopped) return TorrentState::paused;
  return torrent.is_complete() ? TorrentState::seeding : TorrentState::downloading;
}

// Also before this process.
Amount earned_over(const Torrent& torrent, const Payments& payments) {
  return Amount::micro(std::min(torrent.earned_before, k_supply_micro)).plus(payments.earned(torrent)).value_or(Amount::supply());
}

TorrentStatus status_of(const Core& core, const Payments& payments, const Torrent& torrent, Instant now) {
  TorrentStatus out;
  out.info_hash = torrent.info_hash;
  out.name = torrent.name;
  out.root = torrent.root;
  out.state = state_of(torrent);
  out.paused = torrent.paused;
  out.error = torrent.error;
  out.size = torrent.layout.total_size();
  out.done = torrent.bytes_done();
  out.pieces = torrent.layout.piece_count();
  out.pieces_done = torrent.have.count();
  out.pieces_checked = torrent.walk.checked();
  out.piece_size = torrent.layout.nominal_piece_size();
  out.is_private = torrent.is_private;
  out.peers = static_cast<uint32_t>(torrent.peers.size());
  out.uploaded = torrent.counters.uploaded;
  out.downloaded = torrent.counters.downloaded;
  // What stands still has no rate, though the average of the last seconds goes down slowly.
  out.upload_rate = torrent.phase == TorrentPhase::stopped ? 0 : torrent.up.rate(now);
  out.download_rate = torrent.phase == TorrentPhase::stopped ? 0 : torrent.down.rate(now);
  out.budget = torrent.budget.value_or(core.config.budget);
  out.max_rate = torrent.max_rate.value_or(core.config.max_rate);
  out.reserve = torrent.reserve.value_or(core.config.reserve);
  out.earned = earned_over(torrent, payments);
  out.spent = payments.spent(torrent);
  out.bytes_paid_up = torrent.counters.paid_up;
  out.bytes_free_up = torrent.counters.free_up;
  out.bytes_paid_down = torrent.counters.paid_down;
  out.bytes_free_down = torrent.counters.free_down;
  out.pieces_paid_up = torrent.counters.paid_up / torrent.layout.nominal_piece_size();
  out.trackers = torrent.announcer.trackers();
  out.tracker_message = torrent.announcer.message();
  return out;
}

// BEP 20: "-XX1234-" names the client where it has no extension handshake.
std::string client_of(const PeerSession& session) {
  if (!session.remote().client.empty()) return session.remote().client;
  return printable(session.peer_id().bytes().first(8));
}

PeerStatus status_of(const Payments& payments, const Peer& peer, const Torrent& torrent, Instant now) {
  const PeerSession& session = *peer.session;
  PeerStatus out;
  out.info_hash = torrent.info_hash;
  out.remote = peer.remote;
  out.client = client_of(session);
  out.incoming = peer.incoming;
  out.transport = peer.transport;
  out.choking_us = session.choking_us();
  out.choked_by_us = session.choked_by_us();
  out.interested_in_us = session.interested_in_us();
  out.we_are_interested = session.we_are_interested();
  out.speed = payments.is_proven(peer);
  out.slot = slot_name(peer.slot);
  out.uploaded = peer.uploaded;
  out.downloaded = peer.downloaded;
  out.upload_rate = peer.up.rate(now);
  out.download_rate = peer.down.rate(now);
  out.pieces = session.pieces().count();
  return out;
}

}  // namespace

const char* torrent_state_name(TorrentState state) {
  switch (state) {
    case TorrentState::checking: return "checking";
    case TorrentState::downloading: return "downloading";
    case TorrentState::seeding: return "seeding";
    case TorrentState::paused: return "paused";
    case TorrentState::missing: return "missing";
    case TorrentState::error: return "error";
  }
  return "unknown";
}

std::vector<TorrentStatus> list_torrents(const Core& core, const Payments& payments, Instant now) {
  std::vector<TorrentStatus> out;
  for (const Torrent& torrent : core.torrents) out.push_back(status_of(core, payments, torrent, now));
  return out;
}

std::vector<PeerStatus> list_peers(const Core& core, const Payments& payments, Instant now, const std::optional<InfoHash>& hash) {
  std::vector<PeerStatus> out;
  for (const Peer& peer : core.peers) {
    const Torrent* torrent = core.torrents.find(peer.torrent);
    if (torrent == nullptr || peer.session == nullptr || !peer.session->is_accepted()) continue;
    if (!hash || torrent->info_hash == *hash) out.push_back(status_of(payments, peer, *torrent, now));
  }
  return out;
}

NodeStats node_stats(const Core& core, const Persistence& persistence, const Payments& payments, Instant now) {
  NodeStats out;
  out.uptime_s = static_cast<uint64_t>((now - core.started).in_seconds());
  out.torrents = static_cast<uint32_t>(core.torrents.size());
  out.peers = static_cast<uint32_t>(core.peers.size());
  for (const Torrent& torrent : core.torrents) {
    out.uploaded += torrent.counters.uploaded;
    out.downloaded += torrent.counters.downloaded;
  }
  out.upload_rate = core.up.rate(now);
  out.download_rate = core.down.rate(now);
  out.commits = persistence.count();
  for (const Torrent& torrent : core.torrents) {
    out.earned = out.earned.plus(earned_over(torrent, payments)).value_or(Amount::supply());
    out.spent = out.spent.plus(payments.spent(torrent)).value_or(Amount::supply());
  }
  out.ledger = payments.ledger_state();
  out.ledger_head = payments.ledger_head();
  out.wallet_locked = payments.is_locked();
  out.address = core.identity.key;
  return out;
}

}  // namespace millet
