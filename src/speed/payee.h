// The provider's side of BitTorrent Speed: bids and the auction, what each payer owes, the channels that pay us, payments, claims and
// closings (PROTOCOL.md sections 5 to 11). All peers and channels of a node in one object. Part of Speed (speed.h), which routes messages
// and answers to it.
//
//   payee.cpp           peers, what they may be sent, what they owe, strikes
//   payee_bids.cpp      bids, the auction, slots, RATE
//   payee_pay.cpp       CHANNEL, PAY, counting, ACK, RESUME
//   payee_ledger.cpp    a channel's way through the ledger: check, claim, close
//   payee_store.cpp     durable records
#pragma once

#include <memory>
#include <set>
#include <span>

#include "base/token_bucket.h"
#include "speed/auction.h"
#include "speed/exposure.h"
#include "speed/records.h"
#include "speed/session.h"

namespace millet::speed {

struct PayeeOptions {
  bool enabled = true;
  Rate reserve = Rate::pico_per_byte(1000);         // 1 BTT per GB
  uint64_t upload_rate = 0;                         // bytes per second; 0: unlimited
  uint32_t risk_pieces = 128;                       // counted and not yet durable, over all payers
  Amount claim_threshold = Amount::micro(100'000);  // durable and not claimed, over all channels
  uint32_t window_pieces = 1;                       // that a payer with a clean history may have unpaid; 1: strict, for everybody
};

// A peer that wants data from us.
struct Candidate {
  PeerHandle peer = 0;
  bool unchoked = false;  // by the choker's own slots, for nothing
  uint64_t bonus = 0;     // bonus_for() on a torrent that downloads
  bool in_line = false;   // its next block waits for our upload rate
};

// One channel for listings.
struct ChannelView {
  ChannelId id;
  const char* state = "";
  PublicKey other;
  Amount capacity;
  Amount amount;  // counted or signed
  Amount durable;
  Amount claimed;
  LedgerTime expiry;
};

class Payee {
 public:
  static constexpr Duration k_pay_timeout = Duration::seconds(30);
  static constexpr Duration k_channel_timeout = Duration::seconds(15);
  static constexpr Duration k_ignore = Duration::minutes(10);
  static constexpr Duration k_finish_max = Duration::seconds(60);
  static constexpr Duration k_hold_max = Duration::seconds(120);
  static constexpr Duration k_old_debt = Duration::seconds(30);
  static constexpr Duration k_idle_slot = Duration::seconds(30);  // without a block, while others want the slot
  static constexpr Duration k_slow_slot = Duration::seconds(60);  // with less than a piece
  static constexpr uint64_t k_slow_bytes = 256 * 1024;            // or than this, if pieces are larger
  static constexpr uint32_t k_block_bytes = 16 * 1024;
  static constexpr Duration k_idle_close = Duration::minutes(10);
  static constexpr Duration k_ledger_fresh = Duration::seconds(60);
  static constexpr Duration k_commit_interval = Duration::seconds(10);
  static constexpr uint64_t k_resume_commit = 10;  // of the bucket that fills by one a second: one commit for a RESUME in that time, and
  static constexpr uint64_t k_resume_commits_at_once = 8;
  static constexpr uint64_t k_funds_life_s = 600;
  static constexpr uint64_t k_min_left_s = 25 * 60;  // of a channel that we accept
  static constexpr uint64_t k_margin_min_s = 600;
  static constexpr uint64_t k_backing_pieces = 64;
  static constexpr uint64_t k_known_pieces = 16;     // paid for: no longer unknown
  static constexpr uint64_t k_forgive_pieces = 4;    // paid for: one strike less
  static constexpr uint64_t k_covering_pieces = 16;  // room of a channel that stands for an empty bucket
  static constexpr size_t k_accounts_max = 4096;     // payers remembered
  static constexpr size_t k_network_accounts = 256;  // of them, unknown payers of one /24 or /48
  static constexpr uint32_t k_retry_after_s = 60;
  static constexpr size_t k_marks_max = 64;  // pieces of one peer with a running pay timer
  static constexpr uint32_t k_window_pieces_max = 64;
  static constexpr uint64_t k_streak_pieces = 16;  // paid in time: the window doubles
  static constexpr Duration k_last_claims = Duration::seconds(3);

