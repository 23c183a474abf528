// Looks after the device that a node runs on: reads its sensors now and then (on a worker), hands the readings over, shows the light, feeds
// the watchdogs. One timer for all of it; between two looks only what the board itself reports wakes the loop.
//
// The watchdogs are fed from the loop's timer and from nowhere else: a loop that stands still feeds nobody.
#pragma once

#include <memory>

#include "hal/board.h"
#include "hal/clock.h"
#include "hal/executor.h"
#include "node/node.h"

namespace millet {

class DeviceWatchEvents {
 public:
  virtual ~DeviceWatchEvents() = default;
  virtual void on_device(const DeviceReadings& readings) = 0;
  virtual void on_device_changed() = 0;  // next_deadline() is another
};

class DeviceWatch final : private hal::BoardEvents {
 public:
  // A link that comes up is a dozen messages, and a stall of memory comes seldom alone.
  static constexpr Duration k_gather = Duration::seconds(1);

  // Requires: all outlive it, and no job of it runs any more when it is destroyed.
  DeviceWatch(hal::Board& board, hal::Executor& executor, hal::Clock& clock, DeviceWatchEvents& events);
  ~DeviceWatch() override;
  DeviceWatch(const DeviceWatch&) = delete;

  void start(Instant now);
  void on_timer(Instant now);
  Instant next_deadline() const { return stopped_ ? Instant::never() : earlier(look_at_, feed_at_); }
  // What the node wants after the readings.
  void follow(Instant now, const DeviceOrders& orders);
  // The program ends in good order: the watchdogs are told, the light is given back. Nothing is read any more.
  void stop();

 private:
  class LookJob;
  void on_board_changed() override;
  void look(Instant now);
  void feed(Instant now);
  void on_read(const DeviceReadings& readings);

  hal::Board& board_;
  hal::Executor& executor_;
  hal::Clock& clock_;
  DeviceWatchEvents& events_;
  LedPattern led_ = LedPattern::off;
  Instant look_at_ = Instant::never();
  Instant feed_at_ = Instant::never();
  Instant looked_at_;     // began
  bool looking_ = false;  // a job is under way
  bool low_memory_ = false;
  bool stopped_ = false;
};

}  // namespace millet
