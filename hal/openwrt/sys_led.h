// A light under /sys/class/leds. The kernel does the blinking (its "timer" trigger), so that a pattern costs no wake of the processor.
#pragma once

#include <optional>
#include <string>

#include "hal/board.h"
#include "hal/openwrt/sys_files.h"

namespace millet::hal {

class SysLed final : public Led {
 public:
  // name: of the folder, as "green:status".
  SysLed(const std::string& root, std::string name, LogSink& log);
  // Gives the light back.
  ~SysLed() override { restore(); }
  SysLed(const SysLed&) = delete;

  void show(LedPattern pattern) override;
  void restore() override;

 private:
  struct Saved {
    std::string trigger;
    std::string brightness;
    std::string delay_on;  // of the trigger "timer" only
    std::string delay_off;
  };
  bool save();
  Status steady(bool on) const;
  Status blink(const std::string& on_ms, const std::string& off_ms) const;
  std::string file(const char* what) const { return folder_ + "/" + what; }

  const std::string root_;
  const std::string name_;
  const std::string folder_;
  Presence presence_;
  std::optional<Saved> saved_;         // as it was found
  std::optional<LedPattern> showing_;  // what it was told last
};

}  // namespace millet::hal
