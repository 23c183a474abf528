// The sensors of a board that runs Linux, over /sys and /proc. Each is cheap where its hardware is missing: a file that is not there.
#pragma once

#include <string>
#include <vector>

#include "hal/board.h"
#include "hal/openwrt/sys_files.h"

namespace millet::hal {

// Thermal zones (/sys/class/thermal): the zone that is nearest to its lowest passive trip point, where the kernel begins to slow the
// chip down; else to "hot"; else to ten degrees below "critical", where it switches the board off. Trip points of fans do not count.
class ThermalZones final : public Sensor {
 public:
  static constexpr uint32_t k_zones_max = 32;
  static constexpr uint32_t k_trip_points_max = 12;

  // limit_celsius: for all zones, instead of their trip points; 0: none is given.
  ThermalZones(std::string root, uint32_t limit_celsius, LogSink& log)
      : root_(std::move(root)), limit_(static_cast<int32_t>(limit_celsius) * 1000), presence_(log, "thermal zones") {}
  void read(DeviceReadings& readings) override;

 private:
  int32_t limit_of(const std::string& zone) const;

  const std::string root_;
  const int32_t limit_;  // thousandths of a degree
  Presence presence_;
};

// /proc/meminfo, and how long tasks wait for memory (/proc/pressure/memory) where the kernel counts that.
class MemoryState final : public Sensor {
 public:
  MemoryState(std::string root, LogSink& log) : root_(std::move(root)), presence_(log, "memory figures") {}
  void read(DeviceReadings& readings) override;

 private:
  const std::string root_;
  Presence presence_;
};

// How full the table of tracked connections is (/proc/sys/net/netfilter).
class ConnectionTracking final : public Sensor {
 public:
  ConnectionTracking(std::string root, LogSink& log) : root_(std::move(root)), presence_(log, "connection tracking") {}
  void read(DeviceReadings& readings) override;

 private:
  const std::string root_;
  Presence presence_;
};

// Whether anything outside can be reached: a default route (/proc/net/route, ipv6_route) over an interface with a carrier.
class Routes final : public Sensor {
 public:
  Routes(std::string root, LogSink& log) : root_(std::move(root)), presence_(log, "routing tables") {}
  void read(DeviceReadings& readings) override;

 private:
  bool carries(std::string_view interface) const;

  const std::string root_;
  Presence presence_;
};

// The disks under payload and state: whether they rotate, are suspended, and how often anybody has used them (/sys/dev/block/.../stat).
// Counters are asked, not the disk: a command to it needs rights that a node should not have, waits behind a disk that spins up, and
// wakes the disks behind some USB bridges.
class DiskUse final : public Sensor {
 public:
  static constexpr size_t k_disks_max = 16;  // of an array, per folder
  static constexpr int k_levels_max = 4;     // of devices on devices: a volume on a mirror of partitions

  // Folders, or devices as "MAJOR:MINOR"; empty: none. A folder that is not there yet is looked for again.
  DiskUse(std::string root, std::string payload, std::string state, LogSink& log)
      : root_(std::move(root)), payload_(std::move(payload)), state_(std::move(state)), presence_(log, "disk counters") {}
  void read(DeviceReadings& readings) override;
  // The device that holds a folder; empty if that can't be told (a network, an overlay, several devices in one file system).
  static std::string device_of(const std::string& folder);

 private:
  std::optional<DeviceReadings::Disk> look(std::string& place) const;
  void find_disks(const std::string& folder, int level, std::vector<std::string>& disks) const;

  const std::string root_;
  std::string payload_;
  std::string state_;
  Presence presence_;
};

}  // namespace millet::hal
