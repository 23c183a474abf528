// Where checkers put what must not be. The first breach ends a run; it names the virtual time and the event, so that a debugger finds it.
#pragma once

#include <string>
#include <vector>

#include "hal/sim/world.h"

namespace millet::simtest {

class Report final : public sim::Observer {
 public:
  static constexpr size_t k_breaches_max = 8;

  explicit Report(sim::World& world) : world_(world) { world_.add_observer(*this); }
  void breach(const std::string& what) {
    if (breaches_.size() >= k_breaches_max) return;
    int64_t us = world_.now().in_us();
    breaches_.push_back("at " + std::to_string(us / 1'000'000) + "." + std::to_string(us / 1000 % 1000) + " s, event " +
                        std::to_string(world_.events()) + ": " + what);
  }
  void require(bool condition, const std::string& what) {
    if (!condition) breach(what);
  }
  const std::vector<std::string>& breaches() const { return breaches_; }
  bool clean() const { return breaches_.empty(); }

  void after_event(Instant) override {}
  bool finished() const override { return !clean(); }

 private:
  sim::World& world_;
  std::vector<std::string> breaches_;
};

}  // namespace millet::simtest
