// uTP engines joined by modelled links in virtual time: rate, delay, a queue that drops its tail, loss, reordering, duplicates, a path MTU,
// clocks that drift. Streams carry a pattern that depends on the offset only, so that every received byte is checked and nothing has to be
// kept for retransmissions.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <queue>
#include <vector>

#include "base/random.h"
#include "swarm/utp.h"

namespace millet {

struct UtpLink {
  uint64_t bits_per_second = 0;  // 0: no limit
  Duration delay = Duration::ms(10);
  size_t queue_max = 1 << 20;  // bytes
  uint32_t loss_ppm = 0;
  uint32_t duplicate_ppm = 0;
  uint32_t reorder_ppm = 0;     // packets that are held back
  Duration reorder_delay;       // by up to so much
  uint32_t packet_max = 65535;  // IP packet size; larger ones vanish unless they may be fragmented
  uint32_t overhead = 28;       // of a datagram on the link
  uint32_t drop_next = 0;       // so many packets more are lost

  // What happened.
  Instant free_at;  // the link is busy until then
  uint64_t packets = 0;
  uint64_t bytes = 0;  // that left, with overhead
  uint64_t dropped = 0;
  std::vector<uint32_t> queue_ms;  // histogram of the queue that packets met, by milliseconds

  Duration backlog(Instant now) const { return free_at > now ? free_at - now : Duration(); }
  // The queue that `percent` of the packets met at most.
  uint32_t queue_percentile_ms(unsigned percent) const {
    uint64_t all = 0;
    for (uint32_t count : queue_ms) all += count;
    uint64_t sum = 0;
    for (size_t i = 0; i < queue_ms.size(); ++i) {
      sum += queue_ms[i];
      if (sum * 100 >= all * percent) return static_cast<uint32_t>(i);
    }
    return 0;
  }
};

class SeededSecureRandom : public SecureRandom {
 public:
  explicit SeededSecureRandom(uint64_t seed) : random_(seed) {}
  void fill(MutBytes out) override {
    for (uint8_t& byte : out) byte = static_cast<uint8_t>(random_.next());
  }

 private:
  Random random_;
};

inline uint8_t utp_pattern(uint64_t offset) { return static_cast<uint8_t>((offset * 0x9e3779b97f4a7c15u) >> 56 ^ offset); }

class UtpWorld {
 public:
  struct Stream {
    UtpId id = 0;
    Endpoint remote;
    bool accepted = false;
    bool open = false;
    bool closed = false;
    Errc reason = Errc::unavailable;
    std::string what;
    uint64_t to_send = 0;  // bytes in all
    uint64_t offered = 0;
    uint64_t received = 0;
    bool bad = false;  // a byte was not what it must be
    bool close_after = false;
    bool finished = false;  // close() was called
    Instant first_at;
    Instant last_at;  // of received bytes
  };
  struct Node {
    std::unique_ptr<SeededSecureRandom> secure;
    std::unique_ptr<Utp> engine;
    Endpoint address;
    int64_t clock_offset_us = 0;
    int32_t clock_ppm = 0;
    std::map<UtpId, Stream> streams;
    uint64_t serve = 0;  // what every accepted stream sends, and then closes if serve_closes
    bool serve_closes = false;
    Instant armed = Instant::never();  // world time
    uint64_t runs = 0;
    uint64_t run_packets = 0;
    std::vector<uint64_t> cold;  // offsets that the owner can't read at first (tests of stall)
    size_t run_bytes_max = 0;
    size_t reset_packets = 0;

    Stream& only() { return streams.begin()->second; }
  };

  explicit UtpWorld(uint64_t seed) : random_(seed) { buffer_.resize(UtpRun::k_size_max + 2048); }

  Node& add(const UtpOptions& options = {}, bool v6 = false) {
    auto node = std::make_unique<Node>();
    node->secure = std::make_unique<SeededSecureRandom>(random_.next());
    node->engine = std::make_unique<Utp>(options, *node->secure, random_.next());
    uint8_t number = static_cast<uint8_t>(nodes_.size() + 1);
    std::array<uint8_t, 16> raw6 = {0x20, 1, 0xd, 0xb8};
    raw6[15] = number;
    node->address = {v6 ? IpAddress::v6(raw6) : IpAddress::v4({10, 0, 0, number}), 6881};
    nodes_.push_back(std::move(node));
    return *nodes_.back();
  }
  UtpLink& add_link(const UtpLink& link = {}) {
    links_.push_back(std::make_unique<UtpLink>(link));
    links_.back()->queue_ms.resize(5000);
    return *links_.back();
  }
  // Packets from one node to another go over these links, in this order.
  void route(const Node& from, const Node& to, std::vector<UtpLink*> links) { routes_[{from.address, to.address}] = std::move(links); }
  void join(Node& a, Node& b, const UtpLink& there, const UtpLink& back) {
    route(a, b, {&add_link(there)});
    route(b, a, {&add_link(back)});
  }

