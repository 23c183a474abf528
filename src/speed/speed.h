// BitTorrent Speed as a node drives it: one object for all its connections, torrents and channels, in both roles. An engine: no I/O, no
// clock, no threads; after every call poll() is drained and next_deadline() is armed. The protocol is in PROTOCOL.md.
//
// What the node calls, and when:
//
//   start        restore() for every record of k_tables, then start()
//   connection   on_connected() once both extension handshakes name btt_speed; on_message() for each message under our id;
//                on_disconnected() when it ends, on_withdrawn() when a later handshake withdraws the extension
//   provider     payee().rechoke() every 10 s and at RechokeWanted, with the interested peers; the choker
//   leaves
//                peers alone that payee().holds_slot(), and says on_free_unchoke()/on_free_choke() for those that it serves for nothing;
//                payee().may_send() before every block, payee().on_block_sent() when it enters the stream
//   requester    payer().set_torrent(), set_bytes_left(), finish(); set_wanted() per peer; on_choked(), on_unchoked(), on_block_received()
//   in
//                the order of the stream; on_piece_verified(), on_piece_failed(), on_bad_blocks(), forget_blocks()
//   outputs      in their order. SendMessage goes out before any block that is not in the stream yet
//   work         on_signed(), on_verified(), on_durable(), on_ledger()
//
// is_banned() is to be asked before a connection is accepted or opened.
#pragma once

#include <optional>
#include <utility>

#include "speed/payer.h"

namespace millet::speed {

struct SpeedOptions {
  PayeeOptions payee;
  PayerOptions payer;
  // Signatures that others make us check, per second: 10 % of the processor. 12,000 a second take a whole core of a server, 80 one of a
  // 580 MHz MIPS.
  uint32_t verifications_per_second = 500;
};

class Speed {
 public:
  Speed(const Identity& identity, const SpeedOptions& options, SecureRandom& random, LogSink& log, const Faults& faults = {});
  Speed(const Speed&) = delete;

  // ---- start and end ----
  // One durable record. `table` is one of k_tables. Errors: bad_input (another version, damaged).
  Status restore(Instant now, std::string_view table, Bytes key, Bytes value);
  void start(Instant now);
  // Serves and buys nothing more for money; when is_quiet(), everything that must be durable is, and what was earned is claimed as far as
  // the ledger answers within Payee::k_last_claims.
  void shut_down(Instant now);
  bool is_quiet() const;

  // ---- connections ----
  // Seconds that connections with this address are refused; 0: none.
  uint64_t banned_for(Instant now, const IpAddress& address) const;
  void on_connected(Instant now, PeerHandle peer, const PeerInfo& info);
  void on_disconnected(Instant now, PeerHandle peer);
  // A later extension handshake gave the extension the id 0: the connection goes on without it.
  void on_withdrawn(Instant now, PeerHandle peer);
  // A payload of the extension, from the subtype on. What breaks the protocol ends the connection (DisconnectPeer).
  void on_message(Instant now, PeerHandle peer, Bytes payload);
  // Both sides have proved their keys, as far as it mattered; for listings.
  bool is_proven(PeerHandle peer) const;

  Payee& payee() { return payee_; }
  const Payee& payee() const { return payee_; }
  Payer& payer() { return payer_; }
  const Payer& payer() const { return payer_; }
  void set_options(Instant now, const SpeedOptions& options);
  // What was earned and spent, by day and torrent.
  std::vector<HistoryEntry> history() const { return ctx_.history.entries(); }

  // ---- answers to outputs ----
  void on_signed(Instant now, Ticket ticket, const Signature& signature);
  void on_verified(Instant now, Ticket ticket, bool valid);
  void on_ledger(Instant now, Ticket ticket, const LedgerReply& reply);
  void on_durable(Instant now, uint64_t sequence);
  // The ledger's time is known from something else that it signed.
  void on_ledger_time(Instant now, LedgerTime time);
  // The newest head of the ledger's log that was checked: what HELLO shows from now on.
  void set_tree_head(const TreeHeadBytes& head) { ctx_.tree_head = head; }
  // The head that the last HELLO showed, once; whether it is true is not known.
  std::optional<TreeHeadBytes> take_tree_head_seen() { return std::exchange(tree_head_seen_, std::nullopt); }
  std::optional<LedgerTime> ledger_time(Instant now) const { return ctx_.clock.now(now); }

  // ---- outputs and time ----
  bool poll(Instant now, Output& output);
  Instant next_deadline(Instant now);
  void on_timer(Instant now);

 private:
  // What a peer that took the extension back has said before: it may offer it again, as the same one, and not without end, because each
  // offer costs a signature.
  struct Withdrawn {
    std::optional<PublicKey> key;
    uint32_t times = 0;
  };
  static constexpr uint32_t k_withdrawals_max = 8;

  void fail(PeerHandle peer, const Status& status);
  void commit_if_due(Instant now);

  Context ctx_;
  SpeedOptions options_;
  Payee payee_;
  Payer payer_;
  std::map<PeerHandle, Session> sessions_;
  std::map<PeerHandle, Withdrawn> withdrawn_;  // bounded by the connections
  LedgerTime clock_stored_;
  std::optional<TreeHeadBytes> tree_head_seen_;
};

}  // namespace millet::speed
