// The private ledger's program: arguments, state, then the driver until a signal ends it.
#include <sys/stat.h>
#include <unistd.h>

#include "apps/audit_command.h"
#include "apps/daemon.h"
#include "driver/key_file.h"
#include "driver/ledgerd_driver.h"
#include "hal/linux/system.h"
#include "store/lmdb/lmdb_store.h"
#ifdef MILLET_POSTGRES
#include "store/postgres/postgres_store.h"
#endif

namespace millet {
namespace {

constexpr const char* k_ledger_key_file_name = "ledger.key";  // in the state folder

int refuse(int exit_code, const Error& reason) {
  say_error(Program::ledgerd, reason);
  return exit_code;
}

LedgerRules rules_of(const LedgerdConfig& config) {
  LedgerRules rules;
  rules.faucet_grant = config.faucet_grant;
  rules.faucet_daily_budget = config.faucet_budget;
  rules.faucet_spend_only_s = uint64_t{config.faucet_spend_only_days} * 86400;
  rules.faucet_work.hashcash_bits = static_cast<uint8_t>(config.faucet_hashcash_bits);
  rules.faucet_work.memory_bits = static_cast<uint8_t>(config.faucet_memory_bits);
  rules.faucet_work.memory_kib = config.faucet_memory_kib;
  return rules;
}

// Everything is read and added up, so that whoever runs the ledger sees at its start and at its end that nothing was made or lost.
int report_books(LedgerState& state, LogSink& log) {
  Result<LedgerBooks> books = state.check_books();
  if (!books) return refuse(k_exit_bad_state, books.error());
  LogLine(log, LogLevel::info, "books")
      .add("available", books->available.to_btt())
      .add("in_channels", books->in_channels.to_btt())
      .add("open_channels", books->open_channels)
      .add("supply", books->available.plus(books->in_channels).value_or(Amount()).to_btt());
  return k_exit_ok;
}

Result<std::unique_ptr<Store>> open_store(const DaemonStart& start, std::string_view name) {
  if (name.starts_with(k_store_lmdb)) {
    std::string folder(name.substr(k_store_lmdb.size()));
    TRY_ASSIGN(std::unique_ptr<LmdbStore> store, LmdbStore::open(folder.empty() ? start.state : absolute_path(folder)));
    return std::unique_ptr<Store>(std::move(store));
  }
#ifdef MILLET_POSTGRES
  TRY_ASSIGN(std::unique_ptr<PostgresStore> store, PostgresStore::open(std::string(name.substr(k_store_postgres.size()))));
  return std::unique_ptr<Store>(std::move(store));
#else
  return error(Errc::unsupported, "ledgerd.store: this millet-ledgerd was built without PostgreSQL; build it where libpq is (libpq-dev)");
#endif
}

// Copies the ledger into another store, and adds up its books there.
Result<LedgerBooks> copy_ledger(const DaemonStart& start, Store& from, const SigningKey& key, LogSink& log) {
  const std::string& name = start.arguments.copy_to;
  if (!name.starts_with(k_store_lmdb) && !name.starts_with(k_store_postgres)) {
    return error(Errc::bad_input, "--copy-to " + name + " is not a store: lmdb:FOLDER or postgres:CONNECTION");
  }
  TRY_ASSIGN(std::unique_ptr<Store> to, open_store(start, name));
  TRY_ASSIGN(uint64_t rows, copy_store(from, *to, k_table_ledger, as_bytes(k_ledger_row_key)));
  LogLine(log, LogLevel::info, "copied").add("rows", rows).add("to", name);
  TRY_ASSIGN(std::unique_ptr<LedgerState> state, LedgerState::open(*to, key, rules_of(start.settings.ledgerd), LedgerTime()));
  return state->check_books();
}

int serve(const DaemonStart& start, StderrLog& log, hal::LinuxSystem& machine) {
  hal::System& system = machine.system();
  mkdir(start.state.c_str(), 0700);  // what is wrong with it shows when the store or the key is opened
  Result<std::unique_ptr<Store>> store = open_store(start, start.settings.ledgerd.store);
  if (!store) return refuse(k_exit_bad_state, store.error());
  Result<SigningKey> key = load_or_create_key(start.state + "/" + k_ledger_key_file_name, system.random);
  if (!key) return refuse(k_exit_bad_state, key.error());
  int64_t wall_s = system.clock.wall().in_seconds();
  LedgerTime wall = LedgerTime::from_seconds(wall_s > 0 ? static_cast<uint64_t>(wall_s) : 0);
  Result<std::unique_ptr<LedgerState>> state = LedgerState::open(**store, *key, rules_of(start.settings.ledgerd), wall);
  if (!state) return refuse(k_exit_bad_state, std::move(state).error().in(start.state));

  if (int failed = report_books(**state, log)) return failed;
  const std::string& named = start.settings.ledgerd.witness;
  WitnessFile witness(named.empty() ? start.state + "/" + k_witness_file_name : absolute_path(named), (*state)->ledger());
  Status newest = witness.check(**store);
  if (!newest) return refuse(k_exit_bad_state, newest.error());
  if (!start.arguments.copy_to.empty()) {
    Result<LedgerBooks> copied = copy_ledger(start, **store, *key, log);
    if (!copied) return refuse(k_exit_bad_state, std::move(copied).error().in("--copy-to " + start.arguments.copy_to));
    return k_exit_ok;
  }
  LedgerdDriver driver(system, **state, *key, log);
  driver.set_witness(witness, **store);
  driver.set_limits(start.settings.ledgerd.address_rate, start.settings.ledgerd.key_rate);
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
  if (!driver.ended_well()) return k_exit_failed;
  if (int failed = report_books(**state, log)) return failed;
  LogLine(log, LogLevel::info, "stopped");
  return k_exit_ok;
}

// The command before the options, if there is one: "audit" or "export".
struct LogCommand {
  std::string_view name;
  std::string file;
};

// Takes the command and its file off the arguments.
LogCommand take_command(std::vector<char*>& words) {
  LogCommand command;
  if (words.size() < 2 || (std::string_view(words[1]) != "audit" && std::string_view(words[1]) != "export")) return command;
  command.name = words[1];
  size_t taken = 1;
  if (words.size() > 2 && words[2][0] != '-') command.file = words[1 + taken++];
  words.erase(words.begin() + 1, words.begin() + 1 + static_cast<std::ptrdiff_t>(taken));
  return command;
}

int run_on_store(const DaemonStart& start, const LogCommand& command) {
  Result<std::unique_ptr<Store>> store = open_store(start, start.settings.ledgerd.store);
  if (!store) return refuse(k_exit_bad_state, store.error());
  if (command.name == "audit") return audit_store_command(**store);
  Result<SigningKey> key = load_key(start.state + "/" + k_ledger_key_file_name);
  if (!key) return refuse(k_exit_bad_state, key.error());
  return export_command(**store, *key, command.file);
}

int run(int argc, char** argv) {
  std::vector<char*> words(argv, argv + argc);
  const LogCommand command = take_command(words);
  if (command.name == "export" && command.file.empty()) {
    return refuse(k_exit_bad_settings, error(Errc::bad_input, "export takes the FILE to write: millet-ledgerd export FILE [--state DIR]"));
  }
  int exit_code = k_exit_ok;
  std::optional<DaemonStart> start =
      begin_daemon(Program::ledgerd, static_cast<int>(words.size()), words.data(), MILLET_VERSION, exit_code);
  if (!start) return exit_code;
  Status crypto = crypto_init();
  if (!crypto) return refuse(k_exit_failed, crypto.error());
  if (command.name == "audit" && !command.file.empty()) return audit_file_command(command.file);
  if (!command.name.empty()) return run_on_store(*start, command);
  StderrLog log;
  hal::LinuxSystem machine(log);
  exit_code = serve(*start, log, machine);
  if (machine.has_stuck_job()) ::_exit(exit_code);
  return exit_code;
}

}  // namespace
}  // namespace millet

int main(int argc, char** argv) { return millet::run(argc, argv); }
