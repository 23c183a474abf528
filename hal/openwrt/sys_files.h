// Small files of /sys, /proc and /dev below a root of choice (a test has a tree of its own), and the log of what is there: hardware that is
// absent is told once, and again only when that changes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/result.h"

namespace millet::hal {

// Bytes of a file that is read: what is longer is cut. A routing table of some hundred lines fits.
inline constexpr size_t k_sys_file_size_max = 64 * 1024;

// The whole text; nothing if it can't be read.
std::optional<std::string> read_sys_text(const std::string& path);
// Without the white space at the end.
std::optional<std::string> read_sys_line(const std::string& path);
// A decimal number, alone in its file.
std::optional<int64_t> read_sys_number(const std::string& path);
// Errors: not_found, denied, io; the text names the path.
Status write_sys_text(const std::string& path, const std::string& text);
// Names in a folder, sorted; none if it can't be read.
std::vector<std::string> list_sys_folder(const std::string& path);
// The next word of `text` from `at` on; empty at the end of the line or text.
std::string_view next_word(std::string_view text, size_t& at);
// Of all of `text`. Nothing: it is no such number.
std::optional<uint64_t> parse_decimal(std::string_view text);

// Tells the log about one piece of hardware.
class Presence {
 public:
  Presence(LogSink& log, const char* what) : log_(log), what_(what) {}
  void found(const std::string& detail);
  void missing(const std::string& reason);

 private:
  enum class State : uint8_t { unknown, there, absent };
  LogSink& log_;
  const char* what_;
  State state_ = State::unknown;
};

}  // namespace millet::hal
