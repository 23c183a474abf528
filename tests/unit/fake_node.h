// A Node that decides nothing: the test says what is sent and which actions come out, and sees what went in. It takes the real one's place
// when the program is linked, so include this in one file of a program only.
#pragma once

#include <deque>
#include <map>
#include <string>
#include <vector>

#include "node/node.h"

namespace millet {

struct FakeItem {
  std::vector<uint8_t> bytes;
  std::optional<BlockRef> block;
};

// What the one fake node of the program does.
struct FakeNode {
  std::deque<Action> actions;
  std::map<PeerHandle, std::deque<FakeItem>> to_send;
  std::optional<BlockRef> endless;  // sent again and again to a peer whose queue is empty
  std::vector<uint8_t> lent;        // bytes of the last item, valid until the next call
  PeerHandle last_peer = 0;
  size_t peers_max = 1000;
  std::map<PeerHandle, Endpoint> peers;
  size_t pulled = 0;
  uint64_t sent = 0;
  std::map<PeerHandle, std::string> received;
  std::map<PeerHandle, Error> closed;
  std::map<PeerHandle, Error> read_failed;
  std::vector<uint64_t> durable;
  std::vector<uint64_t> commit_failed;
  std::map<Ticket, Signature> signatures;
  std::map<Ticket, bool> verified;
  std::map<Ticket, Result<HttpReply>> replies;
  std::map<Ticket, Result<Sha1Digest>> hashed;
  std::map<Ticket, Status> written;
  std::map<Ticket, Result<FileStates>> checked;
  Instant deadline = Instant::never();
  int timers = 0;
  bool shut_down = false;
  bool answers_shutdown = true;
  uint16_t port = 0;
  std::vector<DeviceReadings> readings;
  DeviceOrders orders{Duration::seconds(15), LedPattern::off, false};
  NodeConfig config;

  // Queues an item and asks the driver to pull.
  void send(PeerHandle peer, FakeItem item) {
    to_send[peer].push_back(std::move(item));
    actions.emplace_back(PullPeer{peer});
  }
};
inline FakeNode* fake = nullptr;

class Node::Impl {};

Node::Node(const NodeConfig& config, const NodeIdentity&, SecureRandom&, LogSink&) { fake->config = config; }
Node::~Node() = default;
Status Node::restore(Instant, WallTime, StoreTransaction&) { return ok; }
Status Node::unlock(Instant, StoreTransaction&) { return ok; }
void Node::shut_down(Instant) {
  fake->shut_down = true;
  if (fake->answers_shutdown) fake->actions.emplace_back(ShutDownDone{});
}
void Node::set_listen_port(uint16_t port) { fake->port = port; }
std::optional<PeerHandle> Node::on_accepted(Instant, const Endpoint& remote, const IpAddress&, Transport) {
  if (fake->peers.size() >= fake->peers_max) return std::nullopt;
  fake->peers[++fake->last_peer] = remote;
  return fake->last_peer;
}
void Node::on_connected(Instant, PeerHandle peer, const IpAddress&, Transport) { fake->peers[peer]; }
void Node::on_closed(Instant, PeerHandle peer, const Error& reason) {
  fake->closed.emplace(peer, reason);
  fake->peers.erase(peer);
}
void Node::on_received(Instant, PeerHandle peer, Bytes bytes) { fake->received[peer].append(as_text(bytes)); }
bool Node::next_send(Instant, PeerHandle peer, SendItem& item, bool with_block) {
  std::deque<FakeItem>& queue = fake->to_send[peer];
  if (queue.empty() && !fake->endless) return false;
  if (queue.empty()) queue.push_back({std::vector<uint8_t>(13), fake->endless});
  if (!with_block && queue.front().block) return false;
  fake->lent = std::move(queue.front().bytes);
  item = SendItem{fake->lent, queue.front().block};
  queue.pop_front();
  ++fake->pulled;
  return true;
}
void Node::on_sent(Instant, PeerHandle, uint32_t bytes) { fake->sent += bytes; }
void Node::on_read_failed(Instant, PeerHandle peer, const BlockRef&, const Error& reason) {
  fake->read_failed.emplace(peer, reason);
  fake->peers.erase(peer);
}
void Node::on_files_checked(Instant, Ticket ticket, const Result<FileStates>& files) { fake->checked.emplace(ticket, files); }
void Node::on_piece_hashed(Instant, Ticket ticket, const Result<Sha1Digest>& digest) { fake->hashed.emplace(ticket, digest); }
void Node::on_block_written(Instant, Ticket ticket, const Status& status) { fake->written.emplace(ticket, status); }
void Node::on_signed(Instant, Ticket ticket, const Signature& signature) { fake->signatures.emplace(ticket, signature); }
void Node::on_verified(Instant, Ticket ticket, bool valid) { fake->verified.emplace(ticket, valid); }
void Node::on_durable(Instant, uint64_t sequence) { fake->durable.push_back(sequence); }
void Node::on_commit_failed(Instant, uint64_t sequence, const Error&) { fake->commit_failed.push_back(sequence); }
void Node::on_http_done(Instant, WallTime, Ticket ticket, const Result<HttpReply>& reply) { fake->replies.emplace(ticket, reply); }
void Node::on_device(Instant, const DeviceReadings& readings) { fake->readings.push_back(readings); }
DeviceOrders Node::device_orders() const { return fake->orders; }
Instant Node::next_deadline() const { return fake->deadline; }
void Node::on_timer(Instant, WallTime) {
  ++fake->timers;
  fake->deadline = Instant::never();
}
bool Node::poll_action(Action& action) {
  if (fake->actions.empty()) return false;
  action = std::move(fake->actions.front());
  fake->actions.pop_front();
  return true;
}

// Commands and listings are not the driver's; they are here so that the real node is not linked.
Result<InfoHash> Node::add_torrent(Instant, const AddTorrent&) { return InfoHash(); }
Status Node::remove_torrent(Instant, const InfoHash&, bool) { return ok; }
Status Node::verify_torrent(Instant, const InfoHash&) { return ok; }
Status Node::pause_torrent(Instant, const InfoHash&) { return ok; }
Status Node::resume_torrent(Instant, const InfoHash&) { return ok; }
Status Node::set_torrent(Instant, const InfoHash&, const TorrentSettings&) { return ok; }
Status Node::set_config(Instant, const NodeConfig&) { return ok; }
const NodeConfig& Node::config() const { return fake->config; }
uint64_t Node::commands_commit() const { return 0; }
uint64_t Node::durable_commit() const { return 0; }
std::vector<TorrentStatus> Node::torrents(Instant) const { return {}; }
std::vector<PeerStatus> Node::peers(Instant, const std::optional<InfoHash>&) const { return {}; }
std::vector<AuctionRound> Node::auctions() const { return {}; }
std::vector<HistoryDay> Node::history() const { return {}; }
std::vector<OwnBid> Node::own_bids() const { return {}; }
std::vector<NoBid> Node::no_bids() const { return {}; }
std::vector<ChannelStatus> Node::channels() const { return {}; }
NodeStats Node::stats(Instant) const { return {}; }

}  // namespace millet
