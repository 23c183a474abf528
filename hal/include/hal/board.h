// What a device has beside processor, network and disk. Everything is optional. Whoever owns a Board polls it seldom and listens for
// events; what it reads goes to the policy (node/device_policy.h), which decides.
#pragma once

#include <span>

#include "base/device.h"
#include "base/time.h"

namespace millet::hal {

// Fills in its part of the readings; leaves it empty where the hardware is not there, does not answer, or tells nonsense. read() may take
// milliseconds (a chip behind a slow bus), never waits for a disk and never wakes one: for a job, one at a time.
class Sensor {
 public:
  virtual ~Sensor() = default;
  virtual void read(DeviceReadings& readings) = 0;
};

// A light. For the same job.
class Led {
 public:
  virtual ~Led() = default;
  virtual void show(LedPattern pattern) = 0;
  // Gives it back as it was found.
  virtual void restore() = 0;
};

// Resets the board, or has the program started again, unless it is fed. On the loop's thread: that is what it watches.
class Watchdog {
 public:
  virtual ~Watchdog() = default;
  // Feed at least so often.
  virtual Duration period() const = 0;
  virtual void feed() = 0;
  // The program ends in good order: nothing is to be reset.
  virtual void release() = 0;
};

class BoardEvents {
 public:
  virtual ~BoardEvents() = default;
  // Something that can't wait for the next look: memory is short, a link went up or down.
  virtual void on_board_changed() = 0;
};

class Board {
 public:
  virtual ~Board() = default;
  // On the loop's thread; null: none any more.
  virtual void set_events(BoardEvents* events) = 0;
  virtual std::span<Sensor* const> sensors() = 0;
  virtual std::span<Watchdog* const> watchdogs() = 0;
  virtual Led* led() = 0;  // null: none
  // Memory that the allocator keeps for later goes back to the system.
  virtual void trim_memory() = 0;
};

}  // namespace millet::hal
