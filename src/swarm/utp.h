// uTP (BEP 29): all streams over one UDP port, as an engine without I/O. Wire-compatible with libutp and libtorrent.
//
//   on_datagram() ----> [connections]  ----> poll(): accepted, connected, received, writable, closed
//   offer(), close() --> |  paths   |  ----> plan() and commit(): runs of packets
//   on_timer() -------> '-----------'  ----> next_deadline()
//
// Sent payload is not kept. The owner offers bytes by their number; when they are to go out, for the first time or again, a run names the
// ranges of the stream, and the owner writes them behind the headers in its buffer. It must be able to until acknowledged() has passed
// them. The order of one turn:
//
//   for each datagram: on_datagram(), then poll() until it gives nothing
//   plan() a run; fill its segments; commit() it, which writes the headers; send it; until plan() gives none or the turn has done enough
//   arm one timer for next_deadline()
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "base/random.h"
#include "base/token_bucket.h"
#include "swarm/utp_connection.h"
#include "swarm/utp_cookie.h"
#include "swarm/utp_io.h"
#include "swarm/utp_timers.h"

namespace millet {

class Utp {
 public:
  // What the metrics show; all count up.
  struct Counters {
    uint64_t packets_in = 0;
    uint64_t packets_out = 0;
    uint64_t strangers = 0;  // packets that belong to no connection
    uint64_t resets_in = 0;
    uint64_t refused = 0;        // connections for which there was no room
    uint64_t payload_in = 0;     // bytes that were handed to owners
    uint64_t payload_out = 0;    // bytes, first sending
    uint64_t payload_again = 0;  // bytes, retransmissions
  };

  Utp(const UtpOptions& options, SecureRandom& secure, uint64_t seed);
  ~Utp();
  Utp(const Utp&) = delete;

  // ---- input ----

  // Whether a datagram is for uTP at all; the others on the port are of the DHT and of trackers.
  static bool is_utp(Bytes datagram) { return datagram.size() >= k_utp_header_size && (datagram[0] & 15) == 1 && datagram[0] >> 4 <= 4; }
  // A datagram has come, to that address of ours (0.0.0.0: unknown); what answers it comes from there. Requires: poll() has given
  // everything since the last one; `datagram` stays valid until it has again.
  void on_datagram(Instant now, const Endpoint& from, Bytes datagram, const IpAddress& local = {});
  // The system was told (ICMP) that nobody listens there. It may be forged, so it only makes us less patient: a stream of that endpoint
  // that has something in flight ends after a few timeouts without an answer instead of many.
  void on_unreachable(const Endpoint& remote);
  void on_timer(Instant now);
  // When on_timer() has something to do. plan() may have something at any time after an input; that is not counted here.
  Instant next_deadline() const { return timers_.next(); }

  // ---- streams ----

  // Errors: no_room. connected or closed follows.
  Result<UtpId> connect(Instant now, const Endpoint& remote);
  // The next `bytes` of the stream can be had from the owner. Requires: neither closed nor close() was called.
  void offer(Instant now, UtpId stream, uint64_t bytes);
  // How many bytes more are worth an offer now: what the windows take, at most one run. More does no harm but can't be taken back.
  uint64_t room(UtpId stream) const;
  // The stream up to here has arrived: its bytes will not be asked for again.
  uint64_t acknowledged(UtpId stream) const;
  // `false`: what comes waits here, and the peer's window closes.
  void set_reading(Instant now, UtpId stream, bool reading);
  // Ends the stream behind what was offered; the owner still fills its runs until `closed`.
  void close(Instant now, UtpId stream);
  // Ends the stream at once, the peer is told. No event follows.
  void abandon(Instant now, UtpId stream);
  // The owner can't fill a run now: none of this stream is planned until resume(). For a run that was planned and not committed.
  void stall(UtpId stream);
  void resume(Instant now, UtpId stream);

  // ---- output ----

  // The next event. False: none.
  bool poll(Instant now, UtpEvent& out);
  // The next run that may go out now. Nothing has happened until commit(). False: none.
  bool plan(Instant now, UtpRun& out);
  // The run is sent: writes its headers into `buffer`. Requires: no other call since plan(), but stall(); buffer.size() >= run.size().
  void commit(Instant now, const UtpRun& run, MutBytes buffer);
  // The system refused a run because of the size of its packets (EMSGSIZE).
  void on_too_big(Instant now, const UtpRun& run);

