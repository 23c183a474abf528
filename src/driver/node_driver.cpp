#include "driver/node_driver.h"

#include <algorithm>

#include "driver/key_file.h"
#include "node/memory_use.h"

namespace millet {
namespace {

// Gathers for each connection before other events get their turn.
constexpr int k_send_rounds = 4;
constexpr const char* k_ends = "the node ends";
// Free ports to try until one is free for TCP, too.
constexpr int k_port_tries = 16;

UtpOptions utp_options(const NodeConfig& config) {
  UtpOptions options;
  // With those that are refused, and those that only end in good order; the engine's own tables hold 16-bit numbers.
  constexpr uint32_t k_connections_max = 16'000;
  const MemoryPlan& plan = memory_plan(config.memory_mib);
  const uint32_t peers = config.peers_max != 0 ? config.peers_max : plan.peers;
  options.connections_max = static_cast<uint16_t>(std::min(peers * 2 + 64, k_connections_max));
  options.reassembly_max = plan.reassembly_kib * 1024;
  options.window = plan.stream_window_kib * 1024;
  return options;
}

template <typename Links>
typename Links::Memory links_memory(const NodeConfig& config) {
  const MemoryPlan& plan = memory_plan(config.memory_mib);
  return {size_t{plan.staging_kib} * 1024, plan.cold_reads};
}

}  // namespace

NodeDriver::NodeDriver(const NodeDriverOptions& options, const SigningKey& key, hal::System& system, Store& store, LogSink& log)
    : system_(system), store_(store), key_(&key), log_(log), listen_(options.config.listen), state_(options.state),
      node_(options.config,
            NodeIdentity{options.locked_address.value_or(key.public_key()), options.peer_id, options.locked_address.has_value()},
            system.random, log),
      storage_(system.files, system.executor, system.cpu, *this, memory_plan(options.config.memory_mib).open_files),
      peers_(links_memory<PeerLinks>(options.config), node_, storage_, system.streams, options.config.listen.address),
      commits_(store, system.executor, system.clock, *this), http_(system, options.config.listen.address, *this) {
  if (options.locked_address) {
    WalletLockEvents& wallet_events = *this;
    wallet_.emplace(state_ + "/" + k_key_file_name, *options.locked_address, system.executor, system.clock, wallet_events);
  }
  DeviceWatchEvents& device_events = *this;
  if (options.board != nullptr) device_ = std::make_unique<DeviceWatch>(*options.board, system.executor, system.clock, device_events);
  if (options.config.tcp_background) peers_.set_background();
  if (!options.config.utp) return;
  utp_ = std::make_unique<UtpLinks>(utp_options(options.config), links_memory<UtpLinks>(options.config), node_, storage_, system.datagrams,
                                    system.random, options.config.listen.address);
  if (!options.config.tcp) return;
  peers_.set_rival(*utp_);
  utp_->set_rival(peers_);
}

NodeDriver::~NodeDriver() {
  system_.streams.set_events(nullptr);
  system_.datagrams.set_events(nullptr);
  if (utp_ != nullptr) system_.datagrams.close();
  system_.loop.set_events(nullptr);
}

Status NodeDriver::restore() {
  TRY_ASSIGN(std::unique_ptr<StoreTransaction> state, store_.begin_read());
  return node_.restore(system_.clock.now(), system_.clock.wall(), *state);
}

Result<Endpoint> NodeDriver::listen() {
  system_.streams.set_events(this);
  system_.loop.set_events(this);
  if (utp_ != nullptr) system_.datagrams.set_events(this);
  TRY_ASSIGN(Endpoint listening, open_ports());
  node_.set_listen_port(listening.port);
  if (node_.config().tcp) choose_payload_way();
  if (device_ != nullptr) device_->start(system_.clock.now());
  settle();
  return listening;
}

// The UDP socket first: it can be closed again, when TCP finds a free port of its choice taken.
Result<Endpoint> NodeDriver::open_ports() {
  const NodeConfig& config = node_.config();
  if (utp_ == nullptr) return system_.streams.listen(k_peer_listener, listen_);
  for (int tries = 1;; ++tries) {
    hal::DatagramOptions options;
    options.receive_messages = memory_plan(config.memory_mib).datagram_messages;
    TRY_ASSIGN(Endpoint bound, system_.datagrams.bind(listen_, options));
    if (!config.tcp) return bound;
    Result<Endpoint> listening = system_.streams.listen(k_peer_listener, {listen_.address, bound.port});
    if (listening) return listening;
    system_.datagrams.close();
    if (listen_.port != 0 || listening.error().code != Errc::conflict || tries == k_port_tries) return listening;
  }
}

Status NodeDriver::serve_control(const std::string& path, RequestHandler& handler, size_t request_bytes_max) {
  CHECK(control_ == nullptr);
  TRY(system_.streams.listen_local(k_control_listener, path));
  const size_t buffered_max = size_t{memory_plan(node_.config().memory_mib).control_kib} * 1024;
  control_ = std::make_unique<ControlServer>(system_.streams, handler, ControlServer::Limits{request_bytes_max, buffered_max});
  return ok;
}

void NodeDriver::choose_payload_way() {
  switch (node_.config().tcp_sendfile) {
    case Automatic::yes: peers_.set_payload_way(hal::PayloadWay::sendfile); break;
    case Automatic::no: break;
    case Automatic::automatic: peers_.set_payload_way(system_.streams.payload_way());
  }
  LogLine(log_, LogLevel::info, "payload_way").add("way", payload_way_name());
}

std::string_view NodeDriver::payload_way_name() const { return peers_.payload_way() == hal::PayloadWay::sendfile ? "sendfile" : "copy"; }

TransportStatus NodeDriver::transport_status() const {
  TransportStatus out;
  out.tcp_connections = static_cast<uint32_t>(peers_.count());
  out.tcp_payload_way = payload_way_name();
  out.tcp_background = "off";
  if (const UplinkGate* gate = peers_.gate()) {
    std::string_view way = system_.streams.background_way();
    out.tcp_background = way.empty() ? "unused" : way;
    out.tcp_uplink_rate = gate->uplink().rate();
    out.tcp_uplink_queue_us = gate->uplink().queue_us();
  }
  if (utp_ == nullptr) return out;
  out.udp_send_way = system_.datagrams.send_way();
  const hal::DatagramCounters udp = system_.datagrams.counters();
  out.udp_received = udp.received;
  out.udp_received_bytes = udp.received_bytes;
  out.udp_receive_calls = udp.receive_calls;
  out.udp_receive_overflows = udp.receive_overflows;
  out.udp_sent = udp.sent;
  out.udp_sent_bytes = udp.sent_bytes;
  out.udp_send_calls = udp.send_calls;
  out.udp_send_drops = udp.send_drops;
  out.udp_too_big = udp.too_big;
  out.udp_unreachable = udp.unreachable;
  const Utp::Counters& utp = utp_->counters();
  out.utp_connections = static_cast<uint32_t>(utp_->count());
  out.utp_packets_in = utp.packets_in;
  out.utp_packets_out = utp.packets_out;
  out.utp_payload_in = utp.payload_in;
  out.utp_payload_out = utp.payload_out;
  out.utp_payload_again = utp.payload_again;
  out.utp_strangers = utp.strangers;
  out.utp_resets_in = utp.resets_in;
  out.utp_refused = utp.refused;
  return out;
}

void NodeDriver::add_memory(std::vector<MemoryShare>& budget) const {
  const NodeConfig& config = node_.config();
  const MemoryPlan& plan = memory_plan(config.memory_mib);
  // Buffers that are there from the start.
  static_assert(k_stream_read == hal::Streams::k_receive_bytes_max);
  uint64_t datagrams = utp_ == nullptr ? 0 : plan.datagram_messages * k_datagram_read;
  add_use(budget, memory_part::k_receiving, k_stream_read + datagrams);
  add_use(budget, memory_part::k_sending, (utp_ == nullptr ? uint64_t{1} : uint64_t{2}) * plan.staging_kib * 1024);
  add_use(budget, memory_part::k_cold_reads, (peers_.cold_buffers() + (utp_ == nullptr ? 0 : utp_->cold_buffers())) * k_block_size);
  if (utp_ != nullptr) add_use(budget, memory_part::k_utp, utp_->memory());
  add_use(budget, memory_part::k_announces, http_.memory());
  if (control_ != nullptr) add_use(budget, memory_part::k_control, control_->buffered());
}

void NodeDriver::settle() { settle(system_.clock.now()); }

void NodeDriver::settle(Instant now) {
  if (ended_) return;
  if (opened_ && key_ != &*opened_ && !commits_.has_store()) begin_payments(now);
  do_actions(now);
  bool more = true;
  for (int i = 0; i < k_send_rounds && more && !ended_; ++i) {
    more = peers_.send_some(now);
    if (utp_ != nullptr) more = utp_->send_some(now) || more;
    do_actions(now);
  }
  if (!ended_) arm(now, more);
}

void NodeDriver::do_actions(Instant now) {
  Action action;
  while (!ended_ && node_.poll_action(action)) {
    std::visit([&](auto& what) { act(now, what); }, action);
  }
}

void NodeDriver::arm(Instant now, bool more_to_send) {
  Instant next = earlier(peers_.next_deadline(now), shutdown_deadline_);
  next = earlier(next, earlier(node_.next_deadline(), earlier(commits_.next_deadline(), http_.next_deadline())));
  if (control_ != nullptr) next = earlier(next, control_->next_deadline());
  if (device_ != nullptr) next = earlier(next, device_->next_deadline());
  if (utp_ != nullptr) next = earlier(next, utp_->next_deadline());
  // What is left to send waits until the other events had their turn.
  system_.loop.arm(more_to_send ? now : next);
}

// ---- events of the machine ----

void NodeDriver::on_accepted(hal::ListenerId listener, hal::StreamId stream, const Endpoint& remote) {
  Instant now = system_.clock.now();
  if (listener == k_control_listener) {
    control_->on_accepted(now, stream);
  } else {
    peers_.on_accepted(now, stream, remote);
  }
  settle(now);
}

void NodeDriver::on_connected(hal::StreamId stream) {
  Instant now = system_.clock.now();
  if (!peers_.on_connected(now, stream)) http_.on_connected(now, stream);
  settle(now);
}

void NodeDriver::on_received(hal::StreamId stream, Bytes bytes) {
  Instant now = system_.clock.now();
  bool known = peers_.on_received(now, stream, bytes) || http_.on_received(now, stream, bytes) ||
               (control_ != nullptr && control_->on_received(now, stream, bytes));
  CHECK(known);
  if (control_ != nullptr && control_->is_waiting()) commits_.try_again();
  settle(now);
}

void NodeDriver::on_writable(hal::StreamId stream) {
  Instant now = system_.clock.now();
  bool known = peers_.on_writable(stream) || http_.on_writable(now, stream) || (control_ != nullptr && control_->on_writable(now, stream));
  CHECK(known);
  settle(now);
}

void NodeDriver::on_closed(hal::StreamId stream, const Error& reason) {
  Instant now = system_.clock.now();
  bool known =
      peers_.on_closed(now, stream, reason) || http_.on_closed(now, stream, reason) || (control_ != nullptr && control_->on_closed(stream));
  CHECK(known);
  settle(now);
}

void NodeDriver::on_datagrams(std::span<const hal::IncomingRun> runs) {
  Instant now = system_.clock.now();
  utp_->on_datagrams(now, runs);
  settle(now);
}

void NodeDriver::on_datagrams_writable() {
  utp_->on_writable();
  settle(system_.clock.now());
}

void NodeDriver::on_unreachable(const Endpoint& remote) {
  Instant now = system_.clock.now();
  utp_->on_unreachable(now, remote);
  settle(now);
}

// The uTP engine finds out for itself what passes (RFC 8899), so that a forged message can't make packets small.
void NodeDriver::on_path_mtu(const Endpoint&, uint32_t) {}

void NodeDriver::on_timer() {
  Instant now = system_.clock.now();
  if (shutdown_deadline_ <= now) {
    LogLine(log_, LogLevel::warn, "shutdown_timed_out").add("commits_pending", uint64_t{commits_.pending()});
    end(false);
    return;
  }
  commits_.on_timer(now);
  http_.on_timer(now);
  if (control_ != nullptr) control_->on_timer(now);
  if (device_ != nullptr) device_->on_timer(now);
  if (utp_ != nullptr) utp_->on_timer(now);
  peers_.on_timer(now, utp_ != nullptr ? utp_->uplink_use(now) : std::nullopt);
  if (node_.next_deadline() <= now) node_.on_timer(now, system_.clock.wall());
  settle(now);
}

void NodeDriver::on_shutdown() { shut_down(); }

void NodeDriver::shut_down() {
  if (!shutdown_deadline_.is_never()) return;
  Instant now = system_.clock.now();
  shutdown_deadline_ = now + k_shutdown_max;
  LogLine(log_, LogLevel::info, "shutting_down");
  system_.streams.set_accepting(k_peer_listener, false);
  node_.shut_down(now);
  settle(now);
}

void NodeDriver::end(bool well) {
  ended_ = true;
  ended_well_ = well;
  if (device_ != nullptr) device_->stop();
  system_.loop.stop();
}

// ---- answers of the workers ----

void NodeDriver::on_block_read(PeerHandle peer, const BlockRef& block, const Status& status, std::vector<uint8_t> data) {
  Instant now = system_.clock.now();
  bool is_utp = utp_ != nullptr && utp_->on_block_read(now, peer, block, status, data);
  if (!is_utp) peers_.on_block_read(now, peer, block, status, std::move(data));
  settle(now);
}

void NodeDriver::on_block_written(Ticket ticket, const Status& status) {
  Instant now = system_.clock.now();
  node_.on_block_written(now, ticket, status);
  settle(now);
}

void NodeDriver::on_piece_hashed(Ticket ticket, const Result<Sha1Digest>& digest) {
  Instant now = system_.clock.now();
  node_.on_piece_hashed(now, ticket, digest);
  settle(now);
}

void NodeDriver::on_files_checked(Ticket ticket, const Result<FileStates>& files) {
  Instant now = system_.clock.now();
  node_.on_files_checked(now, ticket, files);
  settle(now);
}

void NodeDriver::on_files_deleted(const std::string& root, const Status& status) {
  if (!status) LogLine(log_, LogLevel::warn, "delete_failed").add("root", root).add("reason", status.error().reason);
}

void NodeDriver::on_durable(uint64_t sequence) {
  Instant now = system_.clock.now();
  if (commit_failing_) LogLine(log_, LogLevel::info, "state_durable_again");
  commit_failing_ = false;
  node_.on_durable(now, sequence);
  if (control_ != nullptr) control_->on_durable(now, sequence);
  settle(now);
}

void NodeDriver::on_commit_failed(uint64_t sequence, const Error& reason) {
  Instant now = system_.clock.now();
  if (!commit_failing_) {
    LogLine(log_, LogLevel::error, "state_not_durable")
        .add("reason", reason.reason)
        .add("advice", "nothing is paid or promised until the state folder can be written; it is tried again");
  }
  commit_failing_ = true;
  node_.on_commit_failed(now, sequence, reason);
  if (control_ != nullptr) control_->on_commit_failed(now, reason);
  settle(now);
}

void NodeDriver::on_signed(Ticket ticket, const Signature& signature) {
  Instant now = system_.clock.now();
  node_.on_signed(now, ticket, signature);
  settle(now);
}

void NodeDriver::on_verified(Ticket ticket, bool valid) {
  Instant now = system_.clock.now();
  node_.on_verified(now, ticket, valid);
  settle(now);
}

void NodeDriver::on_http_done(Ticket ticket, const Result<HttpReply>& reply) {
  Instant now = system_.clock.now();
  node_.on_http_done(now, system_.clock.wall(), ticket, reply);
  settle(now);
}

void NodeDriver::on_device(const DeviceReadings& readings) {
  Instant now = system_.clock.now();
  node_.on_device(now, readings);
  DeviceOrders orders = node_.device_orders();
  storage_.set_read_ahead(!orders.low_memory);
  peers_.set_low_memory(orders.low_memory);
  device_->follow(now, orders);
  settle(now);
}

// ---- the wallet ----

Status NodeDriver::unlock(Secret passphrase) {
  if (!wallet_ || opened_) return error(Errc::conflict, k_not_locked);
  if (!shutdown_deadline_.is_never()) return error(Errc::unavailable, k_ends);
  return wallet_->open(std::move(passphrase));
}

void NodeDriver::on_key_opened(Result<SigningKey> key) {
  Instant now = system_.clock.now();
  if (key) {
    opened_ = std::move(key).value();
  } else {
    tell_unlocked(now, std::move(key).error());
  }
  settle(now);
}

// Reads as much as a start does, between two commits.
void NodeDriver::begin_payments(Instant now) {
  Status begun = error(Errc::unavailable, k_ends);
  if (shutdown_deadline_.is_never()) {
    Result<std::unique_ptr<StoreTransaction>> state = store_.begin_read();
    begun = state ? node_.unlock(now, **state) : Status(std::move(state).error());
  }
  if (begun) {
    key_ = &*opened_;
  } else {
    opened_.reset();
  }
  tell_unlocked(now, begun);
}

void NodeDriver::tell_unlocked(Instant now, const Status& outcome) {
  LogLine line(log_, outcome ? LogLevel::info : LogLevel::warn, outcome ? "wallet_unlocked" : "wallet_stays_locked");
  if (!outcome) line.add("reason", outcome.error().reason);
  if (control_ != nullptr) control_->on_outcome(now, outcome);
}

// ---- actions of the node ----

void NodeDriver::act(Instant now, ConnectPeer& action) {
  bool tcp = node_.config().tcp;
  if (tcp) peers_.connect(action);
  bool utp = utp_ != nullptr && utp_->connect(now, action);
  if (!tcp && !utp) node_.on_closed(now, action.peer, error(Errc::no_room, "all uTP connections are in use"));
}
// A peer is of one transport, or dialled over both; the other does nothing.
void NodeDriver::act(Instant now, ClosePeer& action) {
  peers_.close(action.peer);
  if (utp_ != nullptr) utp_->close(now, action.peer);
}
void NodeDriver::act(Instant, PullPeer& action) {
  peers_.pull(action.peer);
  if (utp_ != nullptr) utp_->pull(action.peer);
}
void NodeDriver::act(Instant now, SetReading& action) {
  peers_.set_reading(action.peer, action.reading);
  if (utp_ != nullptr) utp_->set_reading(now, action.peer, action.reading);
}
void NodeDriver::act(Instant, OpenTorrent& action) { storage_.open(std::move(action)); }
void NodeDriver::act(Instant, CloseTorrent& action) { storage_.close(action.torrent, action.delete_files); }
void NodeDriver::act(Instant, CheckFiles& action) { storage_.check(action); }
void NodeDriver::act(Instant, HashPiece& action) { storage_.hash(action); }
void NodeDriver::act(Instant, WriteBlock& action) { storage_.write(std::move(action)); }
void NodeDriver::act(Instant, SyncTorrent& action) { storage_.sync(action); }
void NodeDriver::act(Instant now, Commit& action) { commits_.add(now, std::move(action)); }
void NodeDriver::act(Instant, SignBytes& action) { submit_sign(system_.executor, *this, *key_, std::move(action)); }
void NodeDriver::act(Instant, VerifyBytes& action) { submit_verify(system_.executor, *this, std::move(action)); }
void NodeDriver::act(Instant now, HttpExchange& action) { http_.start(now, std::move(action)); }
void NodeDriver::act(Instant now, CancelHttp& action) { http_.cancel(now, action.ticket); }
void NodeDriver::act(Instant, KeepEvidence& action) {
  if (!state_.empty()) keep_evidence(system_, state_, std::move(action.bytes), log_);
}
void NodeDriver::act(Instant, ShutDownDone&) { end(true); }

}  // namespace millet
