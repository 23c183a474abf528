// Connections: who may connect, whom to dial, handshakes, and what each message leads to. Closing is deferred (Core::doom): a connection
// that breaks a rule is marked, and closed when the input is over, so that no part of the node sees a peer vanish under its hands.
#pragma once

#include "base/fifo.h"
#include "node/core.h"
#include "node/downloads.h"
#include "node/uploads.h"

namespace millet {

class Connections {
 public:
  static constexpr uint32_t k_dialling_max = 16;  // half open at a time: home routers choke on more
  static constexpr uint32_t k_peers_per_torrent = 50;
  static constexpr uint32_t k_peers_per_seed = 30;  // dialled by a torrent that only gives
  static constexpr Duration k_dial_time = Duration::seconds(15);
  // Several peers can share an address, so one that breaks the protocol is only banned when it comes back to do it again.
  static constexpr Duration k_protocol_ban = Duration::minutes(10);
  static constexpr uint32_t k_offences_max = 3;
  // A payer sends its last payment within a round trip of verifying, and the ledger may have to open a channel first.
  static constexpr Duration k_leave_time = Duration::seconds(60);
  static constexpr size_t k_bans_max = 1024;
  static constexpr size_t k_gone_max = 256;
  static constexpr size_t k_own_addresses_max = 16;
  static constexpr uint32_t k_requests_said = UploadQueue::k_requests_max;

  Connections(Core& core, Uploads& uploads, Downloads& downloads, Payments& payments)
      : core_(core), uploads_(uploads), downloads_(downloads), payments_(payments) {}

  std::optional<PeerHandle> on_accepted(Instant now, const Endpoint& remote, const IpAddress& local, Transport transport);
  void on_connected(Instant now, Peer& peer, const IpAddress& local, Transport transport);
  void on_closed(Instant now, Peer& peer, const Error& reason);
  void on_received(Instant now, Peer& peer, Bytes bytes);
  void on_timer(Instant now, Peer& peer);

  // The torrent's pieces are known: peers that came early hear of them, and others are dialled.
  void greet_all(Torrent& torrent);
  // What our extension handshake says has changed: it is sent again to all.
  void send_hello_again();
  // Closes all connections of a torrent.
  void drop_all(Torrent& torrent, const char* reason);
  // Connects to peers where there is room.
  void dial(Instant now);
  // When dial() has something to do that it had not before.
  Instant next_dial() const { return next_dial_; }
  // Closes connections until no more than `count` are left.
  void shrink_to(uint32_t count, const char* reason);
  // A peer, here or gone already, did harm.
  void blame(Instant now, const Core::Blame& blame);
  // Closes what was marked. True if there was anything.
  bool close_doomed(Instant now);
  // The torrent is complete: connections to other seeds have no use.
  void drop_seeds(Instant now, Torrent& torrent);
  // Closes connections without use whose payments are done.
  void drop_leaving(Instant now);

 private:
  struct Ban {
    IpAddress address;
    Instant until;
  };
  struct Gone {
    PeerHandle peer;
    IpAddress address;
  };
  bool is_banned(Instant now, const IpAddress& address) const;
  void ban(Instant now, const IpAddress& address, Duration time, const std::string& reason);
  uint32_t count_from(const IpAddress& address) const;
  uint32_t dialling() const;
  bool has_room() const;
  bool may_dial(const Torrent& torrent) const;
  bool dial_one(Instant now, Torrent& torrent);
  bool is_listed(const Torrent& torrent, const Endpoint& endpoint) const;
  void close(Instant now, Peer& peer, bool by_us);
  Status on_event(Instant now, Peer& peer, PeerEvent& event);
  Status on_handshake(Peer& peer);
  Status on_ourselves(Torrent& torrent, Peer& peer);
  Status check_duplicate(Torrent& torrent, Peer& peer);
  void greet(Torrent& torrent, Peer& peer);
  void on_offence(Instant now, const IpAddress& address, const std::string& reason);
  Instant first_retry() const;
  void check_useless(Instant now, Torrent& torrent, Peer& peer);
  SessionHello hello_for(const Torrent& torrent, const Peer& peer) const;

  Core& core_;
  Uploads& uploads_;
  Downloads& downloads_;
  Payments& payments_;
  Fifo<Ban> bans_;      // oldest first
  Fifo<Ban> offences_;  // until: when they are forgotten
  Instant next_dial_ = Instant::never();
  Fifo<Gone> gone_;  // recently closed, for blame
  std::vector<Endpoint> own_addresses_;
};

}  // namespace millet
