#include "crash/node_work.h"

#include <algorithm>
#include <cstdio>

#include <fcntl.h>
#include <unistd.h>

#include "apps/state_command.h"
#include "control/base64.h"
#include "control/rpc.h"
#include "crash/recorder.h"
#include "driver/key_file.h"

namespace millet::crash {
namespace {

constexpr size_t k_extras = 3;
constexpr Duration k_confirmed_max = Duration::seconds(30);
constexpr Duration k_stopped_max = Duration::seconds(60);

simtest::PayloadOptions main_payload() {
  simtest::PayloadOptions options;
  options.size = 3'000'000;
  options.piece_size = 64 * 1024;
  return options;
}

simtest::NodeSpec seller() {
  simtest::NodeSpec spec;
  spec.name = "payee";
  spec.seeds = true;
  spec.config.speed_enabled = true;
  spec.config.trackers = false;
  spec.config.upload_slots = 4;
  spec.config.upload_rate = 200'000;  // half a minute
  spec.config.claim_threshold = Amount::micro(1'000);
  return spec;
}

simtest::NodeSpec buyer(const char* name, const Endpoint& from) {
  simtest::NodeSpec spec;
  spec.name = name;
  spec.config.speed_enabled = true;
  spec.config.trackers = false;
  spec.config.upload_rate = 1'000;
  spec.peers = {from};
  spec.funds = Amount::micro(5'000'000);
  spec.budget = Amount::micro(50'000);
  spec.max_rate = Rate::pico_per_byte(3'000);
  return spec;
}

simtest::Run run_of(const NodeWork::Options& options) {
  simtest::Run run;
  run.seed = options.seed;
  if (options.skip_persist) run.planted.bug = speed::Bug::skip_persist;
  return run;
}

}  // namespace

bool run_state_command(const std::string& state, const char* verb, const std::string& file) {
  CommandContext context;
  context.state = state;
  const char* words[] = {verb, file.c_str()};
  std::fflush(stdout);
  int kept = dup(STDOUT_FILENO), null = open("/dev/null", O_WRONLY | O_CLOEXEC);
  dup2(null, STDOUT_FILENO);
  int result = state_command(context, words);
  std::fflush(stdout);
  dup2(kept, STDOUT_FILENO);
  close(kept);
  close(null);
  return result == k_exit_done;
}

TorrentList list_facts(const Node& node, Instant now) {
  TorrentList out;
  for (const TorrentStatus& torrent : node.torrents(now)) {
    out.push_back({torrent.info_hash, torrent.paused, torrent.budget, torrent.max_rate, torrent.reserve});
  }
  std::sort(out.begin(), out.end(), [](const TorrentFacts& a, const TorrentFacts& b) { return a.hash < b.hash; });
  return out;
}

NodeWork::NodeWork(const std::string& folder, const Options& options)
    : folder_(folder), options_(options), swarm_(run_of(options), main_payload()), random_(swarm_.world().random("node work")) {}

NodeWork::~NodeWork() {
  for (uint32_t machine : machines_) swarm_.world().machine(machine).crash(sim::CrashKind::kill);
}

NodeConfig NodeWork::config(Role role) { return swarm_.node(machines_[role]).spec().config; }

simtest::NodeProgram* NodeWork::program(Role role) {
  return static_cast<simtest::NodeProgram*>(swarm_.world().machine(machines_[role]).program());
}

Status NodeWork::open_store(Role role) {
  TRY_ASSIGN(stores_[role], LmdbStore::open(folder_ + "/" + k_role_names[role]));
  swarm_.node(machines_[role]).mutable_spec().store = stores_[role].get();
  return ok;
}

Status NodeWork::prepare(Role role, simtest::NodeSpec spec) {
  machines_[role] = swarm_.add_node(std::move(spec));
  TRY(open_store(role));
  SigningKey key = simtest::node_key(swarm_.world(), machines_[role]);
  keys_[role] = key.public_key();
  TRY(store_key(folder_ + "/" + k_role_names[role] + "/" + k_key_file_name, key));
  facts_.roles[role].exists = true;
  facts_.roles[role].torrents = {{}};
  return ok;
}

Status NodeWork::run() {
  TRY(prepare(k_payee, seller()));
  Endpoint from = swarm_.endpoint(machines_[k_payee]);
  TRY(prepare(k_payer, buyer("payer", from)));
  swarm_.add_node(buyer("other payer", from));
  swarm_.add_ledger(sim::LinkOptions{});
  for (size_t i = 0; i < k_extras; ++i) {
    simtest::PayloadOptions options;
    options.name = "extra" + std::to_string(i);
    options.size = 400'000 + i * 300'000;
    extras_.push_back(simtest::make_payload(options, swarm_.world().random("extra payload", i)));
    extras_.back().install(swarm_.world().machine(machines_[k_payee]).disk(), simtest::k_data_root);
    swarm_.money().add_torrent(extras_.back().info_hash, extras_.back().piece_size);
  }
  swarm_.world().add_observer(*this);
  promise();
  swarm_.run_for(Duration::seconds(5));
  for (unsigned i = 0; i < options_.steps && swarm_.report().clean(); ++i) {
    TRY(act());
    swarm_.run_for(Duration::ms(static_cast<int64_t>(100 + random_.below(3'000))));
  }
  // A planted bug may show to who watches the wire: what was recorded until then is looked at all the same.
  if (!swarm_.report().clean() && !options_.skip_persist) return error(Errc::conflict, swarm_.report().breaches().front());
  return ok;
}

// ---- promises ----

void NodeWork::note_start(Role role) {
  const Instant now = swarm_.world().machine(machines_[role]).monotonic();
  Node& node = program(role)->node();
  started_[role] = true;
  TorrentList list = list_facts(node, now);
  std::vector<TorrentList>& allowed = facts_.roles[role].torrents;
  unconfirmed_[role].reset();
  if (std::find(allowed.begin(), allowed.end(), list) != allowed.end()) {
    allowed = {list};
    return;
  }
  // The torrent that every start adds if it is not there.
  allowed.push_back(list);
  unconfirmed_[role] = Unconfirmed{node.commands_commit(), std::move(list)};
}

void NodeWork::after_event(Instant) {
  for (Role role : {k_payee, k_payer}) {
    if (program(role) == nullptr) continue;
    if (!started_[role]) note_start(role);
    std::optional<Unconfirmed>& command = unconfirmed_[role];
    if (!command || program(role)->node().durable_commit() < command->commit) continue;
    facts_.roles[role].torrents = {std::move(command->after)};
    command.reset();
  }
  promise();
}

void NodeWork::promise() {
  for (const auto& [id, seen] : swarm_.money().channels()) {
    ChannelFacts& facts = facts_.channels[id];
    facts.payer = seen.payer;
    facts.payee = seen.payee;
    facts.signed_cum = seen.signed_cum;
    facts.signed_seq = seen.signed_seq;
    facts.durable = seen.acked_durable;
  }
  for (const auto& [id, channel] : swarm_.ledger().channels()) {
    ChannelFacts& facts = facts_.channels[id];
    facts.payer = channel.row.terms.payer;
    facts.payee = channel.row.terms.payee;
    facts.at_ledger = true;
    facts.ended = channel.ended();
    facts.paid = channel.row.claimed;
  }
  if (!promises_.empty() && promises_.back() == facts_) return;
  promises_.push_back(facts_);
  mark(promises_.size());
}

// ---- what happens ----

Status NodeWork::act() {
  Role role = random_.below(2) == 0 ? k_payee : k_payer;
  if (program(role) == nullptr) return start_again(role);
  switch (random_.below(16)) {
    case 0:
      ++counts_.kills;
      TRY(stop(role, true));
      return start_again(role);
    case 1:
      ++counts_.restarts;
      TRY(stop(role, false));
      return start_again(role);
    case 2: return counts_.hand_overs < 2 ? hand_over(role) : ok;
    case 3:
    case 4:
    case 5:
    case 6:
    case 7: return ok;
    default: return command_of_chance(role);
  }
}

std::string NodeWork::extra_request(Role role, size_t number) {
  std::string request = "{\"method\":\"add\",\"params\":{\"torrent\":\"" + to_base64(extras_[number].metainfo) + "\",\"root\":\"" +
                        simtest::k_data_root + "\"";
  if (role == k_payer) request += ",\"budget\":\"0.02\",\"peers\":[\"" + swarm_.endpoint(machines_[k_payee]).to_string() + "\"]";
  return request + "}}";
}

Status NodeWork::command_of_chance(Role role) {
  const TorrentList list = list_facts(program(role)->node(), swarm_.world().machine(machines_[role]).monotonic());
  size_t extra = random_.below(k_extras);
  const TorrentFacts& torrent = list[random_.below(list.size())];
  const std::string of = "\"params\":{\"hash\":\"" + torrent.hash.hex() + "\"";
  bool has_extra = std::any_of(list.begin(), list.end(), [&](const TorrentFacts& t) { return t.hash == extras_[extra].info_hash; });
  switch (random_.below(6)) {
    case 0:
    case 1:
      if (!has_extra) return command(role, extra_request(role, extra));
      return command(role, "{\"method\":\"remove\",\"params\":{\"hash\":\"" + extras_[extra].info_hash.hex() + "\"}}");
    case 2: return command(role, std::string("{\"method\":\"") + (torrent.paused ? "resume" : "pause") + "\"," + of + "}}");
    default: break;
  }
  if (torrent.paused) return command(role, "{\"method\":\"resume\"," + of + "}}");
  const char* names[] = {"speed.budget", "speed.max_rate", "speed.reserve"};
  size_t name = role == k_payee ? 2 : random_.below(2);
  std::string value = std::to_string(name == 0 ? 1 + random_.below(9) : name == 1 ? 2 + random_.below(3) : 1 + random_.below(2));
  return command(role,
                 "{\"method\":\"set\"," + of + ",\"options\":{\"" + names[name] + "\":\"" + (name == 0 ? "0.0" : "") + value + "\"}}}");
}

Status NodeWork::command(Role role, const std::string& request) {
  ++counts_.commands;
  const Instant now = swarm_.world().machine(machines_[role]).monotonic();
  Node& node = program(role)->node();
  Settings settings = default_settings();
  settings.node = node.config();
  Rpc rpc(node, settings);
  std::string reply = rpc.handle(now, request);
  if (reply.find("\"result\"") == std::string::npos) return error(Errc::bad_input, request.substr(0, 200) + " -> " + reply);
  TorrentList after = list_facts(node, now);
  if (rpc.awaited() != 0 && !options_.early_answer) {
    facts_.roles[role].torrents.push_back(after);
    unconfirmed_[role] = Unconfirmed{rpc.awaited(), std::move(after)};
  } else {
    facts_.roles[role].torrents = {std::move(after)};
  }
  promise();
  program(role)->driver().settle();
  for (Instant end = swarm_.world().now() + k_confirmed_max; unconfirmed_[role] && swarm_.report().clean();) {
    if (swarm_.world().now() > end) return error(Errc::conflict, "a command was not confirmed in time: " + request.substr(0, 200));
    // A kill may come before the answer.
    if (random_.below(20) == 0) return stop(role, true);
    swarm_.run_for(Duration::ms(2));
  }
  return ok;
}

Status NodeWork::stop(Role role, bool by_kill) {
  sim::Machine& machine = swarm_.world().machine(machines_[role]);
  if (by_kill) {
    machine.crash(sim::CrashKind::kill);
  } else {
    machine.ask_to_shut_down();
    for (Instant end = swarm_.world().now() + k_stopped_max; machine.running() && swarm_.world().now() < end;) {
      swarm_.run_for(Duration::ms(20));
    }
    if (machine.running()) return error(Errc::conflict, std::string(k_role_names[role]) + " does not end");
  }
  swarm_.money().crashed(machines_[role]);
  stores_[role].reset();
  return ok;
}

Status NodeWork::start_again(Role role) {
  swarm_.run_for(Duration::ms(static_cast<int64_t>(random_.below(2'000))));
  TRY(open_store(role));
  const size_t allowed = facts_.roles[role].torrents.size();
  started_[role] = false;
  if (!swarm_.world().machine(machines_[role]).start()) return error(Errc::conflict, std::string(k_role_names[role]) + " did not start");
  note_start(role);
  if (unconfirmed_[role]) {
    return error(Errc::conflict, std::string(k_role_names[role]) + " has other torrents after its start than in any of " +
                                     std::to_string(allowed) + " lists before");
  }
  promise();
  return ok;
}

Status NodeWork::hand_over(Role role) {
  ++counts_.hand_overs;
  TRY(stop(role, false));
  const std::string state = folder_ + "/" + k_role_names[role], file = state + ".export";
  for (bool exports : {true, false}) {
    facts_.roles[role].handed_over = HandedOver::maybe;
    promise();
    const char* verb = exports ? "export" : "import";
    if (!run_state_command(state, verb, file)) return error(Errc::conflict, std::string("millet state ") + verb + " failed");
    facts_.roles[role].handed_over = exports ? HandedOver::yes : HandedOver::no;
    promise();
  }
  // The owner may delete it now.
  unlink(file.c_str());
  return start_again(role);
}

}  // namespace millet::crash
