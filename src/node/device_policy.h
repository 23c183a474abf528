// What a node gives up so that its device stays well, decided from what the device tells (base/device.h) and from what the node does. An
// engine: readings and an Instant in, limits out.
//
//   heat       the upload rate steps down before the chip slows itself down, and comes back more slowly (hysteresis)
//   memory     no new peers and fewer slots when it is short, then fewer peers; before the kernel kills somebody
//   tracking   fewer half-open connections while the kernel's table is nearly full; peers may fill a share of it
//   disk       what nobody waits for is not written while the state's disk sleeps; with bursts, peers without a bid wait until a sleeping
//              payload disk is worth waking
//   link       without a way out nothing is dialled or announced; when it is back, everything at once
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/device.h"
#include "base/time.h"

namespace millet {

struct DevicePolicyOptions {
  uint32_t tracking_percent = 25;  // of the kernel's table that peers may fill
  Duration disk_sleep;             // without access for so long, a rotating disk counts as asleep; zero: never
  Duration disk_bursts;            // peers without a bid wait up to so long while the payload's disk sleeps; zero: they don't
};

// What the node does now.
struct DeviceUse {
  uint64_t upload_rate = 0;  // bytes per second
  uint32_t upload_slots = 0;
  uint32_t peers = 0;
  uint32_t waiting = 0;      // peers that want something and have no slot
  uint32_t served_free = 0;  // in a slot that is not sold
  bool paid = false;         // somebody has bought a slot, or bids for one
  bool seeds = false;        // a torrent is served
  bool has_trouble = false;  // a torrent stands still with an error, or state can't be saved
};

struct DeviceLimits {
  uint64_t upload_rate = 0;  // bytes per second; 0: no limit of the device's
  uint32_t peers_max = UINT32_MAX;
  uint32_t upload_slots_max = UINT32_MAX;
  uint32_t dialling_max = UINT32_MAX;  // half open
  bool has_network = true;             // false: neither dial nor announce
  bool paid_only = false;              // no slot for peers without a bid
  bool hold_writes = false;            // state that nobody waits for is not written
  bool low_memory = false;             // keep no buffers for later, read nothing ahead
  auto operator<=>(const DeviceLimits&) const = default;
};

// One limit, for people: "upload", "60 %", "board at 92 degrees (cpu-thermal), it slows down at 95".
struct DeviceLimit {
  std::string what;
  std::string value;
  std::string why;
};

class DevicePolicy {
 public:
  static constexpr Duration k_look = Duration::seconds(15);         // between two readings
  static constexpr Duration k_look_closely = Duration::seconds(5);  // while something is short
  // Of the temperature below the limit, in thousandths of a degree.
  static constexpr int32_t k_heat_hold = 5'000;   // nearer: down by a quarter with each look
  static constexpr int32_t k_heat_free = 10'000;  // further away: up again
  static constexpr int32_t k_heat_last = 1'000;   // nearer: down to a quarter at once
  static constexpr uint32_t k_upload_percent_min = 5;
  static constexpr uint32_t k_upload_step_up = 10;
  static constexpr Duration k_heat_step_up = Duration::seconds(20);
  // A node that uploads little is not what heats the board.
  static constexpr uint64_t k_upload_base_min = 256 * 1024;
  // Memory is tight below a tenth of it, critical below a twentieth, whatever there is above these.
  static constexpr uint64_t k_tight_max_kib = 256 * 1024;
  static constexpr uint64_t k_critical_max_kib = 128 * 1024;
  static constexpr uint32_t k_stalled_tight = 1'000;     // hundredths of a percent
  static constexpr uint32_t k_stalled_critical = 4'000;  //
  static constexpr Duration k_memory_step_up = Duration::seconds(30);
  static constexpr uint32_t k_peers_min = 4;
  // Of the table of tracked connections, in percent: few dials from here, and again all below; none from here, and again few below.
  static constexpr uint32_t k_tracking_few = 70;
  static constexpr uint32_t k_tracking_few_end = 60;
  static constexpr uint32_t k_tracking_none = 90;
  static constexpr uint32_t k_tracking_none_end = 80;
  static constexpr uint32_t k_dialling_few = 2;
  static constexpr uint32_t k_tracked_peers_min = 8;
  // A sleeping disk is woken by so many who wait, and then serves for so long; below this rate it may sleep again.
  static constexpr uint32_t k_burst_peers = 4;
  static constexpr Duration k_burst_time = Duration::minutes(2);
  static constexpr uint64_t k_burst_rate = 128 * 1024;
  // What is held is worth a wake four times a day: a power cut loses no more.
  static constexpr Duration k_hold_max = Duration::hours(6);

  explicit DevicePolicy(const DevicePolicyOptions& options) : options_(options) {}
  void set_options(const DevicePolicyOptions& options) { options_ = options; }

  void on_readings(Instant now, const DeviceReadings& readings, const DeviceUse& use);
  const DeviceLimits& limits() const { return limits_; }
  // True once after the way out came back.
  bool take_network_back() { return std::exchange(network_back_, false); }
  LedPattern led() const { return led_; }
  // Until the next readings are wanted.
  Duration next_look() const { return is_short() ? k_look_closely : k_look; }
  // For listings: what is limited and why; none if all is well.
  std::vector<DeviceLimit> explain() const;
  const DeviceReadings& readings() const { return readings_; }
  bool state_disk_sleeps() const { return state_.sleeps; }
  bool payload_disk_sleeps() const { return payload_.sleeps; }

 private:
  enum class Memory : uint8_t { enough, tight, critical };
  struct DiskWatch {
    uint64_t accesses = 0;
    Instant used = Instant::never();  // the last time that it was; never: not looked at yet
    bool sleeps = false;
  };
  bool is_short() const { return upload_percent_ < 100 || memory_ != Memory::enough || dialling_max_ == 0; }
  void on_heat(Instant now, const DeviceUse& use);
  void on_memory(Instant now, const DeviceUse& use);
  Memory memory_level() const;
  void on_tracking();
  void on_disk(Instant now, const std::optional<DeviceReadings::Disk>& disk, DiskWatch& watch) const;
  void on_bursts(Instant now, const DeviceUse& use);
  void on_route();
  void show(const DeviceUse& use);
  std::string why_memory() const;
  std::string why_tracking() const;

  DevicePolicyOptions options_;
  DeviceReadings readings_;
  DeviceLimits limits_;
  LedPattern led_ = LedPattern::off;
  // heat
  uint32_t upload_percent_ = 100;
  uint64_t upload_base_ = 0;
  Instant heat_at_ = Instant::never();  // of the last step up or down
  // memory
  Memory memory_ = Memory::enough;
  Instant memory_at_ = Instant::never();  // of the last change, or of the last time that it was short
  uint32_t memory_peers_max_ = UINT32_MAX;
  uint32_t memory_slots_max_ = UINT32_MAX;
  // tracking
  uint32_t dialling_max_ = UINT32_MAX;
  uint32_t tracked_peers_max_ = UINT32_MAX;
  // disks
  DiskWatch payload_;
  DiskWatch state_;
  Instant held_since_ = Instant::never();
  bool resting_ = false;                      // between bursts
  Instant burst_since_ = Instant::never();    // of the burst that goes on
  Instant waiting_since_ = Instant::never();  // somebody waits for the next one
  // link
  bool had_route_ = false;
  bool network_back_ = false;
};

}  // namespace millet
