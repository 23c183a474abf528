// For tests of BitTorrent Speed: what a test world consists of, and the invariants of PROTOCOL.md, checked from what is seen on the wires
// and in the stores, not from what the engines say about themselves.
#pragma once

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <set>

#include "speed/speed.h"
#include "unit/speed_test_ledger.h"

namespace millet::speed::world {

// What goes over a connection.
struct Wire {
  enum Kind : uint8_t { message, request, reject, block, choke, unchoke } kind = message;
  std::vector<uint8_t> payload;
  uint32_t piece = 0;
  uint32_t index = 0;  // of the block
};

struct Settings {
  uint32_t piece_size = 64 * 1024;
  uint32_t pieces = 24;
  uint32_t auction_slots = 2;
  uint32_t free_slots = 0;
  uint32_t pipeline = 12;                 // requests
  Duration delay = Duration::ms(20);      // of a link, one way
  Duration block_time = Duration::ms(4);  // of a provider, per block
  Duration commit_time = Duration::ms(5);
  Duration ledger_time = Duration::ms(30);
  Duration work_time = Duration::us(200);
  bool verbose = false;
};

struct Node;

struct Link {
  uint32_t a = 0, b = 0;    // nodes: requester, provider
  uint64_t generation = 0;  // grows with every cut: what is in flight is lost
  bool up = false;
  PeerHandle handle_a = 0, handle_b = 0;
  Instant reconnect_at = Instant::never();
};

struct Node {
  std::string name;
  PublicKey key;
  IpAddress address;
  PeerId peer_id;
  bool provider = false;
  bool running = false;
  uint64_t life = 0;  // grows with every start: answers to an earlier process are lost
  std::unique_ptr<Speed> speed;
  std::unique_ptr<TestRandom> random;
  std::unique_ptr<LogSink> log;
  SpeedOptions options;
  Faults faults;
  std::map<std::pair<std::string, std::vector<uint8_t>>, std::vector<uint8_t>> store;  // durable
  Instant store_free;                                                                  // commits are done in order
  std::deque<StoreBatch> under_way;                                                    // commits that the disk is busy with
  uint64_t commits = 0;
  std::deque<decltype(store)> earlier;  // the store as it was, newest last
  Instant timer = Instant::never();
  Instant rechoke_at;
  Amount budget;
  Rate max_rate = Rate::pico_per_byte(Rate::k_max);
  // the torrent
  uint64_t may_ask = UINT64_MAX;  // so many blocks more
  std::vector<bool> have;
  std::map<uint32_t, std::vector<bool>> partial;
  struct PeerState {
    size_t link = 0;
    bool unchoked = false;                            // provider: by us; requester: us
    std::deque<Wire> requests;                        // provider
    std::deque<std::pair<uint32_t, uint32_t>> asked;  // requester: in order
    std::optional<uint32_t> piece;                    // requester: being fetched here
    std::map<uint32_t, Rate> bids;                    // requester: by sequence, as sent
    Rate named_bid;                                   // requester: of the RATE in force
    bool rated = false;
  };
  std::map<PeerHandle, PeerState> peers;
  bool complete() const { return std::find(have.begin(), have.end(), false) == have.end(); }
};

class Watch {
 public:
  Watch(uint64_t seed, const Settings& settings) : set(settings), random(seed), seed_(seed) {
    ledger.id.raw.fill(0x11);
    ledger.key.raw.fill(0x77);
    info_hash.raw.fill(0x66);
  }

  Settings set;
  Random random;
  Instant now = Instant::from_us(0) + Duration::seconds(1000);
  TestLedger ledger;
  InfoHash info_hash;
  std::vector<std::unique_ptr<Node>> nodes;
  std::vector<Link> links;
  std::vector<std::string> violations;
  struct Transfer {
    uint64_t bytes_free = 0, bytes_paid = 0;
  };
  std::map<std::pair<uint32_t, uint32_t>, Transfer> transfers;  // requester, provider: verified bytes
  std::map<ChannelId, Amount> highest_pay;                      // of all PAY that were signed

