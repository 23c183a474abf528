// TCP connections between machines: what a program sees of them through hal::Streams, without the packets.
//
// A connection has two sides and two pipes. One pipe:
//
//   send() -> queue -> uplink, 16 KiB at a time, fairly shared -> wire (delay, loss as lateness) -> downlink -> inbox -> on_received
//             `---------------- acknowledged: room in the socket again, window open again <--------------------'
//
// Bytes are never missing and never out of order. While the path is cut or the other machine is off, chunks and acknowledgements are held
// and tried again at growing intervals; after NetworkOptions::reset_after the sender gives up and its program sees on_closed. A side whose
// machine lost power is gone without a word: the other side learns it from a reset when it sends after the machine is back.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>

#include "hal/sim/event.h"
#include "hal/sim/network.h"
#include "hal/streams.h"

namespace millet::sim {

class World;

// Sees every byte that a program hands to a socket and every byte that a program gets, in their order: for checks of what really went over
// the wire. The two sides of a connection have the stream ids n and n ^ 1; the even one dialled.
class Tap {
 public:
  virtual ~Tap() = default;
  virtual void on_open(hal::StreamId stream, uint32_t machine, const Endpoint& local, const Endpoint& remote) = 0;
  virtual void on_sent(hal::StreamId stream, Bytes bytes) = 0;
  // Before the program sees them.
  virtual void on_received(hal::StreamId stream, Bytes bytes) = 0;
  // No program is behind this side any more.
  virtual void on_end(hal::StreamId stream) = 0;
};

class Tcp final : public EventTarget {
 public:
  static constexpr size_t k_chunk_max = 16 * 1024;

  // One program's view: who gets the events of its sides.
  struct Owner {
    uint32_t machine = 0;
    hal::StreamEvents* events = nullptr;  // nothing is delivered while null
  };

  Tcp(World& world, Network& network, const NetworkOptions& options);
  ~Tcp() override;

  // Errors: conflict, bad_input (not an address of the machine).
  Result<Endpoint> listen(Owner& owner, hal::ListenerId id, const Endpoint& local);
  void set_accepting(Owner& owner, hal::ListenerId id, bool accepting);
  hal::StreamId connect(Owner& owner, const Endpoint& remote, const std::optional<IpAddress>& local);
  size_t send(Owner& owner, hal::StreamId stream, std::span<const Bytes> parts);
  void set_reading(Owner& owner, hal::StreamId stream, bool reading);
  void close(Owner& owner, hal::StreamId stream);
  Endpoint local_endpoint(Owner& owner, hal::StreamId stream) const;

  // The program has ended and the machine's kernel closes its sockets as close() does.
  void process_ended(Owner& owner);
  // The machine lost power: its sockets are gone and nobody is told.
  void power_lost(Owner& owner);
  // Whether the machine answers packets at all. Machines start off.
  void set_power(uint32_t machine, bool on);
  bool has_power(uint32_t machine) const { return machine < uplinks_.size() && uplinks_[machine].powered; }

  void set_tap(Tap* tap) { tap_ = tap; }
  // Connections that have an open side, for tests.
  size_t connection_count() const { return connections_.size(); }

  void on_event(uint32_t kind, uint64_t a, uint64_t b) override;

 private:
  enum EventKind : uint32_t {
    k_syn,
    k_connected,
    k_refused,
    k_handshake_done,
    k_connect_timeout,
    k_accept,
    k_link_free,
    k_arrive,
    k_deliver,
    k_ack,
    k_retry,
    k_reset,
    k_readable
  };
  enum class SideState : uint8_t { none, connecting, backlog, open, closed, gone };

  struct Side {
    uint32_t machine = 0;
    Owner* owner = nullptr;  // null: no program behind it any more
    Endpoint local;
    SideState state = SideState::none;
    bool reading = true;
    bool wants_writable = false;
  };
  // From side i to side 1 - i.
  struct Pipe {
    std::vector<uint8_t> queue;  // taken by send(), not yet on the link
    size_t unacknowledged = 0;
    size_t window = 0;                      // bytes that may still be put on the wire
    std::deque<std::vector<uint8_t>> wire;  // an empty chunk is the end of the stream (FIN)
    size_t in_downlink = 0;                 // chunks at the front of the wire that wait for the downlink
    Instant last_arrival;
    std::vector<uint8_t> inbox;
    bool end_queued = false;
    bool end_sent = false;
    bool end_arrived = false;
    bool waits_for_link = false;
    uint32_t held_chunks = 0;  // arrived at a cut path or a machine that is off
    size_t held_acks = 0;
    size_t held_window = 0;
    Instant stalled_since = Instant::never();
    Duration retry_after;
  };
  struct Connection {
    Side side[2];  // 0 dialled
    Pipe pipe[2];
    hal::ListenerId listener = 0;
  };
  struct Listener {
    Owner* owner = nullptr;
    hal::ListenerId id = 0;
    Endpoint local;
    bool accepting = true;
    std::deque<uint64_t> backlog;  // connection ids
  };
  struct Uplink {
    bool busy = false;
    std::deque<uint64_t> waiting;  // pipe ids, in turn
    Instant down_free;             // when the downlink has room again
    bool powered = false;
    uint16_t next_port = 32768;
  };

  static uint64_t stream_id(uint64_t connection, int side) { return connection * 2 + static_cast<uint64_t>(side); }
  Connection* find(uint64_t connection);
  Connection* find_own(const Owner& owner, hal::StreamId stream, SideState state);
  Uplink& uplink(uint32_t machine);
  bool reachable(const Connection& connection, int from) const;
  Listener* find_listener(uint32_t machine, const Endpoint& to);
  Listener* find_listener(const Owner& owner, hal::ListenerId id);

  void on_syn(uint64_t id, uint64_t attempt);
  void on_connected(uint64_t id, uint64_t attempt);
  void on_handshake_done(uint64_t id, uint64_t attempt);
  void on_accept(uint64_t id);
  void on_arrive(uint64_t pipe);
  void on_deliver(uint64_t pipe);
  void on_ack(uint64_t pipe, size_t acknowledged, size_t window);
  void on_retry(uint64_t pipe);
  void on_reset(uint64_t stream);
  void on_readable(uint64_t stream);

  void pump(uint64_t pipe);
  bool transmit(uint64_t pipe);  // one chunk; false: nothing to send
  void serve_uplink(uint32_t machine);
  void hold(uint64_t pipe, Connection& connection);
  void send_ack(uint64_t pipe, size_t acknowledged, size_t window, Duration extra);
  void send_reset(const Connection& connection, uint64_t id, int to);
  // The program of this side hears that the connection is over; the id is dead.
  void report_closed(uint64_t id, int side, Errc code, const char* reason);
  void report_received(uint64_t id, int side, Bytes bytes);
  void close_side(uint64_t id, int side);
  void forget_if_over(uint64_t id);

  World& world_;
  Network& network_;
  NetworkOptions options_;
  Tap* tap_ = nullptr;
  uint64_t next_connection_ = 1;
  std::map<uint64_t, Connection> connections_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  std::vector<Uplink> uplinks_;
};

}  // namespace millet::sim
