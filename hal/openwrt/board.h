// The board of a device that runs Linux, put together from what is there: sensors.h, sys_led.h, watchdogs.h, alarms.h.
#pragma once

#include <uv.h>

#include <memory>
#include <string>
#include <vector>

#include "hal/openwrt/alarms.h"
#include "hal/openwrt/sensors.h"
#include "hal/openwrt/sys_led.h"
#include "hal/openwrt/watchdogs.h"

namespace millet::hal {

struct BoardOptions {
  std::string root;         // of /sys and /proc: empty, or a test's own tree
  std::string led;          // name under /sys/class/leds; empty: none
  std::string watchdog;     // device; empty: none
  uint32_t heat_limit = 0;  // degrees Celsius; 0: as the thermal zones say
  std::string payload;      // folders whose disks are of interest
  std::string state;
};

class LinuxBoard final : public Board {
 public:
  // Requires: the loop turns once more after this is destroyed; log outlives it.
  LinuxBoard(const BoardOptions& options, uv_loop_t* loop, LogSink& log);
  ~LinuxBoard() override;
  LinuxBoard(const LinuxBoard&) = delete;

  void set_events(BoardEvents* events) override;
  std::span<Sensor* const> sensors() override { return sensors_; }
  std::span<Watchdog* const> watchdogs() override { return watchdogs_; }
  Led* led() override { return led_.get(); }
  void trim_memory() override;

 private:
  ThermalZones heat_;
  MemoryState memory_;
  ConnectionTracking tracking_;
  Routes routes_;
  DiskUse disks_;
  std::unique_ptr<SysLed> led_;
  std::unique_ptr<WatchdogDevice> device_;
  std::unique_ptr<ServiceWatchdog> service_;
  std::vector<Sensor*> sensors_;
  std::vector<Watchdog*> watchdogs_;
  std::vector<Alarm*> alarms_;  // they free themselves
};

}  // namespace millet::hal