  Stream& connect(Node& from, const Node& to, uint64_t bytes, bool close_after = false) {
    UtpId id = *from.engine->connect(local(from), to.address);
    Stream& stream = from.streams[id];
    stream.id = id;
    stream.remote = to.address;
    stream.to_send = bytes;
    stream.close_after = close_after;
    pump(from);
    return stream;
  }

  Instant now() const { return now_; }
  Instant local(const Node& node) const {
    return Instant::from_us(now_.in_us() + node.clock_offset_us + now_.in_us() / 1000 * node.clock_ppm / 1000);
  }

  // Runs until `done` or `until`; true if done.
  template <typename Done>
  bool run(Instant until, Done done) {
    while (!done()) {
      Instant next = events_.empty() ? Instant::never() : events_.top().at;
      Node* timer = nullptr;
      for (auto& node : nodes_) {
        if (node->armed < next) {
          next = node->armed;
          timer = node.get();
        }
      }
      if (next > until) {
        now_ = until;
        return done();
      }
      now_ = std::max(now_, next);
      if (timer != nullptr) {
        timer->armed = Instant::never();
        timer->engine->on_timer(local(*timer));
        pump(*timer);
        continue;
      }
      Event event = std::move(const_cast<Event&>(events_.top()));
      events_.pop();
      arrive(event);
    }
    return true;
  }
  void run_for(Duration time) {
    run(now_ + time, [] { return false; });
  }

  // Lets the engine say all that it has to say.
  void pump(Node& node) {
    Instant now = local(node);
    take_events(node, now);
    UtpRun run;
    while (node.engine->plan(now, run)) {
      if (!can_fill(node, run)) {
        node.engine->stall(run.stream);
        stalled_.push_back({&node, run.stream});
        push_event(now_ + Duration::ms(8), {}, {}, {}, {}, 0, true);
        continue;
      }
      send(node, now, run);
      take_events(node, now);
    }
    Instant due = node.engine->next_deadline();
    if (due.is_never()) {
      node.armed = Instant::never();
      return;
    }
    // On the way from local to world time, and to a timer that rings at the next millisecond.
    int64_t wait = std::max<int64_t>((due - now).in_us(), 0);
    node.armed = now_ + Duration::us(wait + wait / 1000 + timer_grain_us);
  }
  void inject(Node& to, const Endpoint& from, Bytes bytes) {
    to.engine->on_datagram(local(to), from, bytes);
    pump(to);
  }

  // What went over the wire, for tests that look at packets; called before loss.
  void (*tap)(void* context, const Node& from, const Endpoint& to, Bytes packet) = nullptr;
  void* tap_context = nullptr;
  int64_t timer_grain_us = 300;
  std::vector<std::unique_ptr<Node>>& nodes() { return nodes_; }

 private:
  struct Event {
    Instant at;
    uint64_t ticket = 0;
    Endpoint from;
    Endpoint to;
    std::vector<UtpLink*> rest;
    std::vector<uint8_t> packet;
    bool may_fragment = false;
    bool wake = false;
    bool operator<(const Event& other) const { return at != other.at ? other.at < at : other.ticket < ticket; }
  };

  void push_event(Instant at, const Endpoint& from, const Endpoint& to, std::vector<UtpLink*> rest, std::vector<uint8_t> packet,
                  bool fragment, bool wake = false) {
    events_.push({at, ++ticket_, from, to, std::move(rest), std::move(packet), fragment, wake});
  }
  Node* find(const Endpoint& address) {
    for (auto& node : nodes_) {
      if (node->address == address) return node.get();
    }
    return nullptr;
  }

  void arrive(Event& event) {
    if (event.wake) {
      for (auto& [node, stream] : std::exchange(stalled_, {})) {
        node->engine->resume(local(*node), stream);
        pump(*node);
      }
      return;
    }
    if (!event.rest.empty()) {
      transmit(std::move(event));
      return;
    }
    Node* node = find(event.to);
    if (node == nullptr) return;
    node->engine->on_datagram(local(*node), event.from, event.packet);
    pump(*node);
  }

