// Output for people: aligned columns, sizes and rates, a progress bar on a terminal.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "crypto/secret.h"

namespace millet {

// "139.1 MB": decimal units, as rates in BTT per GB are.
std::string human_size(uint64_t bytes);
// "8.0 MB/s"; "-" for nothing.
std::string human_rate(uint64_t bytes_per_second);
// "42.1 %", rounded down, so that 100 % is complete.
std::string human_percent(uint64_t done, uint64_t total);
// A line from the terminal, not shown while it is typed. Errors: unsupported (standard input is none), bad_input (nothing was typed).
Result<Secret> ask_secret(const char* prompt);
// The same; where standard input is no terminal, its first line. Errors: bad_input.
Result<Secret> ask_or_read_secret(const char* prompt);
// "2024-05-01 12:00:00", local time, of seconds since 1970.
std::string local_time(uint64_t seconds);
// "2024-05-01", UTC.
std::string utc_date(uint64_t seconds);
// What a terminal can show of foreign text: control characters are replaced.
std::string shown(std::string_view text);

// Rows under a heading, printed with every column as wide as its widest cell.
class Table {
 public:
  // A heading that begins with '>' aligns its column to the right.
  explicit Table(std::vector<std::string> headings);
  void add(std::vector<std::string> cells);
  bool empty() const { return rows_.empty(); }
  std::string text() const;

 private:
  std::vector<uint8_t> right_;
  std::vector<std::vector<std::string>> rows_;
  std::vector<std::string> headings_;
};

// A line on standard error that is rewritten as work goes on; nothing where standard error is no terminal.
class Progress {
 public:
  explicit Progress(std::string label);
  ~Progress();  // clears the line
  Progress(const Progress&) = delete;
  void update(uint64_t done, uint64_t total, std::string_view note = "");

 private:
  std::string label_;
  bool terminal_;
  bool drawn_ = false;
};

}  // namespace millet
