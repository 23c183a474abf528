// The scenarios of the simulator. Each builds a swarm from its seed, runs it, and leaves what was wrong in the outcome.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "sim/run.h"

namespace millet::simtest {

struct Outcome {
  std::vector<std::string> breaches;
  std::deque<std::string> log;  // the last lines
  uint64_t trace = 0;
  uint64_t events = 0;
  int64_t virtual_s = 0;
  uint64_t paid_blocks = 0;
  uint64_t free_blocks = 0;
  std::string config;  // what the seed drew, for people
};

struct Scenario {
  const char* name;
  const char* help;
  Outcome (*run)(const Run& run);
  uint32_t quick_count;  // seeds that the short form of the test runs
};

// Null ends the list.
extern const Scenario k_scenarios[];
const Scenario* find_scenario(const std::string& name);

}  // namespace millet::simtest