  static constexpr size_t k_earlier_max = 8;
  bool keep_earlier = false;   // each Node::earlier is kept up
  bool forgive_lease = false;  // a store came back from a backup
  void forget_promises() { promised_.clear(); }

  void violate(const std::string& what) {
    violations.push_back("seed " + std::to_string(seed_) + " at " + std::to_string(now.in_us() / 1000) + " ms: " + what);
  }

  // What left the payer's account or may still leave it by what it signed.
  uint64_t liability(const PublicKey& payer) const {
    uint64_t sum = 0;
    for (const auto& [id, entry] : ledger.channels) {
      if (entry.terms.payer != payer) continue;
      auto it = highest_pay.find(id);
      sum += entry.open && it != highest_pay.end() ? it->second.in_micro() : entry.claimed.in_micro();
    }
    return sum;
  }

 protected:
  struct Received {
    uint32_t provider;
    Rate bid;
    uint32_t bytes;
    bool paid;
  };

  template <typename Record>
  std::optional<Record> stored(const Node& node, const char* table, const ChannelId& id) const {
    auto it = node.store.find({table, {id.raw.begin(), id.raw.end()}});
    if (it == node.store.end()) return std::nullopt;
    return *decode_record<Record>(it->second);
  }

  // Every signature about a channel rests on what is durable at that moment.
  void watch_signing(Node& node, const std::vector<uint8_t>& message) {
    std::string_view tag = as_text(Bytes(message).first(8));
    Bytes body = Bytes(message).subspan(8);
    if (tag == ChannelTerms::k_tag) {
      ChannelId id{blake2b_256(message)};
      if (!stored<PayerChannelRecord>(node, k_table_payer_channels, id)) violate("OPEN signed before its terms are durable");
    } else if (tag == PayStatement::k_tag) {
      PayStatement pay = *decode_fields<PayStatement>(body);
      auto record = stored<PayerChannelRecord>(node, k_table_payer_channels, pay.channel);
      bool leased = record && pay.cum <= record->ceiling && pay.seq <= record->seq_ceiling;
      if (!leased && !forgive_lease) violate("PAY signed above the durable lease");
      uint64_t& seq = signed_seq_[pay.channel];
      if (pay.seq <= seq && !forgive_lease) violate("PAY sequence does not grow");
      seq = pay.seq;
      highest_pay[pay.channel] = std::max(highest_pay[pay.channel], pay.cum);
      check_paid(node);
    } else if (tag == CloseStatement::k_tag || tag == ClaimStatement::k_tag) {
      CloseStatement close = *decode_fields<CloseStatement>(body);  // CLAIM has the same fields
      auto record = stored<PayeeChannelRecord>(node, k_table_payee_channels, close.channel);
      bool good =
          record && record->cum >= close.cum && (tag == ClaimStatement::k_tag || (record->cum == close.cum && record->closing == 1));
      if (!good) violate("CLOSE or CLAIM signed for what is not durable");
    }
  }
  // paid <= sum over (the bid that the RATE named x bytes verified). A micro-BTT per channel may be rounded up.
  void check_paid(const Node& node) {
    Meter allowed = allowed_[node.key];
    uint64_t limit = allowed.due().in_micro() + ledger.channels.size();
    if (liability(node.key) > limit) {
      violate(node.name + " may have paid " + std::to_string(liability(node.key)) + ", its bids allow " + std::to_string(limit));
    }
    if (liability(node.key) > node.budget.in_micro()) violate(node.name + " paid more than its budget");
  }
  void watch_sent(Node& node, PeerHandle handle, const std::vector<uint8_t>& payload) {
    Result<Message> message = decode(payload);
    if (!message) return violate("sent what can't be read");
    if (!node.peers.contains(handle)) return;
    Node::PeerState& peer = node.peers.at(handle);
    if (auto* bid = std::get_if<BidMessage>(&*message)) peer.bids[bid->bid_seq] = bid->rate;
    if (auto* ack = std::get_if<AckMessage>(&*message)) promise(node, handle, ack->slot, ack->durable);
    if (auto* resume = std::get_if<ResumeMessage>(&*message)) {
      if (resume->slot == k_slot_unknown) return;
      slots_[{handle, resume->slot}] = resume->channel;
      promise(node, handle, resume->slot, resume->cum);
    }
  }
  // What was acknowledged as durable is in the store, now and after every power cut.
  void promise(Node& node, PeerHandle handle, uint8_t slot, Amount durable) {
    auto it = slots_.find({handle, slot});
    if (it == slots_.end() || durable.is_zero()) return;
    auto record = stored<PayeeChannelRecord>(node, k_table_payee_channels, it->second);
    if (!record) return;  // closed since
    if (record->cum < durable)
      violate("durable " + std::to_string(durable.in_micro()) + " promised, " + std::to_string(record->cum.in_micro()) + " stored");
    Amount& promised = promised_[it->second];
    if (durable < promised) violate("a durable amount shrank");
    promised = durable;
  }
  void watch_received(Node& node, Node::PeerState& peer, const std::vector<uint8_t>& payload) {
    Result<Message> message = decode(payload);
    if (!message) return;
    if (auto* rate = std::get_if<RateMessage>(&*message)) {
      auto bid = peer.bids.find(rate->bid_seq);
      peer.named_bid = bid == peer.bids.end() ? Rate() : bid->second;
      peer.rated = true;
      if (rate->rate.is_zero()) peer.named_bid = Rate();
    }
    if (auto* channel = std::get_if<ChannelMessage>(&*message)) {
      // Which channel a slot means on this connection: as the provider computes it.
      PeerHandle handle = handle_of(node, peer);
      ChannelTerms terms{ledger.id,           nodes[links[peer.link].a]->key, node.key, channel->capacity, channel->expiry, channel->nonce,
                         channel->valid_until};
      slots_[{handle, channel->slot}] = ChannelId{blake2b_256(preimage(terms))};
    }
  }
  PeerHandle handle_of(const Node& node, const Node::PeerState& peer) const {
    const Link& link = links[peer.link];
    return nodes[link.a].get() == &node ? link.handle_a : link.handle_b;
  }
  void check_exposure(const Node& node) {
    for (const auto& [handle, peer] : node.peers) {
      Payee::Exposure exposure = node.speed->payee().exposure(handle);
      uint64_t most = uint64_t{set.piece_size} * node.options.payee.window_pieces;
      if (exposure.unpaid > most)
        violate(node.name + ": " + std::to_string(exposure.unpaid) + " bytes unpaid, the window is at most " + std::to_string(most));
      if (exposure.unpaid_unknown > exposure.bucket) violate("unknown payers owe more than the bucket holds");
      if (exposure.bucket > UnknownBucket::capacity(set.piece_size)) violate("the bucket is overdrawn");
    }
  }
  void check_restored(const Node& node) {
    for (const ChannelView& view : node.speed->payee().channels()) {
      auto promised = promised_.find(view.id);
      if (promised != promised_.end() && view.durable < promised->second) violate("a power cut took what was durable");
    }
  }
  void check() {
    for (const auto& node : nodes) {
      if (node->running && node->provider) check_exposure(*node);
    }
    if (!ledger.supply_holds()) violate("the supply changed");
    for (const std::string& fault : ledger.faults) violate("ledger: " + fault);
  }

  std::map<std::pair<uint32_t, uint32_t>, std::vector<Received>> unverified_;  // requester, piece
  std::map<PublicKey, Meter> allowed_;

 private:
  uint64_t seed_;
  std::map<ChannelId, uint64_t> signed_seq_;
  std::map<std::pair<PeerHandle, uint8_t>, ChannelId> slots_;
  std::map<ChannelId, Amount> promised_;
};

}  // namespace millet::speed::world