  void transmit(Event event) {
    UtpLink& link = *event.rest.front();
    event.rest.erase(event.rest.begin());
    size_t size = event.packet.size() + link.overhead;
    Duration backlog = link.backlog(now_);
    ++link.packets;
    size_t ms = static_cast<size_t>(backlog.in_ms());
    ++link.queue_ms[std::min(ms, link.queue_ms.size() - 1)];
    bool full =
        link.bits_per_second != 0 && static_cast<uint64_t>(backlog.in_us()) * link.bits_per_second / 8'000'000 + size > link.queue_max;
    bool unlucky = link.drop_next != 0;
    if (unlucky) --link.drop_next;
    if (unlucky || full || (size > link.packet_max && !event.may_fragment) || random_.below(1'000'000) < link.loss_ppm) {
      ++link.dropped;
      return;
    }
    Instant out = now_ + backlog;
    if (link.bits_per_second != 0)
      out = out + Duration::us(static_cast<int64_t>((uint64_t{size} * 8'000'000 + link.bits_per_second - 1) / link.bits_per_second));
    link.free_at = out;
    link.bytes += size;
    Instant at = out + link.delay;
    if (random_.below(1'000'000) < link.reorder_ppm)
      at = at + Duration::us(static_cast<int64_t>(random_.below(static_cast<uint64_t>(link.reorder_delay.in_us()) + 1)));
    if (random_.below(1'000'000) < link.duplicate_ppm) {
      Instant again = at + Duration::us(static_cast<int64_t>(random_.below(20'000)));
      push_event(again, event.from, event.to, event.rest, event.packet, event.may_fragment);
    }
    push_event(at, event.from, event.to, std::move(event.rest), std::move(event.packet), event.may_fragment);
  }

  static bool can_fill(Node& node, const UtpRun& run) {
    if (!run.has_payload || node.cold.empty()) return true;
    for (size_t i = 0; i < run.count; ++i) {
      auto at = std::find_if(node.cold.begin(), node.cold.end(), [&](uint64_t offset) {
        return offset >= run.segments[i].offset && offset < run.segments[i].offset + run.segments[i].size;
      });
      if (at == node.cold.end()) continue;
      node.cold.erase(at);
      return false;
    }
    return true;
  }

  void send(Node& node, Instant now, const UtpRun& run) {
    MutBytes slab(buffer_.data(), run.size());
    for (size_t i = 0; run.has_payload && i < run.count; ++i) {
      uint8_t* to = slab.data() + i * run.packet_size + k_utp_header_size;
      for (size_t j = 0; j < run.segments[i].size; ++j) to[j] = utp_pattern(run.segments[i].offset + j);
    }
    node.engine->commit(now, run, slab);
    ++node.runs;
    node.run_packets += run.count;
    node.run_bytes_max = std::max(node.run_bytes_max, run.size());
    auto links = routes_.find({node.address, run.to});
    for (size_t i = 0; i < run.count; ++i) {
      size_t size = i + 1u == run.count ? run.last_size : run.packet_size;
      Bytes packet = slab.subspan(i * run.packet_size, size);
      if (packet[0] >> 4 == 3) ++node.reset_packets;
      if (tap != nullptr) tap(tap_context, node, run.to, packet);
      Event event;
      event.from = node.address;
      event.to = run.to;
      if (links == routes_.end() || links->second.empty()) continue;
      event.rest = links->second;
      event.packet.assign(packet.begin(), packet.end());
      event.may_fragment = run.may_fragment;
      transmit(std::move(event));
    }
  }

  void offer_more(Node& node, Instant now, Stream& stream) {
    if (!stream.open || stream.closed || stream.finished) return;
    uint64_t room = node.engine->room(stream.id);
    // As a driver does: whole blocks, more than there is room for.
    uint64_t bytes = std::min((room + 16383) / 16384 * 16384, stream.to_send - stream.offered);
    if (bytes != 0) {
      stream.offered += bytes;
      node.engine->offer(now, stream.id, bytes);
    }
    if (stream.offered == stream.to_send && stream.close_after) {
      stream.finished = true;
      node.engine->close(now, stream.id);
    }
  }

  void take_events(Node& node, Instant now) {
    UtpEvent event;
    while (node.engine->poll(now, event)) {
      Stream& stream = node.streams[event.stream];
      switch (event.kind) {
        case UtpEvent::Kind::accepted:
          stream.id = event.stream;
          stream.remote = event.remote;
          stream.accepted = true;
          stream.to_send = node.serve;
          stream.close_after = node.serve_closes;
          [[fallthrough]];
        case UtpEvent::Kind::connected:
          stream.open = true;
          offer_more(node, now, stream);
          break;
        case UtpEvent::Kind::writable: offer_more(node, now, stream); break;
        case UtpEvent::Kind::received:
          if (stream.received == 0) stream.first_at = now_;
          stream.last_at = now_;
          for (uint8_t byte : event.bytes) stream.bad |= byte != utp_pattern(stream.received++);
          break;
        case UtpEvent::Kind::closed:
          stream.closed = true;
          stream.reason = event.reason;
          stream.what = event.what;
          break;
      }
    }
  }

  Random random_;
  Instant now_ = Instant::from_us(1'000'000);
  uint64_t ticket_ = 0;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::vector<std::unique_ptr<UtpLink>> links_;
  std::map<std::pair<Endpoint, Endpoint>, std::vector<UtpLink*>> routes_;
  std::priority_queue<Event> events_;
  std::vector<uint8_t> buffer_;
  std::vector<std::pair<Node*, UtpId>> stalled_;
};

}  // namespace millet
