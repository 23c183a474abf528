// A node on its device: what the policy (device_policy.h) is told of the node, and what its limits lead to.
#include "node/impl.h"

namespace millet {

DevicePolicyOptions Node::Impl::device_options(const NodeConfig& config) {
  DevicePolicyOptions options;
  options.tracking_percent = config.tracking_share;
  options.disk_sleep = Duration::seconds(config.disk_sleep_s);
  options.disk_bursts = Duration::seconds(config.disk_bursts_s);
  return options;
}

DeviceUse Node::Impl::device_use(Instant now) {
  DeviceUse use;
  use.upload_rate = core.up.rate(now);
  use.upload_slots = core.config.upload_slots;
  use.peers = static_cast<uint32_t>(core.peers.size());
  for (Peer& peer : core.peers) {
    if (peer.slot == SlotKind::auction || payments.holds_slot(peer)) use.paid = true;
    if (peer.slot == SlotKind::regular || peer.slot == SlotKind::optimistic) ++use.served_free;
    if (peer.slot != SlotKind::none || !peer.is_open() || !peer.session->interested_in_us() || peer.session->is_upload_only()) continue;
    ++use.waiting;
    if (!payments.backed_bid(now, peer).is_zero()) use.paid = true;
  }
  for (const Torrent& torrent : core.torrents) {
    use.seeds = use.seeds || torrent.is_serving();
    use.has_trouble = use.has_trouble || !torrent.error.empty();
  }
  use.has_trouble = use.has_trouble || !persistence.trouble().empty();
  return use;
}

void Node::Impl::on_device(Instant now, const DeviceReadings& readings) {
  DeviceLimits before = core.device;
  device.on_readings(now, readings, device_use(now));
  core.device = device.limits();
  if (core.device == before || core.shutting_down) return;
  follow(now, before);
  log_device(before);
}

void Node::Impl::follow(Instant now, const DeviceLimits& before) {
  const DeviceLimits& limits = core.device;
  if (limits.upload_rate != before.upload_rate) core.upload_gate.set_rate(now, core.upload_rate());
  if (limits.upload_slots_max != before.upload_slots_max || limits.paid_only != before.paid_only) choking.restart(now);
  if (limits.peers_max < before.peers_max) connections.shrink_to(core.peers_max(), "the device is short of what a connection costs");
  persistence.hold_unhurried(limits.hold_writes);
  // What has waited for the disk goes out while it is awake.
  if (before.hold_writes && !limits.hold_writes && !counters_at_.is_never()) counters_at_ = now;
  if (device.take_network_back()) {
    for (Torrent& torrent : core.torrents) torrent.peer_list.retry_all(now);
    announcing.on_network_back(now);
  }
  core.dial_wanted = true;
}

// One line when something begins to be limited, one when nothing is any more; the steps in between are for `millet stats`.
void Node::Impl::log_device(const DeviceLimits& before) {
  auto kinds = [](const DeviceLimits& limits) {
    DeviceLimits kind;
    kind.upload_rate = limits.upload_rate != 0;
    kind.dialling_max = limits.dialling_max == UINT32_MAX ? 1 : 0;
    kind.has_network = limits.has_network;
    kind.low_memory = limits.low_memory;
    return kind;
  };
  if (kinds(core.device) == kinds(before)) return;
  std::vector<DeviceLimit> all = device.explain();
  for (const DeviceLimit& limit : all) {
    LogLine(core.log, LogLevel::warn, "device_limits").add("what", limit.what).add("value", limit.value).add("reason", limit.why);
  }
  if (all.empty()) LogLine(core.log, LogLevel::info, "device_limits_end");
}

}  // namespace millet
