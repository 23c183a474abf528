#include "sim/swarm.h"

#include "hal/sim/network.h"

namespace millet::simtest {
namespace {

const IpAddress k_tracker_address = IpAddress::v4({10, 0, 0, 1});
const IpAddress k_ledger_address = IpAddress::v4({10, 0, 0, 2});
constexpr uint32_t k_ledger_key_index = 1'000'000;  // beyond every machine's
constexpr uint32_t k_identity_stride = 1'000;       // more machines than there are
constexpr Duration k_look_interval = Duration::seconds(1);

PayloadOptions with_tracker(PayloadOptions options) {
  if (options.tracker_url.empty()) options.tracker_url = "http://tracker.test:6969/announce";
  return options;
}

}  // namespace

SigningKey node_key(const sim::World& world, uint32_t index) {
  Random random = world.random("node key", index);
  std::array<uint8_t, SigningKey::k_seed_size> seed;
  for (uint8_t& byte : seed) byte = static_cast<uint8_t>(random.next() >> 56);
  return SigningKey::from_seed(seed);
}

Swarm::Swarm(const Run& run, const PayloadOptions& payload)
    : world_(run.seed), random_(world_.random("scenario")), log_(world_, run.print_log), report_(world_), money_(world_, report_),
      wire_log_(log_), wiretap_(world_), integrity_(payload_, report_), faults_(world_, money_, report_, log_), planted_(run.planted),
      transports_(run.transports()), payload_options_(with_tracker(payload)),
      payload_(make_payload(payload_options_, world_.random("payload"))) {
  world_.add_target(*this);
  world_.add_observer(*this);
  wiretap_.add(money_);
  wiretap_.add(integrity_);
  if (run.print_log) wiretap_.add(wire_log_);
  world_.network().add_name("tracker.test", {k_tracker_address});
  money_.add_torrent(payload_.info_hash, payload_.piece_size, payload_.size);
  world_.schedule(k_look_interval, *this, k_look);
}

Swarm::~Swarm() = default;

uint32_t Swarm::add_machine(const std::string& name, const IpAddress& address, const NodeSpec& spec) {
  sim::MachineOptions options;
  options.name = name;
  options.addresses = {address};
  options.link = spec.link;
  options.disk = spec.disk;
  return world_.add_machine(options).index();
}

uint32_t Swarm::add_tracker(const sim::LinkOptions& link) {
  NodeSpec spec;
  spec.link = link;
  uint32_t machine = add_machine("tracker", k_tracker_address, spec);
  tracker_ = std::make_unique<TrackerFactory>(TrackerOptions{});
  tracker_machine_ = machine;
  world_.machine(machine).set_factory(*tracker_);
  world_.schedule(Duration(), *this, k_join, machine);
  return machine;
}

IpAddress Swarm::next_address() {
  constexpr uint32_t k_per_net = 250;
  uint32_t host = next_host_++;
  return IpAddress::v4({10, static_cast<uint8_t>(host / k_per_net), static_cast<uint8_t>(host % k_per_net), 1});
}

uint32_t Swarm::add_flooder(const sim::LinkOptions& link, Duration joins) {
  NodeSpec spec;
  spec.link = link;
  std::vector<Endpoint> targets;
  for (const auto& [index, factory] : nodes_) targets.push_back(endpoint(index));
  uint32_t machine = add_machine("flooder" + std::to_string(flooders_.size()), next_address(), spec);
  flooders_.push_back(std::make_unique<FlooderFactory>(payload_.info_hash, std::move(targets)));
  world_.machine(machine).set_factory(*flooders_.back());
  money_.set_dishonest(machine);
  integrity_.set_dishonest(machine);
  others_.push_back(machine);
  world_.schedule(joins, *this, k_join, machine);
  return machine;
}

uint32_t Swarm::add_node(NodeSpec spec) {
  uint32_t machine = add_machine(spec.name, next_address(), spec);
  Duration joins = spec.joins;
  if (spec.honest) spec.planted = planted_;
  spec.config.tcp = transports_ != Transports::utp;
  spec.config.utp = transports_ != Transports::tcp && !spec.mischief.any();  // what a saboteur changes are streams of TCP
  if (spec.has_folder) world_.machine(machine).disk().install_folder(k_data_root);
  if (spec.seeds) payload_.install(world_.machine(machine).disk(), k_data_root);
  money_.set_reserve(machine, spec.config.reserve);
  money_.set_exposure(machine, spec.config.exposure_pieces);
  if (spec.seeds) money_.set_seller(machine);
  if (!spec.honest) money_.set_dishonest(machine);
  if (!spec.honest) integrity_.set_dishonest(machine);
  std::vector<SigningKey> keys;
  for (uint32_t i = 0; i < spec.identities; ++i) keys.push_back(node_key(world_, machine + i * k_identity_stride));
  nodes_[machine] = std::make_unique<NodeFactory>(std::move(spec), payload_, std::move(keys), log_);
  world_.machine(machine).set_factory(*nodes_[machine]);
  world_.schedule(joins, *this, k_join, machine);
  return machine;
}

uint32_t Swarm::add_ledger(const sim::LinkOptions& link) {
  NodeSpec spec;
  spec.link = link;
  uint32_t machine = add_machine("ledger", k_ledger_address, spec);
  ledger_ = std::make_unique<LedgerFactory>(node_key(world_, k_ledger_key_index), log_);
  world_.machine(machine).set_factory(*ledger_);
  world_.network().add_name("ledger.test", {k_ledger_address});
  std::vector<std::pair<PublicKey, Amount>> grants;
  for (auto& [index, factory] : nodes_) {
    for (const SigningKey& key : factory->keys()) grants.emplace_back(key.public_key(), factory->spec().funds);
    NodeConfig& config = factory->mutable_spec().config;
    if (!config.speed_enabled) continue;
    config.ledger_url = "http://ledger.test:" + std::to_string(k_ledger_port);
    config.ledger_key = ledger_->key();
  }
  Status funded = ledger_->fund(world_.machine(machine), grants);
  if (!funded) report_.breach("the ledger can't fund accounts: " + funded.error().reason);
  ledger_view_ = std::make_unique<LedgerView>(world_, ledger_->store(world_.machine(machine)), money_, report_);
  world_.schedule(Duration(), *this, k_join, machine);
  return machine;
}

std::vector<uint32_t> Swarm::node_machines() const {
  std::vector<uint32_t> out;
  for (const auto& [machine, factory] : nodes_) out.push_back(machine);
  return out;
}

Node* Swarm::running_node(uint32_t machine) {
  sim::Program* program = world_.machine(machine).program();
  return program == nullptr ? nullptr : &static_cast<NodeProgram*>(program)->node();
}

void Swarm::on_event(uint32_t kind, uint64_t a, uint64_t) {
  if (kind == k_look) {
    complete_ = waiting_for_completion_ && complete();
    settled_ = waiting_for_settlement_ && ledger_view_->unsettled_channels() == 0;
    // The ledger alone is nothing to look at for days.
    if (!waiting_for_ledger_) world_.schedule(k_look_interval, *this, k_look);
    return;
  }
  sim::Machine& machine = world_.machine(static_cast<uint32_t>(a));
  if (gone_.contains(machine.index())) return;
  if (!machine.running() && !machine.start()) report_.breach(machine.name() + " did not start");
}

// What holds for every node after every event.
void Swarm::after_event(Instant) {
  if (world_.blocking_calls() == seen_blocking_calls_) return;
  seen_blocking_calls_ = world_.blocking_calls();
  for (const auto& [machine, factory] : nodes_) {
    if (world_.machine(machine).blocking_calls() != 0) report_.breach(factory->spec().name + " waits for a disk on its loop");
  }
}

bool Swarm::node_seeds(uint32_t machine) {
  Node* node = running_node(machine);
  if (node == nullptr) return false;
  for (const TorrentStatus& torrent : node->torrents(world_.machine(machine).monotonic())) {
    if (torrent.info_hash == payload_.info_hash) return torrent.state == TorrentState::seeding;
  }
  return false;
}

bool Swarm::complete() {
  for (const auto& [machine, factory] : nodes_) {
    if (factory->spec().honest && !node_seeds(machine)) return false;
  }
  for (const auto& [machine, factory] : nodes_) {
    if (!factory->spec().honest) continue;
    std::string difference = payload_.difference(world_.machine(machine).disk(), k_data_root);
    if (!difference.empty()) report_.breach(factory->spec().name + " seeds, but " + difference);
  }
  return true;
}

void Swarm::run_until(Instant deadline) {
  if (world_.run_until(deadline) == sim::StopReason::livelock) report_.breach("endless events in one instant");
  if (wiretap_.utp().changed() != 0) report_.breach("a packet of uTP carried other bytes when it was sent again");
}

void Swarm::run_until_complete(Duration limit) {
  complete_ = false;
  waiting_for_completion_ = true;
  run_until(Instant() + limit);
  waiting_for_completion_ = false;
  if (complete_ || !report_.clean()) return;
  for (const auto& [machine, factory] : nodes_) {
    if (!factory->spec().honest || node_seeds(machine)) continue;
    Node* node = running_node(machine);
    std::string state = "does not run";
    if (node != nullptr) {
      for (const TorrentStatus& torrent : node->torrents(world_.machine(machine).monotonic())) {
        state = std::string(torrent_state_name(torrent.state)) + " with " + std::to_string(torrent.pieces_done) + " of " +
                std::to_string(torrent.pieces) + " pieces " + torrent.error;
      }
    }
    report_.breach(factory->spec().name + " is not complete: " + state);
  }
}

void Swarm::run_until_settled(Duration limit) {
  if (!report_.clean()) return;
  waiting_for_settlement_ = true;
  settled_ = false;
  run_until(world_.now() + limit);
  waiting_for_settlement_ = false;
  if (!report_.clean()) return;
  uint64_t open = ledger_view_->unsettled_channels();
  if (open != 0) report_.breach(std::to_string(open) + " channels are neither closed nor refunded");
  ledger_view_->check_all();
}

void Swarm::run_ledger_alone(Duration limit) {
  if (!report_.clean()) return;
  for (const auto& [machine, factory] : nodes_) take_away(machine);
  for (uint32_t machine : others_) take_away(machine);
  take_away(tracker_machine_);
  waiting_for_ledger_ = true;
  run_until(world_.now() + limit);
  waiting_for_ledger_ = false;
  if (!report_.clean()) return;
  uint64_t open = ledger_view_->open_channels();
  if (open != 0) report_.breach(std::to_string(open) + " channels are not refunded after their end");
  ledger_view_->check_all();
}

void Swarm::renew(uint32_t machine) {
  sim::Machine& on = world_.machine(machine);
  NodeFactory& factory = *nodes_.at(machine);
  if (gone_.contains(machine) || (factory.keys().size() > 1 && !factory.renew())) return;
  money_.crashed(machine);
  on.crash(sim::CrashKind::kill);
  if (!factory.spec().seeds) {
    for (const Payload::File& file : payload_.files) static_cast<void>(on.disk().remove(std::string(k_data_root) + "/" + file.path));
  }
  if (!on.start()) report_.breach(on.name() + " did not start as somebody else");
}

void Swarm::take_away(uint32_t machine) {
  gone_.insert(machine);
  sim::Machine& on = world_.machine(machine);
  if (on.running()) money_.crashed(machine);
  on.crash(sim::CrashKind::power_cut);
}

Tracker* Swarm::tracker() {
  sim::Program* program = world_.machine(tracker_machine_).program();
  return program == nullptr ? nullptr : static_cast<Tracker*>(program);
}

}  // namespace millet::simtest
