#include "apps/audit_command.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "apps/audit_run.h"
#include "apps/daemon.h"
#include "apps/terminal.h"
#include "driver/audit_file.h"
#include "ledger/server/log_tree.h"
#include "ledger/server/state.h"
#include "ledger/server/tables.h"
#include "ledger/server/transaction.h"

namespace millet {
namespace {

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

// Channels that are open, with what was claimed of them.
Status compare_channels(StoreTransaction& store, const LogAudit& audit) {
  std::vector<uint8_t> from;
  for (;;) {
    TRY_ASSIGN(std::optional<StoreTransaction::Entry> entry, store.seek(k_table_channels, from));
    if (!entry) return ok;
    from.assign(entry->key.begin(), entry->key.end());
    from.push_back(0);
    auto row = decode_fields<ChannelRow>(entry->value);
    if (!row || entry->key.size() != ChannelId::k_size) return wrong("a row of table channels can't be read");
    std::optional<Amount> claimed = audit.open_channel(ChannelId::from_bytes(entry->key));
    if (claimed.has_value() != row->is_open())
      return wrong("channel " + to_hex(entry->key) + " is open in the log or in the state, not in both");
    if (claimed && *claimed != row->claimed) return wrong("channel " + to_hex(entry->key) + " has paid another sum than the log says");
  }
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
  TRY(compare_channels(*transaction, audit));
  transaction.reset();
  // What a start would refuse is not good, either: pools, indexes, the end of the log.
  Result<LedgerBooks> books = check_books(store);
  if (!books) return wrong(books.error().reason);
  return totals;
}

int failed(const Error& reason) {
  say_error(Program::ledgerd, reason);
  return k_exit_failed;
}

// Something is wrong, or all is right; else it could not be read.
bool is_verdict(const Result<AuditTotals>& audited) { return audited || audited.error().code == Errc::conflict; }

int report(const Result<AuditTotals>& audited) {
  if (!audited) {
    say_error(Program::ledgerd, Error(audited.error()).in("audit"));
    return is_verdict(audited) ? k_exit_failed : k_exit_bad_state;
  }
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
  line.add("result", audited ? "good" : is_verdict(audited) ? "wrong" : "not_done");
  if (audited)
    line.add("records", audited->records).add("root", to_hex(audited->root));
  else
    line.add("reason", audited.error().reason);
  // Who may read the ledger but not write beside it has the line and the exit code.
  if (!is_verdict(audited)) return report(audited);
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
