// One uTP connection (BEP 29): what packets do to it, and which it wants to send. Belongs to Utp (utp.h), which finds it by its packets,
// asks it for runs, and hands on what it tells.
//
//   connect: SYN ->   <- STATE            our SYN's number is acknowledged; their first data has the number of their STATE
//   accept:  SYN ->   <- STATE  DATA ->   made by the DATA, not by the SYN: a SYN leaves no state (utp_cookie.h)
//   end:     FIN after the last byte, acknowledged; the other side's FIN is answered by ours; RESET at once
#pragma once

#include <cstdint>

#include "base/endpoint.h"
#include "swarm/utp_delay.h"
#include "swarm/utp_io.h"
#include "swarm/utp_path.h"
#include "swarm/utp_received.h"
#include "swarm/utp_rtt.h"
#include "swarm/utp_sent.h"

namespace millet {

class UtpConnection {
 public:
  // How far behind the first unacknowledged packet an acknowledgement may be and still be of this connection.
  static constexpr int k_ack_behind_max = 1024;
  // Packets beyond a hole that every implementation keeps: libtorrent as many as 1100 bytes fit in 1 MiB, libutp 1023.
  static constexpr uint16_t k_reach = 900;
  static constexpr Duration k_ack_delay = Duration::ms(20);
  static constexpr unsigned k_syns_max = 4;                            // 15 s in all
  static constexpr unsigned k_timeouts_max = 8;                        // in a row without a packet of theirs; about a minute
  static constexpr unsigned k_timeouts_doubted_max = 3;                // the same after an ICMP message that says so; about three seconds
  static constexpr Duration k_keep_alive = Duration::seconds(20);      // NAT mappings of UDP live 30 s
  static constexpr Duration k_keep_alive_grid = Duration::seconds(9);  // of all connections: one wake for many
  static constexpr uint8_t k_reorder_steps_max = 16;
  static constexpr Duration k_linger = Duration::seconds(3);

  enum class State : uint8_t {
    syn_sent,
    open,
    ending,     // both or one side's FIN is out; the owner is still there
    lingering,  // the owner is gone; what comes is acknowledged
    dead,       // to be removed
  };
  struct Setup {
    UtpId id;
    Endpoint remote;
    uint16_t receive_id;
    uint16_t send_id;
    uint16_t seq;     // of our first packet
    uint32_t window;  // UtpOptions::window
  };

  UtpConnection(const Setup& setup, UtpPath& path, UtpPool& pool);
  ~UtpConnection();
  UtpConnection(const UtpConnection&) = delete;

  UtpId id() const { return id_; }
  const Endpoint& remote() const { return remote_; }
  // The address of ours that its packets come from: the first one that the peer has sent to, as it knows us by it. 0.0.0.0: the system
  // chooses.
  const IpAddress& local() const { return local_; }
  void settle_local(const IpAddress& address) {
    if (local_.is_any()) local_ = address;
  }
  uint16_t receive_id() const { return receive_id_; }
  uint16_t send_id() const { return send_id_; }
  uint16_t first_seq() const { return first_seq_; }
  State state() const { return state_; }
  UtpPath& path() { return path_; }

  // ---- input ----
  void start_connect(Instant now);
  // Accepted: their packets begin with number `next_seq`.
  void start_accepted(Instant now, uint16_t next_seq);
  // Returns true if `packet`'s payload is to be handed to the owner straight from the datagram.
  bool on_packet(Instant now, const UtpPacket& packet);
  // A RESET with this acknowledgement is of this connection.
  bool believes_reset(uint16_t ack) const;
  void on_reset();
  // Nobody seems to listen there any more.
  void doubt() { doubted_ = true; }
  void on_timer(Instant now);
  Instant deadline() const;

  // ---- the owner ----
  void offer(Instant now, uint64_t bytes);
  uint64_t room() const;
  // The owner found no room, or has used it: it hears when there is some.
  void want_room() const { wants_room_ = true; }
  uint64_t acknowledged() const;
  uint64_t offered() const { return offered_; }
  void set_reading(Instant now, bool reading);
  void close(Instant now);
  // The owner has given up on the stream, or has heard that it is closed.
  void abandon(Instant now);
  void set_stalled(bool stalled) { stalled_ = stalled; }

  // ---- output ----
  bool wants_control() const { return ack_now_ || syn_due_ || (state_ == State::lingering && may_fin()); }
  bool wants_send() const;
  // The next control packet (SYN, STATE, FIN). False: none.
  bool plan_control(Instant now, UtpRun& run);
  // The next run of payload. nothing: none until something happens to this connection (its peer's window, an offer); no_room: the path is
  // full.
  enum class Plan : uint8_t { run, nothing, no_room };
  Plan plan_payload(Instant now, UtpRun& run);
  void commit(Instant now, const UtpRun& run, MutBytes buffer);
  // The RESET that tells the peer that its stream is gone. False: it has not heard of one, or knows already.
  bool make_reset(Instant now, UtpHeader& out) const;
  void on_refused(Instant now, uint16_t size) { path_.mtu.on_refused(now, size); }

