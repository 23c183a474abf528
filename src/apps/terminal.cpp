#include "apps/terminal.h"

#include <termios.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "base/check.h"
#include "crypto/sealed_key.h"

namespace millet {
namespace {

// Characters, not bytes, so that columns of UTF-8 names stay aligned (wide characters of East Asian scripts still count as one).
size_t width_of(std::string_view text) {
  size_t width = 0;
  for (char c : text) width += (static_cast<uint8_t>(c) & 0xc0) != 0x80;
  return width;
}

// The first line of standard input. Byte by byte: a buffer would keep it.
Result<Secret> read_secret() {
  Secret out;
  out.text.reserve(k_passphrase_size_max + 1);  // does not move; who gets one byte too many refuses it
  char c = 0;
  while (out.text.size() <= k_passphrase_size_max && ::read(STDIN_FILENO, &c, 1) == 1 && c != '\n') out.text += c;
  if (out.text.ends_with('\r')) out.text.pop_back();
  if (out.text.empty()) return error(Errc::bad_input, "no passphrase was typed");
  return out;
}

std::string padded(const std::string& text, size_t width, bool right) {
  const size_t own = width_of(text);
  const std::string space(width > own ? width - own : 0, ' ');
  return right ? space + text : text + space;
}

}  // namespace

std::string human_size(uint64_t bytes) {
  static constexpr const char* k_units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
  uint64_t unit = 1;
  size_t i = 0;
  while (i + 1 < std::size(k_units) && bytes / unit >= 1000) {
    unit *= 1000;
    ++i;
  }
  std::string out = std::to_string(bytes / unit);
  if (i > 0) out += "." + std::to_string(bytes % unit / (unit / 10));
  return out + " " + k_units[i];
}

std::string human_rate(uint64_t bytes_per_second) { return bytes_per_second == 0 ? "-" : human_size(bytes_per_second) + "/s"; }

std::string human_percent(uint64_t done, uint64_t total) {
  if (total == 0) return "-";
  // Thousandths without overflow: sizes reach 2^62.
  const uint64_t tenths = total > UINT64_MAX / 1000 ? done / (total / 1000) : done * 1000 / total;
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " %";
}

std::string local_time(uint64_t seconds) {
  const time_t when = static_cast<time_t>(seconds);
  struct tm parts;
  char out[32];
  if (localtime_r(&when, &parts) == nullptr || strftime(out, sizeof out, "%Y-%m-%d %H:%M:%S", &parts) == 0) return std::to_string(seconds);
  return out;
}

Result<Secret> ask_secret(const char* prompt) {
  struct termios before;
  if (::isatty(STDIN_FILENO) == 0 || ::tcgetattr(STDIN_FILENO, &before) != 0)
    return error(Errc::unsupported, "there is no terminal to ask");
  struct termios silent = before;
  silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
  std::fputs(prompt, stderr);
  ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
  Result<Secret> line = read_secret();
  ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
  std::fputs("\n", stderr);
  return line;
}

Result<Secret> ask_or_read_secret(const char* prompt) { return ::isatty(STDIN_FILENO) == 0 ? read_secret() : ask_secret(prompt); }

std::string utc_date(uint64_t seconds) {
  const time_t when = static_cast<time_t>(seconds);
  struct tm parts;
  char out[32];
  if (gmtime_r(&when, &parts) == nullptr || strftime(out, sizeof out, "%Y-%m-%d", &parts) == 0) return std::to_string(seconds);
  return out;
}

std::string shown(std::string_view text) {
  std::string out;
  for (char c : text) out += static_cast<uint8_t>(c) < 0x20 || c == 0x7f ? '?' : c;
  return out;
}

Table::Table(std::vector<std::string> headings) {
  for (std::string& heading : headings) {
    right_.push_back(heading.starts_with(">"));
    headings_.push_back(right_.back() ? heading.substr(1) : std::move(heading));
  }
}

void Table::add(std::vector<std::string> cells) {
  CHECK(cells.size() == headings_.size());
  for (std::string& cell : cells) cell = shown(cell);
  rows_.push_back(std::move(cells));
}

std::string Table::text() const {
  std::vector<size_t> widths;
  for (const std::string& heading : headings_) widths.push_back(width_of(heading));
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width_of(row[i]));
  }
  std::string out;
  auto add_line = [&](const std::vector<std::string>& cells) {
    std::string line;
    for (size_t i = 0; i < cells.size(); ++i) line += (i > 0 ? "  " : "") + padded(cells[i], widths[i], right_[i]);
    while (line.ends_with(" ")) line.pop_back();
    out += line + "\n";
  };
  add_line(headings_);
  for (const auto& row : rows_) add_line(row);
  return out;
}

Progress::Progress(std::string label) : label_(std::move(label)), terminal_(isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() {
  if (drawn_) std::fprintf(stderr, "\r\x1b[K");
}

void Progress::update(uint64_t done, uint64_t total, std::string_view note) {
  if (!terminal_) return;
  constexpr size_t k_bar = 30;  // leaves room for label and note in 80 columns
  const size_t filled = total == 0 ? 0 : static_cast<size_t>(total > UINT64_MAX / k_bar ? done / (total / k_bar) : done * k_bar / total);
  const std::string bar = std::string(filled, '#') + std::string(k_bar - std::min(filled, k_bar), '.');
  std::fprintf(stderr, "\r%s [%s] %s %s\x1b[K", label_.c_str(), bar.c_str(), human_percent(done, total).c_str(), shown(note).c_str());
  std::fflush(stderr);
  drawn_ = true;
}

}  // namespace millet