  Payee(const PayeeOptions& options, Context& context);
  Payee(const Payee&) = delete;

  // ---- durable state, before anything else ----
  // Errors: bad_input.
  Status restore_channel(Bytes key, Bytes value);
  Status restore_debt(Instant now, Bytes key, Bytes value);

  // ---- connections ----
  void on_peer(Instant now, Session& session);
  void on_peer_gone(Instant now, PeerHandle peer);
  // The peer withdraws the extension: choked if it holds a paid slot; what it owes stays payable on a later connection.
  void on_withdrawn(Instant now, PeerHandle peer);
  void on_proven(Instant now, PeerHandle peer);
  // Somebody claims a key that it does not have: the address of one that has bid is struck, the key is not. What a provider says is perhaps
  // written by somebody on the wire, and costs nothing.
  void on_false_proof(Instant now, PeerHandle peer);
  // Errors: protocol, denied (the connection must end).
  Status on_message(Instant now, PeerHandle peer, const Message& message);

  // ---- serving ----
  // True if a block of `bytes` of this piece may be sent now. To be asked for the block that is next in the order of requests.
  bool may_send(Instant now, PeerHandle peer, uint32_t piece, uint32_t bytes);
  // The block enters the stream of the connection: after every message put out before, before every message put out after.
  // Requires: may_send() was true for it just now.
  void on_block_sent(Instant now, PeerHandle peer, uint32_t piece, uint32_t piece_bytes, uint32_t bytes);
  // Unpaid bytes of this peer's payer, and the window that bounds them; both 0 if nothing is served for money.
  struct Exposure {
    uint64_t unpaid = 0;
    uint64_t window = 0;
    uint64_t unpaid_unknown = 0;  // over all unknown payers that draw on the bucket
    uint64_t bucket = 0;          // taken from it
  };
  Exposure exposure(PeerHandle peer) const;

  // ---- slots ----
  // others_wait: somebody who wants data has no slot of any kind.
  AuctionResult rechoke(Instant now, std::span<const Candidate> candidates, uint32_t slots, bool others_wait);
  // A paid slot is held; the choker must leave this peer alone.
  bool holds_slot(PeerHandle peer) const;
  uint32_t slots_held() const;
  // The choker unchokes this peer for nothing: a bidder is told so.
  void on_free_unchoke(PeerHandle peer);
  void on_free_choke(Instant now, PeerHandle peer);
  // Zero without a bid that is accepted and backed.
  Rate backed_bid(Instant now, PeerHandle peer);

  // ---- settings ----
  void set_options(Instant now, const PayeeOptions& options);
  const PayeeOptions& options() const { return options_; }
  // A reserve of this torrent's own; nothing: the options'.
  void set_reserve(const InfoHash& torrent, std::optional<Rate> reserve);
  // It was removed.
  void forget(const InfoHash& torrent);
  // Makes everything durable and stops serving for money; channels stay open and go on after a restart. What they hold is claimed now: this
  // may be the last time that the machine is on before they expire.
  void shut_down(Instant now);
  // Claims of the shutdown are still under way.
  bool is_claiming() const;

  // ---- answers ----
  void on_signed(const WorkRef& work, const Signature& signature);
  // Errors: denied (the connection of work.peer must end).
  Status on_verified(Instant now, const WorkRef& work, bool valid);
  void on_ledger(Instant now, const WorkRef& work, const LedgerReply& reply);

  // ---- commits ----
  // When a commit is wanted; never if nothing has changed.
  Instant commit_at() const;
  void collect(StoreBatch& batch);
  void on_durable(Instant now);