  // Things to tell the owner, in this order.
  bool take_opened();  // accepted or connected
  void acknowledge_now() { ack_now_ = true; }
  bool was_accepted() const { return accepted_; }
  bool is_readable() const { return received_.is_readable() && reading_ && !closed_told_; }
  Bytes read_front() { return received_.front(); }
  void read_pop(Instant now);
  bool take_writable();
  bool take_closed();
  bool has_news() const;
  Errc reason() const { return reason_; }
  const char* reason_text() const { return reason_text_; }

  void trim();
  size_t memory() const { return sizeof(*this) + sent_.memory() + received_.memory(); }

  // For the engine's lines.
  bool in_ack_line = false;
  bool in_ready_line = false;
  bool in_news_line = false;
  uint16_t heap_place = UINT16_MAX;

 private:
  void fail(Errc reason, const char* text);
  bool on_state_packet(Instant now, const UtpPacket& packet);
  bool is_current(const UtpPacket& packet) const;
  void on_acknowledgement(Instant now, const UtpPacket& packet);
  void feed_controllers(Instant now, const UtpSent::Acked& acked, uint32_t path_before, uint32_t uplink_before);
  void take_round_trip(Instant now, uint32_t rtt_us);
  void find_losses(Instant now);
  void take_losses(Instant now, const UtpSent::Lost& lost);
  bool on_payload(Instant now, const UtpPacket& packet);
  bool on_data(Instant now, const UtpPacket& packet);
  void on_fin(const UtpPacket& packet);
  void check_end(Instant now);
  void arm_retransmission(Instant now);
  void on_retransmission_timer(Instant now);
  void note_ack(Instant now, size_t payload, bool at_once);
  uint32_t window_to_advertise() const;
  uint16_t ack_number() const;
  UtpHeader header(Instant now, UtpType type, uint16_t seq) const;
  uint64_t outstanding() const { return next_offset_ - acknowledged(); }
  uint64_t unsent() const { return offered_ - next_offset_; }
  uint64_t whole_offset(uint32_t low) const;
  uint64_t peer_room() const;
  bool is_room_worth_telling() const;
  void check_fin(Instant now);
  void set_control(UtpRun& run, UtpRun::Kind kind, const UtpHeader& header, Bytes sack);
  bool plan_probe(Instant now, UtpRun& run);
  bool plan_again(Instant now, UtpRun& run, uint32_t budget);
  bool plan_one_again(Instant now, UtpRun& run, uint16_t seq);
  bool plan_fresh(Instant now, UtpRun& run, uint32_t budget);
  void commit_control(Instant now, const UtpRun& run);
  void note_acknowledged(uint32_t window);
  Duration window_probe_pause() const;
  Instant keep_alive_at() const;
  void add_segment(UtpRun& run, uint16_t seq, uint64_t offset, uint16_t size);
  bool may_fin() const { return fin_wanted_ && !fin_sent_ && unsent() == 0; }
  bool is_over() const { return state_ == State::dead; }

  const UtpId id_;
  const Endpoint remote_;
  IpAddress local_;
  UtpPath& path_;
  UtpSent sent_;
  UtpReceived received_;
  UtpPool& pool_;
  UtpDelay delay_;
  UtpRtt rtt_;
  const uint16_t receive_id_;
  const uint16_t send_id_;
  const uint16_t first_seq_;
  const uint32_t window_;

  State state_ = State::syn_sent;
  bool accepted_ = false;
  bool opened_untold_ = false;
  bool closed_untold_ = false;
  bool closed_told_ = false;
  bool reading_ = true;
  bool stalled_ = false;            // the owner can't give the bytes now
  mutable bool wants_room_ = true;  // the owner is to hear of room: it had none, or has used what it had
  bool fin_wanted_ = false;
  bool fin_sent_ = false;
  bool ack_now_ = false;
  bool recovering_ = false;   // until everything up to recovery_end_ has arrived
  bool probed_tail_ = false;  // since the last progress
  bool send_one_ = false;     // whatever the windows say: a tail loss probe, or a probe of a closed window
  bool syn_due_ = false;
  bool doubted_ = false;          // nobody listens there, as ICMP says; nothing has come since
  bool short_in_flight_ = false;  // a packet below full size, number short_seq_
  uint16_t short_seq_ = 0;
  uint16_t recovery_end_ = 0;
  uint16_t since_ack_ = 0;  // packets that came since we last acknowledged
  uint8_t backoff_ = 0;     // doublings of the retransmission timeout
  uint8_t silent_ = 0;      // timeouts since anything came
  uint8_t syns_ = 0;
  uint8_t probes_of_window_ = 0;
  uint8_t reorder_steps_ = 1;  // RFC 8985 section 6.2: quarters of a round trip that a packet may be late
  Errc reason_ = Errc::unavailable;
  const char* reason_text_ = "";

  uint64_t offered_ = 0;      // stream bytes that the owner has
  uint64_t next_offset_ = 0;  // the first that has no packet yet
  uint32_t peer_window_ = 0;
  uint32_t told_window_ = 0;  // what we advertised last
  Instant last_sent_;
  Instant ack_at_ = Instant::never();
  Instant retransmit_at_ = Instant::never();
  Instant reorder_at_ = Instant::never();
  Instant window_probe_at_ = Instant::never();
  Instant linger_until_ = Instant::never();
};

}  // namespace millet
