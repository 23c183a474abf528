// BitTorrent Speed inside a node: brings the engines of src/speed together with the node's peers, torrents, slots, commits and the ledger.
// It decides nothing about money; it makes the calls that speed/speed.h asks for, carries out what comes back, and remembers auctions for
// listings.
//
// The engines exist once it is known which ledger they work with: from the state of an earlier run, or when the ledger has answered. Until
// then no peer hears of btt_speed. They also exist while speed.enabled is off, so that what was earned is still claimed.
#pragma once

#include <map>
#include <optional>

#include "base/fifo.h"
#include "node/core.h"
#include "node/ledger_link.h"
#include "node/persistence.h"
#include "speed/speed.h"

namespace millet {

class Payments {
 public:
  static constexpr size_t k_rounds_max = 256;  // auctions remembered for listings: 40 minutes of full rounds
  static constexpr Duration k_rarity_every = Duration::seconds(10);
  static constexpr size_t k_past_bids_max = 64;  // own bids of connections that have ended, for listings

  Payments(Core& core, Persistence& persistence);

  // ---- life ----
  // Errors: io; bad_input (a record that can't be read, or records of another ledger than the pinned one).
  Status restore(Instant now, StoreTransaction& state);
  // What restore() leaves to do while the node's key is locked. Errors: as restore; everything is as before then.
  Status unlock(Instant now, StoreTransaction& state);
  bool is_locked() const { return locked_; }
  void shut_down(Instant now);
  // Everything that the engines want durable is on its way or durable.
  bool is_quiet() const { return !speed_ || speed_->is_quiet(); }
  // Settings changed (speed.*, upload_rate).
  void set_config(Instant now);

  // ---- connections ----
  // Whether the extension handshake to peers of this torrent names btt_speed.
  bool offers(const Torrent& torrent) const;
  bool bans(Instant now, const IpAddress& address) const;
  // An extension handshake was sent or came: begins or ends the protocol with this peer.
  void on_extensions(Instant now, Peer& peer);
  void on_message(Instant now, Peer& peer, Bytes payload);
  void on_gone(Instant now, Peer& peer);

  // ---- provider ----
  bool holds_slot(const Peer& peer) const;
  // False: not now (the window, the order of payments); the connection is pulled again when that changes.
  bool may_send(Instant now, const Peer& peer, const wire::BlockRange& range);
  // The block enters the stream. True if it is sent for money.
  bool on_block_sent(Instant now, Peer& peer, const wire::BlockRange& range);
  // Holds the auction among these peers. Slots that change hands are choked and unchoked before it returns.
  void hold_auction(Instant now, const std::vector<PeerHandle>& interested, uint32_t slots);
  // The choker is about to unchoke / has choked a peer in a slot that is not sold.
  void on_free_unchoke(Instant now, const Peer& peer);
  void on_free_choke(Instant now, const Peer& peer);
  // For ties of the optimistic slot; zero without a bid that is accepted and backed.
  Rate backed_bid(Instant now, const Peer& peer);

  // ---- requester ----
  void on_choked(Instant now, const Peer& peer);
  void on_unchoked(Instant now, const Peer& peer);
  // Every block that comes in. True if it costs money.
  bool on_block_received(Instant now, const Peer& peer, const wire::BlockRange& range);
  // Blocks of this peer cost money now: its requests must be whole pieces in order, and nobody else's.
  bool is_bought(const Peer& peer) const;
  void on_piece_verified(Instant now, const InfoHash& torrent, uint32_t piece);
  // It came from several sources; on_bad_blocks() or forget_blocks() follows for those that are not to be paid, before it has verified.
  void on_piece_failed(Instant now, const InfoHash& torrent, uint32_t piece);
  // As of speed::Payer. The connection may be gone.
  bool is_pending(PeerHandle peer, const InfoHash& torrent, uint32_t piece) const;
  void on_bad_blocks(Instant now, PeerHandle peer, const InfoHash& torrent, uint32_t piece);
  void forget_blocks(PeerHandle peer, const InfoHash& torrent, uint32_t piece);

  // Payments to this peer, or words about them, are still to come: the connection must stay.
  bool is_busy(const Peer& peer) const { return peer.speaks_speed && speed_->payer().is_busy(peer.handle); }

  // ---- work ----
  void on_signed(Instant now, Ticket ticket, const Signature& signature);
  void on_verified(Instant now, Ticket ticket, bool valid);
  void on_http_done(Instant now, Ticket ticket, const Result<HttpReply>& reply);
  void on_durable(Instant now);

  // ---- time ----
  Instant next_deadline() const { return deadline_; }
  void on_timer(Instant now);
  // Tells the engines what was marked: Core::money_changed, Core::interest_changed.
  void settle(Instant now);
  // The auction is to be held now instead of at the next round. Reset by hold_auction().
  bool wants_auction() const { return auction_wanted_; }

  // ---- listings ----
  bool is_proven(const Peer& peer) const;
  std::vector<AuctionRound> auctions() const { return {rounds_.begin(), rounds_.end()}; }
  std::vector<OwnBid> own_bids() const;
  std::vector<NoBid> no_bids() const;
  std::vector<ChannelStatus> channels() const;
  std::vector<HistoryDay> history() const;
  Amount earned() const;                        // since the start
  Amount earned(const Torrent& torrent) const;  // since the start
  Amount spent(const Torrent& torrent) const;
  std::string ledger_state() const;
  std::string ledger_head() const;  // NodeStats

 private:
  // Whose ticket an answer belongs to.
  struct Work {
    bool of_link;
    uint64_t inner;
  };
  bool is_enabled() const;
  speed::SpeedOptions options() const;
  void make_speed(const LedgerId& ledger);
  void introduce(Instant now, const LedgerLink::Introduced& hello);
  void pump(Instant now);
  bool pump_speed(Instant now);
  bool pump_link(Instant now);
  void carry_out(Instant now, speed::Output& output);
  void carry_out_peer(Instant now, speed::Output& output);
  Ticket ticket_for(bool of_link, uint64_t inner);
  std::optional<Work> take_work(Ticket ticket);
  void update_budget(Instant now, const InfoHash& hash);
  void update_rarity(Instant now, const Torrent& torrent);
  void tell_rarity(Instant now, const Torrent& torrent, const Bitfield& rare, const Peer& peer);
  void remember(const speed::AuctionResult& result, uint32_t slots);
  void remember_bid(const Peer& peer);
  std::string why_no_bid(const Torrent& torrent) const;

  Core& core_;
  Persistence& persistence_;
  std::optional<LedgerLink> link_;
  std::unique_ptr<speed::Speed> speed_;
  std::optional<LedgerId> ledger_;
  std::optional<LedgerParams> params_;
  std::map<Ticket, Work> works_;
  struct PendingCommit {
    uint64_t node_sequence;
    uint64_t speed_sequence;
  };
  Fifo<PendingCommit> commits_;
  // A torrent that the engine bids for.
  struct Bought {
    speed::TorrentBudget budget;
    Bitfield rare;  // of the pieces that it lacks
    Instant rare_until;
  };
  std::map<InfoHash, Bought> told_;
  Fifo<AuctionRound> rounds_;  // oldest first
  Fifo<OwnBid> past_bids_;     // oldest first
  uint64_t round_count_ = 0;
  bool auction_wanted_ = false;
  bool pumping_ = false;
  bool locked_;  // NodeIdentity::locked, until it is not
  Instant deadline_ = Instant::never();
};

}  // namespace millet
