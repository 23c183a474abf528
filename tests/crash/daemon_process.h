// millet-ledgerd as a child process, for tests that kill it.
#pragma once

#include <string>
#include <vector>

#include <sys/types.h>

#include "base/result.h"

namespace millet::crash {

class DaemonProcess {
 public:
  // Its output is appended to `log`.
  DaemonProcess(std::vector<std::string> command, std::string log) : command_(std::move(command)), log_(std::move(log)) {}
  ~DaemonProcess() { kill(); }
  DaemonProcess(const DaemonProcess&) = delete;

  // Starts it and waits until it serves. Errors: it ended, or took too long; with the end of its log.
  Status start();
  // SIGKILL.
  void kill();
  // SIGTERM. Errors: it did not end well.
  Status stop();
  uint16_t port() const { return port_; }

 private:
  std::string new_output() const;

  std::vector<std::string> command_;
  std::string log_;
  size_t log_size_ = 0;  // before the start
  pid_t child_ = -1;
  uint16_t port_ = 0;
};

}  // namespace millet::crash
