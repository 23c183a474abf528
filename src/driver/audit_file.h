// What the last audit of a ledger found, for whoever watches the ledger: `millet-ledgerd audit` writes it into the state folder, the
// running ledger shows it among its metrics.
//
//   "millet-ledger-audit 1" good (1 or 0), when (seconds since 1970 UTC), records that were replayed; one line, decimal
#pragma once

#include <optional>
#include <string>

#include "base/result.h"

namespace millet {

inline constexpr const char* k_audit_file_name = "audit";  // in the state folder

struct AuditNote {
  bool good = false;
  uint64_t time_s = 0;
  uint64_t records = 0;  // 0 where the audit failed
};

// Nothing if there was no audit, or the file can't be read.
std::optional<AuditNote> read_audit_file(const std::string& path);
// Errors: io, no_room, denied.
Status write_audit_file(const std::string& path, const AuditNote& note);

}  // namespace millet
