// Makes a ledger of a log that `millet-ledgerd export` wrote.
#pragma once

#include <string>

#include "ledger/server/rules.h"

namespace millet {

// Requires: the file passed an audit (audit_log_file), which checks its signatures. Errors: conflict (the store is not empty; the file has
// changed since), bad_input, io, no_room, denied.
Status import_log_file(const std::string& path, Store& store, const LedgerRules& rules);

}  // namespace millet
