// The requester's side of BitTorrent Speed: bids for torrents that we want, channels that we open, payments for what has verified, and
// budgets (PROTOCOL.md sections 5 to 10). All peers, torrents and channels of a node in one object. Part of Speed (speed.h), which routes
// messages and answers to it.
//
//   payer.cpp           peers, torrents, bids, RATE
//   payer_pay.cpp       blocks, pieces, what is owed, PAY, ACK, RESUME
//   payer_ledger.cpp    a channel's way through the ledger: open, watch, end
//   payer_store.cpp     durable records: leases and budgets
#pragma once

#include <set>

#include "base/token_bucket.h"
#include "speed/bidder.h"
#include "speed/market.h"
#include "speed/payee.h"

namespace millet::speed {

struct PayerOptions {
  bool enabled = true;
  Amount capacity_min = Amount::micro(1000);  // the least that the ledger opens a channel with
};

struct TorrentBudget {
  Amount budget;  // zero: no bidding. Fixed when set; spent or not
  BidderSettings bidding;
  bool operator==(const TorrentBudget&) const = default;
};

// One of our bids for listings.
struct BidView {
  PeerHandle peer = 0;
  uint32_t bid_seq = 0;
  Rate bid;
  Rate price;
  Rate last_bid;           // the last that was not zero; zero: there was none
  Rate last_price;         // the same
  const char* state = "";  // waiting, won, free, stopped, withdrawn
  BidBasis basis;          // of the torrent's bid
  uint32_t rarity = 0;     // Payer::set_rarity()
};

enum class PayerChannelState : uint8_t { opening = 0, open = 1, ending = 2 };

class Payer {
 public:
  static constexpr Duration k_honour = Duration::seconds(30);        // an older bid
  static constexpr Duration k_withdrawn = Duration::seconds(90);     // a withdrawn one: the provider finishes a piece
  static constexpr Duration k_bid_interval = Duration::seconds(65);  // a little more than the minute that the provider counts
  static constexpr Duration k_resume_wait = Duration::seconds(10);
  static constexpr Duration k_pay_interval = Duration::ms(250);
  static constexpr uint64_t k_pay_bytes = 64 * 1024;
  static constexpr Duration k_commit_interval = Duration::seconds(10);
  // What was spent is written down less often: the lease stands for it meanwhile.
  static constexpr Duration k_spent_interval = Duration::seconds(60);
  // A channel is for 64 pieces at least. Where the provider was paid more than that in ten minutes, it is for so much: each costs commits
  // on both sides and two operations of the ledger. At most four times the one before, so that a provider has shown what it is trusted
  // with, and at most a quarter of what the account and the budget have left: it may lock it until the channel expires.
  static constexpr uint64_t k_channel_pieces = 64;
  static constexpr uint64_t k_channel_s = 600;
  static constexpr uint64_t k_channel_growth = 4;
  static constexpr uint64_t k_channel_share = 4;
  // A first channel: its provider can lock the money for an hour and send nothing. So many of them at once in a network.
  static constexpr uint64_t k_first_pieces = 4;
  static constexpr size_t k_first_channels_max = 4;
  static constexpr uint64_t k_first_life_s = 3600;
  static constexpr uint64_t k_life_s = 24 * 3600;
  static constexpr uint64_t k_valid_s = 500;  // the ledger takes at most 600
  static constexpr uint64_t k_funds_refresh_s = 300;
  static constexpr uint64_t k_no_funds_refresh_s = 15;  // while the account is empty and there is somebody to buy from
  static constexpr uint64_t k_ban_bad_piece_s = 24 * 3600;
  static constexpr uint64_t k_ban_refusal_s = 3600;
  static constexpr size_t k_pending_max = 1024;  // unverified paid pieces of one provider
  // Providers that are gone without a channel: what was learned of them, and owed, is kept a day.
  static constexpr size_t k_gone_max = 64;
  static constexpr Duration k_gone_for = Duration::hours(24);
  static constexpr uint64_t k_seq_lease = 65536;
  static constexpr uint32_t k_rarity_max = 4;
  static constexpr uint64_t k_rates_burst = 16;    // RATE, then one a second: a rechoke has one each 10 s, and networks hold some back
  static constexpr uint64_t k_rounding_micro = 8;  // for providers that are yet to come

  Payer(const PayerOptions& options, Context& context);
  Payer(const Payer&) = delete;

  // ---- durable state, before anything else ----
  // Errors: bad_input.
  Status restore_channel(Bytes key, Bytes value);
  Status restore_torrent(Bytes key, Bytes value);

