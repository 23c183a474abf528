#include "hal/linux/loop.h"

#include <signal.h>

#include "base/check.h"

namespace millet::hal {

LinuxLoop::LinuxLoop(Clock& clock) : clock_(clock) {
  CHECK(uv_loop_init(&loop_) == 0);
  CHECK(uv_timer_init(&loop_, &timer_) == 0);
  CHECK(uv_idle_init(&loop_, &turn_) == 0);
  timer_.data = turn_.data = this;
  // A terminal that goes away ends what was started in it as well: by SIGHUP.
  constexpr std::array<int, k_signals> k_ending = {SIGTERM, SIGINT, SIGHUP};
  for (size_t i = 0; i < k_signals; ++i) {
    CHECK(uv_signal_init(&loop_, &signals_[i]) == 0);
    signals_[i].data = this;
    struct sigaction before;
    CHECK(sigaction(k_ending[i], nullptr, &before) == 0);
    if (before.sa_handler == SIG_IGN) continue;  // as nohup wants it
    CHECK(uv_signal_start(&signals_[i], on_signal, k_ending[i]) == 0);
  }
}

LinuxLoop::~LinuxLoop() {
  close();
  CHECK(uv_loop_close(&loop_) == 0);
}

void LinuxLoop::arm(Instant when) {
  if (when == armed_) return;
  armed_ = when;
  uv_timer_stop(&timer_);
  uv_idle_stop(&turn_);
  if (when.is_never()) return;
  // The timer counts whole milliseconds from the loop's idea of now: bring that up to date, and never ring early.
  uv_update_time(&loop_);
  Duration left = when - clock_.now();
  if (left <= Duration()) {
    // Not as a timer of no time: libuv rings those that are set while it rings in the same round, before it looks at any socket.
    CHECK(uv_idle_start(&turn_, on_turn) == 0);
    return;
  }
  uint64_t wait_ms = static_cast<uint64_t>((left.in_us() + 999) / 1000);
  CHECK(uv_timer_start(&timer_, on_timer, wait_ms, 0) == 0);
}

void LinuxLoop::on_timer(uv_timer_t* timer) { static_cast<LinuxLoop*>(timer->data)->ring(); }

void LinuxLoop::on_turn(uv_idle_t* turn) { static_cast<LinuxLoop*>(turn->data)->ring(); }

void LinuxLoop::ring() {
  armed_ = Instant::never();
  uv_idle_stop(&turn_);
  if (events_ != nullptr) events_->on_timer();
}

void LinuxLoop::on_signal(uv_signal_t* signal, int) {
  LinuxLoop& self = *static_cast<LinuxLoop*>(signal->data);
  if (self.events_ != nullptr) self.events_->on_shutdown();
}

void LinuxLoop::stop() { uv_stop(&loop_); }

void LinuxLoop::run() { uv_run(&loop_, UV_RUN_DEFAULT); }

void LinuxLoop::close() {
  if (closed_) return;
  closed_ = true;
  uv_close(reinterpret_cast<uv_handle_t*>(&timer_), nullptr);
  uv_close(reinterpret_cast<uv_handle_t*>(&turn_), nullptr);
  for (uv_signal_t& signal : signals_) uv_close(reinterpret_cast<uv_handle_t*>(&signal), nullptr);
  // A stop() that came too late for run() ends the first turn here.
  while (uv_run(&loop_, UV_RUN_DEFAULT) != 0) {
  }
}

}  // namespace millet::hal
