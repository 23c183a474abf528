// A small world for tests of BitTorrent Speed: nodes with a crude BitTorrent around a Speed each, links with delay that can be cut, stores
// that forget what was not durable, a ledger that can be away. Virtual time, one seed. It checks the invariants of PROTOCOL.md at every
// event, from what it sees on the wires and in the stores, not from what the engines say about themselves.
//
// Signatures are a hash of key and message: nobody forges here, and thousands are made per run.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <queue>
#include <set>

#include "base/random.h"
#include "crypto/hash.h"
#include "speed/speed.h"

namespace millet::speed::world {

inline Signature fake_sign(const PublicKey& key, Bytes message) {
  std::vector<uint8_t> all(key.raw.begin(), key.raw.end());
  all.insert(all.end(), message.begin(), message.end());
  Hash32 hash = blake2b_256(all);
  Signature out;
  std::copy(hash.begin(), hash.end(), out.raw.begin());
  std::copy(hash.begin(), hash.end(), out.raw.begin() + 32);
  return out;
}

class TestRandom final : public SecureRandom {
 public:
  explicit TestRandom(uint64_t seed) : random_(seed) {}
  void fill(MutBytes out) override {
    for (uint8_t& byte : out) byte = static_cast<uint8_t>(random_.next() >> 33);
  }

 private:
  Random random_;
};

class PrintLog final : public LogSink {
 public:
  PrintLog(std::string name, const Instant& now) : name_(std::move(name)), now_(now) {}
  LogLevel level() const override { return LogLevel::debug; }
  void write(LogLevel, std::string_view line) override { fprintf(stderr, "%10lld [%s] %.*s\n", static_cast<long long>(now_.in_us() / 1000), name_.c_str(), static_cast<int>(line.size()), line.data()); }

 private:
  std::string name_;
  const Instant& now_;
};

// The ledger, as far as channels go.
class TestLedger {
 public:
  struct Entry {
    ChannelTerms terms;
    LedgerTime effective_expiry;
    bool open = true;
    Amount claimed;
  };
  LedgerId id;
  PublicKey key;
  bool up = true;
  std::map<PublicKey, uint64_t> balance;
  std::map<ChannelId, Entry> channels;
  uint64_t supply = 0;
  std::vector<std::string> faults;

  void fund(const PublicKey& account, uint64_t micro) {
    balance[account] += micro;
    supply += micro;
  }
  void expire(LedgerTime now) {
    for (auto& [cid, entry] : channels) {
      if (!entry.open || now < entry.effective_expiry) continue;
      entry.open = false;
      balance[entry.terms.payer] += entry.terms.capacity.in_micro() - entry.claimed.in_micro();
    }
  }
  bool supply_holds() const {
    uint64_t sum = 0;
    for (const auto& [account, micro] : balance) sum += micro;
    for (const auto& [cid, entry] : channels) {
      if (entry.open) sum += entry.terms.capacity.in_micro() - entry.claimed.in_micro();
    }
    return sum == supply;
  }
  LedgerReply handle(LedgerTime now, const PublicKey& caller, const LedgerRequest& request) {
    expire(now);
    LedgerReply reply;
    reply.time = now;
    std::visit([&](const auto& r) { answer(now, caller, r, reply); }, request);
    return reply;
  }