  // ---- torrents ----
  void set_torrent(Instant now, const InfoHash& torrent, const TorrentBudget& budget);
  void set_bytes_left(Instant now, const InfoHash& torrent, uint64_t bytes);
  // Complete, paused or removed: what is owed is paid, bids are withdrawn, channels that nobody else uses are closed.
  void finish(Instant now, const InfoHash& torrent);
  // It was removed: nothing is remembered of it, except by channels that are still to end.
  void forget(Instant now, const InfoHash& torrent);
  // Signed or owed for verified pieces; what a crash left open counts in full.
  Amount spent(const InfoHash& torrent) const;
  // What is bid for it now, before what the pieces of one peer are worth more; zero: nothing.
  Rate bid_of(const InfoHash& torrent) const;

  // ---- connections ----
  void on_peer(Instant now, Session& session);
  void on_matched(Instant now, PeerHandle peer);  // HELLO came, both sides have a use for each other
  void on_proven(Instant now, PeerHandle peer);
  // Its proof is here, and the processor's budget may have put off checking it.
  void wait_for_proof(Instant now, PeerHandle peer);
  void on_peer_gone(Instant now, PeerHandle peer);
  // Errors: protocol, denied (the connection must end).
  Status on_message(Instant now, PeerHandle peer, const Message& message);
  // The peer has a piece that we want.
  void set_wanted(Instant now, PeerHandle peer, bool wanted);
  // How many quarters of the pieces that we want from this peer are rare: for each the bid to it is a quarter higher, within the user's
  // maximum. Requires: quarters <= k_rarity_max.
  void set_rarity(Instant now, PeerHandle peer, uint32_t quarters);
  // What the account can spend beside its channels, as the ledger said last; nothing: it has not said yet.
  std::optional<Amount> funds() const { return funds_.known ? std::optional(funds_.available) : std::nullopt; }
  std::optional<Rate> market_rate() const { return market_.estimate(); }

  // ---- the stream of a connection, in its order ----
  void on_choked(Instant now, PeerHandle peer);
  void on_unchoked(Instant now, PeerHandle peer);
  // Every block that comes in, wanted or not.
  void on_block_received(Instant now, PeerHandle peer, uint32_t piece, uint32_t bytes);
  // What blocks from this peer cost now; zero: nothing.
  Rate price(PeerHandle peer) const;
  // Payments or a closing are on their way to this peer: do not disconnect it for want of interest yet.
  bool is_busy(PeerHandle peer) const;

  // ---- pieces ----
  void on_piece_verified(Instant now, const InfoHash& torrent, uint32_t piece);
  // It failed its hash and came from several peers: whose blocks were wrong is known when it has verified.
  void on_piece_failed(Instant now, const InfoHash& torrent, uint32_t piece);
  // Blocks of it came from this connection for money, and are not paid yet.
  bool is_pending(PeerHandle peer, const InfoHash& torrent, uint32_t piece) const;
  // What it sent of the piece was wrong for certain: it is not paid, and the provider is banned. The connection may be gone.
  void on_bad_blocks(Instant now, PeerHandle peer, const InfoHash& torrent, uint32_t piece);
  // Whether it was wrong will never be known: it is not paid.
  void forget_blocks(PeerHandle peer, const InfoHash& torrent, uint32_t piece);

  // ---- settings ----
  void set_options(Instant now, const PayerOptions& options);
  void shut_down(Instant now);

  // ---- answers ----
  void on_signed(Instant now, const WorkRef& work, const Signature& signature);
  Status on_verified(Instant now, const WorkRef& work, bool valid);
  void on_ledger(Instant now, const WorkRef& work, const LedgerReply& reply);

  // ---- commits ----
  Instant commit_at() const { return commit_at_; }
  void collect(StoreBatch& batch);
  void on_durable(Instant now);

  Instant next_deadline() const { return deadline_; }
  void on_timer(Instant now);

  std::vector<ChannelView> channels() const;
  std::vector<BidView> bids() const;
  Amount signed_total() const { return signed_total_; }   // since the start
  size_t providers() const { return providers_.size(); }  // remembered
  size_t torrents() const { return torrents_.size(); }    // the same

