#include "driver/device_watch.h"

#include <algorithm>

namespace millet {

class DeviceWatch::LookJob final : public hal::Job {
 public:
  LookJob(DeviceWatch& watch, LedPattern led) : watch_(watch), led_(led) {}
  void run() override {
    if (hal::Led* led = watch_.board_.led()) led->show(led_);
    for (hal::Sensor* sensor : watch_.board_.sensors()) sensor->read(readings_);
  }
  void done() override { watch_.on_read(readings_); }

 private:
  DeviceWatch& watch_;
  LedPattern led_;
  DeviceReadings readings_;
};

DeviceWatch::DeviceWatch(hal::Board& board, hal::Executor& executor, hal::Clock& clock, DeviceWatchEvents& events)
    : board_(board), executor_(executor), clock_(clock), events_(events) {}

DeviceWatch::~DeviceWatch() { board_.set_events(nullptr); }

void DeviceWatch::start(Instant now) {
  board_.set_events(this);
  feed(now);
  // The first time here and now: nothing is served yet, and nothing should begin that the device has no room for.
  looked_at_ = now;
  looking_ = true;
  LookJob job(*this, led_);
  job.run();
  job.done();
}

void DeviceWatch::on_timer(Instant now) {
  if (stopped_) return;
  if (feed_at_ <= now) feed(now);
  if (look_at_ <= now) look(now);
}

void DeviceWatch::feed(Instant now) {
  feed_at_ = Instant::never();
  for (hal::Watchdog* watchdog : board_.watchdogs()) {
    watchdog->feed();
    feed_at_ = earlier(feed_at_, now + watchdog->period());
  }
}

void DeviceWatch::look(Instant now) {
  // One job at a time; what it has read may be older than what calls for another look.
  look_at_ = looking_ ? now + k_gather : Instant::never();
  if (looking_) return;
  looking_ = true;
  looked_at_ = now;
  // A queue that waits for no disk.
  executor_.submit(hal::Queue::compute, std::make_unique<LookJob>(*this, led_));
}

void DeviceWatch::on_read(const DeviceReadings& readings) {
  looking_ = false;
  if (stopped_) return;
  events_.on_device(readings);
}

void DeviceWatch::follow(Instant now, const DeviceOrders& orders) {
  if (stopped_) return;
  if (orders.low_memory && !low_memory_) board_.trim_memory();
  low_memory_ = orders.low_memory;
  // Another pattern does not wait for the next look.
  bool changed = orders.led != led_ && board_.led() != nullptr;
  led_ = orders.led;
  // A look for the watchdogs' sake at most: then both are one wake.
  Instant next = changed ? now + k_gather : looked_at_ + orders.next_look;
  if (feed_at_ > next - Duration::seconds(2) && feed_at_ < next + Duration::seconds(2)) next = feed_at_;
  look_at_ = earlier(look_at_, std::max(next, now));
}

void DeviceWatch::on_board_changed() {
  if (stopped_) return;
  look_at_ = earlier(look_at_, std::max(clock_.now(), looked_at_) + k_gather);
  events_.on_device_changed();
}

void DeviceWatch::stop() {
  if (stopped_) return;
  stopped_ = true;
  board_.set_events(nullptr);
  for (hal::Watchdog* watchdog : board_.watchdogs()) watchdog->release();
  if (hal::Led* led = board_.led(); led != nullptr && !looking_) led->restore();
}

}  // namespace millet
