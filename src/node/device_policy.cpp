#include "node/device_policy.h"

#include <algorithm>

namespace millet {
namespace {

std::string degrees(int32_t milli) { return std::to_string(milli / 1000); }
std::string percent(uint64_t value) { return std::to_string(value) + " %"; }
std::string mib(uint64_t kib) { return kib < 10 * 1024 ? std::to_string(kib) + " KiB" : std::to_string(kib / 1024) + " MiB"; }

}  // namespace

void DevicePolicy::on_readings(Instant now, const DeviceReadings& readings, const DeviceUse& use) {
  readings_ = readings;
  on_heat(now, use);
  on_memory(now, use);
  on_tracking();
  on_disk(now, readings_.payload_disk, payload_);
  on_disk(now, readings_.state_disk, state_);
  on_bursts(now, use);
  on_route();
  if (!state_.sleeps) held_since_ = Instant::never();
  if (state_.sleeps && held_since_.is_never()) held_since_ = now;
  limits_.hold_writes = state_.sleeps && now - held_since_ < k_hold_max;
  if (state_.sleeps && !limits_.hold_writes) held_since_ = now;  // one look lets out what has gathered
  limits_.upload_rate = upload_percent_ == 100 ? 0 : std::max<uint64_t>(upload_base_ / 100 * upload_percent_, 1);
  limits_.peers_max = std::min(memory_peers_max_, tracked_peers_max_);
  limits_.upload_slots_max = memory_slots_max_;
  limits_.dialling_max = dialling_max_;
  limits_.paid_only = resting_;
  limits_.low_memory = memory_ != Memory::enough;
  show(use);
}

// ---- heat ----

void DevicePolicy::on_heat(Instant now, const DeviceUse& use) {
  // A sensor that is gone tells nothing: back to normal, step by step.
  int32_t room = readings_.heat ? readings_.heat->limit_milli_celsius - readings_.heat->milli_celsius : INT32_MAX;
  if (room < k_heat_hold) {
    if (upload_percent_ == 100) upload_base_ = std::max(use.upload_rate, k_upload_base_min);
    uint32_t next = upload_percent_ * 3 / 4;
    if (room < k_heat_last) next = std::min<uint32_t>(next, 25);
    upload_percent_ = std::max(next, k_upload_percent_min);
    heat_at_ = now;
  } else if (upload_percent_ < 100 && room > k_heat_free && now - heat_at_ >= k_heat_step_up) {
    upload_percent_ = std::min<uint32_t>(upload_percent_ + k_upload_step_up, 100);
    heat_at_ = now;
  }
}

// ---- memory ----

DevicePolicy::Memory DevicePolicy::memory_level() const {
  if (!readings_.memory) return Memory::enough;
  const DeviceReadings::Memory& memory = *readings_.memory;
  uint64_t tight = std::min(memory.total_kib / 10, k_tight_max_kib);
  uint64_t critical = std::min(memory.total_kib / 20, k_critical_max_kib);
  if (memory.available_kib < critical || memory.stalled_permyriad >= k_stalled_critical) return Memory::critical;
  if (memory.available_kib < tight || memory.stalled_permyriad >= k_stalled_tight) return Memory::tight;
  // What is short is over only when there is a good deal more.
  bool plenty = memory.available_kib >= tight + tight / 2 && memory.stalled_permyriad < k_stalled_tight / 2;
  return plenty ? Memory::enough : std::min(memory_, Memory::tight);
}

void DevicePolicy::on_memory(Instant now, const DeviceUse& use) {
  Memory level = memory_level();
  if (level < memory_ && now - memory_at_ < k_memory_step_up) return;                   // it was short just now
  if (level < memory_) level = static_cast<Memory>(static_cast<uint8_t>(memory_) - 1);  // step by step, too
  bool worse = level > memory_;
  if (level != memory_ || level != Memory::enough) memory_at_ = now;
  memory_ = level;
  switch (level) {
    case Memory::enough: memory_peers_max_ = memory_slots_max_ = UINT32_MAX; break;
    case Memory::tight:
      // As many as there are, and what recovers from worse stays there until there is enough.
      if (worse) memory_peers_max_ = std::max(use.peers, k_peers_min);
      memory_slots_max_ = std::max<uint32_t>(use.upload_slots / 2, 1);
      break;
    case Memory::critical:
      // Half of them with each look, until it is no longer critical.
      memory_peers_max_ = std::max(std::min(use.peers, memory_peers_max_) / 2, k_peers_min);
      memory_slots_max_ = std::max<uint32_t>(use.upload_slots / 4, 1);
      break;
  }
}

// ---- connection tracking ----

void DevicePolicy::on_tracking() {
  if (!readings_.tracking) {
    dialling_max_ = tracked_peers_max_ = UINT32_MAX;
    return;
  }
  const DeviceReadings::Tracking& table = *readings_.tracking;
  uint64_t used = std::min(table.count, table.max) * 100 / table.max;
  if (used >= k_tracking_none || (dialling_max_ == 0 && used >= k_tracking_none_end)) {
    dialling_max_ = 0;
  } else if (used >= k_tracking_few || (dialling_max_ <= k_dialling_few && used >= k_tracking_few_end)) {
    dialling_max_ = k_dialling_few;
  } else {
    dialling_max_ = UINT32_MAX;
  }
  uint64_t share = table.max / 100 * options_.tracking_percent + table.max % 100 * options_.tracking_percent / 100;
  tracked_peers_max_ = static_cast<uint32_t>(std::clamp<uint64_t>(share, k_tracked_peers_min, UINT32_MAX));
}

// ---- disks ----

void DevicePolicy::on_disk(Instant now, const std::optional<DeviceReadings::Disk>& disk, DiskWatch& watch) const {
  if (!disk || !disk->rotating) {
    watch = {};
    return;
  }
  if (watch.used.is_never() || disk->accesses != watch.accesses) watch.used = now;
  watch.accesses = disk->accesses;
  bool quiet = options_.disk_sleep > Duration() && now - watch.used >= options_.disk_sleep;
  watch.sleeps = disk->suspended || quiet;
}

// Serving few slow peers keeps a disk awake for little. They wait, and are served together.
void DevicePolicy::on_bursts(Instant now, const DeviceUse& use) {
  bool has_disk = readings_.payload_disk && readings_.payload_disk->rotating;
  if (options_.disk_bursts == Duration() || !has_disk) {
    resting_ = false;
    burst_since_ = waiting_since_ = Instant::never();
    return;
  }
  if (!resting_) {
    bool serves = use.served_free > 0 || use.paid;
    if (serves && burst_since_.is_never()) burst_since_ = now;
    bool many = use.waiting + use.served_free >= k_burst_peers;
    bool over = burst_since_.is_never() ? payload_.sleeps : now - burst_since_ >= k_burst_time;
    if (use.paid || many || use.upload_rate >= k_burst_rate || !over) return;
    resting_ = true;
    burst_since_ = waiting_since_ = Instant::never();
    return;
  }
  if (use.waiting == 0) waiting_since_ = Instant::never();
  if (use.waiting > 0 && waiting_since_.is_never()) waiting_since_ = now;
  bool waited = !waiting_since_.is_never() && now - waiting_since_ >= options_.disk_bursts;
  if (!use.paid && use.waiting < k_burst_peers && !waited) return;
  resting_ = false;
  burst_since_ = now;
}

// ---- link ----

// Who never had a way out may live in a network that has none; without one after there was one, nobody can be reached.
void DevicePolicy::on_route() {
  bool has = readings_.has_route.value_or(true);
  if (has && !limits_.has_network) network_back_ = true;
  if (readings_.has_route && has) had_route_ = true;
  limits_.has_network = has || !had_route_;
}

void DevicePolicy::show(const DeviceUse& use) {
  led_ = use.has_trouble ? LedPattern::error : use.paid ? LedPattern::earning : use.seeds ? LedPattern::seeding : LedPattern::off;
}

// ---- for people ----

std::string DevicePolicy::why_memory() const {
  std::string out = "memory runs short";
  if (!readings_.memory) return out;
  out += ": " + mib(readings_.memory->available_kib) + " of " + mib(readings_.memory->total_kib) + " are left";
  if (readings_.memory->stalled_permyriad >= k_stalled_tight / 2)
    out += ", tasks wait for it " + percent(readings_.memory->stalled_permyriad / 100) + " of the time";
  return out;
}

std::string DevicePolicy::why_tracking() const {
  return "the kernel tracks " + std::to_string(readings_.tracking->count) + " of at most " + std::to_string(readings_.tracking->max) +
         " connections";
}

std::vector<DeviceLimit> DevicePolicy::explain() const {
  std::vector<DeviceLimit> out;
  if (upload_percent_ < 100) {
    std::string why = "the board was hot, and tells no temperature any more";
    if (readings_.heat) {
      why = "board at " + degrees(readings_.heat->milli_celsius) + " \u00b0C (" + readings_.heat->zone + "), it slows down at " +
            degrees(readings_.heat->limit_milli_celsius) + " \u00b0C";
    }
    out.push_back({"upload", percent(upload_percent_), why});
  }
  if (memory_ != Memory::enough) {
    out.push_back({"peers", "at most " + std::to_string(memory_peers_max_), why_memory()});
    out.push_back({"upload slots", "at most " + std::to_string(memory_slots_max_), why_memory()});
  }
  if (dialling_max_ != UINT32_MAX) {
    out.push_back({"connecting", dialling_max_ == 0 ? "none" : "at most " + std::to_string(dialling_max_) + " at a time", why_tracking()});
  }
  if (!limits_.has_network)
    out.push_back({"network", "neither connecting nor announcing", "there is no default route over a link that is up"});
  if (resting_) out.push_back({"free slots", "none", "the payload's disk may sleep until enough peers wait (board.disk_bursts)"});
  if (limits_.hold_writes) out.push_back({"state", "held", "its disk sleeps, and nobody waits for what there is to write"});
  return out;
}

}  // namespace millet
