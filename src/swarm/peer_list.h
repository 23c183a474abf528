// The peers of one torrent that we know by address, and when to try each: fewest failures first, with a pause that doubles after each
// failure. Bounded. Which of them are connected is marked here, so that nobody is dialled twice.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/endpoint.h"
#include "base/random.h"
#include "base/time.h"

namespace millet {

// Who told us of a peer; peers that the user names are never dropped.
enum class PeerSource : uint8_t { user, tracker, incoming };

class PeerList {
 public:
  static constexpr size_t k_peers_max = 400;  // twice what a node connects to
  static constexpr Duration k_retry_first = Duration::seconds(5);
  static constexpr Duration k_retry_max = Duration::hours(1);
  static constexpr Duration k_retry_user_max = Duration::minutes(5);
  static constexpr uint8_t k_failures_max = 10;  // then it is forgotten
  // Two seeds have nothing to say to each other until one of them changes.
  static constexpr Duration k_retry_seed = Duration::hours(1);

  explicit PeerList(Random& random) : random_(random) {}

  // Known ones stay as they are. When the list is full, the one that failed most often makes room.
  void add(Instant now, const Endpoint& endpoint, PeerSource source);
  // Ours, or banned: never again.
  void remove(const Endpoint& endpoint);

  // The peer to dial next, nothing if none is due. It counts as connected from here on.
  std::optional<Endpoint> next(Instant now);
  Instant next_deadline() const;

  // A connection to an address that was given in or out came up.
  void on_connected(const Endpoint& endpoint);
  enum class Ending : uint8_t { failed, worked, useless };
  // It ended: never came up or broke the protocol; had been of use; both sides are seeds.
  void on_closed(Instant now, const Endpoint& endpoint, Ending ending);
  // All may be tried at once: we changed from seeding to downloading, or the user says so.
  void retry_all(Instant now);

  size_t size() const { return peers_.size(); }
  size_t memory() const { return peers_.capacity() * sizeof(Peer); }

 private:
  struct Peer {
    Endpoint endpoint;
    Instant next_try;
    PeerSource source = PeerSource::tracker;
    uint8_t failures = 0;
    bool connected = false;
  };
  Peer* find(const Endpoint& endpoint);
  Duration pause(const Peer& peer);
  bool make_room();

  Random& random_;
  std::vector<Peer> peers_;  // by endpoint
};

}  // namespace millet
