// One thing that happens in virtual time, and who it happens to. Events carry two numbers and no pointers, so that the trace of a run is
// the same bytes on every compiler and processor; what belongs to an event (bytes on a wire, a job) is kept by its target.
#pragma once

#include <cstdint>

#include "base/time.h"

namespace millet::sim {

struct Event {
  Instant time;
  uint64_t ticket = 0;  // order of scheduling; breaks ties of time
  uint32_t target = 0;
  uint32_t kind = 0;
  uint64_t a = 0;
  uint64_t b = 0;
};

// Its events may come later than what they were about: a target checks that the thing still exists.
class EventTarget {
 public:
  virtual ~EventTarget() = default;
  virtual void on_event(uint32_t kind, uint64_t a, uint64_t b) = 0;

 private:
  friend class World;
  uint32_t id_ = 0;
};

}  // namespace millet::sim
