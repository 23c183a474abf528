#include "hal/openwrt/alarms.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

namespace millet::hal {
namespace {

constexpr char k_trigger[] = "some 150000 2000000";  // microseconds; the end of the string is part of what is written
constexpr int k_reads_per_turn = 64;                 // of messages; more wait for the next turn

}  // namespace

Alarm* Alarm::on_memory(uv_loop_t* loop, const std::string& root, LogSink& log) {
  const std::string path = root + "/proc/pressure/memory";
  Presence presence(log, "memory pressure trigger");
  Fd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK));
  if (!fd.is_open() || ::write(fd.get(), k_trigger, sizeof k_trigger) < 0) {
    presence.missing(os_error(errno, "can't set a trigger at " + path).reason);
    return nullptr;
  }
  Alarm* alarm = start(loop, Kind::memory, std::move(fd), UV_PRIORITIZED);
  if (alarm == nullptr) presence.missing(path + " can't be waited for");
  return alarm;
}

Alarm* Alarm::on_network(uv_loop_t* loop, LogSink& log) {
  Fd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE));
  sockaddr_nl local = {};
  local.nl_family = AF_NETLINK;
  local.nl_groups = RTMGRP_LINK | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE;
  if (!fd.is_open() || ::bind(fd.get(), reinterpret_cast<sockaddr*>(&local), sizeof local) != 0) {
    Presence(log, "link changes").missing(os_error(errno, "no rtnetlink").reason);
    return nullptr;
  }
  return start(loop, Kind::network, std::move(fd), UV_READABLE);
}

Alarm* Alarm::start(uv_loop_t* loop, Kind kind, Fd fd, int events) {
  Alarm* alarm = new Alarm(kind);
  alarm->fd_ = std::move(fd);
  alarm->poll_.data = alarm;
  if (uv_poll_init(loop, &alarm->poll_, alarm->fd_.get()) != 0) {
    delete alarm;
    return nullptr;
  }
  uv_unref(reinterpret_cast<uv_handle_t*>(&alarm->poll_));
  if (uv_poll_start(&alarm->poll_, events, on_ready) != 0) {
    alarm->close();
    return nullptr;
  }
  return alarm;
}

void Alarm::close() {
  events_ = nullptr;
  uv_poll_stop(&poll_);
  uv_close(reinterpret_cast<uv_handle_t*>(&poll_), [](uv_handle_t* handle) { delete static_cast<Alarm*>(handle->data); });
}

// True if something of interest came.
bool Alarm::drain() {
  if (kind_ == Kind::memory) return true;
  // What exactly changed is looked up in the routing tables. An overflow (ENOBUFS) means that much has.
  bool any = false;
  alignas(nlmsghdr) char buffer[4096];
  for (int i = 0; i < k_reads_per_turn; ++i) {
    ssize_t got = ::recv(fd_.get(), buffer, sizeof buffer, MSG_TRUNC);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return any || errno == ENOBUFS;
    any = true;
  }
  return any;
}

void Alarm::on_ready(uv_poll_t* poll, int status, int) {
  Alarm& self = *static_cast<Alarm*>(poll->data);
  if (status < 0) {
    // The descriptor is of no use any more, and would be ready for ever.
    uv_poll_stop(poll);
    return;
  }
  if (self.drain() && self.events_ != nullptr) self.events_->on_board_changed();
}

}  // namespace millet::hal
