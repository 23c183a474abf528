// The audit of a world's whole log.
#pragma once

#include <cstdio>

#include "apps/audit_run.h"
#include "apps/log_source.h"
#include "unit/ledger_world.h"

namespace ledger_world {

struct Audited {
  Status status = ok;
  Result<AuditTotals> totals = error(Errc::not_found, "not audited");
};
inline Audited audit(World& world) {
  auto store = world.store().begin_read();
  auto row = read_row<LedgerRow>(**store, k_table_ledger, as_bytes(k_ledger_row_key));
  StoreLogSource log(**store, (*row)->records);
  LogAudit replay;
  Audited out;
  out.status = run_audit(log, {}, replay);
  if (out.status) out.totals = replay.totals();
  return out;
}
inline bool names(const Audited& audited, uint64_t record) {
  if (audited.status) return false;
  bool named = audited.status.error().reason.starts_with("record " + std::to_string(record) + " is wrong: ");
  if (!named) fprintf(stderr, "expected record %d: %s\n", static_cast<int>(record), audited.status.error().reason.c_str());
  return named;
}

}  // namespace ledger_world
