#include "hal/sim/world.h"

#include "hal/sim/machine.h"
#include "hal/sim/network.h"
#include "hal/sim/tcp.h"
#include "hal/sim/udp.h"

namespace millet::sim {

const char* stop_reason_name(StopReason reason) {
  switch (reason) {
    case StopReason::deadline: return "deadline";
    case StopReason::finished: return "finished";
    case StopReason::idle: return "idle";
    case StopReason::livelock: return "livelock";
  }
  return "unknown";
}

World::World(uint64_t seed) : World(seed, NetworkOptions{}) {}

World::World(uint64_t seed, const NetworkOptions& network)
    : seed_(seed), network_(std::make_unique<Network>(*this)), tcp_(std::make_unique<Tcp>(*this, *network_, network)),
      udp_(std::make_unique<Udp>(*this, *network_, network)) {}

World::~World() = default;

bool World::has_power(uint32_t machine) const { return tcp_->has_power(machine); }

Random World::random(std::string_view purpose, uint64_t index) const {
  TraceHash mix;
  mix.add(seed_);
  mix.add(as_bytes(purpose));
  mix.add(index);
  return Random(mix.value());
}

Machine& World::add_machine(const MachineOptions& options) {
  uint32_t index = machine_count();
  network_->add_machine(options.addresses, options.link);
  machines_.push_back(std::make_unique<Machine>(*this, index, options));
  return *machines_.back();
}

void World::add_target(EventTarget& target) {
  CHECK(target.id_ == 0);
  targets_.push_back(&target);
  target.id_ = static_cast<uint32_t>(targets_.size());
}

void World::remove_target(EventTarget& target) {
  if (target.id_ == 0) return;
  targets_[target.id_ - 1] = nullptr;
  target.id_ = 0;
}

void World::schedule(Instant at, EventTarget& target, uint32_t kind, uint64_t a, uint64_t b) {
  CHECK(target.id_ != 0);
  if (at.is_never()) return;
  queue_.push(Event{std::max(at, now_), next_ticket_++, target.id_, kind, a, b});
}

bool World::step() {
  if (queue_.empty()) return false;
  Event event = queue_.top();
  queue_.pop();
  CHECK(event.time >= now_);
  events_this_instant_ = event.time == now_ ? events_this_instant_ + 1 : 0;
  now_ = event.time;
  EventTarget* target = targets_[event.target - 1];
  if (target == nullptr) return true;
  ++events_;
  trace_.add(static_cast<uint64_t>(event.time.in_us()));
  trace_.add((uint64_t{event.target} << 32) | event.kind);
  trace_.add(event.a);
  trace_.add(event.b);
  target->on_event(event.kind, event.a, event.b);
  for (Observer* observer : observers_) observer->after_event(now_);
  return true;
}

bool World::observers_finished() const {
  for (const Observer* observer : observers_) {
    if (observer->finished()) return true;
  }
  return false;
}

StopReason World::run_until(Instant deadline) {
  for (;;) {
    if (observers_finished()) return StopReason::finished;
    if (queue_.empty() || queue_.top().time > deadline) break;
    if (events_this_instant_ > k_events_per_instant_max) return StopReason::livelock;
    step();
  }
  now_ = std::max(now_, deadline);
  events_this_instant_ = 0;
  return queue_.empty() ? StopReason::idle : StopReason::deadline;
}

}  // namespace millet::sim
