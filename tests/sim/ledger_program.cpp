#include "sim/ledger_program.h"

#include <algorithm>

#include "ledger/server/genesis.h"

namespace millet::simtest {
namespace {

constexpr size_t k_fund_batch = 64;
constexpr size_t k_funding_pool = 7;  // ecosystem: 197 billion BTT

LedgerTime wall_of(const sim::Machine& machine) { return LedgerTime::from_seconds(static_cast<uint64_t>(machine.wall().in_seconds())); }

}  // namespace

Result<std::unique_ptr<LedgerState>> LedgerFactory::open(sim::Machine& machine) {
  LedgerRules rules;
  rules.faucet_grant = Amount();  // the scenarios' accounts are funded by transfers; proof of work has tests of its own
  return LedgerState::open(store(machine), key_, rules, wall_of(machine));
}

std::unique_ptr<sim::Program> LedgerFactory::start(sim::Machine& machine, hal::System& system) {
  Result<std::unique_ptr<LedgerState>> state = open(machine);
  if (!state) {
    LogLine(log_, LogLevel::error, "refused_to_start").add("reason", state.error().reason);
    return nullptr;
  }
  auto program = std::make_unique<LedgerProgram>(system, std::move(*state), key_, log_);
  Status status = program->start();
  if (status) return program;
  LogLine(log_, LogLevel::error, "refused_to_start").add("reason", status.error().reason);
  return nullptr;
}

Status LedgerFactory::fund(sim::Machine& machine, const std::vector<std::pair<PublicKey, Amount>>& grants) {
  TRY_ASSIGN(std::unique_ptr<LedgerState> state, open(machine));
  SigningKey pool = pool_key(key_, k_funding_pool);
  uint16_t number = 0;
  for (size_t begin = 0; begin < grants.size(); begin += k_fund_batch) {
    LedgerBatch batch;
    batch.items.emplace_back();
    for (size_t i = begin; i < std::min(grants.size(), begin + k_fund_batch); ++i) {
      if (grants[i].second.is_zero()) continue;
      TransferOperation transfer;
      transfer.statement.ledger = state->ledger();
      transfer.statement.from = pool.public_key();
      transfer.statement.to = grants[i].first;
      transfer.statement.amount = grants[i].second;
      store_be<uint16_t>(transfer.statement.nonce.data(), ++number);
      transfer.statement.valid_until = wall_of(machine).plus_seconds(60);
      transfer.signature = pool.sign(preimage(transfer.statement));
      LedgerCode checked = check_operation(state->check_context(wall_of(machine)), transfer);
      batch.items[0].operations.push_back({transfer, checked});
    }
    BatchOutcome outcome = state->apply(batch, wall_of(machine));
    TRY(outcome.status);
    for (const OperationResult& result : outcome.items.at(0).operations) {
      if (result.ledger_code() != LedgerCode::done) return error(Errc::bad_input, "a transfer was refused");
    }
  }
  return ok;
}

}  // namespace millet::simtest
