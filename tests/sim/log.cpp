#include "sim/log.h"

#include <cstdio>

namespace millet::simtest {

void WorldLog::write(const std::string& machine, LogLevel level, std::string_view line) {
  world_.trace().add(as_bytes(line));
  ++counts_[static_cast<size_t>(level)];
  char time[32];
  int64_t us = world_.now().in_us();
  std::snprintf(time, sizeof time, "%8lld.%06lld ", static_cast<long long>(us / 1'000'000), static_cast<long long>(us % 1'000'000));
  std::string text = time + machine + ": " + std::string(line);
  if (print_) std::printf("%s\n", text.c_str());
  kept_.push_back(std::move(text));
  if (kept_.size() > k_kept_max) kept_.pop_front();
}

}  // namespace millet::simtest
