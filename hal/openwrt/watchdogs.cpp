#include "hal/openwrt/watchdogs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/watchdog.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>

namespace millet::hal {
namespace {

// Without WatchdogSec= systemd only wants to know when the node is ready.
constexpr Duration k_no_hurry = Duration::hours(1);

}  // namespace

// ---- the board's ----

std::unique_ptr<WatchdogDevice> WatchdogDevice::open(const std::string& path, LogSink& log) {
  Fd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.is_open()) {
    int failed = errno;
    std::string reason = os_error(failed, "can't open " + path).reason;
    if (failed == EBUSY) reason += ": another program feeds it, on OpenWrt procd";
    Presence(log, "watchdog").missing(reason);
    return nullptr;
  }
  int timeout_s = k_timeout_s;
  // The driver rounds, or keeps what it has; either way it tells.
  bool told = ::ioctl(fd.get(), WDIOC_SETTIMEOUT, &timeout_s) == 0 || ::ioctl(fd.get(), WDIOC_GETTIMEOUT, &timeout_s) == 0;
  if (!told || timeout_s <= 0) timeout_s = k_timeout_unsaid_s;
  std::unique_ptr<WatchdogDevice> device(new WatchdogDevice(std::move(fd), timeout_s, log));
  device->presence_.found(path + ", resets the board after " + std::to_string(timeout_s) + " s");
  return device;
}

void WatchdogDevice::feed() {
  if (!fd_.is_open()) return;
  // Any byte but 'V', which would disarm it.
  if (::write(fd_.get(), "w", 1) == 1) return;
  presence_.missing(os_error(errno, "can't feed it").reason);
}

void WatchdogDevice::release() {
  if (!fd_.is_open()) return;
  // The magic close: after 'V' closing does not leave it running. A device that was built never to stop resets the board all the same.
  ssize_t ignored = ::write(fd_.get(), "V", 1);
  static_cast<void>(ignored);
  fd_.reset();
}

// ---- systemd's ----

std::unique_ptr<ServiceWatchdog> ServiceWatchdog::open(const char* socket, const char* microseconds, const char* process) {
  if (socket == nullptr || (socket[0] != '/' && socket[0] != '@') || strlen(socket) >= sizeof(sockaddr_un::sun_path)) return nullptr;
  Fd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.is_open()) return nullptr;
  Duration period = k_no_hurry;
  std::optional<uint64_t> us = microseconds == nullptr ? std::nullopt : parse_decimal(microseconds);
  bool ours = process == nullptr || parse_decimal(process) == static_cast<uint64_t>(::getpid());
  // Half of the time is what sd_watchdog_enabled(3) asks for.
  if (us && ours)
    period = std::clamp(Duration::us(static_cast<int64_t>(std::min<uint64_t>(*us, INT64_MAX))) / 2, Duration::ms(500), k_no_hurry);
  return std::unique_ptr<ServiceWatchdog>(new ServiceWatchdog(std::move(fd), socket, period));
}

void ServiceWatchdog::feed() {
  if (!std::exchange(told_ready_, true)) say("READY=1");
  if (period_ < k_no_hurry) say("WATCHDOG=1");
}

void ServiceWatchdog::say(const char* text) {
  sockaddr_un to = {};
  to.sun_family = AF_UNIX;
  memcpy(to.sun_path, socket_.data(), socket_.size());
  if (to.sun_path[0] == '@') to.sun_path[0] = 0;
  // What does not arrive is systemd's to act on.
  ssize_t ignored = ::sendto(fd_.get(), text, strlen(text), MSG_NOSIGNAL, reinterpret_cast<sockaddr*>(&to),
                             static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket_.size()));
  static_cast<void>(ignored);
}

}  // namespace millet::hal
