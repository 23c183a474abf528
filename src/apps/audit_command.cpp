#include "apps/audit_command.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "apps/audit_run.h"
#include "apps/daemon.h"
#include "apps/terminal.h"
#include "driver/audit_file.h"
#include "ledger/server/log_tree.h"
#include "ledger/server/tables.h"
#include "ledger/server/transaction.h"

namespace millet {
namespace {

Result<LedgerRow> read_ledger_row(StoreTransaction& store) {
  TRY_ASSIGN(std::optional<LedgerRow> row, read_row<LedgerRow>(store, k_table_ledger, as_bytes(k_ledger_row_key)));
  if (!row) return error(Errc::not_found, "there is no ledger in this state folder");
  if (row->format != k_ledger_format) return error(Errc::unsupported, "the state has format " + std::to_string(row->format));
  return *row;
}

void show_progress(void* context, uint64_t done, uint64_t total) { static_cast<Progress*>(context)->update(done, total); }

Status replay(LogSource& log, LogAudit& audit) {
  Progress progress("audit");
  AuditOptions options;
  options.threads = static_cast<unsigned>(std::clamp(::sysconf(_SC_NPROCESSORS_ONLN), 1L, 16L));
  options.progress = show_progress;
  options.context = &progress;
  return run_audit(log, options, audit);
}

Error wrong(const std::string& what) { return error(Errc::conflict, what); }

// What the ledger answers from is what the log leaves.
Status compare_accounts(StoreTransaction& store, const LogAudit& audit, uint64_t accounts) {
  uint64_t count = 0;
  std::vector<uint8_t> from;
  for (;; ++count) {
    TRY_ASSIGN(std::optional<StoreTransaction::Entry> entry, store.seek(k_table_accounts, from));
    if (!entry) break;
    from.assign(entry->key.begin(), entry->key.end());
    auto row = decode_fields<AccountRow>(entry->value);
    if (!row || entry->key.size() != PublicKey::k_size) return wrong("a row of table accounts can't be read");
    PublicKey key = PublicKey::from_bytes(entry->key);
    from.push_back(0);
    const LogAudit::Account* account = audit.account(key);
    if (account == nullptr) return wrong("account " + key.hex() + " has a row, but no record touched it");
    if (account->balance != row->available || account->last_record != row->last_record) {
      return wrong("account " + key.hex() + " has " + row->available.to_btt() + " BTT, but the log leaves it " + account->balance.to_btt() +
                   " BTT (record " + std::to_string(account->last_record) + ")");
    }
  }
  if (count != accounts) return wrong("an account of the log has no row");
  return ok;
}

Result<AuditTotals> audit_store(Store& store) {
  TRY_ASSIGN(std::unique_ptr<StoreTransaction> transaction, store.begin_read());
  TRY_ASSIGN(LedgerRow row, read_ledger_row(*transaction));
  StoreLogSource log(*transaction, row.records);
  LogAudit audit;
  TRY(replay(log, audit));
  TRY_ASSIGN(AuditTotals totals, audit.totals());
  LogTreeReader tree(*transaction);
  TRY_ASSIGN(Hash32 stored, merkle_root(tree, row.records));
  if (totals.root != row.root || totals.root != stored) return wrong("the log's records have another root than the ledger signs");
  if (totals.available != row.accounts_sum || totals.in_channels != row.escrow_sum) return wrong("a sum is not the one that was noted");
  TRY(compare_accounts(*transaction, audit, totals.accounts));
  return totals;
}

int failed(const Error& reason) {
  say_error(Program::ledgerd, reason);
  return k_exit_failed;
}

int report(const Result<AuditTotals>& audited) {
  if (!audited) return failed(Error(audited.error()).in("audit"));
  const AuditTotals& totals = *audited;
  auto number = [](uint64_t value) { return static_cast<unsigned long long>(value); };
  std::printf("ledger       %s\nkey          %s\nrecords      %llu\nroot         %s\ntime         %llu\naccounts     %llu with %s BTT\n",
              totals.ledger.hex().c_str(), totals.key.hex().c_str(), number(totals.records), to_hex(totals.root).c_str(),
              number(totals.time.in_seconds()), number(totals.accounts), totals.available.to_btt().c_str());
  std::printf("channels     %llu open, with %s BTT\nsupply       %s BTT\nevery record is right\n", number(totals.open_channels),
              totals.in_channels.to_btt().c_str(), Amount::supply().to_btt().c_str());
  return k_exit_ok;
}

}  // namespace

Result<AuditTotals> audit_log_file(const std::string& path) {
  TRY_ASSIGN(std::unique_ptr<FileLogSource> log, FileLogSource::open(path));
  LogAudit audit;
  TRY(replay(*log, audit));
  TRY_ASSIGN(AuditTotals totals, audit.totals());
  const SignedTreeHead& head = log->head();
  if (totals.key != log->key()) return wrong("the log's genesis is of another key than the file says");
  if (!verify(totals.key, preimage(head.statement(totals.ledger)), head.signature))
    return wrong("its tree head is not signed by the ledger");
  if (totals.root != head.root) return wrong("the log's records have another root than the ledger signed");
  return totals;
}

int audit_store_command(Store& store, LogSink& log, const std::string& note, uint64_t now_s) {
  Result<AuditTotals> audited = audit_store(store);
  LogLine line(log, audited ? LogLevel::info : LogLevel::error, "audit");
  line.add("result", audited ? "good" : "wrong");
  if (audited)
    line.add("records", audited->records).add("root", to_hex(audited->root));
  else
    line.add("reason", audited.error().reason);
  // Who may read the ledger but not write beside it has the line and the exit code.
  Status noted = write_audit_file(note, {audited.has_value(), now_s, audited ? audited->records : 0});
  if (!noted) LogLine(log, LogLevel::warn, "audit_not_noted").add("reason", noted.error().reason);
  return report(audited);
}

int audit_file_command(const std::string& file) { return report(audit_log_file(file)); }

int export_command(Store& store, const SigningKey& key, const std::string& file) {
  auto run = [&]() -> Status {
    TRY_ASSIGN(std::unique_ptr<StoreTransaction> transaction, store.begin_read());
    TRY_ASSIGN(LedgerRow row, read_ledger_row(*transaction));
    StoreLogSource first(*transaction, 1);
    std::vector<uint8_t> bytes;
    TRY(first.next(bytes));
    TRY_ASSIGN(LogRecord genesis, decode_record(bytes));
    SignedTreeHead head{row.records, row.root, row.time, {}};
    head.signature = key.sign(preimage(head.statement(LedgerId{genesis.head.operation.raw})));
    StoreLogSource log(*transaction, row.records);
    return write_log_file(file, key.public_key(), head, log);
  };
  Status done = run();
  return done ? k_exit_ok : failed(std::move(done).error().in("export"));
}

}  // namespace millet
