#include "crash/node_subject.h"

#include <algorithm>
#include <cstdio>

#include <unistd.h>

#include "codec/peer_wire.h"
#include "control/base64.h"
#include "control/rpc.h"
#include "crypto/hash.h"
#include "driver/key_file.h"
#include "driver/state_file.h"
#include "speed/records.h"

namespace millet::crash {
namespace {

constexpr Duration k_run_max = Duration::seconds(60);

Error lost(const std::string& what) { return error(Errc::conflict, "LOST: " + what); }

std::string text(Amount amount) { return std::to_string(amount.in_micro()); }

// All records of a table, by key.
template <typename Record>
Result<std::map<std::string, Record>> read_records(StoreTransaction& state, const char* table) {
  std::map<std::string, Record> out;
  std::vector<uint8_t> from;
  for (;;) {
    TRY_ASSIGN(std::optional<StoreTransaction::Entry> entry, state.seek(table, from));
    if (!entry) return out;
    from.assign(entry->key.begin(), entry->key.end());
    TRY_ASSIGN(Record record, speed::decode_record<Record>(entry->value));
    out.emplace(std::string(as_text(from)), record);
    from.push_back(0);
  }
}

struct Sums {
  uint64_t earned = 0;
  uint64_t spent = 0;
};
Result<Sums> read_history(StoreTransaction& state) {
  TRY_ASSIGN(auto days, read_records<speed::SettledHistoryRecord>(state, speed::k_table_history));
  Sums sums;
  for (const auto& [key, record] : days) {
    sums.earned += record.sums.earned.in_micro() - record.lost.in_micro();
    sums.spent += record.sums.spent.in_micro();
  }
  return sums;
}

std::string key_of(const ChannelId& id) { return std::string(as_text(id.bytes())); }

// ---- the money ----

Status check_payee(StoreTransaction& state, const PublicKey& self, const NodePromise& promise) {
  TRY_ASSIGN(auto records, read_records<speed::PayeeChannelRecord>(state, speed::k_table_payee_channels));
  TRY_ASSIGN(auto accounts, read_records<speed::AccountRecord>(state, speed::k_table_payee_debts));
  std::map<PublicKey, uint64_t> signed_by;
  uint64_t counted = 0;
  for (const auto& [id, facts] : promise.channels) {
    if (facts.payee != self) continue;
    const std::string name = "channel " + id.hex().substr(0, 8);
    signed_by[facts.payer] += facts.signed_cum.in_micro();
    auto found = records.find(key_of(id));
    if (found == records.end()) {
      if (!facts.ended && !facts.durable.is_zero()) return lost(name + " with " + text(facts.durable) + " acknowledged as durable");
      if (facts.ended && facts.paid < facts.durable) return lost(name + " ended with " + text(facts.paid) + " of " + text(facts.durable));
      counted += facts.ended ? facts.paid.in_micro() : 0;
      continue;
    }
    const speed::PayeeChannelRecord& record = found->second;
    counted += record.cum.in_micro();
    if (record.cum < facts.durable)
      return lost(name + " has " + text(record.cum) + " of " + text(facts.durable) + " acknowledged as durable");
    if (record.cum > facts.signed_cum)
      return error(Errc::conflict, name + " counts " + text(record.cum) + ", signed was " + text(facts.signed_cum));
    PayStatement pay{record.terms.ledger, id, record.seq, record.cum};
    bool proven = record.cum.is_zero() || verify(record.terms.payer, preimage(pay), record.signature);
    if (!proven) return error(Errc::conflict, name + " counts what its payer's signature does not say");
    if (facts.ended && record.closing == 0) return error(Errc::conflict, name + " has ended, and the payee knows nothing of its CLOSE");
  }
  TRY_ASSIGN(Sums history, read_history(state));
  if (history.earned != counted) {
    return error(Errc::conflict, "the history says " + std::to_string(history.earned) + " earned, the channels " + std::to_string(counted));
  }
  for (const auto& [key, account] : accounts) {
    uint64_t most = signed_by[PublicKey::from_bytes(as_bytes(key))];
    if (account.debt.paid.in_micro() > most) {
      return error(Errc::conflict, "a payer has paid " + text(account.debt.paid) + " and signed " + std::to_string(most));
    }
  }
  return ok;
}

Status check_payer(StoreTransaction& state, const PublicKey& self, const NodePromise& promise) {
  TRY_ASSIGN(auto records, read_records<speed::PayerChannelRecord>(state, speed::k_table_payer_channels));
  uint64_t may_owe = 0, owes = 0;
  for (const auto& [id, facts] : promise.channels) {
    if (facts.payer != self) continue;
    const std::string name = "channel " + id.hex().substr(0, 8);
    owes += facts.ended ? facts.paid.in_micro() : facts.signed_cum.in_micro();
    auto found = records.find(key_of(id));
    if (found == records.end()) {
      if (!facts.ended && (facts.at_ledger || !facts.signed_cum.is_zero())) return lost(name + ", which is open at the ledger");
      continue;
    }
    const speed::PayerChannelRecord& record = found->second;
    if (record.ceiling < facts.signed_cum || record.seq_ceiling < facts.signed_seq) {
      return lost(name + ": signed are " + text(facts.signed_cum) + " and sequence " + std::to_string(facts.signed_seq) + ", leased " +
                  text(record.ceiling) + " and " + std::to_string(record.seq_ceiling));
    }
    may_owe += record.ceiling.minus_or_zero(record.cum).in_micro();
  }
  TRY_ASSIGN(Sums history, read_history(state));
  // Each channel may be rounded up by a micro-BTT.
  if (history.spent + may_owe + promise.channels.size() < owes) {
    return lost("spent are " + std::to_string(history.spent) + ", and perhaps " + std::to_string(may_owe) + " more, but signed " +
                std::to_string(owes));
  }
  return ok;
}

// ---- the node on what is left ----

class Reopened final : public sim::Program {
 public:
  Reopened(const NodeConfig& config, const SigningKey& key, Store& store, hal::System& system, LogSink& log)
      : driver_(options(config, system), key, system, store, log) {}
  NodeDriver& driver() { return driver_; }

