// Everything that a driver gets from the machine, and the loop that turns it. hal/linux makes one for the product, hal/sim one per node.
#pragma once

#include <vector>

#include "base/random.h"
#include "crypto/hash.h"
#include "hal/clock.h"
#include "hal/datagrams.h"
#include "hal/executor.h"
#include "hal/files.h"
#include "hal/streams.h"

namespace millet::hal {

class TimerEvents {
 public:
  virtual ~TimerEvents() = default;
  virtual void on_timer() = 0;
  // SIGTERM, SIGINT or SIGHUP: finish what must be durable, then stop the loop.
  virtual void on_shutdown() = 0;
};

class Loop {
 public:
  virtual ~Loop() = default;
  virtual void set_events(TimerEvents* events) = 0;
  // The one timer: on_timer() at or after `when`; Instant::never() disarms it. Replaces the earlier setting.
  virtual void arm(Instant when) = 0;
  // Ends run() after the current event.
  virtual void stop() = 0;
};

class Resolver {
 public:
  virtual ~Resolver() = default;
  // Blocks; for jobs of Queue::resolve. The addresses of a name, at most 8. Errors: not_found, unavailable.
  virtual Result<std::vector<IpAddress>> resolve(const std::string& name) = 0;
};

struct System {
  Clock& clock;
  SecureRandom& random;
  Streams& streams;
  Datagrams& datagrams;
  Files& files;
  Executor& executor;
  Resolver& resolver;
  Loop& loop;
  CpuFeatures cpu;
};

}  // namespace millet::hal
