#include "apps/import_file.h"

#include "apps/log_source.h"
#include "apps/terminal.h"
#include "ledger/server/import.h"

namespace millet {

Status import_log_file(const std::string& path, Store& store, const LedgerRules& rules) {
  TRY_ASSIGN(std::unique_ptr<FileLogSource> log, FileLogSource::open(path));
  LogImport import(store, rules);
  Progress progress("import");
  std::vector<uint8_t> record;
  for (uint64_t done = 0;; ++done) {
    TRY_ASSIGN(bool more, log->next(record));
    if (!more) break;
    TRY(import.add(record));
    if (done % 4096 == 0) progress.update(done, log->size());
  }
  return import.finish(log->head());
}

}  // namespace millet
