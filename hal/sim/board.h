// A simulated machine's board: readings, alarms and a watchdog that a scenario sets and looks at. It belongs to the machine and outlives
// its programs.
#pragma once

#include <vector>

#include "hal/board.h"
#include "hal/sim/event.h"

namespace millet::sim {

class World;

class Board final : public hal::Board, public EventTarget, private hal::Sensor, private hal::Led, private hal::Watchdog {
 public:
  explicit Board(World& world);
  ~Board() override;

  // ---- what scenarios arrange and look at ----
  // What the next look finds.
  DeviceReadings readings;
  // The board reports a change by itself, as the kernel does of memory and links.
  void alarm();
  LedPattern shown() const { return shown_; }
  uint64_t looks() const { return looks_; }
  uint64_t feeds() const { return feeds_; }
  uint64_t trims() const { return trims_; }
  bool released() const { return released_; }

  // hal::Board
  void set_events(hal::BoardEvents* events) override { events_ = events; }
  std::span<hal::Sensor* const> sensors() override { return sensors_; }
  std::span<hal::Watchdog* const> watchdogs() override { return watchdogs_; }
  hal::Led* led() override { return this; }
  void trim_memory() override { ++trims_; }

  void on_event(uint32_t kind, uint64_t a, uint64_t b) override;

 private:
  static constexpr Duration k_feed = Duration::seconds(20);

  void read(DeviceReadings& into) override;
  void show(LedPattern pattern) override { shown_ = pattern; }
  void restore() override { shown_ = LedPattern::off; }
  Duration period() const override { return k_feed; }
  void feed() override;
  void release() override { released_ = true; }

  World& world_;
  std::vector<hal::Sensor*> sensors_;
  std::vector<hal::Watchdog*> watchdogs_;
  hal::BoardEvents* events_ = nullptr;
  LedPattern shown_ = LedPattern::off;
  uint64_t looks_ = 0;
  uint64_t feeds_ = 0;
  uint64_t trims_ = 0;
  bool released_ = false;
};

}  // namespace millet::sim
