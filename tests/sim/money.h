// The money invariants of BitTorrent Speed, checked on the wire at every message (PROTOCOL.md sections 6 to 10). A second, independent
// account of who owes whom, kept from what went over the wire alone:
//
//   provider's side   unpaid + block <= window before every block; window <= one piece; unpaid over unknown payers <= bucket;
//                     reserve <= rate <= the bid that RATE names; ACK.durable grows, is covered by payments, and survives in RESUME
//   requester's side  seq of a channel grows, and cum too unless the payer crashed; cum <= capacity; all cum <= what was received costs <=
//                     the bids named x bytes; and <= what the blocks of pieces cost that the payer has all of
//
// What a dishonest machine sends is held against nobody, and its payments count only if their signatures are good.
//
// It is on the lenient side where a node may know less than the wire: a payment counts here when it arrives, not when it is verified; a
// provider that crashed has forgotten the debt that it had not stored.
#pragma once

#include <deque>
#include <map>
#include <set>

#include "sim/report.h"
#include "sim/wiretap.h"

namespace millet::simtest {

class MoneyChecker final : public WireListener {
 public:
  MoneyChecker(sim::World& world, Report& report) : world_(world), report_(report) {}

  // What the checker must know beforehand. A seller has the whole torrent from the start: no peer's uploads count as a part of its bid.
  void set_seller(uint32_t machine) { sellers_.insert(machine); }
  // Without its size nothing is known of which pieces a payer has.
  void add_torrent(const InfoHash& hash, uint32_t piece_size, uint64_t size = 0) {
    piece_sizes_[hash] = piece_size;
    sizes_[hash] = size;
  }
  void set_reserve(uint32_t machine, Rate reserve) { reserves_[machine] = reserve; }
  // Pieces that a provider lets a payer owe that has paid for long; 1 unless it is set.
  void set_exposure(uint32_t machine, uint32_t pieces) { exposures_[machine] = pieces; }
  // Peers of this machine break rules on purpose: what it sends is not held against anybody.
  void set_dishonest(uint32_t machine) { dishonest_.insert(machine); }
  // The program of a machine ended without warning; a power cut also ends what it had not stored.
  void crashed(uint32_t machine);
  // The ledger has ended a channel, and paid this much of it in all: what was signed beyond it is owed again. More than once: ignored.
  void channel_ended(const ChannelId& id, Amount paid);

  // ---- what scenarios ask at the end ----
  struct Sale {
    uint64_t bytes = 0;                     // received for money
    uint64_t cost_pico = 0;                 // at the rates in force
    uint64_t paid_micro = 0;                // signed by the payer, over all channels; of those that have ended, what the ledger paid
    std::map<uint64_t, uint64_t> bytes_at;  // rate -> bytes
  };
  // (payer, payee) -> what was bought.
  std::map<std::pair<PublicKey, PublicKey>, Sale> sales() const;
  struct ChannelView {
    ChannelId id;
    LedgerId ledger;
    PublicKey payer;
    PublicKey payee;
    Amount capacity;
    Amount signed_cum;  // highest that the payer sent
    uint64_t signed_seq = 0;
    Amount received_cum;   // highest that the payee got
    Amount held_cum;       // of it, what the payee may know: a crash takes what was not acknowledged as durable
    Amount acked_durable;  // highest that the payee promised
    bool closing = false;  // one side said CLOSE
    bool ended = false;    // at the ledger
  };
  const std::map<ChannelId, ChannelView>& channels() const { return channels_; }
  uint64_t paid_blocks() const { return paid_blocks_; }
  uint64_t free_blocks() const { return free_blocks_; }
  // Of payers that keep the rules, by providers that do.
  uint64_t bans() const { return bans_; }
  bool is_honest(const PublicKey& key) const {
    auto machine = machines_.find(key);
    return machine == machines_.end() || !dishonest_.contains(machine->second);
  }

  void on_sent(PeerSide& side, const wire::Message& message) override;
  void on_received(PeerSide& side, const wire::Message& message) override;
  void on_speed_sent(PeerSide& side, const speed::Message& message) override;
  void on_speed_received(PeerSide& side, const speed::Message& message) override;
  void on_end(PeerSide& side) override;
  void on_garbage(PeerSide& side, bool sent, const std::string& what) override;