 private:
  enum class Step : uint8_t { none, sign_open, call_open, query };
  // A RESUME whose signature is being checked. Its connection may end meanwhile and the next one bring another: the answer to one must not
  // be taken for the answer to the other.
  struct Resuming {
    ResumeMessage message;
    Ticket check = 0;
  };
  struct Channel {
    ChannelTerms terms;
    ChannelId id;
    PayerChannelState state = PayerChannelState::opening;
    InfoHash torrent;
    Amount cum;                // allocated to the payee: signed, or about to be
    Amount here;               // of it, allocated since the start of this process
    uint64_t seq = 0;          // of the newest signature
    Amount ceiling;            // durable
    uint64_t seq_ceiling = 0;  // durable
    Amount ceiling_committing;
    uint64_t seq_ceiling_committing = 0;
    Amount ceiling_at_start;  // after a restart: the lease of the process before
    Amount unresolved;        // of it, how much more than cum may have been signed
    Amount cum_stored;
    bool lease_wanted = false;
    bool sign_again = false;            // the payee holds less than cum, and the signature is lost
    std::optional<PayMessage> signing;  // sequence and amount at the worker
    std::optional<PayMessage> last;     // the newest that this process signed
    Amount signed_cum;                  // of the newest signature that exists, as far as we know
    Signature open_signature;
    bool dirty = false;
    bool in_commit = false;
    bool stored = false;    // durable at least once
    bool restored = false;  // from an earlier process: not opened again, only asked for
    bool unsure = false;    // restored, and the payee has not said yet what it holds
    bool retiring = false;  // not for new payments if there is another
    bool refused = false;
    bool close_wanted = false;
    bool close_sent = false;
    bool close_unanswered = false;  // on this connection, which stays until the payee has heard it
    CloseReason close_reason = CloseReason::complete;
    std::optional<uint8_t> slot;  // on the provider's paying connection
    bool resumed = false;
    Instant planned;
    Instant resume_by;
    std::optional<Resuming> resuming;
    Amount counted;  // as the payee says
    Amount durable;
    Step step = Step::none;
    Backoff retry;
  };
  // Of one piece, from one connection: who claims a provider's key and proves nothing does not spoil what the provider sends.
  struct Pending {
    Meter cost;
    uint64_t bytes = 0;
    Rate rate;  // of its newest block
    IpAddress address;
    bool proven = false;
  };
  struct PendingKey {
    InfoHash torrent;
    uint32_t piece;
    PeerHandle peer;
    auto operator<=>(const PendingKey&) const = default;
  };
  // One payee, over all its channels and connections.
  struct Provider {
    PublicKey key;
    Meter payable;                          // for verified pieces, since the start of this process
    Amount allocated;                       // of it, to channels
    std::map<PendingKey, Pending> pending;  // received, not verified
    uint64_t pending_bytes = 0;
    uint64_t verified_bytes = 0;      // verified since the last payment
    bool owed_again = false;          // a channel ended without a payment that was signed for it
    std::vector<ChannelId> channels;  // oldest first
    std::optional<PeerHandle> peer;   // the paying connection, on which the key was proved
    bool known = false;               // one of its channels ended well
    MarketRate::Sales sales;
    IpAddress network;                // of the connection that the newest channel was planned for
    uint32_t refusals = 0;
    Instant last_pay;
    Backoff open_retry;
    Instant gone_since;
    InfoHash torrent;  // that a piece was bought for last
  };
  struct SentBid {
    uint32_t seq = 0;
    Rate rate;
    Instant until = Instant::never();  // honoured until
  };
  struct Peer {
    explicit Peer(Session& s) : session(&s) {}
    Session* session;
    uint64_t matched = 0;  // grows with every connection that matched; zero: not yet
    bool wanted = false;
    uint32_t rarity = 0;         // quarters, in the bid
    uint32_t rarity_wanted = 0;  // to be
    std::vector<SentBid> bids;   // oldest first; the last one is current
    uint32_t bid_seq = 0;
    Rate last_bid;    // for listings, as in BidView
    Rate last_price;  // the same
    uint32_t bid_credit = 2;
    Instant bid_credit_since;
    LedgerTime funds_sent;
    Instant stopped_until;
    // the offer in force
    uint32_t epoch = 0;
    TokenBucket rates{1, k_rates_burst};
    bool rated = false;  // a RATE since the last choke
    bool unchoked = false;
    Rate rate;
    uint32_t window = 0;
    uint64_t received = 0;  // payload bytes on this connection
    bool resend_asked = false;
  };
  struct Torrent {
    explicit Torrent(const BidderSettings& settings) : bidder(settings) {}
    Amount budget;
    Bidder bidder;
    Meter spent;
    Amount unresolved;
    uint64_t bytes_left = 0;
    uint64_t roundings = 0;  // micro-BTT: one for each provider that was paid and is forgotten
    bool active = false;
    bool wanted = false;  // else it is remembered for the sake of a channel
    bool dirty = false;
    bool stored = false;
  };

