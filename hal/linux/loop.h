// The loop of libuv with its one timer and the signals that end the program.
#pragma once

#include <uv.h>

#include <array>

#include "hal/linux/clock.h"
#include "hal/system.h"

namespace millet::hal {

class LinuxLoop final : public Loop {
 public:
  explicit LinuxLoop(Clock& clock);
  // Requires: every handle of the loop is closed or closing.
  ~LinuxLoop() override;
  LinuxLoop(const LinuxLoop&) = delete;

  void set_events(TimerEvents* events) override { events_ = events; }
  void arm(Instant when) override;
  void stop() override;

  uv_loop_t* uv() { return &loop_; }
  // Handles events until stop(). Without set_events, signals and the timer are ignored.
  void run();
  // Closes the handles of this object and lets everything that is closing finish.
  void close();

 private:
  static void on_timer(uv_timer_t* timer);
  static void on_turn(uv_idle_t* turn);
  void ring();
  static void on_signal(uv_signal_t* signal, int number);

  Clock& clock_;
  TimerEvents* events_ = nullptr;
  Instant armed_ = Instant::never();
  bool closed_ = false;
  uv_loop_t loop_;
  uv_timer_t timer_;
  uv_idle_t turn_;  // rings once in every turn of the loop, and everything else comes in between
  static constexpr size_t k_signals = 3;
  std::array<uv_signal_t, k_signals> signals_;
};

}  // namespace millet::hal
