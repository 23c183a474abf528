// A small world for tests of BitTorrent Speed: nodes with a crude BitTorrent around a Speed each, links with delay that can be cut, stores
// that forget what was not durable, a ledger that can be away. Virtual time, one seed. It checks the invariants of PROTOCOL.md at every
// event, from what it sees on the wires and in the stores, not from what the engines say about themselves.
#pragma once

#include <functional>
#include <queue>

#include "unit/speed_watch.h"

namespace millet::speed::world {

class World : public Watch {
 public:
  explicit World(uint64_t seed, const Settings& settings = {}) : Watch(seed, settings) {}

  // Called for every message that a node sends; may change it or drop it (false). For attacks.
  std::function<bool(Node& from, PeerHandle to, std::vector<uint8_t>& payload)> on_send;
  std::vector<std::pair<uint32_t, std::string>> disconnects;  // node, reason
  uint64_t events = 0;
  Duration disturbed_commit;  // an extra delay now and then
  bool ledger_loses_replies = false;
  Duration funds_late;  // so much longer the ledger takes to say what is in an account
  bool corrupt_blocks = false;

  uint64_t ledger_leap_s = 0;  // the ledger's clock leapt ahead

  LedgerTime ledger_now() const {
    return LedgerTime::from_seconds(1'800'000'000u + ledger_leap_s + static_cast<uint64_t>(now.in_us() / 1'000'000));
  }

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
    if (set.verbose)
      node.log = std::make_unique<PrintLog>(node.name, now);
    else
      node.log = std::make_unique<NullLog>();
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
      budget.bidding.max_rate = node.max_rate;
      node.speed->payer().set_bytes_left(now, info_hash, bytes_left(node));
      if (!node.complete()) node.speed->payer().set_torrent(now, info_hash, budget);
    }
    drain(node);
  }
  // Of the commits that are under way the first `landed` become durable all the same.
  void crash(Node& node, size_t landed = 0) {
    if (!node.running) return;
    for (size_t i = 0; i < std::min(landed, node.under_way.size()); ++i) apply(node, node.under_way[i]);
    for (size_t i = 0; i < links.size(); ++i) {
      if (nodes[links[i].a].get() == &node || nodes[links[i].b].get() == &node) cut(i, Instant::never());
    }
    vanish(node);
  }
  // The process is gone without a word: the other ends of its connections go on as if it only were silent.
  void vanish(Node& node) {
    node.running = false;
    node.speed.reset();
    node.peers.clear();
    node.partial.clear();
    node.under_way.clear();
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

  // A message that the node's engine did not make.
  void inject(Node& from, PeerHandle handle, const Message& message) { send(from, handle, {Wire::message, encode(message), 0, 0}); }
  // The only connection of a node.
  PeerHandle only_peer(const Node& node) const { return node.peers.size() == 1 ? node.peers.begin()->first : 0; }

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
  // A requester that asks for no more than it is allowed.
  void allow(Node& node, uint64_t blocks) {
    node.may_ask = blocks;
    if (node.running) ask(node);
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
        if (peer.unchoked)
          peer.requests.push_back(wire);
        else
          send(node, handle, {Wire::reject, {}, wire.piece, wire.index});
        pump(node);
        break;
      case Wire::reject: std::erase(peer.asked, std::make_pair(wire.piece, wire.index)); break;
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
    node.speed->payee().rechoke(now, candidates, set.auction_slots, candidates.size() > set.auction_slots + set.free_slots);
    drain(node);
    if (!node.running) return;
    // The rest goes for nothing, to who comes first.
    uint32_t free = set.free_slots;
    for (auto& [handle, peer] : node.peers) {
      if (node.speed->payee().holds_slot(handle)) continue;
      bool serve = free > 0 && !nodes[links[peer.link].a]->complete();
      if (serve) --free;
      if (serve && !peer.unchoked) {
        node.speed->payee().on_free_unchoke(handle);
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
      while (peer.unchoked && peer.asked.size() < set.pipeline && node.may_ask > 0) {
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
        if (node.may_ask != UINT64_MAX) --node.may_ask;
        peer.asked.push_back({*peer.piece, index});
        send(node, handle, {Wire::request, {}, *peer.piece, index});
      }
    }
  }
  void on_block(Node& node, PeerHandle handle, const Wire& wire) {
    Node::PeerState& peer = node.peers.at(handle);
    uint32_t provider = links[peer.link].b;
    auto asked = std::find(peer.asked.begin(), peer.asked.end(), std::make_pair(wire.piece, wire.index));
    if (asked == peer.asked.end())
      violate("a block that was not asked for");
    else
      peer.asked.erase(asked);
    uint32_t bytes = block_size(wire.piece, wire.index);
    auto& unverified = unverified_[{index_of(node), wire.piece}];
    unverified.push_back(
        {provider, peer.rated ? peer.named_bid : Rate(), bytes, peer.rated && !node.speed->payer().price(handle).is_zero()});
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
    auto alive = [n, life] { return n->running && n->life == life; };
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
    ++node.commits;
    node.under_way.push_back(commit.changes);
    post(done - now, [this, n, life, sequence = commit.sequence] {
      if (!n->running || n->life != life) return;  // power was cut before it was durable
      apply(*n, n->under_way.front());
      n->under_way.pop_front();
      n->speed->on_durable(now, sequence);
      drain(*n);
      pump(*n);
    });
  }
  void apply(Node& node, const StoreBatch& changes) {
    if (keep_earlier) {
      node.earlier.push_back(node.store);
      if (node.earlier.size() > k_earlier_max) node.earlier.pop_front();
    }
    for (const StoreChange& change : changes) {
      auto where = std::make_pair(std::string(change.table), change.key);
      if (change.value)
        node.store[where] = *change.value;
      else
        node.store.erase(where);
    }
  }
  void perform_call(Node& node, const LedgerCall& call) {
    uint64_t life = node.life;
    Node* n = &node;
    post(set.ledger_time, [this, n, life, call] {
      LedgerReply reply;
      bool lost = ledger_loses_replies && random.below(3) == 0;
      if (ledger.up) reply = ledger.handle(ledger_now(), n->key, call.request);
      if (lost) reply = LedgerReply();
      Duration late = std::holds_alternative<QueryFunds>(call.request) ? funds_late : Duration();
      post(set.ledger_time + late, [this, n, life, reply, ticket = call.ticket] {
        if (!n->running || n->life != life) return;
        n->speed->on_ledger(now, ticket, reply);
        drain(*n);
        pump(*n);
      });
    });
  }

  std::priority_queue<Event, std::vector<Event>, std::greater<Event>> queue_;
  uint64_t order_ = 0;
  PeerHandle last_handle_ = 0;
  std::map<std::pair<size_t, bool>, Instant> last_arrival_;
  std::set<PublicKey> pumping_;
};

}  // namespace millet::speed::world
