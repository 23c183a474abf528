// The log lines of all programs of a world, with virtual time and machine. They are part of the trace: a line that differs between two
// runs of a seed shows something that is not determined by the seed.
#pragma once

#include <deque>
#include <string>

#include "base/log.h"
#include "hal/sim/world.h"

namespace millet::simtest {

class WorldLog {
 public:
  static constexpr size_t k_kept_max = 60;

  // `print`: every line goes to standard output as it comes.
  WorldLog(sim::World& world, bool print) : world_(world), print_(print) {}
  void write(const std::string& machine, LogLevel level, std::string_view line);
  // The last lines, oldest first.
  const std::deque<std::string>& kept() const { return kept_; }
  uint64_t count(LogLevel level) const { return counts_[static_cast<size_t>(level)]; }

 private:
  sim::World& world_;
  bool print_;
  std::deque<std::string> kept_;
  uint64_t counts_[4] = {};
};

// One machine's part of it; outlives the machine's programs.
class MachineLog final : public LogSink {
 public:
  MachineLog(WorldLog& log, std::string machine) : log_(log), machine_(std::move(machine)) {}
  LogLevel level() const override { return LogLevel::debug; }
  void write(LogLevel level, std::string_view line) override { log_.write(machine_, level, line); }

 private:
  WorldLog& log_;
  std::string machine_;
};

}  // namespace millet::simtest
