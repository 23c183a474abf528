// What goes wrong in a world, and when: a plan that a scenario writes or a seed draws. Every fault heals.
#pragma once

#include <map>
#include <vector>

#include "hal/sim/machine.h"
#include "hal/sim/world.h"
#include "sim/log.h"
#include "sim/money.h"
#include "sim/report.h"

namespace millet::simtest {

enum class FaultKind : uint8_t {
  kill,  // SIGKILL; the program starts again when it heals
  power_cut,
  partition,   // from everybody
  slow_store,  // commits take seconds
  slow_disk,   // reads take seconds
  drop_cache,  // at once, nothing to heal
  step_wall,   // the clock jumps by `lasts`, forwards or backwards
  split,       // the machines of `group` from all others
  lossy,       // a link that loses, and for datagrams also reorders and doubles, `amount` of a million packets
  full_disk,   // neither payload nor state can be written
  drift,       // both clocks run wrong by `amount` millionths, at once and for good
};
inline constexpr uint64_t k_fault_kinds = 11;
const char* fault_name(FaultKind kind);

struct Fault {
  Duration at;  // since the start of the world
  FaultKind kind = FaultKind::kill;
  uint32_t machine = 0;
  Duration lasts;
  int32_t amount = 0;
  std::vector<uint32_t> group;
};

class FaultPlan final : public sim::EventTarget {
 public:
  FaultPlan(sim::World& world, MoneyChecker& checker, Report& report, WorldLog& log);
  void add(const Fault& fault);
  // Draws faults of these kinds for these machines, all healed before `end`.
  void draw(Random& random, std::span<const FaultKind> kinds, std::span<const uint32_t> machines, Duration end, uint32_t count);
  const std::vector<Fault>& faults() const { return faults_; }
  // When the last fault is healed.
  Duration healed_at() const;

  void on_event(uint32_t kind, uint64_t a, uint64_t b) override;

 private:
  enum EventKind : uint32_t { k_begin, k_heal };
  void begin(const Fault& fault);
  void heal(const Fault& fault);

  sim::World& world_;
  MoneyChecker& checker_;
  Report& report_;
  WorldLog& log_;
  std::vector<Fault> faults_;
  std::map<uint32_t, sim::LinkOptions> links_;  // as they were before they lost anything
};

}  // namespace millet::simtest
