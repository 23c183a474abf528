#include "sim/scenarios.h"

#include "sim/scenario_free.h"

namespace millet::simtest {

const Scenario k_scenarios[] = {
    {"free", "a seed and leechers without money; loss, partitions, crashes, slow disks", run_free, 30},
    {nullptr, nullptr, nullptr, 0},
};

const Scenario* find_scenario(const std::string& name) {
  for (const Scenario* scenario = k_scenarios; scenario->name != nullptr; ++scenario) {
    if (name == scenario->name) return scenario;
  }
  return nullptr;
}

}  // namespace millet::simtest
