#include "hal/sim/machine.h"

#include "hal/sim/process.h"
#include "hal/sim/world.h"

namespace millet::sim {

Machine::Machine(World& world, uint32_t index, const MachineOptions& options)
    : world_(world), index_(index), options_(options), random_(world.random("machine", index)),
      disk_(options.disk, world.random("disk", index)) {
  boot();
}

Machine::~Machine() {
  if (process_) process_->end(true);
  program_.reset();
}

// The monotonic clock counts from the boot of the machine, so that nothing can make sense of an Instant of another life.
void Machine::boot() {
  Instant up = Instant() + Duration::us(static_cast<int64_t>(1'000'000 + random_.below(1'000'000'000)));
  boot_offset_ = up - world_.now() - gained(world_.now());
}

MemoryStore& Machine::store(const std::string& name) {
  std::unique_ptr<MemoryStore>& store = stores_[name];
  if (!store) store = std::make_unique<MemoryStore>();
  return *store;
}

Board& Machine::board() {
  if (!board_) board_ = std::make_unique<Board>(world_);
  return *board_;
}

bool Machine::start() {
  CHECK(factory_ != nullptr && !running());
  ++starts_;
  world_.tcp().set_power(index_, true);
  process_ = std::make_unique<Process>(*this, world_.random("process", (uint64_t{index_} << 32) | starts_));
  program_ = factory_->start(*this, process_->system());
  if (program_) return true;
  end_process();
  return false;
}

void Machine::end_process() {
  if (!process_) return;
  process_->end(false);
  program_.reset();
  process_.reset();
  ++ends_;
}

void Machine::crash(CrashKind kind) {
  if (kind == CrashKind::kill) {
    end_process();
    return;
  }
  if (process_) {
    process_->end(true);
    ++ends_;
  }
  program_.reset();
  process_.reset();
  world_.tcp().set_power(index_, false);
  // Mostly everything unsynced is lost; sometimes the disk had written some of it, or nearly all.
  constexpr uint32_t k_kept_percents[] = {0, 0, 50, 95};
  uint64_t choice = random_.below(4);
  disk_.power_cut(k_kept_percents[choice]);
  for (auto& [name, store] : stores_) store->crash();
  boot();
}

void Machine::ask_to_shut_down() {
  if (process_) process_->ask_to_shut_down();
}

uint64_t Machine::blocking_calls() const { return process_ ? process_->files().blocking_calls() : 0; }

void Machine::set_store_fault(StoreFault fault) {
  for (auto& [name, store] : stores_) store->set_fault(fault);
}

Instant Machine::monotonic() const { return world_.now() + boot_offset_ + gained(world_.now()); }

Instant Machine::to_world(Instant monotonic) const {
  if (monotonic.is_never()) return monotonic;
  Instant at = monotonic - boot_offset_;
  if (drift_ppm_ == 0) return at;
  at = drift_since_ + (at - drift_since_) * 1'000'000 / (1'000'000 + drift_ppm_) - Duration::us(2);
  while (at + boot_offset_ + gained(at) < monotonic) at = at + Duration::us(1);
  return at;
}

void Machine::set_drift(int32_t ppm) {
  Duration gain = gained(world_.now());
  boot_offset_ = boot_offset_ + gain;
  wall_offset_ = wall_offset_ + gain;
  drift_since_ = world_.now();
  drift_ppm_ = ppm;
}

WallTime Machine::wall() const { return WallTime::from_ms(wall_ns() / 1'000'000); }

int64_t Machine::wall_ns() const {
  Duration since = (world_.now() - Instant()) + gained(world_.now()) + wall_offset_;
  return options_.wall.in_ms() * 1'000'000 + since.in_us() * 1000;
}

}  // namespace millet::sim
