// What wakes the loop by itself, so that nothing has to be looked at often: the kernel's word that tasks wait for memory, and changes of
// links and routes.
#pragma once

#include <uv.h>

#include <memory>
#include <string>

#include "hal/board.h"
#include "hal/linux/fd.h"
#include "hal/openwrt/sys_files.h"

namespace millet::hal {

// One descriptor in the loop. Closing takes a turn of the loop, after which it frees itself.
class Alarm {
 public:
  // A trigger of /proc/pressure/memory (Documentation/accounting/psi.rst): some task waited 150 ms of two seconds. Windows of whole two
  // seconds are what the kernel allows to those without privileges. Null: the kernel has it not, or does not let us.
  static Alarm* on_memory(uv_loop_t* loop, const std::string& root, LogSink& log);
  // rtnetlink (rtnetlink(7)): links and routes of both families. Null: not to be had.
  static Alarm* on_network(uv_loop_t* loop, LogSink& log);
  Alarm(const Alarm&) = delete;

  // Null: nobody listens.
  void set_events(BoardEvents* events) { events_ = events; }
  // The object is gone after the next turn of the loop.
  void close();

 private:
  enum class Kind : uint8_t { memory, network };
  explicit Alarm(Kind kind) : kind_(kind) {}
  static Alarm* start(uv_loop_t* loop, Kind kind, Fd fd, int events);
  static void on_ready(uv_poll_t* poll, int status, int events);
  bool drain();

  const Kind kind_;
  Fd fd_;
  uv_poll_t poll_ = {};
  BoardEvents* events_ = nullptr;
};

}  // namespace millet::hal
