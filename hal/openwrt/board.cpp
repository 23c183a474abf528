#include "hal/openwrt/board.h"

#include <stdlib.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace millet::hal {

LinuxBoard::LinuxBoard(const BoardOptions& options, uv_loop_t* loop, LogSink& log)
    : heat_(options.root, options.heat_limit, log), memory_(options.root, log), tracking_(options.root, log), routes_(options.root, log),
      disks_(options.root, options.payload, options.state, log), sensors_{&heat_, &memory_, &tracking_, &routes_, &disks_} {
  if (!options.led.empty()) led_ = std::make_unique<SysLed>(options.root, options.led, log);
  if (!options.watchdog.empty()) device_ = WatchdogDevice::open(options.watchdog, log);
  service_ = ServiceWatchdog::open(::getenv("NOTIFY_SOCKET"), ::getenv("WATCHDOG_USEC"), ::getenv("WATCHDOG_PID"));
  if (device_ != nullptr) watchdogs_.push_back(device_.get());
  if (service_ != nullptr) watchdogs_.push_back(service_.get());
  if (Alarm* alarm = Alarm::on_memory(loop, options.root, log)) alarms_.push_back(alarm);
  if (Alarm* alarm = Alarm::on_network(loop, log)) alarms_.push_back(alarm);
}

LinuxBoard::~LinuxBoard() {
  for (Alarm* alarm : alarms_) alarm->close();
}

void LinuxBoard::set_events(BoardEvents* events) {
  for (Alarm* alarm : alarms_) alarm->set_events(events);
}

void LinuxBoard::trim_memory() {
#ifdef __GLIBC__
  ::malloc_trim(0);
#endif
}

}  // namespace millet::hal
