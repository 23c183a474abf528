// Writes evidence against the ledger into a file that a person can show to others (millet ledger verify-evidence).
#pragma once

#include "base/log.h"
#include "hal/system.h"

namespace millet {

// The file's name has the evidence's hash: the same evidence is written once. On a worker; success and failure are log lines.
// Requires: `log` and the system live until the last job is done.
void keep_evidence(hal::System& system, const std::string& folder, std::vector<uint8_t> evidence, LogSink& log);

}  // namespace millet
