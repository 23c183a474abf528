// The private ledger's program: arguments, state, then the driver until a signal ends it.
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "apps/audit_command.h"
#include "apps/daemon.h"
#include "apps/genesis_command.h"
#include "apps/import_file.h"
#include "apps/store_name.h"
#include "codec/url.h"
#include "driver/key_file.h"
#include "driver/ledgerd_driver.h"
#include "hal/linux/files.h"
#include "hal/linux/system.h"
#include "ledger/server/transaction.h"
#include "store/lmdb/lmdb_store.h"
#ifdef MILLET_POSTGRES
#include "store/postgres/postgres_store.h"
#endif

namespace millet {
namespace {

constexpr size_t k_captcha_secret_max = 1024;
constexpr const char* k_ledger_key_file_name = "ledger.key";  // in the state folder

int refuse(int exit_code, const Error& reason) {
  say_error(Program::ledgerd, reason);
  return exit_code;
}

LedgerTime wall_time(hal::System& system) {
  int64_t wall_s = system.clock.wall().in_seconds();
  return LedgerTime::from_seconds(wall_s > 0 ? static_cast<uint64_t>(wall_s) : 0);
}

LedgerRules rules_of(const LedgerdConfig& config) {
  LedgerRules rules;
  rules.clock_leap_max_s = uint64_t{config.clock_leap_max_days} * 86'400;
  rules.faucet_grant = config.faucet_grant;
  rules.faucet_daily_budget = config.faucet_budget;
  if (!config.captcha_url.empty()) rules.captcha = config.captcha_with_work ? CaptchaUse::with_work : CaptchaUse::instead_of_work;
  rules.faucet_per_network = config.faucet_per_network;
  rules.faucet_spend_only_s = uint64_t{config.faucet_spend_only_days} * 86400;
  rules.faucet_work.hashcash_bits = static_cast<uint8_t>(config.faucet_hashcash_bits);
  rules.faucet_work.memory_bits = static_cast<uint8_t>(config.faucet_memory_bits);
  rules.faucet_work.memory_kib = config.faucet_memory_kib;
  return rules;
}

// Errors: as Url::parse; of the file.
Result<CaptchaHook::Options> captcha_options(const LedgerdConfig& config) {
  Result<Url> url = Url::parse(config.captcha_url);
  if (!url) return std::move(url).error().in("ledgerd.captcha_url (for https put a forwarder in between, as stunnel is)");
  if (config.captcha_secret_file.empty()) return error(Errc::bad_input, "ledgerd.captcha_secret_file: ledgerd.captcha_url needs one");
  hal::LinuxFiles files;
  Result<std::vector<uint8_t>> bytes = files.read_file(config.captcha_secret_file, k_captcha_secret_max);
  if (!bytes) return std::move(bytes).error().in("ledgerd.captcha_secret_file");
  std::string secret(as_text(*bytes));
  while (!secret.empty() && (secret.back() == '\n' || secret.back() == '\r')) secret.pop_back();
  if (secret.empty()) return error(Errc::bad_input, "ledgerd.captcha_secret_file: " + config.captcha_secret_file + " is empty");
  return CaptchaHook::Options{config.captcha_url, std::move(secret)};
}

// Whoever runs the ledger sees at its start and at its end that nothing was made or lost.
void report_books(const LedgerBooks& books, LogSink& log) {
  LogLine(log, LogLevel::info, "books")
      .add("available", books.available.to_btt())
      .add("in_channels", books.in_channels.to_btt())
      .add("open_channels", books.open_channels)
      .add("supply", books.available.plus(books.in_channels).value_or(Amount()).to_btt());
}

// `read`: as it is at some moment, also while another process serves it.
enum class StoreUse : uint8_t { serve, read };

Result<std::unique_ptr<Store>> open_store(const DaemonStart& start, std::string_view name, StoreUse use) {
  if (name.starts_with(k_store_lmdb)) {
    std::string folder(name.substr(k_store_lmdb.size()));
    folder = folder.empty() ? start.state : absolute_path(folder);
    LmdbStore::Options options;
    options.shared = true;
    TRY_ASSIGN(std::unique_ptr<LmdbStore> store,
               use == StoreUse::read ? LmdbStore::open_read_only(folder) : LmdbStore::open(folder, options));
    return std::unique_ptr<Store>(std::move(store));
  }
#ifdef MILLET_POSTGRES
  TRY_ASSIGN(std::unique_ptr<PostgresStore> store, PostgresStore::open(std::string(name.substr(k_store_postgres.size()))));
  return std::unique_ptr<Store>(std::move(store));
#else
  return error(Errc::unsupported, "ledgerd.store: this millet-ledgerd was built without PostgreSQL; build it where libpq is (libpq-dev)");
#endif
}

Result<LedgerRow> row_of(Store& store) {
  TRY_ASSIGN(std::unique_ptr<StoreTransaction> transaction, store.begin_read());
  return read_ledger_row(*transaction);
}

// Beside what was audited: a backup's verdict is not the ledger's.
std::string audit_note_of(const DaemonStart& start) {
  std::string_view store = start.settings.ledgerd.store;
  std::string folder(store.starts_with(k_store_lmdb) ? store.substr(k_store_lmdb.size()) : std::string_view());
  return (folder.empty() ? start.state : absolute_path(folder)) + "/" + k_audit_file_name;
}

bool is_there(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0;
}

bool is_test_ledger(Store& store) {
  Result<std::unique_ptr<StoreTransaction>> transaction = store.begin_read();
  if (!transaction) return false;
  Result<std::optional<StoreTransaction::Entry>> pool = (*transaction)->seek(k_table_pools, {});
  return pool && !pool->has_value();
}

// A store without a ledger, where there was one, is one that was lost, or another than was meant: nothing new is made in its place. What
// can't be seen to be the newest state is said.
Status look_around(Store& store, const std::string& witness, LogSink& log) {
  Result<LedgerRow> row = row_of(store);
  if (!row && row.error().code == Errc::not_found && is_there(witness)) {
    return error(Errc::conflict,
                 "there is no ledger in the store, but the witness file " + witness +
                     " has seen one: restore the newest state, or name its place with ledgerd.store; to begin another ledger "
                     "take another state folder");
  }
  if (!row) return ok;
  if (!is_there(witness)) {
    LogLine(log, LogLevel::warn, "witness_missing")
        .add("file", witness)
        .add("records", row->records)
        .add("help", "nothing shows that this is the newest state; after a restore put the witness back first");
  }
  return ok;
}

void report_copy(LogSink& log, std::string_view event, const LedgerRow& row, const std::string& to) {
  LogLine(log, LogLevel::info, event)
      .add("records", row.records)
      .add("root", to_hex(row.root))
      .add("time", row.time.in_seconds())
      .add("to", without_passwords(to));
}

// Copies the ledger, as it is at one moment, into another store, and adds up its books there.
Status copy_ledger(const DaemonStart& start, Store& from, LogSink& log) {
  const std::string& name = start.arguments.copy_to;
  if (!name.starts_with(k_store_lmdb) && !name.starts_with(k_store_postgres)) {
    return error(Errc::bad_input, without_passwords(name) + " is not a store: lmdb:FOLDER or postgres:CONNECTION");
  }
  TRY_ASSIGN(SigningKey key, load_key(start.state + "/" + k_ledger_key_file_name));
  TRY_ASSIGN(std::unique_ptr<Store> to, open_store(start, name, StoreUse::serve));
  TRY(copy_store(from, *to, k_table_ledger, as_bytes(k_ledger_row_key)));
  TRY_ASSIGN(std::unique_ptr<LedgerState> state, LedgerState::open(*to, key, rules_of(start.settings.ledgerd), LedgerTime()));
  TRY_ASSIGN(LedgerRow row, row_of(*to));
  report_copy(log, "copied", row, name);
  return ok;
}

// Copies the file of the store, as it is at one moment, and reads the copy.
Status back_up_ledger(Store& from, const std::string& name, LogSink& log) {
  const std::string folder = absolute_path(name);
  TRY(from.back_up(folder));
  TRY_ASSIGN(std::unique_ptr<LmdbStore> copy, LmdbStore::open_read_only(folder));
  TRY_ASSIGN(LedgerRow row, row_of(*copy));
  report_copy(log, "backed_up", row, folder);
  return ok;
}

int serve(const DaemonStart& start, StderrLog& log, hal::LinuxSystem& machine) {
  hal::System& system = machine.system();
  mkdir(start.state.c_str(), 0700);  // what is wrong with it shows when the store or the key is opened
  Result<std::unique_ptr<Store>> store = open_store(start, start.settings.ledgerd.store, StoreUse::serve);
  if (!store) return refuse(k_exit_bad_state, store.error());
  const std::string& named = start.settings.ledgerd.witness;
  const std::string witness_path = named.empty() ? start.state + "/" + k_witness_file_name : absolute_path(named);
  Status looked = look_around(**store, witness_path, log);
  if (!looked) return refuse(k_exit_bad_state, looked.error());
  Result<SigningKey> key = load_or_create_key(start.state + "/" + k_ledger_key_file_name, system.random);
  if (!key) return refuse(k_exit_bad_state, key.error());
  const LedgerRules rules = rules_of(start.settings.ledgerd);
  Result<std::unique_ptr<LedgerState>> state = LedgerState::open(**store, *key, rules, wall_time(system));
  if (!state) return refuse(k_exit_bad_state, std::move(state).error().in(start.state));
  Status clock = check_clock(rules, (*state)->opened_at(), wall_time(system));
  if (!clock) return refuse(k_exit_bad_state, clock.error());

  report_books((*state)->opened_books(), log);
  if (is_test_ledger(**store)) {
    LogLine(log, LogLevel::info, "test_ledger")
        .add("help", "made without a genesis file: nobody holds the keys of its pools, which give initial balances only");
  }
  WitnessFile witness(witness_path, (*state)->ledger(), key->public_key());
  Status newest = witness.check(**store);
  if (!newest && newest.error().code != Errc::not_found) return refuse(k_exit_bad_state, newest.error());
  for (const std::string& other : start.arguments.witnesses) {
    newest = WitnessFile(absolute_path(other), (*state)->ledger(), key->public_key()).check(**store);
    if (!newest) return refuse(k_exit_bad_state, std::move(newest).error().in("--witness"));
  }
  LedgerdDriver driver(system, **state, *key, log);
  driver.set_witness(witness);
  driver.set_public({start.settings.ledgerd.public_metrics, start.settings.ledgerd.public_records});
  driver.set_audit_file(audit_note_of(start));
  driver.set_limits(start.settings.ledgerd.address_rate, start.settings.ledgerd.key_rate);
  if (!start.settings.ledgerd.captcha_url.empty()) {
    Result<CaptchaHook::Options> captcha = captcha_options(start.settings.ledgerd);
    if (!captcha) return refuse(k_exit_bad_settings, captcha.error());
    driver.set_captcha(std::move(*captcha));
  }
  std::optional<Endpoint> tls;
  if (const std::optional<Endpoint>& wanted = start.settings.ledgerd.tls_listen) {
    Result<Endpoint> got = driver.listen_tls(*wanted, start.settings.ledgerd.tls_key_life_s);
    if (!got) return refuse(k_exit_bad_settings, std::move(got).error().in("ledgerd.tls_listen"));
    tls = *got;
  }
  Result<Endpoint> listening = driver.start(start.settings.ledgerd.listen);
  if (!listening) return refuse(k_exit_bad_settings, std::move(listening).error().in("ledgerd.listen"));
  LogLine(log, LogLevel::info, "ready")
      .add("listen", listening->to_string())
      .add("tls_listen", tls ? tls->to_string() : "off")
      .add("ledger_id", (*state)->ledger().hex())
      .add("key", key->public_key().hex())
      .add("version", MILLET_VERSION);
  machine.run();
  if (!driver.ended_well()) {
    // A store that hangs still uses what stands above: it is not taken down under it.
    if (machine.has_stuck_job()) ::_exit(k_exit_failed);
    return k_exit_failed;
  }
  Result<LedgerBooks> books = (*state)->check_books();
  if (!books) return refuse(k_exit_bad_state, books.error());
  report_books(*books, log);
  LogLine(log, LogLevel::info, "stopped");
  return k_exit_ok;
}

// The command before the options, if there is one: "audit", "backup", "export" or "genesis".
struct LogCommand {
  std::string_view name;
  std::string file;
};

// Takes the command and its file off the arguments.
LogCommand take_command(std::vector<char*>& words) {
  LogCommand command;
  for (std::string_view name : {"audit", "backup", "export", "genesis", "import"}) {
    if (words.size() > 1 && words[1] == name) command.name = name;
  }
  if (command.name.empty()) return command;
  size_t taken = 1;
  if (words.size() > 2 && words[2][0] != '-') command.file = words[1 + taken++];
  words.erase(words.begin() + 1, words.begin() + 1 + static_cast<std::ptrdiff_t>(taken));
  return command;
}

// Makes the ledger of a file, with the key in the state folder; a new one if there is none.
int genesis(const DaemonStart& start, const std::string& file, hal::System& system) {
  LedgerTime now = wall_time(system);
  Result<std::vector<PoolTerms>> pools = read_genesis_file(file, now);
  if (!pools) return refuse(k_exit_bad_settings, pools.error());
  mkdir(start.state.c_str(), 0700);
  Result<std::unique_ptr<Store>> store = open_store(start, start.settings.ledgerd.store, StoreUse::serve);
  if (!store) return refuse(k_exit_bad_state, store.error());
  Result<SigningKey> key = load_or_create_key(start.state + "/" + k_ledger_key_file_name, system.random);
  if (!key) return refuse(k_exit_bad_state, key.error());
  Status made = make_ledger(**store, *key, std::move(*pools), now);
  if (made) return k_exit_ok;
  if (made.error().code != Errc::conflict) return refuse(k_exit_bad_state, made.error());
  return refuse(k_exit_bad_state, error(Errc::conflict, "genesis: there is a ledger in " + start.state +
                                                            " (or in ledgerd.store) already, "
                                                            "and a ledger has one genesis; name another folder with --state"));
}

// Makes the ledger of an exported log, after an audit of the whole of it; the key in the state folder must be the ledger's.
int import(const DaemonStart& start, const std::string& file, LogSink& log) {
  Result<SigningKey> key = load_key(start.state + "/" + k_ledger_key_file_name);
  if (!key) return refuse(k_exit_bad_state, std::move(key).error().in("import needs the ledger's key"));
  Result<AuditTotals> audited = audit_log_file(file);
  if (!audited) return refuse(k_exit_bad_state, std::move(audited).error().in("import"));
  if (audited->key != key->public_key()) {
    return refuse(k_exit_bad_state, error(Errc::conflict, "import: " + file + " is of the ledger with key " + audited->key.hex() +
                                                              ", but the key file has " + key->public_key().hex()));
  }
  Result<std::unique_ptr<Store>> store = open_store(start, start.settings.ledgerd.store, StoreUse::serve);
  if (!store) return refuse(k_exit_bad_state, store.error());
  auto run = [&]() -> Status {
    LedgerRules rules = rules_of(start.settings.ledgerd);
    TRY(import_log_file(file, **store, rules));
    TRY_ASSIGN(std::unique_ptr<LedgerState> state, LedgerState::open(**store, *key, rules, LedgerTime()));
    TRY_ASSIGN(LedgerRow row, row_of(**store));
    report_copy(log, "imported", row, start.settings.ledgerd.store);
    return ok;
  };
  Status done = run();
  return done ? k_exit_ok : refuse(k_exit_bad_state, std::move(done).error().in("import"));
}

// What needs no daemon, and disturbs none that runs.
int run_on_store(const DaemonStart& start, const LogCommand& command, LogSink& log) {
  Result<std::unique_ptr<Store>> store = open_store(start, start.settings.ledgerd.store, StoreUse::read);
  if (!store) return refuse(k_exit_bad_state, store.error());
  if (command.name == "audit") {
    return audit_store_command(**store, log, audit_note_of(start), static_cast<uint64_t>(::time(nullptr)));
  }
  if (command.name == "backup") {
    Status done = back_up_ledger(**store, command.file, log);
    return done ? k_exit_ok : refuse(k_exit_bad_state, std::move(done).error().in("backup"));
  }
  if (!start.arguments.copy_to.empty()) {
    Status done = copy_ledger(start, **store, log);
    return done ? k_exit_ok
                : refuse(k_exit_bad_state, std::move(done).error().in("--copy-to " + without_passwords(start.arguments.copy_to)));
  }
  Result<SigningKey> key = load_key(start.state + "/" + k_ledger_key_file_name);
  if (!key) return refuse(k_exit_bad_state, key.error());
  return export_command(**store, *key, command.file);
}

int run(int argc, char** argv) {
  std::vector<char*> words(argv, argv + argc);
  const LogCommand command = take_command(words);
  if (command.file.empty() && !command.name.empty() && command.name != "audit") {
    std::string name(command.name);
    const std::string what = command.name == "backup" ? "FOLDER" : "FILE";
    return refuse(k_exit_bad_settings,
                  error(Errc::bad_input, name + " takes a " + what + ": millet-ledgerd " + name + " " + what + " [--state DIR]"));
  }
  int exit_code = k_exit_ok;
  std::optional<DaemonStart> start =
      begin_daemon(Program::ledgerd, static_cast<int>(words.size()), words.data(), MILLET_VERSION, exit_code);
  if (!start) return exit_code;
  Status crypto = crypto_init();
  if (!crypto) return refuse(k_exit_failed, crypto.error());
  if (command.name == "audit" && !command.file.empty()) return audit_file_command(command.file);
  StderrLog log;
  if (command.name == "import") return import(*start, command.file, log);
  bool serves = command.name.empty() && start->arguments.copy_to.empty();
  if (!serves && command.name != "genesis") return run_on_store(*start, command, log);
  hal::LinuxSystem machine(log, hal::LinuxExecutor::Use::signatures);
  if (command.name == "genesis") return genesis(*start, command.file, machine.system());
  exit_code = serve(*start, log, machine);
  if (machine.has_stuck_job()) ::_exit(exit_code);
  return exit_code;
}

}  // namespace
}  // namespace millet

int main(int argc, char** argv) { return millet::run(argc, argv); }
