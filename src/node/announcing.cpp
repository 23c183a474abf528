#include "node/announcing.h"

namespace millet {

void Announcing::start(Instant now, Torrent& torrent) {
  if (!core_.config.trackers) return;
  torrent.uploaded_base = torrent.counters.uploaded;
  torrent.downloaded_base = torrent.counters.downloaded;
  torrent.announcer.start(now);
  core_.torrent_deadlines.arm(torrent.handle, torrent.announcer.next_deadline());
}

void Announcing::complete(Instant now, Torrent& torrent) {
  torrent.announcer.complete(now);
  core_.torrent_deadlines.arm(torrent.handle, torrent.announcer.next_deadline());
}

void Announcing::stop(Instant now, Torrent& torrent) {
  torrent.announcer.stop(now);
  core_.torrent_deadlines.arm(torrent.handle, torrent.announcer.next_deadline());
}

void Announcing::on_network_back(Instant now) {
  for (Torrent& torrent : core_.torrents) {
    torrent.announcer.on_network_back(now);
    core_.torrent_deadlines.arm(torrent.handle, torrent.announcer.next_deadline());
  }
}

void Announcing::pump(Instant now) {
  // Without a network nobody is told; who ends says so all the same, within the time that it has for that.
  if (!core_.device.has_network && !core_.shutting_down) return;
  for (Torrent& torrent : core_.torrents) {
    // A node with a thousand torrents starts without a thousand sockets.
    if (exchanges_.size() >= core_.plan().announces) return;
    if (torrent.announcer.next_deadline() > now) continue;
    while (!send(now, torrent)) {
    }
    core_.torrent_deadlines.arm(torrent.handle, torrent.announcer.next_deadline());
  }
}

// False: the tracker's URL is of no use, and the next one is to be tried.
bool Announcing::send(Instant now, Torrent& torrent) {
  Announcer::Attempt attempt;
  if (!torrent.announcer.poll(now, attempt)) return true;
  AnnounceRequest request;
  request.info_hash = torrent.info_hash;
  request.peer_id = core_.identity.peer_id;
  request.port = core_.listen_port;
  request.uploaded = torrent.counters.uploaded - torrent.uploaded_base;
  request.downloaded = torrent.counters.downloaded - torrent.downloaded_base;
  request.left = torrent.layout.total_size() - torrent.bytes_done();
  request.event = attempt.event;
  request.key = torrent.key;
  bool stopping = attempt.event == AnnounceEvent::stopped;
  request.peers_wanted = stopping ? 0 : k_peers_wanted;
  request.tracker_id = attempt.tracker_id;
  Result<std::string> url = announce_url(attempt.tracker, request);
  if (!url) {
    torrent.announcer.on_failure(now, url.error().reason);
    return torrent.announcer.next_deadline() > now;
  }
  Ticket ticket = core_.new_ticket(TicketKind::announce);
  exchanges_[ticket] = {torrent.handle, attempt.tracker};
  core_.act(HttpExchange{ticket, std::move(*url), {}, k_tracker_reply_size_max, stopping ? k_stop_timeout_ms : k_timeout_ms});
  return true;
}

void Announcing::on_http_done(Instant now, Ticket ticket, const Result<HttpReply>& reply) {
  auto exchange = exchanges_.find(ticket);
  if (exchange == exchanges_.end()) return;
  Torrent* torrent = core_.torrents.find(exchange->second.torrent);
  exchanges_.erase(exchange);
  if (torrent != nullptr) {
    handle(now, *torrent, reply);
    core_.torrent_deadlines.arm(torrent->handle, torrent->announcer.next_deadline());
  }
  pump(now);
}

void Announcing::handle(Instant now, Torrent& torrent, const Result<HttpReply>& reply) {
  auto failed = [&](const std::string& reason) {
    torrent.announcer.on_failure(now, reason);
    LogLine(core_.log, LogLevel::warn, "announce_failed")
        .add("torrent", torrent.info_hash.hex())
        .add("reason", torrent.announcer.message());
  };
  if (!reply) return failed(reply.error().reason);
  if (reply->status != 200) return failed("answered with HTTP status " + std::to_string(reply->status));
  Result<AnnounceReply> parsed = parse_announce_reply(reply->body);
  if (!parsed) return failed("gave no announce reply: " + parsed.error().reason);
  if (parsed->failure) return failed("refuses: " + *parsed->failure);
  torrent.announcer.on_reply(now, *parsed);
  for (const Endpoint& peer : parsed->peers) torrent.peer_list.add(now, peer, PeerSource::tracker);
  core_.dial_wanted = core_.dial_wanted || !parsed->peers.empty();
  LogLine(core_.log, LogLevel::debug, "announced").add("torrent", torrent.info_hash.hex()).add("peers", uint64_t{parsed->peers.size()});
}

bool Announcing::is_finished() const {
  for (Torrent& torrent : core_.torrents) {
    if (torrent.announcer.has_trackers() && !torrent.announcer.is_finished()) return false;
  }
  return true;
}

void Announcing::cancel_all() {
  for (auto& [ticket, exchange] : exchanges_) core_.act(CancelHttp{ticket});
  exchanges_.clear();
}

void Announcing::forget(Instant now, Torrent& torrent) {
  torrent.announcer.stop(now);
  if (torrent.announcer.next_deadline() <= now) send(now, torrent);
  std::erase_if(exchanges_, [&](const auto& exchange) { return exchange.second.torrent == torrent.handle; });
}

}  // namespace millet
