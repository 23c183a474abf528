// Announces of all torrents over HTTP, a bounded number at a time, and the peers that come back.
#pragma once

#include <map>

#include "node/core.h"

namespace millet {

class Announcing {
 public:
  static constexpr uint32_t k_timeout_ms = 30'000;
  // When the node ends, it waits so long for trackers to hear it.
  static constexpr uint32_t k_stop_timeout_ms = 3'000;
  static constexpr uint32_t k_peers_wanted = 80;

  explicit Announcing(Core& core) : core_(core) {}

  void start(Instant now, Torrent& torrent);
  void complete(Instant now, Torrent& torrent);
  void stop(Instant now, Torrent& torrent);
  // Sends what is due; called when a torrent's deadline comes and when an exchange has ended.
  void pump(Instant now);
  // All running announcers go on at once.
  void on_network_back(Instant now);
  void on_http_done(Instant now, Ticket ticket, const Result<HttpReply>& reply);
  // Nothing more is to be told to any tracker.
  bool is_finished() const;
  // Gives up what is under way.
  void cancel_all();
  // The torrent is being removed: its trackers are told, and nobody waits for their answers.
  void forget(Instant now, Torrent& torrent);

 private:
  bool send(Instant now, Torrent& torrent);
  void handle(Instant now, Torrent& torrent, const Result<HttpReply>& reply);

  struct Exchange {
    TorrentHandle torrent;
    std::string tracker;
  };
  Core& core_;
  std::map<Ticket, Exchange> exchanges_;
};

}  // namespace millet
