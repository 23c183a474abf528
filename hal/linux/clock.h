// CLOCK_MONOTONIC and CLOCK_REALTIME.
#pragma once

#include "hal/clock.h"

namespace millet::hal {

class LinuxClock final : public Clock {
 public:
  // Ends the process if the monotonic clock runs backwards: every deadline and the ledger's clock rest on it.
  Instant now() override;
  WallTime wall() override;

 private:
  Instant last_;
};

// Processor time of the calling thread, nanoseconds: what a trial costs.
int64_t thread_time_ns();

}  // namespace millet::hal