  // payer.cpp
  Peer* find(PeerHandle peer);
  Provider* provider_of(const Peer& peer);
  Provider& make_provider(const PublicKey& key);
  Torrent& torrent(const InfoHash& hash);
  Amount budget_left(const Torrent& torrent) const;
  void update_bid(Instant now, const InfoHash& hash);
  void prove(Instant now, Peer& peer);
  void attach(Instant now, Peer& peer);
  std::vector<PeerHandle> older_connections(const Peer& peer) const;
  void forget_if_unused(Instant now, const InfoHash& hash);
  void forget_providers(Instant now);
  std::map<PublicKey, Provider>::iterator forget_provider(Instant now, std::map<PublicKey, Provider>::iterator it);
  void supersede(Instant now, Peer& peer, Provider& provider);
  bool wants_to_bid(Instant now, Peer& peer);
  Rate bid_to(const Peer& peer) const;
  void advance_bid(Instant now, Peer& peer);
  void send_funds(Peer& peer);
  void send_bid(Instant now, Peer& peer, Rate rate);
  void fetch_funds(Instant now);
  Status on_rate(Instant now, Peer& peer, const RateMessage& rate);
  bool names_our_bid(Instant now, const Peer& peer, const RateMessage& rate) const;
  Status on_stop(Instant now, Peer& peer, const StopMessage& stop);
  void check_honour(Instant now, Peer& peer);
  void disconnect(const Peer& peer, const std::string& reason);
  void ban(Instant now, const Peer& peer, uint64_t seconds, const char* why);
  void ban(Instant now, const IpAddress& address, const PublicKey* key, uint64_t seconds, const char* why);
  void drop_if_idle(std::map<PublicKey, Provider>::iterator provider);
  void arm(Instant at) { deadline_ = earlier(deadline_, at); }

  // payer_pay.cpp
  static Pending take_pending(Provider& provider, std::map<PendingKey, Pending>::iterator& it);
  bool settle_piece(Instant now, Provider& provider, const InfoHash& hash, uint32_t piece);
  bool settle_blocks(Instant now, Provider& provider, const InfoHash& hash, const Pending& pending);
  bool add_spent(Instant now, const InfoHash& hash, const Meter& cost, uint64_t bytes);
  void pay(Instant now, Provider& provider);
  bool pays_now(Instant now, const Provider& provider) const;
  Amount owed(const Provider& provider) const;
  bool usable(Instant now, const Channel& channel) const;
  void allocate(Instant now, Provider& provider, Channel& channel, Amount part);
  void advance_signature(Instant now, Channel& channel);
  void send_pay(Channel& channel);
  void announce(Instant now, Provider& provider, Channel& channel);
  void announce_all(Instant now, Provider& provider);
  Status on_ack(Instant now, Peer& peer, const AckMessage& ack);
  Status on_resume(Instant now, Peer& peer, const ResumeMessage& resume);
  void adopt(Instant now, Channel& channel, uint64_t seq, Amount cum);
  void resolve(Instant now, Channel& channel, Amount truth);
  void resumed(Instant now, Channel& channel, Amount held);
  Channel* on_slot(const Peer& peer, uint8_t slot);
  void close_if_full(Instant now, Channel& channel);
  void close_if_paid(Instant now, Provider& provider);

  // payer_ledger.cpp
  void ensure_channel(Instant now, Provider& provider);
  Amount recent_traffic(Instant now, const Provider& provider) const;
  Amount capacity_for(Instant now, const Provider& provider, const Peer& peer, const Torrent& torrent) const;
  bool is_untried(const Provider& provider) const;
  bool has_untried_neighbours(const Provider& provider, const IpAddress& network) const;
  Amount covering(const Peer& peer, const Torrent& torrent) const;
  Amount most_for(const Provider& provider, const Peer& peer) const;
  bool wants_channel(Instant now, const Provider& provider, const Peer& peer) const;
  void reopen(Instant now, Provider& provider);
  void plan_channel(Instant now, Provider& provider, const Peer& peer, Amount capacity);
  void advance(Instant now, Channel& channel);
  void on_opened(Instant now, Channel& channel);
  void on_open_failed(Instant now, Channel& channel, const LedgerReply& reply);
  void on_queried(Instant now, Channel& channel, const LedgerReply& reply);
  void on_final(Instant now, Channel& channel, Amount paid, const char* why);
  void end(Instant now, Channel& channel);
  void drop(Instant now, const ChannelId& id);

  // payer_store.cpp
  void touch(Instant now, Channel& channel, bool urgent);
  void commit_by(Instant at) { commit_at_ = earlier(commit_at_, at); }

  PayerOptions options_;
  Context& ctx_;
  std::map<PeerHandle, Peer> peers_;
  uint64_t last_matched_ = 0;
  std::map<PublicKey, Provider> providers_;
  std::map<ChannelId, Channel> channels_;
  std::map<InfoHash, Torrent> torrents_;
  MarketRate market_;
  std::vector<ChannelId> dropped_;
  std::vector<InfoHash> dropped_torrents_;
  struct Funds {
    bool known = false;
    bool asking = false;
    Amount available;
    Amount left;  // less what was locked since
    LedgerTime time;
    Signature signature;
    Backoff retry;
  } funds_;
  Instant commit_at_ = Instant::never();
  bool shutting_down_ = false;
  Amount signed_total_;
  Instant deadline_ = Instant::never();
};

}  // namespace millet::speed
