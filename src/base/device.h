// What a device tells of itself, and what it can be asked to show: plain values between hal/ and the policy (node/device_policy.h). Nothing
// is required: what a device does not have stays empty.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace millet {

struct DeviceReadings {
  // The sensor that is nearest to where its chip slows down.
  struct Heat {
    int32_t milli_celsius = 0;
    int32_t limit_milli_celsius = 0;
    std::string zone;
  };
  struct Memory {
    uint64_t available_kib = 0;  // without swapping
    uint64_t total_kib = 0;
    uint64_t own_kib = 0;        // of this process, without what the system could drop; 0: not known
    uint32_t stalled_permyriad = 0;  // of the last ten seconds, some task waited for memory; 0 also where the kernel can't tell
  };
  // The kernel's table of tracked connections.
  struct Tracking {
    uint64_t count = 0;
    uint64_t max = 0;
  };
  // The disks under one folder, taken together.
  struct Disk {
    bool rotating = false;   // any of them
    bool suspended = false;  // the kernel has put all that rotate to sleep
    uint64_t accesses = 0;   // reads and writes that are done, of all programs
  };

  std::optional<Heat> heat;
  std::optional<Memory> memory;
  std::optional<Tracking> tracking;
  std::optional<Disk> payload_disk;
  std::optional<Disk> state_disk;
  std::optional<bool> has_route;  // a default route over a link that is up
};

// What a light shows.
enum class LedPattern : uint8_t {
  off,      // nothing is served
  seeding,  // steady
  earning,  // blinks once in a second: somebody pays
  error,    // blinks fast: a torrent stands still, or state can't be saved
};

}  // namespace millet
