#include "sim/log.h"

#include <cstdio>

namespace millet::simtest {

void WorldLog::write(const std::string& machine, LogLevel level, std::string_view line) {
  bool counts = !quiet_ || level >= LogLevel::info;
  if (counts) world_.trace().add(as_bytes(line));
  if (counts && watch_ != nullptr) watch_->on_line(machine, line);
  ++counts_[static_cast<size_t>(level)];
  if (!counts && !print_) return;
  char time[32];
  int64_t us = world_.now().in_us();
  std::snprintf(time, sizeof time, "%8lld.%06lld ", static_cast<long long>(us / 1'000'000), static_cast<long long>(us % 1'000'000));
  std::string text = time + machine + ": " + std::string(line);
  if (print_) std::printf("%s\n", text.c_str());
  kept_.push_back(std::move(text));
  if (kept_.size() > k_kept_max) kept_.pop_front();
}

void WireLog::on_end(PeerSide& side) {
  log_.write("machine " + std::to_string(side.machine), LogLevel::debug, "end of stream " + std::to_string(side.stream));
}

void WireLog::line(const PeerSide& side, const char* direction, const wire::Message& message) {
  std::string text =
      std::string(direction) + " " + wire::name_of(message) + " stream " + std::to_string(side.stream) + " " + side.remote.to_string();
  auto range = [&](const wire::BlockRange& block) {
    text += " piece " + std::to_string(block.piece) + " begin " + std::to_string(block.begin) + " length " + std::to_string(block.length);
  };
  if (const auto* request = std::get_if<wire::Request>(&message)) range(request->range);
  if (const auto* cancel = std::get_if<wire::Cancel>(&message)) range(cancel->range);
  if (const auto* reject = std::get_if<wire::Reject>(&message)) range(reject->range);
  if (const auto* have = std::get_if<wire::Have>(&message)) text += " piece " + std::to_string(have->piece);
  if (const auto* slice = std::get_if<wire::PieceSlice>(&message)) {
    if (!slice->is_last()) return;
    range(slice->range);
  }
  log_.write("machine " + std::to_string(side.machine), LogLevel::debug, text);
}

}  // namespace millet::simtest
