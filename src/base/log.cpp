#include "base/log.h"

#include "base/bytes.h"

namespace millet {

const char* log_level_name(LogLevel level) {
  switch (level) {
    case LogLevel::debug: return "debug";
    case LogLevel::info: return "info";
    case LogLevel::warn: return "warn";
    case LogLevel::error: return "error";
  }
  return "unknown";
}

LogLine::LogLine(LogSink& sink, LogLevel level, std::string_view event) : sink_(sink), level_(level), enabled_(level >= sink.level()) {
  if (!enabled_) return;
  line_ = log_level_name(level);
  line_ += " event=";
  line_ += event;
}

LogLine::~LogLine() {
  if (enabled_) sink_.write(level_, line_);
}

LogLine& LogLine::add(std::string_view key, std::string_view value) {
  if (!enabled_) return *this;
  line_ += ' ';
  line_ += key;
  line_ += '=';
  std::string text = printable(value, 400);
  if (!text.empty() && text.find_first_of(" \"=") == std::string::npos) {
    line_ += text;
    return *this;
  }
  line_ += '"';
  for (char c : text) {
    if (c == '"') line_ += '\\';
    line_ += c;
  }
  line_ += '"';
  return *this;
}

LogLine& LogLine::add(std::string_view key, uint64_t value) {
  if (enabled_) line_ += " " + std::string(key) + "=" + std::to_string(value);
  return *this;
}

LogLine& LogLine::add(std::string_view key, int value) {
  if (enabled_) line_ += " " + std::string(key) + "=" + std::to_string(value);
  return *this;
}

}  // namespace millet