  Instant next_deadline() const { return deadline_; }
  void on_timer(Instant now);

  std::vector<ChannelView> channels() const;
  // Since the start: in all, and for the torrents of the payers' connections.
  Amount counted_total() const { return counted_total_; }
  Amount counted_for(const InfoHash& torrent) const {
    auto found = counted_by_torrent_.find(torrent);
    return found == counted_by_torrent_.end() ? Amount() : found->second;
  }

 private:
  struct Voucher {
    uint64_t seq = 0;
    Amount cum;
    Signature signature;
    bool operator==(const Voucher&) const = default;
  };
  enum class ChannelState : uint8_t { checking, active, refused, closing };
  enum class Step : uint8_t { none, query, sign_close, call_close, sign_claim, call_claim };
  struct Channel {
    ChannelTerms terms;
    ChannelId id;
    ChannelState state = ChannelState::checking;
    AckStatus refusal = AckStatus::bad_channel;
    Voucher counted;
    Voucher committing;  // in the commit under way
    Voucher durable;
    bool dirty = false;  // differs from what is stored or being stored
    bool in_commit = false;
    bool stored = false;
    std::optional<PayMessage> waiting;  // the newest payment that nobody has verified yet
    std::optional<PayMessage> verifying;
    Ticket check = 0;  // of what is verifying
    bool resume_wanted = false;
    bool close_wanted = false;
    bool expiring_told = false;
    CloseReason close_reason = CloseReason::complete;
    Step step = Step::none;
    Backoff retry;
    Voucher claiming;  // what the claim under way names
    Amount claimed;
    LedgerTime effective_expiry;
    LedgerTime claim_at;
  };
  // One payer, over all its channels and connections.
  struct Account {
    PublicKey key;
    Debt debt;
    uint64_t paid_pieces = 0;        // in 256ths
    uint64_t clean_pieces = 0;       // in 256ths, since the last strike was taken back
    uint64_t streak = 0;             // in 256ths, since something was not paid in time
    std::optional<PeerHandle> peer;  // the paying connection
    Instant offline_since;
    Amount old_owed;          // from earlier connections, perhaps for blocks that were lost with them
    uint64_t charged = 0;     // bytes taken from the bucket; at least the unpaid ones while the payer is unknown
    bool bucketless = false;  // a channel stands for the debt, or the payer is known
    bool owing = false;       // a piece or more was unpaid, with room for it, when it left or ended a channel
    IpAddress network;
    IpAddress address;                 // of its last connection since the start
    InfoHash torrent;                  // that it gets, or got last
    uint32_t piece_size = 256 * 1024;  // of that torrent
    bool dirty = false;
    bool stored = false;
  };
  enum class Slot : uint8_t { none, free, offered, paid, finishing };
  struct PieceMark {
    uint32_t piece;
    uint64_t bytes;
    Amount due;  // by the payer in all, when it was complete
    Instant deadline;
    bool held = false;
  };
  struct Peer {
    explicit Peer(Session& s, Instant now)
        : session(&s), bids(now, 2, Duration::minutes(1)), funds_limit(now, 2, Duration::minutes(1)),
          channel_limit(now, 9, Duration::seconds(1)), waiting_since(now) {}
    // So many at once, and one more per interval.
    struct Limit {
      Limit(Instant now, uint32_t burst, Duration interval) : burst_(burst), left_(burst), interval_(interval), since_(now) {}
      bool take(Instant now) {
        while (left_ < burst_ && now - since_ >= interval_) {
          ++left_;
          since_ = since_ + interval_;
        }
        if (left_ == burst_) since_ = now;
        if (left_ == 0) return false;
        --left_;
        return true;
      }
      uint32_t burst_, left_;
      Duration interval_;
      Instant since_;
    };
    Session* session;
    Limit bids, funds_limit, channel_limit;
    // bid
    bool has_bid = false;
    uint32_t bid_seq = 0;
    Rate bid;
    FundsMessage funds;
    enum class Funds : uint8_t { none, held, verifying, good } funds_state = Funds::none;
    Ticket funds_check = 0;
    // By the newest statement whose signature is good: it counts until the check of the next one is through.
    Amount backing;
    LedgerTime backing_time;
    bool superseded = false;
    std::optional<Amount> overdue;  // due with the unpaid piece that cost it the slot
    // slot
    Slot slot = Slot::none;
    Instant waiting_since;
    Instant finish_by;
    Instant channel_by = Instant::never();
    uint32_t epoch = 0;
    uint32_t rate_seq = 0;  // bid that the rate in force names
    Rate rate;              // in force while slot is paid or finishing
    RateKind kind = RateKind::auction;
    uint32_t window = 0;
    Instant busy_at;       // something went out, or was kept back by us
    Instant metered_from;  // a minute of the slot, and `sent` at its start
    uint64_t metered_sent = 0;
    // stream
    uint64_t sent = 0;  // payload bytes on this connection
    uint64_t sent_paid = 0;
    bool piece_open = false;
    uint32_t piece = 0;
    uint64_t piece_sent = 0;
    std::vector<PieceMark> marks;  // complete and unpaid pieces, oldest first
    std::optional<Instant> blocked_since;
    bool starved = false;  // may_send() was false
    // payments
    std::map<uint8_t, ChannelId> slots;
    std::vector<ChannelMessage> early;  // CHANNEL before the proof was verified
    uint64_t pays = 0;
    bool fresh_payment = false;  // one counted on this connection
  };

