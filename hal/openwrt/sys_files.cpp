#include "hal/openwrt/sys_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <charconv>

#include "base/heap_sort.h"
#include "hal/linux/fd.h"

namespace millet::hal {
namespace {

bool is_blank(char c) { return c == ' ' || c == '\t'; }

template <typename T>
std::optional<T> parse(std::string_view text) {
  T value = 0;
  auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

std::optional<std::string> read_sys_text(const std::string& path) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.is_open()) return std::nullopt;
  std::string text;
  char buffer[1024];
  while (text.size() < k_sys_file_size_max) {
    ssize_t got = ::read(fd.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return std::nullopt;  // EINVAL of an interface that is down, EIO of a sensor
    if (got == 0) break;
    text.append(buffer, static_cast<size_t>(got));
  }
  return text;
}

std::optional<std::string> read_sys_line(const std::string& path) {
  std::optional<std::string> text = read_sys_text(path);
  if (!text) return std::nullopt;
  size_t end = text->find_last_not_of(" \t\r\n");
  text->resize(end == std::string::npos ? 0 : end + 1);
  return text;
}

std::optional<int64_t> read_sys_number(const std::string& path) {
  std::optional<std::string> line = read_sys_line(path);
  return line ? parse<int64_t>(*line) : std::nullopt;
}

Status write_sys_text(const std::string& path, const std::string& text) {
  Fd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.is_open()) return os_error(errno, "can't open " + path);
  // One write: the kernel takes each write as a whole value.
  ssize_t put = ::write(fd.get(), text.data(), text.size());
  if (put < 0) return os_error(errno, "can't write " + path);
  return ok;
}

std::vector<std::string> list_sys_folder(const std::string& path) {
  std::vector<std::string> names;
  DIR* folder = ::opendir(path.c_str());
  if (folder == nullptr) return names;
  while (const dirent* entry = ::readdir(folder)) {
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  ::closedir(folder);
  heap_sort(names);
  return names;
}

std::string_view next_word(std::string_view text, size_t& at) {
  while (at < text.size() && is_blank(text[at])) ++at;
  size_t begin = at;
  while (at < text.size() && !is_blank(text[at]) && text[at] != '\n') ++at;
  return text.substr(begin, at - begin);
}

std::optional<uint64_t> parse_decimal(std::string_view text) { return parse<uint64_t>(text); }

void Presence::found(const std::string& detail) {
  if (state_ == State::there) return;
  LogLine(log_, LogLevel::info, state_ == State::unknown ? "board_has" : "board_has_again").add("what", what_).add("detail", detail);
  state_ = State::there;
}

void Presence::missing(const std::string& reason) {
  if (state_ == State::absent) return;
  LogLine(log_, state_ == State::there ? LogLevel::warn : LogLevel::info, state_ == State::there ? "board_lost" : "board_lacks")
      .add("what", what_)
      .add("reason", reason);
  state_ = State::absent;
}

}  // namespace millet::hal
