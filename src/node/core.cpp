#include "node/core.h"

namespace millet {

Core::Core(const NodeConfig& config_in, const NodeIdentity& identity_in, SecureRandom& secure_in, LogSink& log_in)
    : config(config_in), identity(identity_in), secure(secure_in), log(log_in), random(Random::draw_seed(secure_in)),
      upload_gate(config_in.upload_rate), download_gate(config_in.download_rate) {}

bool Core::poll_action(Action& action) {
  if (next_action_ == actions_.size()) {
    actions_.clear();
    next_action_ = 0;
    return false;
  }
  action = std::move(actions_[next_action_++]);
  return true;
}

void Core::pull(Peer& peer) {
  if (peer.pulling || peer.doom || !peer.is_up) return;
  peer.pulling = true;
  act(PullPeer{peer.handle});
}

void Core::doom(Peer& peer, Error reason, Duration ban) {
  if (peer.doom) return;
  peer.doom = std::move(reason);
  peer.ban = ban;
  doomed.push_back(peer.handle);
}

Torrent* Core::find_torrent(const InfoHash& hash) {
  for (Torrent& torrent : torrents) {
    if (torrent.info_hash == hash) return &torrent;
  }
  return nullptr;
}

Torrent& Core::torrent_of(const Peer& peer) {
  Torrent* torrent = torrents.find(peer.torrent);
  CHECK(torrent != nullptr);
  return *torrent;
}

}  // namespace millet
