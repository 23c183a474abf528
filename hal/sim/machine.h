// A simulated machine: addresses, a disk, clocks, durable stores, and at most one running program. Its program sees it as a hal::System.
//
// A crash is one of two: a kill (SIGKILL: written data stays, the kernel closes the sockets) or a power cut (only synced data stays, the
// sockets are gone without a word, the monotonic clock starts anew). Durable stores keep what was committed either way.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "hal/sim/board.h"
#include "hal/sim/disk.h"
#include "hal/sim/executor.h"
#include "hal/sim/network.h"
#include "hal/system.h"
#include "store/memory_store.h"

namespace millet::sim {

class Process;
class World;
class Machine;

// What runs on a machine: a driver with its engine. Destroyed when the process ends, however it ends; it must not act then.
class Program {
 public:
  virtual ~Program() = default;
};

class ProgramFactory {
 public:
  virtual ~ProgramFactory() = default;
  // Starts the program, as main() would. Null: it refused to start.
  virtual std::unique_ptr<Program> start(Machine& machine, hal::System& system) = 0;
};

enum class CrashKind : uint8_t { kill, power_cut };

struct MachineOptions {
  std::string name;
  std::vector<IpAddress> addresses;
  LinkOptions link;
  DiskOptions disk;
  ExecutorOptions executor;
  // Calendar time at virtual time zero; a machine without a battery may start in 1970.
  WallTime wall = WallTime::from_seconds(1'800'000'000);
};

class Machine {
 public:
  Machine(World& world, uint32_t index, const MachineOptions& options);
  ~Machine();

  const std::string& name() const { return options_.name; }
  uint32_t index() const { return index_; }
  const IpAddress& address() const { return options_.addresses.front(); }
  Disk& disk() { return disk_; }
  // A durable store that outlives the programs; made when first asked for.
  MemoryStore& store(const std::string& name);
  // What all its stores suffer from, from now on.
  void set_store_fault(StoreFault fault);
  // Made when first asked for; a program whose machine has none is told of no device.
  Board& board();
  ExecutorOptions& executor() { return options_.executor; }
  World& world() { return world_; }

  void set_factory(ProgramFactory& factory) { factory_ = &factory; }
  // Requires: a factory; not running. False if the program refused to start.
  bool start();
  bool running() const { return process_ != nullptr; }
  Program* program() { return program_.get(); }
  // Between events only. Nothing happens if nothing runs, except that a power cut also loses what a dead process left unsynced.
  void crash(CrashKind kind);
  // SIGTERM: the program ends its loop when it is ready.
  void ask_to_shut_down();
  // Programs started and ended so far.
  uint64_t starts() const { return starts_; }
  uint64_t ends() const { return ends_; }
  uint64_t blocking_calls() const;

  Instant monotonic() const;
  // The first moment of the world at which the machine's clock shows at least this.
  Instant to_world(Instant monotonic) const;
  WallTime wall() const;
  int64_t wall_ns() const;
  // Somebody sets the clock.
  void step_wall(Duration by) { wall_offset_ = wall_offset_ + by; }
  // Its quartz is wrong from now on: both clocks gain so many millionths (negative: lose). Requires: |ppm| < 100,000.
  void set_drift(int32_t ppm);

 private:
  friend class Process;
  void end_process();
  void boot();
  Duration gained(Instant world) const { return (world - drift_since_) * drift_ppm_ / 1'000'000; }

  World& world_;
  uint32_t index_;
  MachineOptions options_;
  Random random_;
  Disk disk_;
  std::unique_ptr<Board> board_;
  std::map<std::string, std::unique_ptr<MemoryStore>> stores_;
  Duration wall_offset_;
  Duration boot_offset_;  // monotonic time = virtual time + this + what it gained since drift_since_
  Instant drift_since_;
  int32_t drift_ppm_ = 0;
  ProgramFactory* factory_ = nullptr;
  std::unique_ptr<Process> process_;
  std::unique_ptr<Program> program_;
  uint64_t starts_ = 0;
  uint64_t ends_ = 0;
};

}  // namespace millet::sim