  // payee.cpp
  Account* account_of(const Peer& peer);
  Account* make_account(Instant now, const PublicKey& key, const IpAddress* network);
  bool network_full(Instant now, const IpAddress& network);
  void forget_unchecked(Instant now, const PublicKey& payer);
  Peer* find(PeerHandle peer);
  Channel& add_channel(const ChannelId& id, const ChannelTerms& terms);
  std::span<const ChannelId> channels_of(const PublicKey& payer) const;
  static bool is_paid(const Peer& peer) { return peer.slot == Slot::offered || peer.slot == Slot::paid || peer.slot == Slot::finishing; }
  void forget_accounts(Instant now);
  bool pauses(Instant now) const;
  bool waits_for_us(Instant now, const Peer& peer) const;
  bool channels_expired(const Account& account, Instant now) const;
  void complete_piece(Instant now, Peer& peer);
  void on_hold(Instant now, Peer& peer, const HoldMessage& hold);
  void check_pieces(Instant now, Peer& peer);
  void check_old_debt(Instant now, Peer& peer);
  void on_unpaid(Instant now, Peer& peer);
  bool may_strike(Instant now, const Account& account) const;
  void note_owing(Instant now, Account& account);
  void strike(Instant now, Peer& peer, const char* why);
  bool strike(Instant now, const IpAddress& address, const PublicKey* key, const char* why);
  bool is_known(const Account& account) const { return account.paid_pieces >= k_known_pieces * 256; }
  bool stands_for_debt(const Channel& channel) const;
  void disconnect(Peer& peer, const std::string& reason);
  void release_charge(Account& account);
  void write_off(Instant now, Account& account, uint64_t bytes);
  static bool is_paid_to(const Account& account, Amount due);
  void wake(Peer& peer);
  void arm(Instant at) { deadline_ = earlier(deadline_, at); }

