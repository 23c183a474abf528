// The node's program: arguments, state, then the driver until a signal ends it.
#include <unistd.h>

#include "apps/daemon.h"
#include "apps/mains.h"
#include "codec/metainfo.h"
#include "codec/peer_wire.h"
#include "control/rpc.h"
#include "driver/json_memory.h"
#include "driver/key_file.h"
#include "driver/node_driver.h"
#include "driver/state_file.h"
#include "hal/linux/system.h"
#include "hal/openwrt/board.h"
#include "hal/openwrt/sys_files.h"
#include "ledger/common/address.h"
#include "store/lmdb/lmdb_store.h"

namespace millet {
namespace {

class RpcHandler final : public RequestHandler {
 public:
  RpcHandler(NodeDriver& driver, const Settings& settings) : rpc_(driver.node(), settings, &driver, &driver) {}
  std::string handle(Instant now, std::string_view request) override { return rpc_.handle(now, request); }
  uint64_t awaited() const override { return rpc_.awaits_unlock() ? k_awaits_outcome : rpc_.awaited(); }
  std::string failed(std::string_view reply, const Error& reason) override { return Rpc::failed(reply, reason); }
  std::string not_saved(std::string_view reply, const Error& reason) override { return Rpc::not_saved(reply, reason); }

 private:
  Rpc rpc_;
};

int refuse(int exit_code, const Error& reason) {
  say_error(Program::milletd, reason);
  return exit_code;
}

void add_seed(const std::string& path, const std::string& data, NodeDriver& driver, hal::System& system, LogSink& log) {
  Result<std::vector<uint8_t>> metainfo = system.files.read_file(path, k_metainfo_size_max);
  Status added = ok;
  if (!metainfo) {
    added = std::move(metainfo).error();
  } else {
    AddTorrent request;
    request.metainfo = *metainfo;
    request.root = absolute_path(data);
    request.seed = true;
    Result<InfoHash> hash = driver.node().add_torrent(system.clock.now(), request);
    if (!hash) added = std::move(hash).error().in(path);
    driver.settle();
  }
  if (!added) LogLine(log, LogLevel::error, "seed_refused").add("path", path).add("reason", added.error().reason);
}

// Each --seed is a .torrent file or a folder of them; one that is bad does not keep the others from being served.
void add_seeds(const DaemonArguments& arguments, NodeDriver& driver, hal::System& system, LogSink& log) {
  constexpr std::string_view k_suffix = ".torrent";
  for (const DaemonArguments::Seed& seed : arguments.seeds) {
    Result<std::vector<std::string>> names = system.files.list(seed.path);
    if (!names) {
      // Not a folder, or one that can't be read: what is wrong with it shows when it is read as a file.
      add_seed(seed.path, seed.data, driver, system, log);
      continue;
    }
    for (const std::string& name : *names) {
      if (std::string_view(name).ends_with(k_suffix)) add_seed(seed.path + "/" + name, seed.data, driver, system, log);
    }
  }
}

// Of the folders whose disks matter, that of the payload may be named by the torrents only.
hal::BoardOptions board_options(const DaemonStart& start) {
  const NodeConfig& node = start.settings.node;
  hal::BoardOptions options;
  options.led = node.led;
  options.watchdog = node.watchdog;
  options.heat_limit = node.heat_limit;
  options.state = start.state;
  options.payload = node.data;
  if (options.payload.empty() && !start.arguments.seeds.empty()) options.payload = absolute_path(start.arguments.seeds.front().data);
  return options;
}

// The node's key. A locked one without its passphrase: a stand-in that signs nothing, and the address that it is locked for.
struct NodeKey {
  SigningKey key;
  std::optional<PublicKey> locked;
};

Result<NodeKey> load_node_key(const DaemonStart& start, Store& store, hal::System& system, LogSink& log) {
  const std::string path = start.state + "/" + k_key_file_name;
  Result<StoredKey> stored = read_key_file(path);
  TRY(check_account(store, stored, path));
  if (!stored || stored->open) {
    TRY_ASSIGN(SigningKey key, load_or_create_key(path, system.random));
    return NodeKey{std::move(key), std::nullopt};
  }
  const std::string& file = start.settings.passphrase_file;
  if (!file.empty()) {
    TRY_ASSIGN(Secret passphrase, read_passphrase_file(absolute_path(file)));
    Result<SigningKey> key = open_key(*stored->sealed, passphrase.bytes());
    if (!key) return std::move(key).error().in("ledger.passphrase_file " + file);
    return NodeKey{std::move(key).value(), std::nullopt};
  }
  LogLine(log, LogLevel::warn, "wallet_locked")
      .add("reason", path +
                         " is locked with a passphrase: torrents are seeded for nothing, nothing is bought, and open channels are neither "
                         "claimed nor closed until `millet unlock` brings it");
  return NodeKey{SigningKey::generate(system.random), stored->sealed->public_key};
}

int serve(const DaemonStart& start, StderrLog& log, hal::LinuxSystem& machine) {
  hal::System& system = machine.system();
  Result<std::unique_ptr<LmdbStore>> store = LmdbStore::open(start.state);
  if (!store) return refuse(k_exit_bad_state, store.error());
  // Else a torrent could hold files of these names.
  Status kept = machine.keep_out(start.state);
  if (!kept) return refuse(k_exit_bad_state, kept.error());
  Result<std::string> handed_over = handed_over_to(**store);
  if (!handed_over) return refuse(k_exit_bad_state, handed_over.error());
  if (!handed_over->empty()) {
    return refuse(k_exit_bad_state,
                  error(Errc::conflict, "the state in " + start.state + " was handed over to " + *handed_over +
                                            ": two nodes that go on from it would promise the same money twice. If that file was "
                                            "imported nowhere, take it back with: millet --state " +
                                            start.state + " state import " + *handed_over));
  }
  Result<NodeKey> key = load_node_key(start, **store, system, log);
  if (!key) return refuse(k_exit_bad_state, key.error());
  Status noted = note_account(**store, key->locked.value_or(key->key.public_key()));
  if (!noted) return refuse(k_exit_bad_state, noted.error());

  NodeDriverOptions options;
  options.config = start.settings.node;
  options.locked_address = key->locked;
  options.state = start.state;
  options.peer_id = wire::make_peer_id(system.random);
  hal::LinuxBoard board(board_options(start), machine.uv(), log);
  options.board = &board;
  NodeDriver driver(options, key->key, system, **store, log);
  Status restored = driver.restore();
  if (!restored) return refuse(k_exit_bad_state, std::move(restored).error().in(start.state));
  RpcHandler handler(driver, start.settings);
  const std::string& named = start.settings.control_socket;
  const std::string socket = named.empty() ? start.state + "/" + k_control_socket_name : absolute_path(named);
  Status control = driver.serve_control(socket, handler, k_rpc_request_bytes_max);
  if (!control) return refuse(named.empty() ? k_exit_bad_state : k_exit_bad_settings, std::move(control).error().in("control.socket"));
  // Last of what can fail: it starts work on other threads.
  Result<Endpoint> listening = driver.listen();
  if (!listening) return refuse(k_exit_bad_settings, std::move(listening).error().in("node.listen"));
  add_seeds(start.arguments, driver, system, log);
  if (start.settings.node.speed_enabled && start.settings.node.ledger_url.empty()) {
    LogLine(log, LogLevel::warn, "speed_without_ledger")
        .add("reason", "speed.enabled is 1, but ledger.url is empty: nothing is bought or sold until ledger.url and ledger.key are set");
  }
  LogLine(log, LogLevel::info, "ready")
      .add("listen", listening->to_string())
      .add("control", socket)
      .add("address", address_of(key->locked.value_or(key->key.public_key())))
      .add("version", MILLET_VERSION);
  machine.run();
  if (!driver.ended_well()) return k_exit_failed;
  LogLine(log, LogLevel::info, "stopped");
  return k_exit_ok;
}

// What keeps an access point alive matters more than payload, and this process, started again, goes on where it was.
void be_ended_before_others() {
  constexpr const char* k_preference = "/proc/self/oom_score_adj";
  // Another value is its owner's choice.
  if (hal::read_sys_number(k_preference) == int64_t{0}) static_cast<void>(hal::write_sys_text(k_preference, "500").has_value());
}

int run(int argc, char** argv) {
  int exit_code = k_exit_ok;
  std::optional<DaemonStart> start = begin_daemon(Program::milletd, argc, argv, MILLET_VERSION, exit_code);
  if (!start) return exit_code;
  be_ended_before_others();
  Status crypto = crypto_init();
  if (!crypto) return refuse(k_exit_failed, crypto.error());
  wipe_json_memory();
  StderrLog log;
  hal::LinuxSystem machine(log);
  machine.set_disk_only(start->settings.disk_only == Automatic::yes);
  exit_code = serve(*start, log, machine);
  // A thread that waits for a name server can't be joined; everything durable is closed.
  if (machine.has_stuck_job()) ::_exit(exit_code);
  return exit_code;
}

}  // namespace
}  // namespace millet

int millet::milletd_main(int argc, char** argv) { return run(argc, argv); }

#ifndef MILLET_MULTICALL
int main(int argc, char** argv) { return millet::milletd_main(argc, argv); }
#endif
