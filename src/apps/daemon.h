// What milletd and millet-ledgerd have in common: the log on standard error, and the way from the command line to settings.
#pragma once

#include <optional>
#include <string>

#include "apps/command.h"  // k_exit_failed: the shutdown took too long, or the machine lacks something
#include "base/log.h"
#include "control/arguments.h"

namespace millet {

// Exit codes of the daemons (README).
inline constexpr int k_exit_ok = 0;
inline constexpr int k_exit_bad_settings = 2;  // wrong options or configuration, or an address that can't be listened on
inline constexpr int k_exit_bad_state = 3;     // the state folder can't be used

// One line, one write: lines of several threads or processes do not mix.
class StderrLog final : public LogSink {
 public:
  LogLevel level() const override { return LogLevel::info; }
  void write(LogLevel level, std::string_view line) override;
};

struct DaemonStart {
  DaemonArguments arguments;
  Settings settings;
  std::string state;  // the state folder, absolute; its parent exists
};

// Reads arguments and configuration. Nothing: the program ends with `exit_code`, and what there was to say is said.
std::optional<DaemonStart> begin_daemon(Program program, int argc, char** argv, const char* version, int& exit_code);

// An absolute path, so that what is stored means the same after a start from elsewhere. Empty stays empty.
std::string absolute_path(const std::string& path);

// One line on standard error.
void say_error(Program program, const Error& reason);

}  // namespace millet
