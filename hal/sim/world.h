// A simulated world: a virtual clock, an ordered queue of events, machines and the network between them. Everything random comes from one
// seed, so one seed is one run: the same events in the same order, the same bytes, the same trace hash.
//
// Nothing here waits: time jumps from event to event. Handling an event takes no virtual time; work on the executor does (executor.h).
#pragma once

#include <memory>
#include <queue>
#include <string>
#include <vector>

#include "base/random.h"
#include "hal/sim/event.h"
#include "hal/sim/trace.h"

namespace millet::sim {

class Machine;
struct MachineOptions;
class Network;
struct NetworkOptions;
class Tcp;
class Udp;

// Sees the world between two events: where invariants are checked.
class Observer {
 public:
  virtual ~Observer() = default;
  virtual void after_event(Instant now) = 0;
  // True ends run_until(): a goal is reached, or an invariant is broken.
  virtual bool finished() const { return false; }
};

enum class StopReason : uint8_t {
  deadline,  // virtual time is up
  finished,  // an observer said so
  idle,      // the same, and no event is left
  livelock,  // k_events_per_instant_max events without time moving on
};
const char* stop_reason_name(StopReason reason);

class World {
 public:
  // More than any real burst: 300 machines with 100 timers each. Beyond it somebody re-arms a timer in the past for ever.
  static constexpr uint64_t k_events_per_instant_max = 200'000;

  explicit World(uint64_t seed);
  World(uint64_t seed, const NetworkOptions& network);
  ~World();
  World(const World&) = delete;

  uint64_t seed() const { return seed_; }
  // Virtual time since the world began. Machines show other times to their programs (machine.h).
  Instant now() const { return now_; }
  // A generator of its own for each purpose, so that a draw more in one place changes nothing in another.
  Random random(std::string_view purpose, uint64_t index = 0) const;

  Machine& add_machine(const MachineOptions& options);
  Machine& machine(uint32_t index) { return *machines_.at(index); }
  uint32_t machine_count() const { return static_cast<uint32_t>(machines_.size()); }
  Network& network() { return *network_; }
  Tcp& tcp() { return *tcp_; }
  Udp& udp() { return *udp_; }
  // Whether a machine answers packets at all.
  bool has_power(uint32_t machine) const;

  // Gives a target its place in the trace. Call in the same order in every run; before its first event.
  void add_target(EventTarget& target);
  // No event reaches the target any more.
  void remove_target(EventTarget& target);
  // Requires: the target was added. A time in the past means now.
  void schedule(Instant at, EventTarget& target, uint32_t kind, uint64_t a = 0, uint64_t b = 0);
  void schedule(Duration after, EventTarget& target, uint32_t kind, uint64_t a = 0, uint64_t b = 0) {
    schedule(now_ + after, target, kind, a, b);
  }

  void add_observer(Observer& observer) { observers_.push_back(&observer); }
  // Handles the next event; false if there is none.
  bool step();
  // Runs until `deadline`, which is then the time unless an observer or a livelock ended the run before.
  StopReason run_until(Instant deadline);
  StopReason run_for(Duration duration) { return run_until(now_ + duration); }

  // File accesses that a program waited for on its loop, on any machine: none, in a program that keeps its loop free
  // (Machine::blocking_calls says whose).
  uint64_t blocking_calls() const { return blocking_calls_; }
  void note_blocking_call() { ++blocking_calls_; }

  TraceHash& trace() { return trace_; }
  uint64_t events() const { return events_; }

 private:
  struct Later {
    bool operator()(const Event& x, const Event& y) const { return x.time != y.time ? x.time > y.time : x.ticket > y.ticket; }
  };
  bool observers_finished() const;

  uint64_t seed_;
  Instant now_;
  uint64_t next_ticket_ = 0;
  uint64_t events_ = 0;
  uint64_t events_this_instant_ = 0;
  uint64_t blocking_calls_ = 0;
  std::priority_queue<Event, std::vector<Event>, Later> queue_;
  std::vector<EventTarget*> targets_;
  std::vector<Observer*> observers_;
  TraceHash trace_;
  std::unique_ptr<Network> network_;
  std::unique_ptr<Tcp> tcp_;
  std::unique_ptr<Udp> udp_;
  std::vector<std::unique_ptr<Machine>> machines_;
};

}  // namespace millet::sim
