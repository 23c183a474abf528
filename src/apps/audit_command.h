// `millet-ledgerd audit` and `millet-ledgerd export`: the whole log, from the state of a ledger that does not run or from a file.
#pragma once

#include <string>

#include "base/log.h"
#include "crypto/sign.h"
#include "ledger/server/audit.h"
#include "store/store.h"

namespace millet {

// Replays the log and compares: with the tree head, in a store also with the rows of accounts. Prints what it found; the exit code of the
// program. Of a store also one line to `log`, and `note` (driver/audit_file.h) for the metrics of a ledger that runs; `now_s`: seconds
// since 1970 UTC.
int audit_store_command(Store& store, LogSink& log, const std::string& note, uint64_t now_s);
int audit_file_command(const std::string& file);
// What audit_file_command finds, without a word. Errors: conflict (the first wrong record, or not what the ledger signed), bad_input, io.
Result<AuditTotals> audit_log_file(const std::string& path);
// Writes the log, with a tree head that the ledger's key signs, for others to audit.
int export_command(Store& store, const SigningKey& key, const std::string& file);

}  // namespace millet
