// Which ledger a command of `millet` talks to.
#pragma once

#include "apps/command.h"
#include "apps/ledger_session.h"

namespace millet {

// As --ledger and --ledger-key say; empty: as the running milletd has it, or else the configuration file.
struct LedgerPlace {
  std::string url;
  std::string key;
};

// Finds the ledger, and asks it who it is. Errors: not_found (none is configured); as LedgerSession::open.
Result<LedgerSession> open_ledger(const CommandContext& context, LedgerPlace place, SigningKey key, SecureRandom& random);

}  // namespace millet
