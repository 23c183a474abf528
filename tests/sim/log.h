// The log lines of all programs of a world, with virtual time and machine. They are part of the trace: a line that differs between two
// runs of a seed shows something that is not determined by the seed.
#pragma once

#include <deque>
#include <string>

#include "base/log.h"
#include "hal/sim/world.h"
#include "sim/wiretap.h"

namespace millet::simtest {

// Is told of every line that is part of the trace.
class LogWatch {
 public:
  virtual ~LogWatch() = default;
  virtual void on_line(const std::string& machine, std::string_view line) = 0;
};

class WorldLog {
 public:
  static constexpr size_t k_kept_max = 60;

  // `print`: every line goes to standard output as it comes.
  WorldLog(sim::World& world, bool print) : world_(world), print_(print) {}
  void write(const std::string& machine, LogLevel level, std::string_view line);
  // From here on only lines from `info` on are part of the trace and kept, and others are not even made unless all are printed: in a large
  // world they cost more than what they tell of.
  void set_quiet() { quiet_ = true; }
  void set_watch(LogWatch* watch) { watch_ = watch; }
  LogLevel level() const { return quiet_ && !print_ ? LogLevel::info : LogLevel::debug; }
  // The last lines, oldest first.
  const std::deque<std::string>& kept() const { return kept_; }
  uint64_t count(LogLevel level) const { return counts_[static_cast<size_t>(level)]; }

 private:
  sim::World& world_;
  bool print_;
  bool quiet_ = false;
  LogWatch* watch_ = nullptr;
  std::deque<std::string> kept_;
  uint64_t counts_[4] = {};
};

// One machine's part of it; outlives the machine's programs.
class MachineLog final : public LogSink {
 public:
  MachineLog(WorldLog& log, std::string machine) : log_(log), machine_(std::move(machine)) {}
  LogLevel level() const override { return log_.level(); }
  void write(LogLevel level, std::string_view line) override { log_.write(machine_, level, line); }

 private:
  WorldLog& log_;
  std::string machine_;
};

// What goes over peer connections, as lines of the log: for whoever replays a seed.
class WireLog final : public WireListener {
 public:
  explicit WireLog(WorldLog& log) : log_(log) {}
  void on_sent(PeerSide& side, const wire::Message& message) override { line(side, "tx", message); }
  void on_received(PeerSide& side, const wire::Message& message) override { line(side, "rx", message); }
  void on_speed_sent(PeerSide&, const speed::Message&) override {}  // the nodes log these themselves
  void on_speed_received(PeerSide&, const speed::Message&) override {}
  void on_end(PeerSide& side) override;
  void on_garbage(PeerSide&, bool, const std::string&) override {}

 private:
  void line(const PeerSide& side, const char* direction, const wire::Message& message);
  WorldLog& log_;
};

}  // namespace millet::simtest