 private:
  void describe(const Entry& entry, LedgerReply& reply) {
    reply.outcome = LedgerOutcome::done;
    reply.terms = entry.terms;
    reply.open = entry.open;
    reply.effective_expiry = entry.effective_expiry;
    reply.claimed = entry.claimed;
  }
  void answer(LedgerTime now, const PublicKey& caller, const OpenChannel& r, LedgerReply& reply) {
    ChannelId cid{blake2b_256(preimage(r.terms))};
    if (channels.contains(cid)) return describe(channels.at(cid), reply);
    if (fake_sign(r.terms.payer, preimage(r.terms)) != r.signature) faults.push_back("OPEN with a bad signature");
    reply.outcome = LedgerOutcome::too_late;
    if (now > r.terms.valid_until) return;
    reply.outcome = LedgerOutcome::refused;
    if (r.terms.valid_until.seconds_since(now) > 600 || r.terms.payer != caller) return;
    reply.outcome = LedgerOutcome::insufficient;
    uint64_t capacity = r.terms.capacity.in_micro();
    if (balance[r.terms.payer] < capacity) return;
    balance[r.terms.payer] -= capacity;
    Entry entry;
    entry.terms = r.terms;
    entry.effective_expiry = r.terms.expiry;
    channels[cid] = entry;
    describe(entry, reply);
  }
  // CLOSE and CLAIM: what the payer signed is what the payee gets.
  bool pays(const auto& r, LedgerReply& reply) {
    auto it = channels.find(r.statement.channel);
    reply.outcome = LedgerOutcome::unknown_channel;
    if (it == channels.end()) return false;
    Entry& entry = it->second;
    PayStatement pay{id, r.statement.channel, r.statement.seq, r.statement.cum};
    bool signed_by_both = fake_sign(entry.terms.payee, preimage(r.statement)) == r.signature &&
                          (r.statement.cum.is_zero() || fake_sign(entry.terms.payer, preimage(pay)) == r.payer_signature);
    if (!signed_by_both) faults.push_back("CLOSE or CLAIM with a bad signature");
    if (r.statement.cum > entry.terms.capacity) faults.push_back("CLOSE or CLAIM above the capacity");
    reply.outcome = LedgerOutcome::channel_ended;
    if (!entry.open) return false;
    if (r.statement.cum > entry.claimed) {
      balance[entry.terms.payee] += r.statement.cum.in_micro() - entry.claimed.in_micro();
      entry.claimed = r.statement.cum;
    }
    return true;
  }
  void answer(LedgerTime, const PublicKey&, const CloseChannel& r, LedgerReply& reply) {
    if (!pays(r, reply)) return;
    Entry& entry = channels.at(r.statement.channel);
    entry.open = false;
    balance[entry.terms.payer] += entry.terms.capacity.in_micro() - entry.claimed.in_micro();
    describe(entry, reply);
  }
  void answer(LedgerTime, const PublicKey&, const ClaimChannel& r, LedgerReply& reply) {
    if (pays(r, reply)) describe(channels.at(r.statement.channel), reply);
  }
  void answer(LedgerTime, const PublicKey&, const QueryChannel& r, LedgerReply& reply) {
    auto it = channels.find(r.channel);
    reply.outcome = LedgerOutcome::unknown_channel;
    if (it != channels.end()) describe(it->second, reply);
  }
  void answer(LedgerTime now, const PublicKey& caller, const QueryFunds&, LedgerReply& reply) {
    reply.outcome = LedgerOutcome::done;
    reply.available = Amount::micro(balance[caller]);
    reply.fund = fake_sign(key, preimage(FundStatement{id, caller, reply.available, now}));
  }
};

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
class World;

struct Link {
  uint32_t a = 0, b = 0;      // nodes: requester, provider
  uint64_t generation = 0;    // grows with every cut: what is in flight is lost
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
  uint64_t life = 0;          // grows with every start: answers to an earlier process are lost
  std::unique_ptr<Speed> speed;
  std::unique_ptr<TestRandom> random;
  std::unique_ptr<LogSink> log;
  SpeedOptions options;
  Faults faults;
  std::map<std::pair<std::string, std::vector<uint8_t>>, std::vector<uint8_t>> store;  // durable
  Instant store_free;         // commits are done in order
  Instant timer = Instant::never();
  Instant rechoke_at;
  Amount budget;
  // the torrent
  std::vector<bool> have;
  std::map<uint32_t, std::vector<bool>> partial;
  struct PeerState {
    size_t link = 0;
    bool unchoked = false;    // provider: by us; requester: us
    std::deque<Wire> requests;             // provider
    std::deque<std::pair<uint32_t, uint32_t>> asked;  // requester: in order
    std::optional<uint32_t> piece;         // requester: being fetched here
    std::map<uint32_t, Rate> bids;         // requester: by sequence, as sent
    Rate named_bid;                        // requester: of the RATE in force
    bool rated = false;
  };
  std::map<PeerHandle, PeerState> peers;
  bool complete() const { return std::find(have.begin(), have.end(), false) == have.end(); }
};

class World {
 public:
  explicit World(uint64_t seed, const Settings& settings = {}) : set(settings), random(seed), seed_(seed) {
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
  // Called for every message that a node sends; may change it or drop it (false). For attacks.
  std::function<bool(Node& from, PeerHandle to, std::vector<uint8_t>& payload)> on_send;
  std::vector<std::string> violations;
  std::vector<std::pair<uint32_t, std::string>> disconnects;  // node, reason
  uint64_t events = 0;
  Duration disturbed_commit;              // an extra delay now and then
  bool ledger_loses_replies = false;
  bool corrupt_blocks = false;

  LedgerTime ledger_now() const { return LedgerTime::from_seconds(1'800'000'000u + static_cast<uint64_t>(now.in_us() / 1'000'000)); }

  Node& add(const std::string& name, bool provider, uint64_t budget_micro = 0) {
    auto node = std::make_unique<Node>();
    uint8_t n = static_cast<uint8_t>(nodes.size() + 1);
    node->name = name;
    node->key.raw.fill(n);
    node->address = IpAddress::v4({10, n, 0, 1});
    node->peer_id.raw.fill(n);
    node->provider = provider;
    node->budget = Amount::micro(budget_micro);
    node->have.assign(set.pieces, provider);
    node->options.payee.enabled = provider;
    node->options.payer.enabled = !provider;
    nodes.push_back(std::move(node));
    return *nodes.back();
  }
  uint32_t index_of(const Node& node) const {
    for (uint32_t i = 0; i < nodes.size(); ++i) {
      if (nodes[i].get() == &node) return i;
    }
    return UINT32_MAX;
  }
  void connect(const Node& requester, const Node& provider) {
    Link link;
    link.a = index_of(requester);
    link.b = index_of(provider);
    link.reconnect_at = now;
    links.push_back(link);
  }

  void start(Node& node) {
    node.running = true;
    ++node.life;
    node.random = std::make_unique<TestRandom>(random.next());
    if (set.verbose) node.log = std::make_unique<PrintLog>(node.name, now);
    else node.log = std::make_unique<NullLog>();
    node.speed = std::make_unique<Speed>(Identity{ledger.id, node.key, ledger.key}, node.options, *node.random, *node.log, node.faults);
    for (const auto& [where, value] : node.store) {
      Status restored = node.speed->restore(now, where.first, where.second, value);
      if (!restored) violate("record refused: " + restored.error().reason);
    }
    check_restored(node);
    node.rechoke_at = now;
    node.speed->start(now);
    if (!node.provider) {
      TorrentBudget budget;
      budget.budget = node.budget;
      budget.bidding.max_rate = Rate::pico_per_byte(Rate::k_max);
      node.speed->payer().set_bytes_left(now, info_hash, bytes_left(node));
      if (!node.complete()) node.speed->payer().set_torrent(now, info_hash, budget);
    }
    drain(node);
  }
  void crash(Node& node) {
    if (!node.running) return;
    for (size_t i = 0; i < links.size(); ++i) {
      if (nodes[links[i].a].get() == &node || nodes[links[i].b].get() == &node) cut(i, Instant::never());
    }
    node.running = false;
    node.speed.reset();
    node.peers.clear();
    node.partial.clear();
    node.store_free = now;
  }
  void cut(size_t i, Instant reconnect_at) {
    Link& link = links[i];
    if (link.up) {
      link.up = false;
      ++link.generation;
      close_end(*nodes[link.a], link.handle_a);
      close_end(*nodes[link.b], link.handle_b);
    }
    link.reconnect_at = reconnect_at;
  }

  // Runs until `until`, or until `done` says so. False if it did not.
  bool run(Instant until, const std::function<bool()>& done = nullptr) {
    while (now <= until) {
      if (done && done()) return true;
      if (!violations.empty()) return false;
      Instant next = next_event();
      if (next > until) {
        now = until;
        return done ? done() : true;
      }
      now = std::max(now, next);
      step();
      ++events;
      check();
    }
    return false;
  }
  bool everybody_complete() const {
    for (const auto& node : nodes) {
      if (!node->complete()) return false;
    }
    return true;
  }
  bool all_channels_ended() const {
    for (const auto& [id, entry] : ledger.channels) {
      if (entry.open) return false;
    }
    return true;
  }

  struct Transfer {
    uint64_t bytes_free = 0, bytes_paid = 0;
  };
  std::map<std::pair<uint32_t, uint32_t>, Transfer> transfers;   // requester, provider: verified bytes
  std::map<ChannelId, Amount> highest_pay;                       // of all PAY that were signed

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

  void violate(const std::string& what) {
    violations.push_back("seed " + std::to_string(seed_) + " at " + std::to_string(now.in_us() / 1000) + " ms: " + what);
  }

  void drain(Node& node) {
    Output output;
    while (node.running && node.speed->poll(now, output)) perform(node, output);
    if (node.running) node.timer = node.speed->next_deadline(now);
  }

 private:
  struct Event {
    Instant at;
    uint64_t order;
    std::function<void()> run;
    bool operator>(const Event& other) const { return at != other.at ? at > other.at : order > other.order; }
  };
  void post(Duration delay, std::function<void()> run) { queue_.push({now + delay, ++order_, std::move(run)}); }

  Instant next_event() const {
    Instant at = queue_.empty() ? Instant::never() : queue_.top().at;
    for (const auto& node : nodes) {
      if (!node->running) continue;
      at = earlier(at, node->timer);
      if (node->provider) at = earlier(at, node->rechoke_at);
    }
    for (const Link& link : links) {
      if (!link.up && nodes[link.a]->running && nodes[link.b]->running) at = earlier(at, link.reconnect_at);
    }
    return at;
  }

  void step() {
    if (!queue_.empty() && queue_.top().at <= now) {
      Event event = queue_.top();
      queue_.pop();
      return event.run();
    }
    for (auto& node : nodes) {
      if (!node->running) continue;
      if (node->timer <= now) {
        node->speed->on_timer(now);
        return drain(*node);
      }
      if (node->provider && node->rechoke_at <= now) return rechoke(*node);
    }
    for (size_t i = 0; i < links.size(); ++i) {
      Link& link = links[i];
      if (!link.up && nodes[link.a]->running && nodes[link.b]->running && link.reconnect_at <= now) return open(i);
    }
  }

  // ---- connections ----

  void open(size_t i) {
    Link& link = links[i];
    Node& a = *nodes[link.a];
    Node& b = *nodes[link.b];
    if (b.speed->banned_for(now, a.address) > 0 || a.speed->banned_for(now, b.address) > 0) {
      link.reconnect_at = now + Duration::seconds(30);
      return;
    }
    link.up = true;
    link.handle_a = ++last_handle_;
    link.handle_b = ++last_handle_;
    a.peers[link.handle_a].link = i;
    b.peers[link.handle_b].link = i;
    a.speed->on_connected(now, link.handle_a, PeerInfo{b.address, info_hash, a.peer_id, b.peer_id, true, set.piece_size});
    b.speed->on_connected(now, link.handle_b, PeerInfo{a.address, info_hash, b.peer_id, a.peer_id, false, set.piece_size});
    a.speed->payer().set_wanted(now, link.handle_a, !a.complete());
    drain(a);
    drain(b);
  }
  void close_end(Node& node, PeerHandle handle) {
    if (!node.running) return;
    node.speed->on_disconnected(now, handle);
    node.peers.erase(handle);
    drain(node);
  }
  void send(Node& from, PeerHandle handle, Wire wire) {
    auto it = from.peers.find(handle);
    if (it == from.peers.end()) return;
    size_t index = it->second.link;
    Link& link = links[index];
    if (!link.up) return;
    bool from_a = nodes[link.a].get() == &from;
    uint64_t generation = link.generation;
    // In order: a message never overtakes an earlier one.
    Instant& last = last_arrival_[{index, from_a}];
    Instant at = std::max(now + set.delay, last);
    last = at;
    post(at - now, [this, index, from_a, generation, wire = std::move(wire)] {
      Link& l = links[index];
      if (!l.up || l.generation != generation) return;
      receive(*nodes[from_a ? l.b : l.a], from_a ? l.handle_b : l.handle_a, wire);
    });
  }

  void receive(Node& node, PeerHandle handle, const Wire& wire) {
    if (!node.running || !node.peers.contains(handle)) return;
    Node::PeerState& peer = node.peers.at(handle);
    switch (wire.kind) {
      case Wire::message:
        watch_received(node, peer, wire.payload);
        node.speed->on_message(now, handle, wire.payload);
        break;
      case Wire::request:
        if (peer.unchoked) peer.requests.push_back(wire);
        else send(node, handle, {Wire::reject, {}, wire.piece, wire.index});
        pump(node);
        break;
      case Wire::reject:
        std::erase(peer.asked, std::make_pair(wire.piece, wire.index));
        break;
      case Wire::choke:
        peer.unchoked = false;
        peer.rated = false;
        peer.piece.reset();  // BEP 6: what was asked for stays so until it is rejected
        node.speed->payer().on_choked(now, handle);
        break;
      case Wire::unchoke:
        peer.unchoked = true;
        node.speed->payer().on_unchoked(now, handle);
        break;
      case Wire::block: on_block(node, handle, wire); break;
    }
    if (!node.running) return;
    if (!node.provider) ask(node);
    drain(node);
  }

  // ---- the provider's BitTorrent ----

  void rechoke(Node& node) {
    node.rechoke_at = now + Duration::seconds(10);
    std::vector<Candidate> candidates;
    for (const auto& [handle, peer] : node.peers) {
      if (!nodes[links[peer.link].a]->complete()) candidates.push_back({handle, peer.unchoked});
    }
    node.speed->payee().rechoke(now, candidates, set.auction_slots);
    drain(node);
    if (!node.running) return;
    // The rest goes for nothing, to who comes first.
    uint32_t free = set.free_slots;
    for (auto& [handle, peer] : node.peers) {
      if (node.speed->payee().holds_slot(handle)) continue;
      bool serve = free > 0 && !nodes[links[peer.link].a]->complete();
      if (serve) --free;
      if (serve && !peer.unchoked) {
        node.speed->payee().on_free_unchoke(now, handle);
        drain(node);
        peer.unchoked = true;
        send(node, handle, {Wire::unchoke, {}, 0, 0});
      } else if (!serve && peer.unchoked) {
        node.speed->payee().on_free_choke(now, handle);
        choke(node, handle);
      }
    }
    drain(node);
  }
  void choke(Node& node, PeerHandle handle) {
    auto it = node.peers.find(handle);
    if (it == node.peers.end()) return;
    it->second.unchoked = false;
    send(node, handle, {Wire::choke, {}, 0, 0});
    for (const Wire& request : it->second.requests) send(node, handle, {Wire::reject, {}, request.piece, request.index});
    it->second.requests.clear();
  }
  // Sends one block and comes back for the next.
  void pump(Node& node) {
    if (!node.running || pumping_.contains(node.key)) return;
    for (auto& [handle, peer] : node.peers) {
      if (!peer.unchoked || peer.requests.empty()) continue;
      Wire request = peer.requests.front();
      uint32_t bytes = block_size(request.piece, request.index);
      if (!node.speed->payee().may_send(now, handle, request.piece, bytes)) {
        drain(node);
        if (!node.peers.contains(handle)) return pump(node);
        continue;
      }
      peer.requests.pop_front();
      node.speed->payee().on_block_sent(now, handle, request.piece, piece_bytes(request.piece), bytes);
      check_exposure(node);
      send(node, handle, {Wire::block, {}, request.piece, request.index});
      pumping_.insert(node.key);
      uint64_t life = node.life;
      Node* n = &node;
      post(set.block_time, [this, n, life] {
        pumping_.erase(n->key);
        if (n->running && n->life == life) {
          pump(*n);
          drain(*n);
        }
      });
      return drain(node);
    }
  }

  // ---- the requester's BitTorrent ----

  uint32_t blocks() const { return set.piece_size / 16'384; }
  uint32_t block_size(uint32_t, uint32_t) const { return 16'384; }
  uint32_t piece_bytes(uint32_t) const { return set.piece_size; }
  uint64_t bytes_left(const Node& node) const {
    uint64_t left = 0;
    for (bool piece : node.have) left += piece ? 0 : set.piece_size;
    return left;
  }
  // Whole pieces from one provider, the next one only after every missing block of the one before.
  void ask(Node& node) {
    for (auto& [handle, peer] : node.peers) {
      while (peer.unchoked && peer.asked.size() < set.pipeline) {
        if (!peer.piece) {
          // Begun pieces first; a piece at one provider at a time.
          std::set<uint32_t> elsewhere;
          for (const auto& [other, state] : node.peers) {
            if (state.piece) elsewhere.insert(*state.piece);
            for (const auto& [piece, index] : state.asked) elsewhere.insert(piece);
          }
          for (const auto& [piece, got] : node.partial) {
            if (!node.have[piece] && !elsewhere.contains(piece)) {
              peer.piece = piece;
              break;
            }
          }
          for (uint32_t piece = 0; !peer.piece && piece < set.pieces; ++piece) {
            if (!node.have[piece] && !elsewhere.contains(piece)) peer.piece = piece;
          }
          if (!peer.piece) break;
        }
        std::vector<bool>& got = node.partial[*peer.piece];
        got.resize(blocks(), false);
        uint32_t index = 0;
        for (; index < blocks(); ++index) {
          auto request = std::make_pair(*peer.piece, index);
          if (!got[index] && std::find(peer.asked.begin(), peer.asked.end(), request) == peer.asked.end()) break;
        }
        if (index == blocks()) {
          peer.piece.reset();
          continue;
        }
        peer.asked.push_back({*peer.piece, index});
        send(node, handle, {Wire::request, {}, *peer.piece, index});
      }
    }
  }
  void on_block(Node& node, PeerHandle handle, const Wire& wire) {
    Node::PeerState& peer = node.peers.at(handle);
    uint32_t provider = links[peer.link].b;
    auto asked = std::find(peer.asked.begin(), peer.asked.end(), std::make_pair(wire.piece, wire.index));
    if (asked == peer.asked.end()) violate("a block that was not asked for");
    else peer.asked.erase(asked);
    uint32_t bytes = block_size(wire.piece, wire.index);
    auto& unverified = unverified_[{index_of(node), wire.piece}];
    unverified.push_back({provider, peer.rated ? peer.named_bid : Rate(), bytes, peer.rated && !node.speed->payer().price(handle).is_zero()});
    node.speed->payer().on_block_received(now, handle, wire.piece, bytes);
    if (node.have[wire.piece]) return violate("a block of a piece that is there");
    std::vector<bool>& got = node.partial[wire.piece];
    got.resize(blocks(), false);
    got[wire.index] = true;
    if (std::find(got.begin(), got.end(), false) != got.end()) return;
    if (corrupt_blocks) {
      node.partial.erase(wire.piece);
      unverified.clear();
      node.speed->payer().on_bad_blocks(now, handle, info_hash, wire.piece);
      return;
    }
    node.have[wire.piece] = true;
    node.partial.erase(wire.piece);
    for (auto& [other, state] : node.peers) {
      if (state.piece == wire.piece) state.piece.reset();
    }
    for (const Received& r : unverified) {
      Transfer& t = transfers[{index_of(node), r.provider}];
      (r.paid ? t.bytes_paid : t.bytes_free) += r.bytes;
      if (!allowed_[node.key].add(r.bid, r.bytes)) violate("allowance above the supply");
    }
    unverified.clear();
    node.speed->payer().on_piece_verified(now, info_hash, wire.piece);
    node.speed->payer().set_bytes_left(now, info_hash, bytes_left(node));
    if (!node.complete()) return;
    node.speed->payer().finish(now, info_hash);
    for (const auto& [other, state] : node.peers) node.speed->payer().set_wanted(now, other, false);
  }

  // ---- outputs ----

  void perform(Node& node, Output& output) {
    uint64_t life = node.life;
    Node* n = &node;
    auto alive = [this, n, life] { return n->running && n->life == life; };
    if (auto* message = std::get_if<SendMessage>(&output)) {
      if (on_send && !on_send(node, message->peer, message->payload)) return;
      watch_sent(node, message->peer, message->payload);
      send(node, message->peer, {Wire::message, std::move(message->payload), 0, 0});
    } else if (auto* sign = std::get_if<SignBytes>(&output)) {
      watch_signing(node, sign->message);
      Signature signature = fake_sign(node.key, sign->message);
      post(set.work_time, [this, n, alive, signature, ticket = sign->ticket] {
        if (!alive()) return;
        n->speed->on_signed(now, ticket, signature);
        drain(*n);
        pump(*n);
      });
    } else if (auto* verify = std::get_if<VerifyBytes>(&output)) {
      bool valid = fake_sign(verify->key, verify->message) == verify->signature;
      post(set.work_time, [this, n, alive, valid, ticket = verify->ticket] {
        if (!alive()) return;
        n->speed->on_verified(now, ticket, valid);
        drain(*n);
        pump(*n);
      });
    } else if (auto* commit = std::get_if<Commit>(&output)) {
      perform_commit(node, *commit);
    } else if (auto* call = std::get_if<LedgerCall>(&output)) {
      perform_call(node, *call);
    } else if (auto* choked = std::get_if<ChokePeer>(&output)) {
      choke(node, choked->peer);
    } else if (auto* unchoke = std::get_if<UnchokePeer>(&output)) {
      if (auto it = node.peers.find(unchoke->peer); it != node.peers.end()) {
        it->second.unchoked = true;
        send(node, unchoke->peer, {Wire::unchoke, {}, 0, 0});
      }
    } else if (auto* disconnect = std::get_if<DisconnectPeer>(&output)) {
      disconnects.push_back({index_of(node), disconnect->reason});
      if (auto it = node.peers.find(disconnect->peer); it != node.peers.end()) {
        size_t link = it->second.link;
        post(Duration(), [this, link] { cut(link, now + Duration::seconds(5)); });
      }
    } else if (std::get_if<SendReady>(&output)) {
      post(Duration(), [this, n, alive] {
        if (alive()) pump(*n);
      });
    } else if (std::get_if<RechokeWanted>(&output)) {
      node.rechoke_at = now;
    }
  }
  void perform_commit(Node& node, const Commit& commit) {
    uint64_t life = node.life;
    Node* n = &node;
    Duration time = set.commit_time;
    if (disturbed_commit > Duration() && random.below(4) == 0) {
      time = time + Duration::us(static_cast<int64_t>(random.below(static_cast<uint64_t>(disturbed_commit.in_us()))));
    }
    Instant done = std::max(node.store_free, now) + time;
    node.store_free = done;
    post(done - now, [this, n, life, commit] {
      if (!n->running || n->life != life) return;  // power was cut before it was durable
      for (const StoreChange& change : commit.changes) {
        auto where = std::make_pair(std::string(change.table), change.key);
        if (change.value) n->store[where] = *change.value;
        else n->store.erase(where);
      }
      n->speed->on_durable(now, commit.sequence);
      drain(*n);
      pump(*n);
    });
  }
  void perform_call(Node& node, const LedgerCall& call) {
    uint64_t life = node.life;
    Node* n = &node;
    post(set.ledger_time, [this, n, life, call] {
      LedgerReply reply;
      bool lost = ledger_loses_replies && random.below(3) == 0;
      if (ledger.up) reply = ledger.handle(ledger_now(), n->key, call.request);
      if (lost) reply = LedgerReply();
      post(set.ledger_time, [this, n, life, reply, ticket = call.ticket] {
        if (!n->running || n->life != life) return;
        n->speed->on_ledger(now, ticket, reply);
        drain(*n);
        pump(*n);
      });
    });
  }

  // ---- invariants ----

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
      if (!record || pay.cum > record->ceiling || pay.seq > record->seq_ceiling) violate("PAY signed above the durable lease");
      uint64_t& seq = signed_seq_[pay.channel];
      if (pay.seq <= seq) violate("PAY sequence does not grow");
      seq = pay.seq;
      highest_pay[pay.channel] = std::max(highest_pay[pay.channel], pay.cum);
      check_paid(node);
    } else if (tag == CloseStatement::k_tag || tag == ClaimStatement::k_tag) {
      CloseStatement close = *decode_fields<CloseStatement>(body);  // CLAIM has the same fields
      auto record = stored<PayeeChannelRecord>(node, k_table_payee_channels, close.channel);
      bool good = record && record->cum >= close.cum && (tag == ClaimStatement::k_tag || (record->cum == close.cum && record->closing == 1));
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
    if (record->cum < durable) violate("durable " + std::to_string(durable.in_micro()) + " promised, " + std::to_string(record->cum.in_micro()) + " stored");
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
      ChannelTerms terms{ledger.id, nodes[links[peer.link].a]->key, node.key, channel->capacity, channel->expiry, channel->nonce, channel->valid_until};
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
      if (exposure.unpaid > set.piece_size) violate(node.name + ": " + std::to_string(exposure.unpaid) + " bytes unpaid, the window is one piece");
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

  uint64_t seed_;
  std::priority_queue<Event, std::vector<Event>, std::greater<Event>> queue_;
  uint64_t order_ = 0;
  PeerHandle last_handle_ = 0;
  std::map<std::pair<size_t, bool>, Instant> last_arrival_;
  std::set<PublicKey> pumping_;
  std::map<std::pair<uint32_t, uint32_t>, std::vector<Received>> unverified_;  // requester, piece
  std::map<PublicKey, Meter> allowed_;
  std::map<ChannelId, uint64_t> signed_seq_;
  std::map<std::pair<PeerHandle, uint8_t>, ChannelId> slots_;
  std::map<ChannelId, Amount> promised_;
};

}  // namespace millet::speed::world
