// For tests of BitTorrent Speed: one provider and one requester that buys from it, and taps on what they say.
#pragma once

#include "unit/speed_world.h"

namespace millet::speed::world {

struct Duo {
  explicit Duo(const Settings& settings = {}, uint64_t budget = 1'000'000) : world(1, settings) {
    provider = &world.add("provider", true);
    requester = &world.add("requester", false, budget);
    world.ledger.fund(requester->key, 2 * budget);
    world.connect(*requester, *provider);
  }
  void start() {
    world.start(*provider);
    world.start(*requester);
  }
  // From the start to a crash of the requester that comes back with a store from before most of what it signed.
  void start_and_restore_the_requester() {
    start();
    run(2, [&] { return counted() > 0; });
    auto backup = requester->store;
    run(60, [&] { return counted() > 2000; });
    run(12);  // the provider has committed
    world.crash(*requester);
    requester->store = backup;
    world.start(*requester);
    // What is signed now is above what is in the store that came back: the world would call that a violation, so it is told.
    world.forgive_lease = true;
  }
  bool run(int64_t seconds, const std::function<bool()>& done = nullptr) { return world.run(world.now + Duration::seconds(seconds), done); }
  bool run_to_end(int64_t seconds = 3600) {
    return run(seconds, [&] { return world.everybody_complete() && world.all_channels_ended(); });
  }
  // Money that the provider has counted on channels that are open.
  uint64_t counted() const {
    uint64_t sum = 0;
    for (const ChannelView& view : provider->speed->payee().channels()) sum += view.amount.in_micro();
    return sum;
  }
  uint64_t earned() { return world.ledger.balance[provider->key]; }
  uint64_t banned_for() const { return provider->speed->banned_for(world.now, requester->address); }
  bool disconnected(const char* reason) const {
    for (const auto& [node, why] : world.disconnects) {
      if (why.find(reason) != std::string::npos) return true;
    }
    return false;
  }
  World world;
  Node* provider;
  Node* requester;
};

// The messages of one kind that a node has sent.
template <typename M>
struct Tap {
  Tap(World& world, Node& of) {
    world.on_send = [this, &of](Node& from, PeerHandle, std::vector<uint8_t>& payload) {
      Result<Message> message = decode(payload);
      if (&from == &of && message && std::holds_alternative<M>(*message)) seen.push_back(std::get<M>(*message));
      return true;
    };
  }
  std::vector<M> seen;
};

// Changes the messages of one kind that a node sends; false drops one.
template <typename M>
void tamper(World& world, Node& of, std::function<bool(M&)> change) {
  world.on_send = [&of, change = std::move(change)](Node& from, PeerHandle, std::vector<uint8_t>& payload) {
    Result<Message> message = decode(payload);
    if (&from != &of || !message || !std::holds_alternative<M>(*message)) return true;
    M m = std::get<M>(*message);
    if (!change(m)) return false;
    payload = encode(m);
    return true;
  };
}

inline bool has_ack(const std::vector<AckMessage>& acks, AckStatus status) {
  return std::any_of(acks.begin(), acks.end(), [&](const AckMessage& ack) { return ack.status == static_cast<uint8_t>(status); });
}
inline bool has_stop(const std::vector<StopMessage>& stops, StopReason reason) {
  return std::any_of(stops.begin(), stops.end(), [&](const StopMessage& stop) { return stop.reason == static_cast<uint8_t>(reason); });
}

}  // namespace millet::speed::world
