// Turns an audit: one thread replays the records, others check their signatures, which is most of the work. Memory is bounded but for what
// the replay holds of accounts and open channels.
#pragma once

#include "apps/log_source.h"
#include "ledger/server/audit.h"

namespace millet {

struct AuditOptions {
  unsigned threads = 2;  // for signatures
  // Called now and then. May be null.
  void (*progress)(void* context, uint64_t done, uint64_t total) = nullptr;
  void* context = nullptr;
};
// Adds the whole log to `audit`. Errors: conflict, with the first wrong record; of the source.
Status run_audit(LogSource& log, const AuditOptions& options, LogAudit& audit);

}  // namespace millet
