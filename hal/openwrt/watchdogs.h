// Who acts when the node's loop stands still: the board's watchdog timer (the kernel's watchdog interface), and systemd, where it has
// started the node with WatchdogSec= (sd_notify(3)).
#pragma once

#include <memory>
#include <string>

#include "hal/board.h"
#include "hal/linux/fd.h"
#include "hal/openwrt/sys_files.h"

namespace millet::hal {

// A device as /dev/watchdog. One program can have it open: on OpenWrt that is procd, which then feeds it, whatever the node does.
// A program that is killed or crashes leaves it running, and the board is reset.
class WatchdogDevice final : public Watchdog {
 public:
  static constexpr int k_timeout_s = 60;         // asked for; a disk that spins up does not hold the loop, but a swapping board does
  static constexpr int k_timeout_unsaid_s = 15;  // of a device that tells none: shorter than any that is known

  // Null: it can't be had; the log says why.
  static std::unique_ptr<WatchdogDevice> open(const std::string& path, LogSink& log);

  ~WatchdogDevice() override { release(); }

  Duration period() const override { return Duration::seconds(timeout_s_) / 3; }
  void feed() override;
  void release() override;

 private:
  WatchdogDevice(Fd fd, int timeout_s, LogSink& log) : fd_(std::move(fd)), timeout_s_(timeout_s), presence_(log, "watchdog") {}
  Fd fd_;
  int timeout_s_;
  Presence presence_;
};

// systemd: tells it that the node is ready, that it lives, and that it ends.
class ServiceWatchdog final : public Watchdog {
 public:
  // Of the variables NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID; null for those that are not set. Null: nobody wants to know.
  static std::unique_ptr<ServiceWatchdog> open(const char* socket, const char* microseconds, const char* process);

  Duration period() const override { return period_; }
  void feed() override;
  void release() override { say("STOPPING=1"); }

 private:
  ServiceWatchdog(Fd fd, std::string socket, Duration period) : fd_(std::move(fd)), socket_(std::move(socket)), period_(period) {}
  void say(const char* text);

  Fd fd_;
  std::string socket_;  // '@' at its beginning: an abstract one
  Duration period_;
  bool told_ready_ = false;
};

}  // namespace millet::hal
