#include "sim/faults.h"

#include <algorithm>

#include "hal/sim/network.h"

namespace millet::simtest {
namespace {

constexpr Duration k_slow_commit = Duration::seconds(5);
constexpr Duration k_slow_access = Duration::seconds(3);
constexpr uint64_t k_loss_ppm_max = 150'000;  // of one link: a path is two of them
constexpr uint64_t k_drift_ppm_max = 500;

// The clock, at once: nothing of it is healed.
bool is_at_once(FaultKind kind) { return kind == FaultKind::drop_cache || kind == FaultKind::step_wall || kind == FaultKind::drift; }

}  // namespace

const char* fault_name(FaultKind kind) {
  switch (kind) {
    case FaultKind::kill: return "kill";
    case FaultKind::power_cut: return "power_cut";
    case FaultKind::partition: return "partition";
    case FaultKind::slow_store: return "slow_store";
    case FaultKind::slow_disk: return "slow_disk";
    case FaultKind::drop_cache: return "drop_cache";
    case FaultKind::step_wall: return "step_wall";
    case FaultKind::split: return "split";
    case FaultKind::lossy: return "lossy";
    case FaultKind::full_disk: return "full_disk";
    case FaultKind::drift: return "drift";
  }
  return "unknown";
}

FaultPlan::FaultPlan(sim::World& world, MoneyChecker& checker, Report& report, WorldLog& log)
    : world_(world), checker_(checker), report_(report), log_(log) {
  world_.add_target(*this);
}

void FaultPlan::add(const Fault& fault) {
  world_.schedule(Instant() + fault.at, *this, k_begin, faults_.size());
  faults_.push_back(fault);
}

void FaultPlan::draw(Random& random, std::span<const FaultKind> kinds, std::span<const uint32_t> machines, Duration end, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) {
    Fault fault;
    uint64_t span_us = static_cast<uint64_t>(end.in_us());
    fault.at = Duration::us(static_cast<int64_t>(random.below(span_us * 3 / 4)));
    fault.kind = kinds[random.below(kinds.size())];
    fault.machine = machines[random.below(machines.size())];
    uint64_t longest_us = static_cast<uint64_t>((end - fault.at).in_us());
    // Mostly short, sometimes as long as the plan allows.
    uint64_t shift = random.below(6);
    fault.lasts = Duration::us(static_cast<int64_t>(random.below((longest_us >> shift) + 1)));
    if (fault.kind == FaultKind::step_wall) {
      bool backwards = random.below(2) == 0;
      fault.lasts = Duration::seconds(static_cast<int64_t>(random.below(7200))) * (backwards ? -1 : 1);
    }
    if (fault.kind == FaultKind::lossy) fault.amount = static_cast<int32_t>(random.below(k_loss_ppm_max + 1));
    if (fault.kind == FaultKind::drift) {
      fault.amount = static_cast<int32_t>(random.below(2 * k_drift_ppm_max + 1)) - static_cast<int32_t>(k_drift_ppm_max);
    }
    if (fault.kind == FaultKind::split) {
      uint64_t share = 1 + random.below(7);
      for (uint32_t machine : machines) {
        bool inside = random.below(8) < share;
        if (inside) fault.group.push_back(machine);
      }
    }
    add(fault);
  }
}

Duration FaultPlan::healed_at() const {
  Duration last;
  for (const Fault& fault : faults_) {
    last = std::max(last, is_at_once(fault.kind) ? fault.at : fault.at + fault.lasts);
  }
  return last;
}

void FaultPlan::on_event(uint32_t kind, uint64_t a, uint64_t) {
  if (kind == k_heal) return heal(faults_.at(a));
  begin(faults_.at(a));
  if (!is_at_once(faults_.at(a).kind)) world_.schedule(faults_.at(a).lasts, *this, k_heal, a);
}

void FaultPlan::begin(const Fault& fault) {
  sim::Machine& machine = world_.machine(fault.machine);
  log_.write(machine.name(), LogLevel::info, std::string("--- fault ") + fault_name(fault.kind));
  switch (fault.kind) {
    case FaultKind::kill:
    case FaultKind::power_cut:
      if (!machine.running()) return;
      checker_.crashed(fault.machine);
      machine.crash(fault.kind == FaultKind::kill ? sim::CrashKind::kill : sim::CrashKind::power_cut);
      return;
    case FaultKind::partition: return world_.network().partition(std::span(&fault.machine, 1));
    case FaultKind::slow_store: machine.executor().queue(hal::Queue::store).cost_max = k_slow_commit; return;
    case FaultKind::slow_disk: {
      sim::DiskOptions options = machine.disk().options();
      options.access = k_slow_access;
      machine.disk().set_options(options);
      return;
    }
    case FaultKind::drop_cache: return machine.disk().drop_cache();
    case FaultKind::step_wall: return machine.step_wall(fault.lasts);
    case FaultKind::split: return world_.network().partition(fault.group);
    case FaultKind::lossy: {
      sim::LinkOptions link = links_.emplace(fault.machine, world_.network().link(fault.machine)).first->second;
      link.loss_ppm = link.reorder_ppm = static_cast<uint32_t>(fault.amount);
      link.duplicate_ppm = static_cast<uint32_t>(fault.amount / 2);
      return world_.network().set_link(fault.machine, link);
    }
    case FaultKind::full_disk: {
      sim::DiskOptions options = machine.disk().options();
      options.capacity = machine.disk().used();
      machine.disk().set_options(options);
      return machine.set_store_fault(StoreFault::full);
    }
    case FaultKind::drift: return machine.set_drift(fault.amount);
  }
}

void FaultPlan::heal(const Fault& fault) {
  sim::Machine& machine = world_.machine(fault.machine);
  log_.write(machine.name(), LogLevel::info, std::string("--- healed ") + fault_name(fault.kind));
  switch (fault.kind) {
    case FaultKind::kill:
    case FaultKind::power_cut:
      if (!machine.running() && !machine.start()) report_.breach(machine.name() + " did not start again after " + fault_name(fault.kind));
      return;
    case FaultKind::partition: return world_.network().rejoin(fault.machine);
    case FaultKind::slow_store: machine.executor().queue(hal::Queue::store).cost_max = sim::QueueModel{}.cost_max; return;
    case FaultKind::slow_disk: {
      sim::DiskOptions options = machine.disk().options();
      options.access = sim::DiskOptions{}.access;
      machine.disk().set_options(options);
      return;
    }
    case FaultKind::split:
      for (uint32_t inside : fault.group) world_.network().rejoin(inside);
      return;
    case FaultKind::lossy: return world_.network().set_link(fault.machine, links_.at(fault.machine));
    case FaultKind::full_disk: {
      sim::DiskOptions options = machine.disk().options();
      options.capacity = sim::DiskOptions{}.capacity;
      machine.disk().set_options(options);
      return machine.set_store_fault(StoreFault::none);
    }
    case FaultKind::drop_cache:
    case FaultKind::step_wall:
    case FaultKind::drift: return;
  }
}

}  // namespace millet::simtest
