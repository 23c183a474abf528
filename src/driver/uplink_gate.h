// Which TCP connections go over our uplink, and when each of them may send: a congestion control of the system that gives way, where it has
// one; else the rate of swarm/tcp_uplink.h, dealt out in turn. Connections on this machine and on the local network are not held back.
#pragma once

#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/fifo.h"
#include "hal/streams.h"
#include "node/io.h"
#include "swarm/tcp_uplink.h"

namespace millet {

class UplinkGate {
 public:
  // Requires: streams outlives it.
  explicit UplinkGate(hal::Streams& streams) : streams_(streams) {}

  // The connection is open. True: it has to ask before it sends.
  bool add(PeerHandle peer, hal::StreamId stream);
  void remove(PeerHandle peer);

  // Bytes that may be sent out of turn: none while others wait.
  uint64_t room(Instant now) { return line_.empty() ? uplink_.room(now) : 0; }
  // It has more to send than there was room for. Requires: it does not wait yet.
  void wait(PeerHandle peer) { line_.push_back(peer); }
  struct Turn {
    PeerHandle peer = 0;
    uint64_t room = 0;  // bytes
  };
  // Whose turn it is; it does not wait any more.
  std::optional<Turn> next(Instant now);
  void on_sent(Instant now, PeerHandle peer, uint64_t bytes);

  // Looks at the connections, if it is time to. `utp`: what uTP knows of the same uplink.
  void on_timer(Instant now, const std::optional<UplinkUse>& utp);
  Instant next_deadline(Instant now) { return line_.empty() ? look_at_ : earlier(look_at_, uplink_.room_at(now)); }

  const TcpUplink& uplink() const { return uplink_; }

 private:
  struct Connection {
    hal::StreamId stream = 0;
    TcpUplink::Flow flow;
    bool is_active = false;  // in active_
  };

  hal::Streams& streams_;
  TcpUplink uplink_;
  std::unordered_map<PeerHandle, Connection> connections_;
  Fifo<PeerHandle> line_;
  std::vector<PeerHandle> active_;  // have sent what is not known to have arrived
  Instant look_at_ = Instant::never();
};

}  // namespace millet
