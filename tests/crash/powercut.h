// Power cuts, enumerated: a subject does its work in a recorded folder once; then it is shown, in child processes, the folder as a power
// cut could have left it, and says whether everything that it had promised is there.
//
// The cuts that matter are those just before something becomes durable (any earlier one leaves a subset of the same changes). States of one
// cut: none, all, each prefix, each single and all but one of the pending changes, and random subsets. A state's number and the seed say
// which one it is, however many are tried.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"

namespace millet::crash {

class Subject {
 public:
  virtual ~Subject() = default;
  // Works below `folder`, an empty one, and calls mark(n) when what is numbered n was promised. Errors: the work failed (no power cut yet).
  virtual Status work(const std::string& folder) = 0;
  // Looks at a folder after a cut; `marked` is the last mark before it, 0 if there was none. Runs in a child process, may crash.
  // Errors: whatever was promised and is not so.
  virtual Status check(const std::string& folder, uint64_t marked) = 0;
};

struct PowerCutOptions {
  uint64_t seed = 1;
  uint64_t first = 0;  // number of the first state
  uint64_t count = 2000;
  size_t sector_size = 512;
  bool stop_at_first = false;
  bool talk = false;  // says on standard output what each state is
};

struct PowerCutReport {
  uint64_t states = 0;
  uint64_t cuts = 0;        // places in the work where power could be cut
  uint64_t systematic = 0;  // states that are not random, of all cuts
  uint64_t broken = 0;
  uint64_t first_broken = 0;
  std::string reason;  // of the first
};

// Errors: the work failed, or could not be recorded; not that a state is broken.
Result<PowerCutReport> cut_power(Subject& subject, const PowerCutOptions& options);

}  // namespace millet::crash
