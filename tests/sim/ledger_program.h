// The private ledger as a program of the simulator: src/driver's ledgerd over hal/sim and the machine's store.
#pragma once

#include "crypto/sign.h"
#include "driver/ledgerd_driver.h"
#include "hal/sim/machine.h"
#include "sim/log.h"

namespace millet::simtest {

inline constexpr uint16_t k_ledger_port = 7411;

class LedgerProgram final : public sim::Program {
 public:
  LedgerProgram(hal::System& system, std::unique_ptr<LedgerState> state, const SigningKey& key, LogSink& log)
      : state_(std::move(state)), driver_(system, *state_, key, log) {}
  Status start() {
    TRY(driver_.start({IpAddress(), k_ledger_port}));
    return ok;
  }

 private:
  std::unique_ptr<LedgerState> state_;
  LedgerdDriver driver_;
};

class LedgerFactory final : public sim::ProgramFactory {
 public:
  LedgerFactory(SigningKey key, WorldLog& log) : key_(std::move(key)), log_(log, "ledger") {}
  std::unique_ptr<sim::Program> start(sim::Machine& machine, hal::System& system) override;

  const PublicKey& key() const { return key_.public_key(); }
  MemoryStore& store(sim::Machine& machine) { return machine.store("ledger"); }
  // Gives accounts something from the pools, before the ledger first starts. Errors: of the ledger.
  Status fund(sim::Machine& machine, const std::vector<std::pair<PublicKey, Amount>>& grants);

 private:
  Result<std::unique_ptr<LedgerState>> open(sim::Machine& machine);

  SigningKey key_;
  MachineLog log_;
};

}  // namespace millet::simtest
