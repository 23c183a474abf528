#include "node/node.h"

#include "node/impl.h"
#include "node/listing.h"
#include "node/memory_use.h"

namespace millet {

Node::Node(const NodeConfig& config, const NodeIdentity& identity, SecureRandom& random, LogSink& log)
    : impl_(std::make_unique<Impl>(config, identity, random, log)) {}
Node::~Node() = default;

void Node::plant(const speed::Faults& faults) { impl_->core.faults = faults; }

// ---- life ----

Status Node::restore(Instant now, WallTime wall, StoreTransaction& state) {
  impl_->core.started = now;
  impl_->core.wall = wall;
  TRY_ASSIGN(std::vector<std::unique_ptr<Torrent>> torrents, impl_->store.load(state));
  for (std::unique_ptr<Torrent>& torrent : torrents) impl_->lifecycle.adopt(now, std::move(torrent));
  TRY(impl_->payments.restore(now, state));
  impl_->settle(now);
  return ok;
}

Status Node::unlock(Instant now, StoreTransaction& state) {
  Status status = impl_->payments.unlock(now, state);
  impl_->settle(now);
  return status;
}

void Node::shut_down(Instant now) {
  impl_->shut_down(now);
  impl_->settle(now);
}

void Node::set_listen_port(uint16_t port) { impl_->core.listen_port = port; }

// ---- peers ----

std::optional<PeerHandle> Node::on_accepted(Instant now, const Endpoint& remote, const IpAddress& local, Transport transport) {
  return impl_->connections.on_accepted(now, remote, local, transport);
}

void Node::on_connected(Instant now, PeerHandle handle, const IpAddress& local, Transport transport) {
  if (Peer* peer = impl_->core.peers.find(handle)) impl_->connections.on_connected(now, *peer, local, transport);
  impl_->settle(now);
}

void Node::on_closed(Instant now, PeerHandle handle, const Error& reason) {
  if (Peer* peer = impl_->core.peers.find(handle)) impl_->connections.on_closed(now, *peer, reason);
  impl_->settle(now);
}

void Node::on_received(Instant now, PeerHandle handle, Bytes bytes) {
  if (Peer* peer = impl_->core.peers.find(handle)) impl_->connections.on_received(now, *peer, bytes);
  impl_->settle(now);
}

bool Node::next_send(Instant now, PeerHandle handle, SendItem& item, bool with_block) {
  Peer* peer = impl_->core.peers.find(handle);
  if (peer == nullptr) return false;
  bool got = impl_->uploads.next_send(now, *peer, item, with_block);
  // The end of a paid piece can end a slot or a connection.
  if (impl_->has_marks()) impl_->settle(now);
  return got;
}

void Node::on_sent(Instant now, PeerHandle handle, uint32_t) {
  Peer* peer = impl_->core.peers.find(handle);
  if (peer != nullptr && peer->session != nullptr) peer->session->on_sent(now);
}

void Node::on_read_failed(Instant now, PeerHandle handle, const BlockRef& block, const Error& reason) {
  if (Peer* peer = impl_->core.peers.find(handle))
    impl_->connections.on_closed(now, *peer, error(Errc::unavailable, "a block could not be read"));
  impl_->core.failures.push_back({block.torrent, reason.reason});
  impl_->settle(now);
}

// ---- work ----

void Node::on_files_checked(Instant now, Ticket ticket, const Result<FileStates>& files) {
  if (Core::kind_of(ticket) == TicketKind::sync) {
    impl_->downloads.on_synced(now, ticket, files);
  } else {
    impl_->lifecycle.on_files_checked(now, ticket, files);
  }
  impl_->settle(now);
}

void Node::on_piece_hashed(Instant now, Ticket ticket, const Result<Sha1Digest>& digest) {
  if (Core::kind_of(ticket) == TicketKind::piece) {
    impl_->downloads.on_piece_hashed(now, ticket, digest);
  } else {
    impl_->lifecycle.on_piece_checked(now, ticket, digest);
  }
  impl_->settle(now);
}

void Node::on_block_written(Instant now, Ticket ticket, const Status& status) {
  impl_->downloads.on_block_written(now, ticket, status);
  impl_->settle(now);
}

void Node::on_signed(Instant now, Ticket ticket, const Signature& signature) {
  impl_->payments.on_signed(now, ticket, signature);
  impl_->settle(now);
}

void Node::on_verified(Instant now, Ticket ticket, bool valid) {
  impl_->payments.on_verified(now, ticket, valid);
  impl_->settle(now);
}

void Node::on_durable(Instant now, uint64_t sequence) {
  impl_->persistence.on_durable(sequence);
  impl_->downloads.on_durable();
  impl_->payments.on_durable(now);
  impl_->settle(now);
}

void Node::on_commit_failed(Instant now, uint64_t sequence, const Error& reason) {
  impl_->persistence.on_failed(sequence, reason);
  impl_->settle(now);
}

void Node::on_http_done(Instant now, WallTime wall, Ticket ticket, const Result<HttpReply>& reply) {
  impl_->core.wall = wall;
  if (Core::kind_of(ticket) == TicketKind::payments) {
    impl_->payments.on_http_done(now, ticket, reply);
  } else {
    impl_->announcing.on_http_done(now, ticket, reply);
  }
  impl_->settle(now);
}

void Node::on_device(Instant now, const DeviceReadings& readings) {
  impl_->on_device(now, readings);
  impl_->settle(now);
}

DeviceOrders Node::device_orders() const { return {impl_->device.next_look(), impl_->device.led(), impl_->core.device.low_memory}; }

// ---- time and outputs ----

Instant Node::next_deadline() const { return impl_->next_deadline(); }

void Node::on_timer(Instant now, WallTime wall) {
  impl_->core.wall = wall;
  impl_->on_timer(now);
}

bool Node::poll_action(Action& action) { return impl_->core.poll_action(action); }

// ---- commands ----

Result<InfoHash> Node::add_torrent(Instant now, const AddTorrent& request) {
  Result<InfoHash> result = impl_->lifecycle.add(now, request);
  if (result) impl_->note_command();
  impl_->settle(now);
  return result;
}

Status Node::remove_torrent(Instant now, const InfoHash& hash, bool delete_data) {
  Status status = impl_->lifecycle.remove(now, hash, delete_data);
  if (status) impl_->note_command();
  impl_->settle(now);
  return status;
}

Status Node::verify_torrent(Instant now, const InfoHash& hash) {
  Status status = impl_->lifecycle.verify(now, hash);
  if (status) impl_->note_command();
  impl_->settle(now);
  return status;
}

Status Node::pause_torrent(Instant now, const InfoHash& hash) {
  Status status = impl_->lifecycle.pause(now, hash);
  if (status) impl_->note_command();
  impl_->settle(now);
  return status;
}

Status Node::resume_torrent(Instant now, const InfoHash& hash) {
  Status status = impl_->lifecycle.resume(now, hash);
  if (status) impl_->note_command();
  impl_->settle(now);
  return status;
}

Status Node::set_torrent(Instant now, const InfoHash& hash, const TorrentSettings& settings) {
  Status status = impl_->lifecycle.set(hash, settings);
  if (status) impl_->note_command();
  impl_->settle(now);
  return status;
}

Status Node::set_config(Instant now, const NodeConfig& config) {
  Status status = impl_->set_config(now, config);
  impl_->settle(now);
  return status;
}

const NodeConfig& Node::config() const { return impl_->core.config; }
uint64_t Node::commands_commit() const { return impl_->commands_commit; }
uint64_t Node::durable_commit() const { return impl_->persistence.durable(); }

// ---- listings ----

std::vector<TorrentStatus> Node::torrents(Instant now) const { return list_torrents(impl_->core, impl_->payments, now); }
std::vector<PeerStatus> Node::peers(Instant now, const std::optional<InfoHash>& torrent) const {
  return list_peers(impl_->core, impl_->payments, now, torrent);
}
std::vector<AuctionRound> Node::auctions() const { return impl_->payments.auctions(); }
std::vector<HistoryDay> Node::history() const { return impl_->payments.history(); }
std::vector<OwnBid> Node::own_bids() const { return impl_->payments.own_bids(); }
std::vector<NoBid> Node::no_bids() const { return impl_->payments.no_bids(); }
std::vector<ChannelStatus> Node::channels() const { return impl_->payments.channels(); }
NodeStats Node::stats(Instant now) const {
  NodeStats out = node_stats(impl_->core, impl_->persistence, impl_->payments, now);
  out.device = impl_->device.readings();
  out.disk_sleeps = impl_->device.payload_disk_sleeps();
  out.limits = impl_->device.explain();
  out.memory = node_memory(impl_->core, impl_->downloads.blocks_open());
  return out;
}

}  // namespace millet
