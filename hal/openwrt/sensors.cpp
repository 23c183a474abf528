#include "hal/openwrt/sensors.h"

#include <algorithm>

namespace millet::hal {
namespace {

// Beyond it a sensor is broken or not connected; thousandths of a degree.
constexpr int64_t k_heat_min = -40'000;
constexpr int64_t k_heat_max = 150'000;
// Trip points of 0 or 255 degrees are a driver's way of having none.
constexpr int64_t k_trip_min = 30'000;
constexpr int64_t k_trip_max = 130'000;
constexpr int32_t k_before_critical = 10'000;

// The number of KiB in the line "Name:   123 kB"; nothing if there is no such line.
std::optional<uint64_t> meminfo_value(std::string_view text, std::string_view name) {
  for (size_t at = 0; at < text.size();) {
    size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line = text.substr(at, end - at);
    at = end + 1;
    if (!line.starts_with(name) || line.size() <= name.size() || line[name.size()] != ':') continue;
    size_t word = name.size() + 1;
    return parse_decimal(next_word(line, word));
  }
  return std::nullopt;
}

// "some avg10=1.23 avg60=...": the first number in hundredths of a percent.
uint32_t stalled_permyriad(std::string_view text) {
  constexpr std::string_view k_name = "some avg10=";
  if (!text.starts_with(k_name)) return 0;
  size_t at = k_name.size();
  std::string_view word = next_word(text, at);
  size_t dot = word.find('.');
  if (dot == std::string_view::npos || word.size() != dot + 3) return 0;
  std::optional<uint64_t> whole = parse_decimal(word.substr(0, dot));
  std::optional<uint64_t> part = parse_decimal(word.substr(dot + 1));
  if (!whole || !part || *whole > 100) return 0;
  return static_cast<uint32_t>(std::min<uint64_t>(*whole * 100 + *part, 10'000));
}

}  // namespace

// ---- heat ----

int32_t ThermalZones::limit_of(const std::string& zone) const {
  if (limit_ != 0) return limit_;
  int64_t passive = INT64_MAX, hot = INT64_MAX, critical = INT64_MAX;
  for (uint32_t i = 0; i < k_trip_points_max; ++i) {
    const std::string point = zone + "/trip_point_" + std::to_string(i);
    std::optional<std::string> type = read_sys_line(point + "_type");
    if (!type) break;
    std::optional<int64_t> at = read_sys_number(point + "_temp");
    if (!at || *at < k_trip_min || *at > k_trip_max) continue;
    int64_t* place = *type == "passive" ? &passive : *type == "hot" ? &hot : *type == "critical" ? &critical : nullptr;
    if (place != nullptr) *place = std::min(*place, *at);
  }
  if (passive != INT64_MAX) return static_cast<int32_t>(passive);
  if (hot != INT64_MAX) return static_cast<int32_t>(hot);
  return critical == INT64_MAX ? 0 : static_cast<int32_t>(critical) - k_before_critical;
}

void ThermalZones::read(DeviceReadings& readings) {
  uint32_t zones = 0;
  for (const std::string& name : list_sys_folder(root_ + "/sys/class/thermal")) {
    if (!name.starts_with("thermal_zone")) continue;
    if (++zones > k_zones_max) break;
    const std::string zone = root_ + "/sys/class/thermal/" + name;
    std::optional<int64_t> heat = read_sys_number(zone + "/temp");
    if (!heat || *heat < k_heat_min || *heat > k_heat_max) continue;
    int32_t limit = limit_of(zone);
    if (limit == 0) continue;
    DeviceReadings::Heat found{static_cast<int32_t>(*heat), limit, read_sys_line(zone + "/type").value_or(name)};
    bool nearer = !readings.heat || limit - found.milli_celsius < readings.heat->limit_milli_celsius - readings.heat->milli_celsius;
    if (nearer) readings.heat = std::move(found);
  }
  if (readings.heat) {
    presence_.found(readings.heat->zone + ", limit " + std::to_string(readings.heat->limit_milli_celsius / 1000) + " degrees");
  } else {
    presence_.missing(zones == 0 ? "there is none" : "none tells a temperature and a limit: board.heat_limit gives one");
  }
}

// ---- memory ----

void MemoryState::read(DeviceReadings& readings) {
  std::optional<std::string> text = read_sys_text(root_ + "/proc/meminfo");
  uint64_t total = text ? meminfo_value(*text, "MemTotal").value_or(0) : 0;
  uint64_t available = text ? meminfo_value(*text, "MemAvailable").value_or(UINT64_MAX) : UINT64_MAX;
  if (total == 0 || available > total) {
    presence_.missing("/proc/meminfo does not tell MemTotal and MemAvailable");
    return;
  }
  std::optional<std::string> pressure = read_sys_text(root_ + "/proc/pressure/memory");
  presence_.found(pressure ? "with stalls" : "without stalls: the kernel has no pressure information");
  std::optional<std::string> own = read_sys_text(root_ + "/proc/self/status");
  uint64_t own_kib = own ? meminfo_value(*own, "RssAnon").value_or(0) : 0;
  readings.memory = {available, total, own_kib, pressure ? stalled_permyriad(*pressure) : 0};
}

// ---- network ----

void ConnectionTracking::read(DeviceReadings& readings) {
  const std::string table = root_ + "/proc/sys/net/netfilter/nf_conntrack_";
  std::optional<int64_t> count = read_sys_number(table + "count");
  std::optional<int64_t> max = read_sys_number(table + "max");
  if (!count || !max || *count < 0 || *max <= 0) {
    presence_.missing("the kernel tracks no connections, or does not show it here");
    return;
  }
  presence_.found(std::to_string(*max) + " entries");
  readings.tracking = {static_cast<uint64_t>(*count), static_cast<uint64_t>(*max)};
}

// An interface that does not say (a tunnel) is taken to carry.
bool Routes::carries(std::string_view interface) const {
  if (interface == "lo") return false;
  return read_sys_line(root_ + "/sys/class/net/" + std::string(interface) + "/carrier").value_or("1") != "0";
}

void Routes::read(DeviceReadings& readings) {
  constexpr uint64_t k_up = 1;           // RTF_UP
  constexpr uint64_t k_refuses = 0x200;  // RTF_REJECT
  auto flags_of = [](std::string_view hex) {
    uint64_t value = 0;
    for (char c : hex) {
      int digit = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
      if (digit < 0) return uint64_t{0};
      value = value << 4 | static_cast<uint64_t>(digit);
    }
    return value;
  };
  auto counts = [&](std::string_view flags) { return (flags_of(flags) & k_up) != 0 && (flags_of(flags) & k_refuses) == 0; };
  std::optional<std::string> v4 = read_sys_text(root_ + "/proc/net/route");
  std::optional<std::string> v6 = read_sys_text(root_ + "/proc/net/ipv6_route");
  if (!v4 && !v6) {
    presence_.missing("/proc/net/route can't be read");
    return;
  }
  presence_.found("");
  bool found = false;
  auto each_line = [](std::string_view text, auto&& take) {
    for (size_t at = 0; at < text.size();) {
      size_t end = std::min(text.find('\n', at), text.size());
      std::string_view fields[10];
      size_t word = 0, count = 0;
      std::string_view line = text.substr(at, end - at);
      while (count < 10 && !(fields[count] = next_word(line, word)).empty()) ++count;
      take(fields, count);
      at = end + 1;
    }
  };
  // Iface Destination Gateway Flags RefCnt Use Metric Mask ...
  each_line(v4.value_or(""), [&](const std::string_view* f, size_t count) {
    found = found || (count >= 8 && f[1] == "00000000" && f[7] == "00000000" && counts(f[3]) && carries(f[0]));
  });
  // Destination Prefix Source Prefix NextHop Metric RefCnt Use Flags Iface
  each_line(v6.value_or(""), [&](const std::string_view* f, size_t count) {
    bool is_default = count == 10 && f[1] == "00" && f[0].find_first_not_of('0') == std::string_view::npos;
    found = found || (is_default && counts(f[8]) && carries(f[9]));
  });
  readings.has_route = found;
}

}  // namespace millet::hal
