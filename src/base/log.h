// Log lines: `level event key=value ...`. An engine writes to the LogSink that it is given; where lines go is the application's matter.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace millet {

enum class LogLevel : uint8_t { debug, info, warn, error };
const char* log_level_name(LogLevel level);

class LogSink {
 public:
  virtual ~LogSink() = default;
  virtual LogLevel level() const = 0;  // lines below it are not even formatted
  // One line without a newline, complete: "info event=ready listen=[::]:6881".
  virtual void write(LogLevel level, std::string_view line) = 0;
};

// Builds one line and writes it when it goes out of scope: LogLine(log, LogLevel::info, "ready").add("listen", text).
class LogLine {
 public:
  LogLine(LogSink& sink, LogLevel level, std::string_view event);
  ~LogLine();
  LogLine(const LogLine&) = delete;
  LogLine& operator=(const LogLine&) = delete;

  // Values with spaces or quotes are quoted; what is not printable is escaped.
  LogLine& add(std::string_view key, std::string_view value);
  LogLine& add(std::string_view key, const std::string& value) { return add(key, std::string_view(value)); }
  LogLine& add(std::string_view key, const char* value) { return add(key, std::string_view(value)); }
  LogLine& add(std::string_view key, uint64_t value);
  LogLine& add(std::string_view key, uint32_t value) { return add(key, uint64_t{value}); }
  LogLine& add(std::string_view key, int value);

 private:
  LogSink& sink_;
  LogLevel level_;
  bool enabled_;
  std::string line_;
};

// Drops everything: for tests and tools.
class NullLog final : public LogSink {
 public:
  LogLevel level() const override { return LogLevel::error; }
  void write(LogLevel, std::string_view) override {}
};

}  // namespace millet