 private:
  using Pair = std::pair<PublicKey, PublicKey>;    // payer, payee
  using Debtor = std::pair<PublicKey, PublicKey>;  // payee, payer: all debtors of a provider stand together
  // The stream of service that one side of a connection gives or gets: the RATE in force, and the bids that it may name.
  struct Service {
    std::map<uint32_t, Rate> bids;  // by bid_seq, as far as this side knows them
    std::optional<Rate> rate;       // nothing: no RATE in force
    Rate named_bid;
    uint32_t window = 0;
    uint64_t payload = 0;  // bytes of blocks so far
    Instant paid_since = Instant::never();
    bool backed = false;  // the other side showed money: FUNDS or a channel
  };
  struct Conversation {
    Service provides;  // this side to the other
    Service gets;
    std::map<uint8_t, ChannelId> slots_out;  // CHANNEL sent
    std::map<uint8_t, ChannelId> slots_in;
  };
  struct Debt {
    hal::StreamId stream;
    uint64_t bytes;
    uint64_t cost_pico;
  };
  // What a provider is owed by one payer.
  struct Account {
    std::deque<Debt> unpaid;   // oldest first
    uint64_t credit_pico = 0;  // paid beyond the covered blocks: less than one block costs
    uint64_t paid_bytes = 0;
    uint32_t piece_size = 0;
    hal::StreamId stream = 0;               // where the last paid block went
    uint64_t old_bytes = 0;                 // unpaid when that connection's first paid block went out: may be written off
    bool old_over_utp = false;              // and the connection before was one of uTP
    Instant shut_since = Instant::never();  // last paid block or payment
  };
  struct Purchase {
    Sale sale;
    uint64_t allowed_pico = 0;               // bids named x bytes
    uint64_t roundings = 1;                  // each life of a payer may round up once
    uint64_t whole_pico = 0;                 // of pieces that the payer has all of
    std::map<uint32_t, uint64_t> part_pico;  // of the others, by piece
  };
  // Blocks that one machine has got, whatever it paid.
  struct Got {
    std::vector<bool> blocks;
    std::vector<uint16_t> missing;  // by piece
  };

  bool honest(const PeerSide& side) const { return !dishonest_.contains(side.machine); }
  std::string name(const PeerSide& side) const;
  ChannelId open_channel(const PeerSide& side, const speed::ChannelMessage& message, bool sent);
  void block_sent(PeerSide& side, Conversation& talk, uint32_t length);
  void block_received(PeerSide& side, Conversation& talk, const wire::BlockRange& block);
  bool got_all(const PeerSide& side, const wire::BlockRange& block);
  bool is_good(const ChannelView& channel, const speed::PayMessage& pay) const;
  bool is_window(const PeerSide& side, uint32_t window) const;
  void rate_sent(PeerSide& side, Conversation& talk, const speed::RateMessage& rate);
  void pay_sent(PeerSide& side, Conversation& talk, const speed::PayMessage& pay);
  void pay_received(PeerSide& side, Conversation& talk, const speed::PayMessage& pay);
  void ack_sent(PeerSide& side, Conversation& talk, const speed::AckMessage& ack);
  void resume_sent(PeerSide& side, const speed::ResumeMessage& resume);
  void bid_backed(const PeerSide& side, const Service& service);
  void stopped(const PeerSide& side);
  static uint64_t unpaid_bytes(const Account& account);
  void write_off(Account& account);
  static void cover(Account& account);
  void check_bucket(const PeerSide& side);

  sim::World& world_;
  Report& report_;
  std::map<InfoHash, uint32_t> piece_sizes_;
  std::map<InfoHash, uint64_t> sizes_;
  std::map<std::pair<uint32_t, InfoHash>, Got> got_;
  std::map<uint32_t, Rate> reserves_;
  std::map<uint32_t, uint32_t> exposures_;
  std::set<uint32_t> dishonest_;
  std::map<hal::StreamId, Conversation> talks_;
  std::map<Debtor, Account> accounts_;
  std::map<Pair, Purchase> purchases_;
  std::map<PublicKey, uint32_t> machines_;  // of each key
  std::map<uint32_t, PublicKey> keys_;      // that each machine used last
  std::set<uint32_t> sellers_;
  std::map<uint32_t, Rate> backed_;  // the highest bid that each machine got with money behind it
  std::map<ChannelId, ChannelView> channels_;
  struct Signed {
    uint64_t seq = 0;
    uint64_t cum = 0;
    bool forgotten = false;  // the payer crashed since: it may know less than it signed
  };
  std::map<ChannelId, Signed> signed_;
  uint64_t paid_blocks_ = 0;
  uint64_t free_blocks_ = 0;
  uint64_t bans_ = 0;
};

}  // namespace millet::simtest