  // payee_bids.cpp
  Status on_bid(Instant now, Peer& peer, const BidMessage& bid);
  Status on_funds(Instant now, Peer& peer, const FundsMessage& funds);
  void advance_bid(Instant now, Peer& peer);
  bool pursue_bid(Instant now, Peer& peer);
  bool eligible(Instant now, const Peer& peer) const;
  bool is_backed(Instant now, const Peer& peer) const;
  void on_accept(Instant now, Peer& peer, const AcceptMessage& accept);
  void grant(Instant now, Peer& peer, bool unchoked, const AuctionEntry& entry);
  Rate reserve_of(const Peer& peer) const;
  uint32_t grant_window(Instant now, Peer& peer);
  uint32_t earned_window(const Account& account, const Peer& peer) const;
  void send_rate(Peer& peer, Rate rate, RateKind kind);
  void lose_slot(Instant now, Peer& peer);
  void end_slot(Instant now, Peer& peer, bool choke);
  void want_rechoke_if_idle();
  AuctionResult auction(Instant now, std::span<const Candidate> candidates, uint32_t slots);
  bool is_idle(Instant now, Peer& peer, bool in_line);
  void revoke(Instant now, Peer& peer, StopReason reason);
  void revoke_without_channel(Instant now, Peer& peer);

  // payee_pay.cpp
  Status on_channel(Instant now, Peer& peer, const ChannelMessage& message);
  void announce(Instant now, Peer& peer, const ChannelMessage& message);
  Status on_pay(Instant now, Peer& peer, const PayMessage& pay);
  Status on_close(Instant now, Peer& peer, const CloseMessage& close);
  void try_verify(Instant now, Channel& channel);
  void count(Instant now, Channel& channel, const PayMessage& pay);
  void acknowledge(const Channel& channel, AckStatus status);
  void want_resume(Instant now, Channel& channel);
  void resume_if_durable(Channel& channel);
  std::optional<std::pair<PeerHandle, uint8_t>> place_of(const Channel& channel) const;
  Amount room(const PublicKey& payer, Instant now) const;
  bool is_expiring(const Channel& channel, Instant now) const;
  LedgerTime margin_before(const Channel& channel, uint64_t times) const;

  // payee_ledger.cpp
  void probe(Instant now);
  void advance(Instant now, Channel& channel);
  void claim_at_threshold(Instant now);
  void on_checked(Instant now, Channel& channel, const LedgerReply& reply);
  void activate(Instant now, Channel& channel, const LedgerReply& reply);
  void refuse(Instant now, Channel& channel, AckStatus status, bool strikes, const char* why);
  void start_close(Instant now, Channel& channel, CloseReason reason);
  void on_closed(Instant now, Channel& channel, const LedgerReply& reply);
  void on_ended(Instant now, Channel& channel, const LedgerReply& reply);
  void drop(Instant now, const ChannelId& id);
  void touch(Instant now, Channel& channel, bool urgent);
  void touch(Instant now, Account& account);

  PayeeOptions options_;
  std::map<InfoHash, Rate> reserves_;  // bounded by the torrents of the node
  Context& ctx_;
  UnknownBucket bucket_;
  std::map<PeerHandle, Peer> peers_;
  std::map<PublicKey, Account> accounts_;
  std::map<ChannelId, Channel> channels_;
  std::map<PublicKey, std::vector<ChannelId>> channels_of_;  // by payer
  std::map<PublicKey, Instant> ignored_;                     // held a slot for nothing: their bids do not count until then
  std::vector<ChannelId> dropped_;                           // records to erase
  std::vector<PublicKey> dropped_accounts_;
  uint64_t risk_ = 0;  // 256ths of pieces counted and not durable
  uint64_t risk_committing_ = 0;
  bool commit_urgent_ = false;
  TokenBucket resume_commits_{1, k_resume_commit* k_resume_commits_at_once};
  std::optional<Instant> dirty_since_;
  bool commit_running_ = false;
  Amount counted_total_;
  std::map<InfoHash, Amount> counted_by_torrent_;  // bounded by the torrents of the node
  bool shutting_down_ = false;
  Instant claims_until_ = Instant::never();  // of the shutdown; never: it is not, or they were given up
  bool probing_ = false;                     // a question to the ledger whose only purpose is its answer
  Backoff probe_retry_;
  Instant deadline_;  // at once after the start
};

}  // namespace millet::speed
