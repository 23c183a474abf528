#include "node/impl.h"

namespace millet {

// One round of consequences; true if there was any.
bool Node::Impl::settle_marks(Instant now) {
  bool any = false;
  for (const Core::Blame& blame : std::exchange(core.blamed, {})) {
    connections.blame(now, blame);
    any = true;
  }
  for (const Core::Failure& failure : std::exchange(core.failures, {})) {
    Torrent* torrent = core.torrents.find(failure.torrent);
    if (torrent != nullptr) lifecycle.fail(now, *torrent, failure.reason);
    any = true;
  }
  for (TorrentHandle handle : std::exchange(core.completed, {})) {
    Torrent* torrent = core.torrents.find(handle);
    if (torrent != nullptr) lifecycle.on_complete(now, *torrent);
    any = true;
  }
  for (TorrentHandle handle : std::exchange(core.idle, {})) {
    Torrent* torrent = core.torrents.find(handle);
    if (torrent != nullptr) lifecycle.on_idle(*torrent);
    any = true;
  }
  for (PeerHandle handle : std::exchange(core.extensions_changed, {})) {
    Peer* peer = core.peers.find(handle);
    if (peer != nullptr) payments.on_extensions(now, *peer);
  }
  payments.settle(now);
  if (std::exchange(core.greet_again, false)) {
    connections.send_hello_again();
    any = true;
  }
  connections.drop_leaving(now);
  if (connections.close_doomed(now)) any = true;
  for (TorrentHandle handle : std::exchange(core.hungry, {})) {
    Torrent* torrent = core.torrents.find(handle);
    if (torrent != nullptr) downloads.fill_all(now, *torrent);
    any = true;
  }
  return any;
}

void Node::Impl::settle(Instant now) {
  while (settle_marks(now)) {
  }
  // What the choker does may lead to more; it ends because a slot that was given is kept until the next round.
  if (core.slots_changed || payments.wants_auction()) {
    core.slots_changed = false;
    choking.fill(now);
    while (settle_marks(now)) {
    }
  }
  if (core.dial_wanted) connections.dial(now);
  verification.pump();
  uint64_t moved = core.up.total() + core.down.total();
  if (moved != counted_ && counters_at_.is_never()) counters_at_ = now + k_counters_every;
  if (core.shutting_down) continue_shut_down(now);
  persistence.flush();
}

void Node::Impl::on_timer(Instant now) {
  uint32_t key = 0;
  while (core.peer_deadlines.pop(now, key)) {
    if (Peer* peer = core.peers.find(key)) connections.on_timer(now, *peer);
  }
  bool announce = false;
  while (core.torrent_deadlines.pop(now, key)) {
    Torrent* torrent = core.torrents.find(key);
    if (torrent == nullptr) continue;
    downloads.on_timer(now, *torrent);
    lifecycle.on_timer(now, *torrent);
    if (torrent->announcer.next_deadline() <= now) {
      announce = true;
    } else {
      core.torrent_deadlines.arm(torrent->handle, torrent->announcer.next_deadline());
    }
  }
  if (announce) announcing.pump(now);
  uploads.on_granted(now);
  downloads.on_granted(now);
  payments.on_timer(now);
  choking.on_timer(now);
  if (connections.next_dial() <= now) core.dial_wanted = true;
  if (counters_at_ <= now && core.device.hold_writes) counters_at_ = now + k_counters_every;
  if (counters_at_ <= now) save_counters();
  settle(now);
}

Instant Node::Impl::next_deadline() const {
  Instant next = earlier(core.peer_deadlines.next(), core.torrent_deadlines.next());
  next = earlier(next, earlier(core.upload_gate.next_deadline(), core.download_gate.next_deadline()));
  next = earlier(next, earlier(choking.next_deadline(), connections.next_dial()));
  next = earlier(next, earlier(counters_at_, payments.next_deadline()));
  return done_told_ ? Instant::never() : earlier(next, shut_down_deadline());
}

void Node::Impl::note_earnings() {
  for (Torrent& torrent : core.torrents) torrent.counters.earned = torrent.earned_before + payments.earned(torrent).in_micro();
}

void Node::Impl::save_counters() {
  note_earnings();
  counters_at_ = Instant::never();
  counted_ = core.up.total() + core.down.total();
  for (Torrent& torrent : core.torrents) {
    // Without a record, or while one is being made, there is nothing that could hold them.
    if (torrent.has_record && torrent.known && torrent.counters != torrent.counters_committed) store.save_resume(torrent);
  }
}

Status Node::Impl::set_config(Instant now, const NodeConfig& config) {
  if (config.listen != core.config.listen) return error(Errc::unsupported, "node.listen takes effect at the next start of milletd");
  core.config = config;
  device.set_options(device_options(config));
  core.upload_gate.set_rate(now, core.upload_rate());
  core.download_gate.set_rate(now, config.download_rate);
  choking.restart(now);
  payments.set_config(now);
  core.dial_wanted = true;
  return ok;
}

void Node::Impl::shut_down(Instant now) {
  if (core.shutting_down) return;
  core.shutting_down = true;
  shut_down_at_ = now;
  persistence.hold_unhurried(false);
  for (Torrent& torrent : core.torrents) lifecycle.stop(now, torrent, "the node ends");
  for (Peer& peer : core.peers) core.doom(peer, error(Errc::unavailable, "the node ends"));
  payments.shut_down(now);
  announcing.pump(now);
}

Instant Node::Impl::shut_down_deadline() const {
  if (shut_down_at_.is_never() || done_told_) return Instant::never();
  return shut_down_at_ + (trackers_given_up_ ? k_give_up_time : k_shut_down_time);
}

// Writes end, what was verified is synced, records without a lease are committed; trackers hear of it meanwhile.
void Node::Impl::continue_shut_down(Instant now) {
  if (done_told_) return;
  if (now >= shut_down_at_ + k_shut_down_time) trackers_given_up_ = true;
  if (!state_saved_) state_saved_ = save_last_records();
  bool saved = state_saved_ && payments.is_quiet() && persistence.idle();
  if (!saved && now >= shut_down_at_ + k_give_up_time) {
    LogLine(core.log, LogLevel::error, "ends_unsaved")
        .add("reason", persistence.trouble())
        .add("help", "the next start checks what was being written");
    saved = true;
  }
  if (!saved || !(announcing.is_finished() || trackers_given_up_)) return;
  announcing.cancel_all();
  done_told_ = true;
  core.act(ShutDownDone{});
}

bool Node::Impl::save_last_records() {
  note_earnings();
  bool settled = true;
  for (Torrent& torrent : core.torrents) settled = downloads.settle(torrent) && settled;
  if (!settled) return false;
  for (Torrent& torrent : core.torrents) {
    if (!torrent.known || !torrent.has_record) continue;
    bool had_leases = torrent.resume.has_leases();
    torrent.resume.drop_idle_leases();
    if (had_leases || torrent.counters != torrent.counters_committed) store.save_resume(torrent);
  }
  persistence.flush();
  return true;
}

}  // namespace millet
