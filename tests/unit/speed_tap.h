// Somebody on the wire between whole nodes (node_world.h): sees every message of BitTorrent Speed, may change or drop it, and may say
// something in a node's name. A node whose messages are changed, with its own key to sign what it likes, is a node of an attacker.
#pragma once

#include "codec/extension.h"
#include "speed/messages.h"
#include "unit/node_world.h"

namespace millet::testing {

class SpeedTap {
 public:
  struct Heard {
    Instant at;
    const Machine* from;
    const Machine* to;
    speed::Message message;  // as it went on, after `change`
  };

  explicit SpeedTap(World& world) : world_(world) {
    world.on_wire = [this](const World::Wire& wire, std::vector<uint8_t>& bytes) { pass(wire, bytes); };
  }
  SpeedTap(const SpeedTap&) = delete;
  ~SpeedTap() { world_.on_wire = nullptr; }

  // False drops the message. Changes of a variant's type are encoded as they are.
  std::function<bool(Machine& from, Machine& to, speed::Message& message)> change;
  // Every frame of the peer wire but those of BitTorrent Speed: the message's id and what follows.
  std::function<void(Machine& from, Machine& to, uint8_t id, Bytes body)> on_frame;
  std::vector<Heard> heard;

  // Says something on the newest connection of the two, as if `from` had.
  void say(const Machine& from, const Machine& to, const speed::Message& message) { say_payload(from, to, speed::encode(message)); }
  void say_payload(const Machine& from, const Machine& to, Bytes payload) {
    auto way = newest_.find({&from, &to});
    CHECK(way != newest_.end());
    world_.forge(way->second, from, frame(flows_[{way->second, &to}].speed_id, payload));
  }

  template <typename M>
  std::vector<M> all(const Machine& from, const Machine& to) const {
    std::vector<M> out;
    for (const Heard& one : heard) {
      if (one.from == &from && one.to == &to && std::holds_alternative<M>(one.message)) out.push_back(std::get<M>(one.message));
    }
    return out;
  }
  template <typename M>
  std::optional<M> last(const Machine& from, const Machine& to) const {
    std::vector<M> found = all<M>(from, to);
    return found.empty() ? std::nullopt : std::optional(found.back());
  }

 private:
  struct Flow {
    bool shaken = false;
    uint8_t speed_id = 0;  // under which the sender wants its messages
    std::vector<uint8_t> partial;
  };

  static std::vector<uint8_t> frame(uint8_t id, Bytes payload) {
    std::vector<uint8_t> out;
    wire::encode(wire::Extended{id, payload}, out);
    return out;
  }

  void pass(const World::Wire& wire, std::vector<uint8_t>& bytes) {
    newest_[{wire.from, wire.to}] = wire.link;
    Flow& flow = flows_[{wire.link, wire.from}];
    flow.partial.insert(flow.partial.end(), bytes.begin(), bytes.end());
    bytes.clear();
    size_t at = 0;
    if (!flow.shaken && flow.partial.size() >= wire::k_handshake_size) {
      flow.shaken = true;
      at = wire::k_handshake_size;
      bytes.assign(flow.partial.begin(), flow.partial.begin() + wire::k_handshake_size);
    }
    while (flow.shaken && flow.partial.size() >= at + 4) {
      size_t size = size_t{4} + load_be<uint32_t>(flow.partial.data() + at);
      if (flow.partial.size() < at + size) break;
      pass_frame(wire, flow, Bytes(flow.partial).subspan(at, size), bytes);
      at += size;
    }
    flow.partial.erase(flow.partial.begin(), flow.partial.begin() + static_cast<std::ptrdiff_t>(at));
  }

  void pass_frame(const World::Wire& wire, Flow& flow, Bytes whole, std::vector<uint8_t>& out) {
    Bytes body = whole.subspan(4);
    uint8_t other_id = flows_[{wire.link, wire.to}].speed_id;
    if (body.size() >= 2 && body[0] == wire::Extended::k_id && body[1] == 0) {
      auto handshake = wire::decode_extension_handshake(body.subspan(2));
      if (handshake && handshake->btt_speed) flow.speed_id = *handshake->btt_speed;
    } else if (body.size() >= 2 && body[0] == wire::Extended::k_id && other_id != 0 && body[1] == other_id) {
      speed::Message message = *speed::decode(body.subspan(2));
      if (change && !change(*wire.from, *wire.to, message)) return;
      heard.push_back({world_.now, wire.from, wire.to, message});
      std::vector<uint8_t> framed = frame(other_id, speed::encode(message));
      out.insert(out.end(), framed.begin(), framed.end());
      return;
    }
    if (on_frame && !body.empty()) on_frame(*wire.from, *wire.to, body[0], body.subspan(1));
    out.insert(out.end(), whole.begin(), whole.end());
  }

  World& world_;
  std::map<std::pair<uint64_t, const Machine*>, Flow> flows_;  // by link and sender
  std::map<std::pair<const Machine*, const Machine*>, uint64_t> newest_;
};

}  // namespace millet::testing
