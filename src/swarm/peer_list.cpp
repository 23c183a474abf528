#include "swarm/peer_list.h"

#include <algorithm>

namespace millet {
namespace {

template <typename Peers>
auto place_of(Peers& peers, const Endpoint& endpoint) {
  return std::lower_bound(peers.begin(), peers.end(), endpoint, [](const auto& peer, const Endpoint& e) { return peer.endpoint < e; });
}

}  // namespace

PeerList::Peer* PeerList::find(const Endpoint& endpoint) {
  auto at = place_of(peers_, endpoint);
  return at != peers_.end() && at->endpoint == endpoint ? &*at : nullptr;
}

void PeerList::add(Instant now, const Endpoint& endpoint, PeerSource source) {
  if (endpoint.port == 0 || endpoint.address.is_unusable()) return;
  if (Peer* known = find(endpoint)) {
    if (source == PeerSource::user) *known = Peer{endpoint, now, source, 0, known->connected};
    return;
  }
  if (peers_.size() == k_peers_max && !make_room()) return;
  peers_.insert(place_of(peers_, endpoint), Peer{endpoint, now, source, 0, false});
}

bool PeerList::make_room() {
  auto worst = peers_.end();
  for (auto it = peers_.begin(); it != peers_.end(); ++it) {
    if (it->connected || it->source == PeerSource::user || it->failures == 0) continue;
    if (worst == peers_.end() || it->failures > worst->failures) worst = it;
  }
  if (worst == peers_.end()) return false;
  peers_.erase(worst);
  return true;
}

void PeerList::remove(const Endpoint& endpoint) {
  std::erase_if(peers_, [&](const Peer& peer) { return peer.endpoint == endpoint; });
}

std::optional<Endpoint> PeerList::next(Instant now) {
  Peer* best = nullptr;
  for (Peer& peer : peers_) {
    if (peer.connected || peer.next_try > now) continue;
    if (best == nullptr || peer.failures < best->failures || (peer.failures == best->failures && peer.next_try < best->next_try))
      best = &peer;
  }
  if (best == nullptr) return std::nullopt;
  best->connected = true;
  return best->endpoint;
}

Instant PeerList::next_deadline() const {
  Instant first = Instant::never();
  for (const Peer& peer : peers_) {
    if (!peer.connected) first = earlier(first, peer.next_try);
  }
  return first;
}

void PeerList::on_connected(const Endpoint& endpoint) {
  if (Peer* peer = find(endpoint)) {
    peer->connected = true;
    peer->failures = 0;
  }
}

Duration PeerList::pause(const Peer& peer) {
  Duration longest = peer.source == PeerSource::user ? k_retry_user_max : k_retry_max;
  int64_t us = std::min(k_retry_first.in_us() << std::min<int>(peer.failures, 20), longest.in_us());
  // Up to a quarter more, so that a swarm that lost its seed does not come back all at once.
  return Duration::us(us + static_cast<int64_t>(random_.below(static_cast<uint64_t>(us / 4))));
}

void PeerList::on_closed(Instant now, const Endpoint& endpoint, Ending ending) {
  Peer* peer = find(endpoint);
  if (peer == nullptr) return;
  peer->connected = false;
  if (ending == Ending::useless) {
    peer->next_try = now + k_retry_seed;
    return;
  }
  if (ending == Ending::worked) peer->failures = 0;
  peer->next_try = now + pause(*peer);
  if (ending == Ending::failed && ++peer->failures >= k_failures_max && peer->source != PeerSource::user) remove(endpoint);
}

void PeerList::retry_all(Instant now) {
  for (Peer& peer : peers_) peer.next_try = std::min(peer.next_try, now);
}

}  // namespace millet