  size_t count() const { return count_; }
  const Counters& counters() const { return counters_; }
  // Bytes that all connections hold, and that one holds.
  size_t memory() const;
  size_t memory(UtpId stream) const;
  // For tests and metrics: window in bytes that holds a stream back, microseconds of queue, bytes of a packet, of a stream's path.
  uint32_t window(UtpId stream) const;
  uint32_t queue_us(UtpId stream) const;
  uint32_t packet_size(UtpId stream) const;
  // Of the uplink that all paths share. Nothing: none has measured its queue lately.
  std::optional<UplinkUse> uplink_use(Instant now) const { return uplink_.use(now); }

 private:
  static constexpr uint16_t k_none = 0xffff;
  static constexpr size_t k_answers_max = 32;  // to strangers, waiting to be sent
  static constexpr uint64_t k_answers_per_second = 200;
  static constexpr size_t k_ended_max = 64;
  struct Answer {
    Endpoint to;
    IpAddress from;
    UtpHeader header;
  };
  struct Slot {
    std::unique_ptr<UtpConnection> connection;
    uint64_t uses = 0;
  };

  // connections by (remote, id)
  uint64_t hash_of(const Endpoint& remote, uint16_t receive_id) const;
  uint16_t find(const Endpoint& remote, uint16_t receive_id) const;
  void table_insert(uint16_t slot);
  void table_remove(uint16_t slot);
  UtpConnection* connection(UtpId stream) const;
  uint16_t slot_of(UtpId stream) const { return static_cast<uint16_t>(stream & 0xffff); }
  UtpPath& path_for(const IpAddress& address, uint16_t& index);
  uint16_t add(const Endpoint& remote, uint16_t receive_id, uint16_t send_id, uint16_t seq);
  void remove(uint16_t slot);
  uint64_t ended_mark(const Endpoint& remote, uint16_t receive_id, uint16_t seq) const;

  void on_stranger(Instant now, const Endpoint& from, const UtpPacket& packet, const IpAddress& local);
  void on_reset(Instant now, const Endpoint& from, const UtpHeader& header);
  void on_syn(Instant now, const Endpoint& from, const UtpPacket& packet, const IpAddress& local);
  uint16_t accept(Instant now, const Endpoint& from, const UtpPacket& packet);
  void deliver(Instant now, uint16_t slot, const UtpPacket& packet, const IpAddress& local);
  void answer(Instant now, const Answer& what);
  void touch(Instant now, uint16_t slot);
  void line_up(UtpPath& path, uint16_t index);
  bool plan_answer(UtpRun& out);
  bool plan_ack(Instant now, UtpLine& line, bool all, UtpRun& out);
  bool uplink_is_open(Instant now);
  bool plan_payload(Instant now, UtpRun& out);
  bool poll_connection(Instant now, uint16_t slot, UtpEvent& out);

  const UtpOptions options_;
  SecureRandom& secure_;
  Random random_;
  UtpCookies cookies_;
  UtpPool pool_;
  UtpUplink uplink_;
  std::vector<std::unique_ptr<UtpPath>> paths_;  // outlive their connections
  std::vector<Slot> slots_;
  std::vector<uint16_t> free_slots_;
  std::vector<uint16_t> path_of_;  // index of a slot's path
  std::vector<uint16_t> table_;    // slots by hash_of(), linear probing
  uint64_t table_key_;
  UtpTimers timers_;  // keys: slots, then connections_max + path
  UtpLine acks_;
  UtpLine late_acks_;  // of connections that have payload to send: it may take the acknowledgement along
  UtpLine news_;
  UtpLine path_line_;
  std::vector<Answer> answers_;
  TokenBucket answer_rate_;
  size_t count_ = 0;
  // Accepted connections that have ended, as hashes: their first packet, come late or twice, must not make them again.
  std::array<uint64_t, k_ended_max> ended_{};
  size_t next_ended_ = 0;
  Counters counters_;
  // The payload of the last datagram, until it is polled.
  uint16_t direct_slot_ = k_none;
  Bytes direct_;
  uint16_t popped_slot_ = k_none;  // its front was polled, and goes with the next call
};

}  // namespace millet
