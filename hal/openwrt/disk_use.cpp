#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>

#include "hal/openwrt/sensors.h"

namespace millet::hal {
namespace {

// Reads and writes that are done: the first and the fifth number (Documentation/block/stat.rst). Nothing: it is no such file.
std::optional<uint64_t> accesses_of(const std::string& disk) {
  std::optional<std::string> text = read_sys_text(disk + "/stat");
  if (!text) return std::nullopt;
  uint64_t sum = 0;
  size_t at = 0;
  for (int field = 0; field < 5; ++field) {
    std::optional<uint64_t> value = parse_decimal(next_word(*text, at));
    if (!value) return std::nullopt;
    if (field == 0 || field == 4) sum += *value;
  }
  return sum;
}

}  // namespace

std::string DiskUse::device_of(const std::string& folder) {
  struct stat info = {};
  if (folder.empty() || ::stat(folder.c_str(), &info) != 0 || major(info.st_dev) == 0) return {};
  return std::to_string(major(info.st_dev)) + ":" + std::to_string(minor(info.st_dev));
}

// A partition leads to its disk, a volume or an array to what it is made of.
void DiskUse::find_disks(const std::string& folder, int level, std::vector<std::string>& disks) const {
  std::vector<std::string> below = list_sys_folder(folder + "/slaves");
  if (!below.empty() && level < k_levels_max) {
    for (const std::string& name : below) find_disks(folder + "/slaves/" + name, level + 1, disks);
    return;
  }
  std::string disk = read_sys_line(folder + "/partition") ? folder + "/.." : folder;
  if (disks.size() < k_disks_max && std::find(disks.begin(), disks.end(), disk) == disks.end()) disks.push_back(std::move(disk));
}

std::optional<DeviceReadings::Disk> DiskUse::look(std::string& place) const {
  if (place.starts_with("/")) {
    std::string device = device_of(place);
    if (device.empty()) return std::nullopt;
    place = std::move(device);
  }
  std::vector<std::string> disks;
  if (!place.empty()) find_disks(root_ + "/sys/dev/block/" + place, 0, disks);
  DeviceReadings::Disk all;
  all.suspended = true;
  bool any = false;
  for (const std::string& disk : disks) {
    std::optional<uint64_t> accesses = accesses_of(disk);
    if (!accesses) continue;
    any = true;
    all.accesses += *accesses;
    bool rotating = read_sys_number(disk + "/queue/rotational") == 1;
    if (!rotating) continue;
    all.rotating = true;
    if (read_sys_line(disk + "/device/power/runtime_status") != "suspended") all.suspended = false;
  }
  if (!all.rotating) all.suspended = false;
  return any ? std::optional(all) : std::nullopt;
}

void DiskUse::read(DeviceReadings& readings) {
  readings.payload_disk = look(payload_);
  readings.state_disk = look(state_);
  if (!readings.payload_disk && !readings.state_disk) {
    presence_.missing("payload and state are on no block device of this machine");
    return;
  }
  auto name = [](const std::optional<DeviceReadings::Disk>& disk) {
    return std::string(!disk ? "unknown" : disk->rotating ? "rotating" : "not rotating");
  };
  presence_.found("payload " + name(readings.payload_disk) + ", state " + name(readings.state_disk));
}

}  // namespace millet::hal