 private:
  static NodeDriverOptions options(const NodeConfig& config, hal::System& system) {
    NodeDriverOptions options;
    options.config = config;
    options.config.listen = {IpAddress(), simtest::k_peer_port};
    options.config.data = simtest::k_data_root;
    options.peer_id = wire::make_peer_id(system.random);
    return options;
  }
  NodeDriver driver_;
};

struct Reopening final : sim::ProgramFactory {
  Reopening(const NodeConfig& config_in, const SigningKey& key_in, Store& store_in) : config(config_in), key(key_in), store(store_in) {}
  std::unique_ptr<sim::Program> start(sim::Machine&, hal::System& system) override {
    auto program = std::make_unique<Reopened>(config, key, store, system, log);
    status = program->driver().restore();
    if (!status) return nullptr;
    Result<Endpoint> listening = program->driver().listen();
    if (!listening) status = std::move(listening).error();
    if (!status) return nullptr;
    return program;
  }
  const NodeConfig& config;
  const SigningKey& key;
  Store& store;
  NullLog log;
  Status status = ok;
};

// A torrent that nobody had.
simtest::Payload unseen(const sim::World& world) {
  simtest::PayloadOptions options;
  options.name = "unseen";
  options.size = 32 * 1024;
  return simtest::make_payload(options, world.random("unseen"));
}

// The node starts on the state and has the torrents that it must have; it takes one more, and ends.
Status run_on(Store& store, const NodeConfig& config, const SigningKey& key, const RoleFacts& facts, InfoHash& added) {
  sim::World world(1);
  sim::MachineOptions options;
  options.name = "reopened";
  options.addresses = {IpAddress::v4({10, 0, 9, 1})};
  sim::Machine& machine = world.add_machine(options);
  machine.disk().install_folder(simtest::k_data_root);
  Reopening factory(config, key, store);
  machine.set_factory(factory);
  if (!machine.start())
    return error(Errc::io, "REFUSED: " + (factory.status ? std::string("it did not start") : factory.status.error().reason));
  Node& node = static_cast<Reopened*>(machine.program())->driver().node();
  TorrentList torrents = list_facts(node, machine.monotonic());
  if (facts.exists && std::find(facts.torrents.begin(), facts.torrents.end(), torrents) == facts.torrents.end()) {
    return lost("there are " + std::to_string(torrents.size()) + " torrents, and not as they were confirmed");
  }
  world.run_for(Duration::seconds(2));
  simtest::Payload payload = unseen(world);
  added = payload.info_hash;
  Settings settings = default_settings();
  settings.node = config;
  Rpc rpc(node, settings);
  std::string reply = rpc.handle(machine.monotonic(), "{\"method\":\"add\",\"params\":{\"torrent\":\"" + to_base64(payload.metainfo) +
                                                          "\",\"root\":\"" + simtest::k_data_root + "\"}}");
  if (reply.find("\"result\"") == std::string::npos) return error(Errc::io, "it takes no torrent: " + reply);
  const uint64_t awaited = rpc.awaited();
  static_cast<Reopened*>(machine.program())->driver().settle();
  for (Instant end = world.now() + k_run_max; node.durable_commit() < awaited && world.now() < end;) world.run_for(Duration::ms(20));
  if (node.durable_commit() < awaited) return error(Errc::io, "a command is not confirmed");
  machine.ask_to_shut_down();
  for (Instant end = world.now() + k_run_max; machine.running() && world.now() < end;) world.run_for(Duration::ms(100));
  if (machine.running()) return error(Errc::io, "it does not end");
  return ok;
}

Result<std::unique_ptr<LmdbStore>> open_state(const std::string& state) {
  // Without the probe: what it would hide is to be seen.
  LmdbStore::Options options;
  options.probe = false;
  Result<std::unique_ptr<LmdbStore>> store = LmdbStore::open(state, options);
  if (!store) return error(Errc::io, "REFUSED: " + store.error().reason);
  return store;
}

// What the owner does with a state that says that it was handed over.
Status take_back(const std::string& state) {
  const std::string file = state + ".export";
  Result<StoredKey> exported = check_state_file(file);
  if (!exported) return lost("the state was handed over to a file that is no good: " + exported.error().reason);
  if (!run_state_command(state, "import", file)) return error(Errc::io, "the state's own file can't be imported");
  return ok;
}

}  // namespace

Status run_node(Store& store, const NodeConfig& config, const SigningKey& key) {
  InfoHash added;
  return run_on(store, config, key, RoleFacts(), added);
}

Status NodeSubject::work(const std::string& folder) {
  NodeWork work(folder, options_);
  TRY(work.run());
  for (Role role : {k_payee, k_payer}) {
    keys_[role] = work.key(role);
    configs_[role] = work.config(role);
  }
  promises_ = work.promises();
  uint64_t ended = 0, durable = 0;
  for (const auto& [id, facts] : promises_.back().channels) {
    ended += facts.ended ? 1 : 0;
    durable += facts.durable.in_micro();
  }
  const NodeWork::Counts& counts = work.counts();
  auto number = [](uint64_t value) { return static_cast<unsigned long long>(value); };
  std::printf(
      "work of %zu promises: %zu channels, %llu ended, %llu micro-BTT acknowledged as durable; %llu commands, %llu kills, %llu restarts, "
      "%llu hand-overs\n",
      promises_.size(), promises_.back().channels.size(), number(ended), number(durable), number(counts.commands), number(counts.kills),
      number(counts.restarts), number(counts.hand_overs));
  if (durable == 0 || counts.commands == 0) return error(Errc::conflict, "too little happened to be a test");
  return ok;
}

Status NodeSubject::check_role(const std::string& folder, Role role, const NodePromise& promise) {
  const RoleFacts& facts = promise.roles[role];
  const std::string state = folder + "/" + k_role_names[role];
  if (!facts.exists && access(state.c_str(), F_OK) != 0) return ok;
  TRY_ASSIGN(std::unique_ptr<LmdbStore> store, open_state(state));
  TRY_ASSIGN(std::string handed_over, handed_over_to(*store));
  if (handed_over.empty() && facts.handed_over == HandedOver::yes) return lost("a state that was handed over does not know it");
  if (!handed_over.empty()) {
    if (facts.handed_over == HandedOver::no) return error(Errc::conflict, "a state that was taken back says that it was handed over");
    store.reset();
    TRY(take_back(state));
    TRY_ASSIGN(store, open_state(state));
    TRY_ASSIGN(handed_over, handed_over_to(*store));
    if (!handed_over.empty()) return error(Errc::conflict, "an imported state says that it was handed over");
  }
  Result<SigningKey> key = load_key(state + "/" + k_key_file_name);
  if (!key && (facts.exists || key.error().code != Errc::not_found)) return lost("the wallet: " + key.error().reason);
  if (!key) return ok;
  if (key->public_key() != keys_[role]) return lost("the wallet has another key");
  {
    TRY_ASSIGN(std::unique_ptr<StoreTransaction> transaction, store->begin_read());
    TRY(role == k_payee ? check_payee(*transaction, keys_[role], promise) : check_payer(*transaction, keys_[role], promise));
  }
  InfoHash added;
  TRY(run_on(*store, configs_[role], *key, facts, added));
  store.reset();
  TRY_ASSIGN(store, open_state(state));
  TRY_ASSIGN(std::unique_ptr<StoreTransaction> transaction, store->begin_read());
  TRY_ASSIGN(std::optional<Bytes> kept, transaction->get("torrent", added.bytes()));
  if (!kept) return lost("a torrent that was added after the cut");
  return role == k_payee ? check_payee(*transaction, keys_[role], promise) : check_payer(*transaction, keys_[role], promise);
}

Status NodeSubject::check(const std::string& folder, uint64_t marked) {
  static const NodePromise nothing;
  const NodePromise& promise = marked == 0 ? nothing : promises_[marked - 1];
  for (Role role : {k_payee, k_payer}) {
    Status status = check_role(folder, role, promise);
    if (!status) return std::move(status).error().in(k_role_names[role]);
  }
  return ok;
}

}  // namespace millet::crash
