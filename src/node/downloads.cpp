#include "node/downloads.h"

namespace millet {

wire::BlockRange Downloads::range_of(const Torrent& torrent, BlockIndex block) const {
  return {block.piece, block.block * k_block_size, torrent.layout.block_size(block.piece, block.block)};
}

void Downloads::begin(Torrent& torrent) {
  CHECK(torrent.picker == nullptr && !torrent.is_complete());
  torrent.picker = std::make_unique<Picker>(torrent.layout, torrent.have, core_.random);
  torrent.picker_epoch = ++epochs_;
  for (PeerHandle handle : torrent.peers) {
    Peer* peer = core_.peers.find(handle);
    if (peer != nullptr && peer->is_open()) on_pieces(*peer);
  }
  core_.hungry.insert(torrent.handle);
  core_.money_changed.insert(torrent.info_hash);
}

void Downloads::end(Torrent& torrent) {
  core_.money_changed.insert(torrent.info_hash);
  release_peers(torrent);
  torrent.picker.reset();
  torrent.leases.clear();
  torrent.disk_trouble = false;
  torrent.retry_at = Instant::never();
}

void Downloads::release_peers(Torrent& torrent) {
  for (PeerHandle handle : torrent.peers) {
    Peer* peer = core_.peers.find(handle);
    if (peer != nullptr) take_back(torrent, *peer);
  }
}

// ---- peers ----

void Downloads::update_interest(Peer& peer) {
  Torrent& torrent = core_.torrent_of(peer);
  bool wanted = torrent.is_downloading() && peer.wanted > 0;
  if (wanted != peer.session->we_are_interested()) core_.interest_changed.insert(peer.handle);
  peer.session->send_interested(wanted);
  if (peer.session->has_output()) core_.pull(peer);
}

void Downloads::on_pieces(Peer& peer) {
  peer.suspect = peer.suspect || is_suspect(peer.remote.address);
  Torrent& torrent = core_.torrent_of(peer);
  const Bitfield& pieces = peer.session->pieces();
  if (!torrent.is_downloading()) return;
  torrent.picker->availability().add_peer(pieces);
  peer.counted = true;
  peer.picked_at = 0;
  peer.wanted = 0;
  for (uint32_t piece = 0; piece < pieces.size(); ++piece) peer.wanted += pieces.test(piece) && !torrent.have.test(piece);
  update_interest(peer);
}

void Downloads::on_have(Peer& peer, uint32_t piece) {
  Torrent& torrent = core_.torrent_of(peer);
  if (!torrent.is_downloading()) return;
  if (!peer.counted) return on_pieces(peer);
  torrent.picker->availability().peer_has(piece, peer.session->pieces());
  if (torrent.have.test(piece)) return;
  ++peer.wanted;
  peer.picked_at = 0;
  update_interest(peer);
}

void Downloads::on_unchoked(Instant now, Peer& peer) {
  payments_.on_unchoked(now, peer);
  peer.picked_at = 0;
  fill(now, peer);
}

void Downloads::on_choked(Instant now, Peer& peer) {
  payments_.on_choked(now, peer);
  // BEP 6: with the fast extension every open request is rejected one by one, and some may still be served.
  if (!peer.session->fast()) take_back(core_.torrent_of(peer), peer);
}

void Downloads::take_back(Torrent& torrent, Peer& peer) {
  peer.asked.take_back_all();
  core_.download_gate.leave(peer.handle);
  if (torrent.picker == nullptr) return;
  torrent.picker->release_all(peer.handle);
  core_.hungry.insert(torrent.handle);
}

Status Downloads::on_reject(Instant now, Peer& peer, const wire::BlockRange& range) {
  Torrent& torrent = core_.torrent_of(peer);
  if (!peer.asked.on_reject(range) || !torrent.is_downloading()) return ok;
  torrent.picker->release(peer.handle, {range.piece, range.begin / k_block_size});
  core_.hungry.insert(torrent.handle);
  if (peer.session->choking_us()) return ok;
  // It is not asked again at once, unless something else has changed: the same request would come back the same way.
  peer.picked_at = torrent.picker->changes();
  peer.ask_again = now + k_rejected_pause;
  core_.peer_deadlines.arm(peer.handle, peer.ask_again);
  return peer.session->meter().chatter(now, "reject");
}

Status Downloads::on_block(Instant now, Peer& peer, const wire::BlockRange& range, std::vector<uint8_t> data) {
  Torrent& torrent = core_.torrent_of(peer);
  DownloadQueue::Answer answer = peer.asked.on_block(now, range);
  if (answer == DownloadQueue::Answer::unasked) {
    // speed/PROTOCOL.md: who sells sends nothing that was not asked for; it is not due.
    if (payments_.is_bought(peer)) return error(Errc::protocol, "sells a block that nobody asked for");
    return peer.session->meter().glitch(now, "a block that nobody asked for");
  }
  bool bought = payments_.on_block_received(now, peer, range);
  peer.snubbed = false;
  peer.down.add(now, range.length);
  torrent.down.add(now, range.length);
  core_.down.add(now, range.length);
  peer.downloaded += range.length;
  torrent.counters.downloaded += range.length;
  (bought ? torrent.counters.paid_down : torrent.counters.free_down) += range.length;
  if (!torrent.is_downloading()) return ok;
  BlockIndex block{range.piece, range.begin / k_block_size};
  std::vector<SourceId> others;
  if (torrent.disk_trouble) {
    torrent.picker->release(peer.handle, block);
    return ok;
  }
  if (torrent.picker->on_block(peer.handle, block, others) == Picker::Arrival::wanted) {
    Ticket ticket = core_.new_ticket(TicketKind::write);
    writes_[ticket] = {torrent.handle, block, torrent.picker_epoch};
    ++torrent.writes_open;
    core_.act(WriteBlock{ticket, {torrent.handle, range.piece, range.begin, range.length}, std::move(data)});
  } else if (bought && !torrent.have.test(range.piece)) {
    // It is not written, and so not hashed with its piece.
    keep({torrent.info_hash, range.piece, peer.handle, range.begin, range.length, torrent.picker_epoch, 0, Sha1::of(data)});
  }
  for (SourceId other : others) {
    if (Peer* duplicate = core_.peers.find(other)) cancel(*duplicate, range);
  }
  fill(now, peer);
  return ok;
}

void Downloads::on_gone(Torrent& torrent, Peer& peer) {
  take_back(torrent, peer);
  if (torrent.is_downloading() && peer.counted) torrent.picker->availability().remove_peer(peer.session->pieces());
  peer.counted = false;
}

void Downloads::on_overdue(Instant now, Peer& peer) {
  Torrent& torrent = core_.torrent_of(peer);
  if (!peer.snubbed) LogLine(core_.log, LogLevel::debug, "peer_snubbed").add("peer", peer.remote.to_string());
  peer.snubbed = true;
  take_back(torrent, peer);
  peer.picked_at = 0;
  fill(now, peer);
}

void Downloads::on_timer(Instant now, Peer& peer) {
  if (peer.ask_again > now) return;
  peer.ask_again = Instant::never();
  peer.picked_at = 0;
  fill(now, peer);
}

bool Downloads::may_ask(const Torrent& torrent, const Peer& peer) const {
  return torrent.is_downloading() && torrent.phase == TorrentPhase::active && !torrent.disk_trouble && !core_.shutting_down &&
         peer.is_open() && !peer.session->choking_us() && peer.wanted > 0 && peer.picked_at != torrent.picker->changes();
}

uint32_t Downloads::blocks_open() const {
  uint32_t blocks = static_cast<uint32_t>(writes_.size());
  for (const Peer& peer : core_.peers) blocks += peer.asked.size();
  return blocks;
}

void Downloads::fill(Instant now, Peer& peer) {
  Torrent& torrent = core_.torrent_of(peer);
  if (!may_ask(torrent, peer)) return;
  uint32_t room = peer.asked.room(now, peer.down.rate(now));
  if (peer.snubbed) room = peer.asked.empty() ? k_requests_when_snubbed : 0;
  uint32_t open = blocks_open();
  room = std::min(room, blocks_open_max() > open ? blocks_open_max() - open : 0);
  uint32_t granted = 0;
  while (granted < room && core_.download_gate.take(now, peer.handle, k_block_size)) ++granted;
  if (granted > 0) request(now, torrent, peer, granted);
}

void Downloads::request(Instant now, Torrent& torrent, Peer& peer, uint32_t room) {
  std::vector<BlockIndex> blocks;
  // speed/PROTOCOL.md: from a paid provider whole pieces, in order, and no duplicates.
  bool alone = peer.suspect || payments_.is_bought(peer);
  Picker::Ask ask{peer.handle, &peer.session->pieces(), alone ? Picker::Mode::alone : Picker::Mode::shared, room};
  torrent.picker->pick(ask, blocks);
  for (BlockIndex block : blocks) {
    wire::BlockRange range = range_of(torrent, block);
    peer.asked.add(now, range);
    peer.session->send_request(range);
  }
  std::vector<uint32_t> leases;
  torrent.picker->plan_lease(leases);
  if (blocks.empty() && leases.empty() && peer.asked.empty() && payments_.is_bought(peer) && take_over(now, torrent, peer)) {
    return request(now, torrent, peer, room);
  }
  if (blocks.size() < room) {
    if (leases.empty() && blocks.empty()) torrent.picker->plan_lease_for(peer.session->pieces(), leases);
    peer.picked_at = torrent.picker->changes();
  }
  if (!leases.empty()) lease(torrent, leases);
  if (blocks.empty()) return;
  core_.peer_deadlines.arm(peer.handle, peer.asked.overdue_at());
  core_.pull(peer);
}

// A seller that would idle while others hold the last pieces, far slower than it is, gets one of them: the one that would take longest.
bool Downloads::take_over(Instant now, Torrent& torrent, Peer& peer) {
  uint64_t own_rate = peer.down.rate(now);
  std::optional<Picker::Stake> best;
  uint64_t best_rate = 0;
  for (Picker::Stake& stake : torrent.picker->stakes(peer.session->pieces())) {
    uint64_t rate = own_rate;
    for (SourceId source : stake.sources) {
      Peer* other = core_.peers.find(source);
      rate = std::min(rate, other == nullptr ? 0 : other->down.rate(now));
    }
    if (rate * k_far_slower > own_rate) continue;
    // missing / rate, compared without dividing
    bool longer =
        !best || uint64_t{stake.missing} * std::max<uint64_t>(best_rate, 1) > uint64_t{best->missing} * std::max<uint64_t>(rate, 1);
    if (!longer) continue;
    best = std::move(stake);
    best_rate = rate;
  }
  if (!best) return false;
  std::vector<std::pair<SourceId, BlockIndex>> cancelled;
  torrent.picker->take_over(peer.handle, best->piece, cancelled);
  for (const auto& [source, block] : cancelled) {
    if (Peer* other = core_.peers.find(source)) cancel(*other, range_of(torrent, block));
  }
  return true;
}

void Downloads::cancel(Peer& peer, const wire::BlockRange& range) {
  if (!peer.is_open() || !peer.asked.take_back(range)) return;
  peer.session->send_cancel(range);
  core_.pull(peer);
}

void Downloads::fill_all(Instant now, Torrent& torrent) {
  for (PeerHandle handle : torrent.peers) {
    Peer* peer = core_.peers.find(handle);
    if (peer != nullptr) fill(now, *peer);
  }
}

void Downloads::on_granted(Instant now) {
  std::vector<uint32_t> granted;
  core_.download_gate.grant(now, granted);
  for (PeerHandle handle : granted) {
    Peer* peer = core_.peers.find(handle);
    if (peer != nullptr && peer->is_open()) fill(now, *peer);
  }
}

// ---- leases ----

void Downloads::lease(Torrent& torrent, const std::vector<uint32_t>& pieces) {
  for (uint32_t piece : pieces) torrent.resume.lease(piece);
  torrent.leases.push_back({store_.save_resume(torrent), pieces});
}

void Downloads::on_durable() {
  for (Torrent& torrent : core_.torrents) {
    while (!torrent.leases.empty() && torrent.leases.front().sequence <= persistence_.durable()) {
      for (uint32_t piece : torrent.leases.front().pieces) torrent.picker->leased(piece);
      torrent.leases.erase(torrent.leases.begin());
      core_.hungry.insert(torrent.handle);
    }
  }
}

// ---- blocks and pieces ----

void Downloads::on_block_written(Instant now, Ticket ticket, const Status& status) {
  auto found = writes_.find(ticket);
  CHECK(found != writes_.end());
  Write write = found->second;
  writes_.erase(found);
  Torrent* torrent = core_.torrents.find(write.torrent);
  if (torrent == nullptr) return;
  if (--torrent->writes_open == 0) core_.idle.insert(torrent->handle);
  if (torrent->picker == nullptr || torrent->picker_epoch != write.epoch) return;
  if (!status) {
    torrent->picker->on_write_failed(write.block);
    write_failed(now, *torrent, status.error());
    return;
  }
  if (!torrent->disk_trouble) torrent->error.clear();  // there is room again
  if (!torrent->picker->on_written(write.block)) return;
  Ticket hash = core_.new_ticket(TicketKind::piece);
  hashes_[hash] = {torrent->handle, write.block.piece, write.epoch};
  core_.act(HashPiece{hash, torrent->handle, write.block.piece});
}

void Downloads::write_failed(Instant now, Torrent& torrent, const Error& reason) {
  if (reason.code != Errc::no_room) {
    core_.failures.push_back({torrent.handle, reason.reason});
    return;
  }
  if (torrent.disk_trouble) return;
  torrent.disk_trouble = true;
  torrent.retry_at = now + k_retry_every;
  core_.torrent_deadlines.arm(torrent.handle, torrent.retry_at);
  std::string text = reason.reason + "; make room: the download goes on by itself within a minute, or at once with 'millet resume " +
                     torrent.info_hash.hex() + "'";
  if (torrent.error != text) {
    LogLine(core_.log, LogLevel::error, "download_waits")
        .add("torrent", torrent.info_hash.hex())
        .add("name", torrent.name)
        .add("reason", text);
  }
  torrent.error = text;
  release_peers(torrent);
}

void Downloads::on_piece_hashed(Instant now, Ticket ticket, const Result<Sha1Digest>& digest) {
  for (size_t i = 0; i < evidence_.size(); ++i) {
    if (evidence_[i].ticket == ticket) return evidence_[i].digest ? on_compared(now, i, digest) : on_gathered(now, i, digest);
  }
  auto found = hashes_.find(ticket);
  CHECK(found != hashes_.end());
  Hash hash = found->second;
  hashes_.erase(found);
  Torrent* torrent = core_.torrents.find(hash.torrent);
  if (torrent == nullptr || torrent->picker == nullptr || torrent->picker_epoch != hash.epoch) return;
  if (torrent->writes_open == 0) core_.idle.insert(torrent->handle);
  if (!digest) {
    core_.failures.push_back({torrent->handle, digest.error().reason});
    return;
  }
  bool good = *digest == torrent->piece_hash(hash.piece) || core_.faults.has(speed::Bug::skip_hash);
  // Before anybody is asked for its blocks again, which would take the place of these.
  if (!good && gather(*torrent, hash.piece)) return;
  piece_hashed(now, *torrent, hash.piece, good);
}

void Downloads::piece_hashed(Instant now, Torrent& torrent, uint32_t piece, bool good) {
  std::vector<SourceId> sources = torrent.picker->on_hashed(piece, good);
  if (good) {
    piece_verified(now, torrent, piece, sources);
  } else {
    piece_bad(now, torrent, piece, sources);
  }
  core_.hungry.insert(torrent.handle);
}

// ---- evidence (speed/PROTOCOL.md section 7) ----

// False: there is no room, and it is not to be paid.
bool Downloads::keep(const Evidence& evidence) {
  auto idle = evidence_.begin();
  while (evidence_.size() == k_evidence_max && idle != evidence_.end() && idle->ticket != 0) ++idle;
  bool full = evidence_.size() == k_evidence_max;
  const Evidence* loser = !full ? nullptr : idle == evidence_.end() ? &evidence : &*idle;
  if (loser != nullptr) payments_.forget_blocks(loser->source, loser->torrent, loser->piece);
  if (loser == &evidence) return false;
  if (full) evidence_.erase(idle);
  evidence_.push_back(evidence);
  return true;
}

// The piece has failed its hash: true if several sources had a part in it and some are to be paid for theirs, which is hashed first.
bool Downloads::gather(Torrent& torrent, uint32_t piece) {
  uint32_t blocks = torrent.layout.block_count(piece);
  bool any = false;
  for (uint32_t block = 0, end = 0; block < blocks; block = end) {
    SourceId source = torrent.picker->source_of({piece, block});
    for (end = block + 1; end < blocks && torrent.picker->source_of({piece, end}) == source;) ++end;
    if (end - block == blocks) return false;
    if (!payments_.is_pending(source, torrent.info_hash, piece)) continue;
    uint32_t begin = block * k_block_size;
    uint32_t length = std::min(end * k_block_size, torrent.layout.piece_size(piece)) - begin;
    Ticket ticket = core_.new_ticket(TicketKind::piece);
    if (!keep({torrent.info_hash, piece, source, begin, length, torrent.picker_epoch, ticket, std::nullopt})) continue;
    core_.act(HashPiece{ticket, torrent.handle, piece, begin, length});
    any = true;
  }
  return any;
}

// The piece has verified: true if there is evidence about it, which is compared first.
bool Downloads::compare(const Torrent& torrent, uint32_t piece) {
  bool any = false;
  for (Evidence& one : evidence_) {
    if (one.torrent != torrent.info_hash || one.piece != piece || one.ticket != 0) continue;
    one.ticket = core_.new_ticket(TicketKind::piece);
    core_.act(HashPiece{one.ticket, torrent.handle, piece, one.begin, one.length});
    any = true;
  }
  return any;
}

bool Downloads::is_open(const InfoHash& torrent, uint32_t piece) const {
  return std::any_of(evidence_.begin(), evidence_.end(),
                     [&](const Evidence& one) { return one.ticket != 0 && one.torrent == torrent && one.piece == piece; });
}

void Downloads::on_gathered(Instant now, size_t index, const Result<Sha1Digest>& digest) {
  Evidence one = evidence_[index];
  Torrent* torrent = core_.find_torrent(one.torrent);
  bool stale = torrent == nullptr || torrent->picker == nullptr || torrent->picker_epoch != one.epoch;
  if (stale || !digest) {
    payments_.forget_blocks(one.source, one.torrent, one.piece);
    evidence_.erase(evidence_.begin() + static_cast<std::ptrdiff_t>(index));
    if (!stale) core_.failures.push_back({torrent->handle, digest.error().reason});
    return;
  }
  evidence_[index].digest = *digest;
  evidence_[index].ticket = 0;
  if (!is_open(one.torrent, one.piece)) piece_hashed(now, *torrent, one.piece, false);
}

void Downloads::on_compared(Instant now, size_t index, const Result<Sha1Digest>& digest) {
  Evidence one = evidence_[index];
  evidence_.erase(evidence_.begin() + static_cast<std::ptrdiff_t>(index));
  if (!digest) {
    payments_.forget_blocks(one.source, one.torrent, one.piece);
  } else if (*digest != *one.digest) {
    condemn(now, one.source, one.torrent, one.piece);
  }
  if (!is_open(one.torrent, one.piece)) payments_.on_piece_verified(now, one.torrent, one.piece);
}

// What it sent of the piece was wrong. It may be gone.
void Downloads::condemn(Instant now, SourceId source, const InfoHash& torrent, uint32_t piece) {
  payments_.on_bad_blocks(now, source, torrent, piece);
  core_.blamed.push_back({source, "sent a bad piece " + std::to_string(piece), k_bad_piece_ban});
}

void Downloads::piece_verified(Instant now, Torrent& torrent, uint32_t piece, const std::vector<SourceId>& sources) {
  torrent.have.set(piece);
  torrent.resume.verified(piece);
  if (!compare(torrent, piece)) payments_.on_piece_verified(now, torrent.info_hash, piece);
  plan_sync(now, torrent);
  if (sources.size() == 1) {
    if (Peer* peer = core_.peers.find(sources[0])) {
      if (peer->suspect) suspects_.erase_if([&](const IpAddress& one) { return one == peer->remote.address; });
      peer->suspect = false;
    }
  }
  for (PeerHandle handle : torrent.peers) {
    Peer* peer = core_.peers.find(handle);
    if (peer == nullptr || !peer->is_open()) continue;
    // A seed needs no more haves; everybody else learns what it can get from us.
    if (!peer->session->pieces().all()) {
      peer->session->send_have(piece);
      core_.pull(*peer);
    }
    if (!peer->session->pieces().test(piece)) continue;
    --peer->wanted;
    if (peer->wanted == 0) update_interest(*peer);
  }
  if (torrent.picker->done()) core_.completed.insert(torrent.handle);
}

void Downloads::suspect(Peer& peer) {
  peer.suspect = true;
  const IpAddress& address = peer.remote.address;
  if (is_suspect(address)) return;
  if (suspects_.size() == k_suspects_max) suspects_.pop_front();
  suspects_.push_back(address);
}

bool Downloads::is_suspect(const IpAddress& address) const {
  return std::any_of(suspects_.begin(), suspects_.end(), [&](const IpAddress& one) { return one == address; });
}

void Downloads::piece_bad(Instant now, Torrent& torrent, uint32_t piece, const std::vector<SourceId>& sources) {
  LogLine(core_.log, LogLevel::warn, "bad_piece")
      .add("torrent", torrent.info_hash.hex())
      .add("piece", piece)
      .add("sources", uint64_t{sources.size()});
  if (sources.size() == 1) return condemn(now, sources[0], torrent.info_hash, piece);
  payments_.on_piece_failed(now, torrent.info_hash, piece);
  // Which of them is unknown: from now on each gets pieces of its own, and the next bad one is its own. However many pieces two of them
  // had begun together: an honest one must not be banned for its company.
  for (SourceId source : sources) {
    if (Peer* peer = core_.peers.find(source)) suspect(*peer);
  }
}

// ---- syncs ----

void Downloads::plan_sync(Instant now, Torrent& torrent) {
  if (torrent.resume.is_syncing() || !torrent.sync_at.is_never()) return;
  torrent.sync_at = now + k_sync_every;
  core_.torrent_deadlines.arm(torrent.handle, torrent.sync_at);
}

void Downloads::sync(Torrent& torrent) {
  if (torrent.resume.is_syncing() || !torrent.resume.needs_sync()) return;
  torrent.sync_at = Instant::never();
  torrent.resume.begin_sync();
  torrent.sync_ticket = core_.new_ticket(TicketKind::sync);
  core_.act(SyncTorrent{torrent.sync_ticket, torrent.handle});
}

void Downloads::on_synced(Instant now, Ticket ticket, const Result<FileStates>& files) {
  for (Torrent& torrent : core_.torrents) {
    if (torrent.sync_ticket != ticket) continue;
    torrent.sync_ticket = 0;
    core_.idle.insert(torrent.handle);
    if (!torrent.resume.is_syncing()) return;  // its files have been looked at anew in between
    if (!files) {
      torrent.resume.on_sync_failed();
      LogLine(core_.log, LogLevel::error, "sync_failed").add("torrent", torrent.info_hash.hex()).add("reason", files.error().reason);
      plan_sync(now, torrent);
      return;
    }
    torrent.files_now = *files;
    torrent.resume.on_synced();
    // The next leases go with this record, so that at an even rate there is no commit for them alone.
    std::vector<uint32_t> leases;
    if (torrent.is_downloading() && torrent.phase == TorrentPhase::active) torrent.picker->plan_lease(leases, true);
    if (leases.empty())
      store_.save_resume(torrent);
    else
      lease(torrent, leases);
    if (torrent.resume.needs_sync()) plan_sync(now, torrent);
    return;
  }
}

void Downloads::on_timer(Instant now, Torrent& torrent) {
  if (torrent.sync_at <= now) sync(torrent);
  if (torrent.retry_at <= now) {
    torrent.retry_at = Instant::never();
    torrent.disk_trouble = false;
    core_.hungry.insert(torrent.handle);
  }
  core_.torrent_deadlines.arm(torrent.handle, torrent.sync_at);
  core_.torrent_deadlines.arm(torrent.handle, torrent.retry_at);
}

bool Downloads::settle(Torrent& torrent) {
  if (torrent.writes_open > 0) return false;
  for (auto& [ticket, hash] : hashes_) {
    if (hash.torrent == torrent.handle && hash.epoch == torrent.picker_epoch && torrent.picker != nullptr) return false;
  }
  if (torrent.resume.needs_sync()) sync(torrent);
  return !torrent.resume.is_syncing();
}

}  // namespace millet
