#include "hal/openwrt/sys_led.h"

namespace millet::hal {
namespace {

// The trigger in brackets: "none [timer] heartbeat".
std::string selected(const std::string& triggers) {
  size_t begin = triggers.find('[');
  size_t end = triggers.find(']');
  if (begin == std::string::npos || end == std::string::npos || end < begin) return {};
  return triggers.substr(begin + 1, end - begin - 1);
}

}  // namespace

SysLed::SysLed(const std::string& root, std::string name, LogSink& log)
    : root_(root), name_(std::move(name)), folder_(root + "/sys/class/leds/" + name_), presence_(log, "led") {}

bool SysLed::save() {
  if (saved_) return true;
  std::optional<std::string> triggers = read_sys_line(file("trigger"));
  std::optional<std::string> brightness = read_sys_line(file("brightness"));
  bool is_name = !name_.empty() && name_.find('/') == std::string::npos;
  if (!is_name || !triggers || !brightness) {
    std::string others;
    for (const std::string& other : list_sys_folder(root_ + "/sys/class/leds")) others += (others.empty() ? "" : " ") + other;
    presence_.missing("there is no " + name_ + (others.empty() ? ", nor any other" : "; board.led may be one of: " + others));
    return false;
  }
  Saved saved{selected(*triggers), *brightness, {}, {}};
  if (saved.trigger == "timer") {
    saved.delay_on = read_sys_line(file("delay_on")).value_or("");
    saved.delay_off = read_sys_line(file("delay_off")).value_or("");
  }
  saved_ = std::move(saved);
  presence_.found(name_);
  return true;
}

// A light that came with the trigger "timer" keeps it: it may be ours by its files alone, and a trigger that is chosen makes new ones,
// root's.
Status SysLed::steady(bool on) const {
  if (saved_->trigger == "timer") return blink(on ? "1" : "0", on ? "0" : "1");
  TRY(write_sys_text(file("trigger"), "none"));
  return write_sys_text(file("brightness"), on ? read_sys_line(file("max_brightness")).value_or("255") : "0");
}

Status SysLed::blink(const std::string& on_ms, const std::string& off_ms) const {
  // Choosing the trigger makes the files of its delays.
  if (saved_->trigger != "timer") TRY(write_sys_text(file("trigger"), "timer"));
  TRY(write_sys_text(file("delay_on"), on_ms));
  return write_sys_text(file("delay_off"), off_ms);
}

void SysLed::show(LedPattern pattern) {
  if (showing_ == pattern || !save()) return;
  Status shown = ok;
  switch (pattern) {
    case LedPattern::off: shown = steady(false); break;
    case LedPattern::seeding: shown = steady(true); break;
    case LedPattern::earning: shown = blink("900", "100"); break;
    case LedPattern::error: shown = blink("100", "100"); break;
  }
  // A kernel without the trigger "timer" can't blink: at least the light is on.
  if (!shown && pattern != LedPattern::off) shown = steady(true);
  if (!shown) {
    presence_.missing(shown.error().reason);
    saved_.reset();  // it may come back as another one
    return;
  }
  showing_ = pattern;
  presence_.found(name_);
}

void SysLed::restore() {
  if (!saved_ || !showing_) return;
  showing_.reset();
  // Nobody is helped by an error of the last moment.
  auto put = [&](const char* what, const std::string& value) {
    if (!value.empty()) static_cast<void>(write_sys_text(file(what), value).has_value());
  };
  if (saved_->trigger == "timer") {
    put("delay_on", saved_->delay_on);
    put("delay_off", saved_->delay_off);
    return;
  }
  put("trigger", saved_->trigger.empty() ? "none" : saved_->trigger);
  if (saved_->trigger == "none" || saved_->trigger.empty()) {
    put("brightness", saved_->brightness);
  }
}

}  // namespace millet::hal
