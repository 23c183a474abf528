// The ledger under power cuts: its store, its key file and its state machine, in the order in which millet-ledgerd uses them. A batch is
// promised when LedgerState::apply has returned.
#pragma once

#include <vector>

#include "crash/powercut.h"
#include "ledger/server/state.h"

namespace millet::crash {

class LedgerSubject final : public Subject {
 public:
  struct Options {
    uint64_t seed = 1;
    unsigned batches = 40;
  };
  explicit LedgerSubject(const Options& options) : options_(options) {}

  Status work(const std::string& folder) override;
  Status check(const std::string& folder, uint64_t marked) override;

 private:
  // What was promised when a batch was done.
  struct Promise {
    LedgerBatch batch;
    BatchOutcome outcome;
    uint64_t records;
    Hash32 root;
  };
  Options options_;
  std::vector<Promise> promises_;
};

}  // namespace millet::crash
