#include "driver/peer_links.h"

#include <algorithm>
#include <utility>

#include "driver/source_address.h"

namespace millet {
namespace {

constexpr size_t k_gather_first = 64 * 1024;  // until the socket has shown what it takes
constexpr size_t k_gather_min = 32 * 1024;
constexpr size_t k_heads_kept_max = 16 * 1024;  // capacity that stays for the next gather; a bitfield may have needed more

}  // namespace

struct PeerLinks::Link {
  PeerHandle peer = 0;
  hal::StreamId stream = 0;
  bool connected = false;
  bool ready = false;     // in ready_
  bool blocked = false;   // the socket is full
  bool reading = false;   // waits for a cold block, or for a buffer for it
  bool has_cold = false;  // `cold` holds the first item's block
  bool gated = false;     // the uplink's room is asked for
  bool waiting = false;   // for its turn there
  size_t gather_size = k_gather_first;
  std::vector<uint8_t> cold;
  // What the socket has not taken yet.
  std::vector<Item> items;
  std::vector<uint8_t> heads;
};

PeerLinks::PeerLinks(const Memory& memory, Node& node, Storage& storage, hal::Streams& streams, const IpAddress& listen)
    : memory_(memory), node_(node), storage_(storage), streams_(streams), listen_(listen), staging_(new uint8_t[memory.staging_size]) {
  items_.reserve(k_items_max);
}

PeerLinks::~PeerLinks() = default;

PeerLinks::Link* PeerLinks::find(hal::StreamId stream) {
  auto found = by_stream_.find(stream);
  return found == by_stream_.end() ? nullptr : find_peer(found->second);
}

PeerLinks::Link* PeerLinks::find_peer(PeerHandle peer) {
  auto found = by_peer_.find(peer);
  return found == by_peer_.end() ? nullptr : found->second.get();
}

void PeerLinks::add(PeerHandle peer, hal::StreamId stream) {
  auto link = std::make_unique<Link>();
  link->peer = peer;
  link->stream = stream;
  CHECK(by_peer_.emplace(peer, std::move(link)).second);
  by_stream_[stream] = peer;
}

// The connection is there.
void PeerLinks::open(Link& link) {
  link.connected = true;
  link.gated = gate_ != nullptr && gate_->add(link.peer, link.stream);
}

void PeerLinks::forget(Link& link) {
  if (link.gated) gate_->remove(link.peer);
  by_stream_.erase(link.stream);
  by_peer_.erase(link.peer);
}

void PeerLinks::on_accepted(Instant now, hal::StreamId stream, const Endpoint& remote) {
  std::optional<PeerHandle> peer = node_.on_accepted(now, remote, streams_.local_endpoint(stream).address, Transport::tcp);
  if (!peer) {
    streams_.close(stream);
    return;
  }
  add(*peer, stream);
  open(*find_peer(*peer));
}

bool PeerLinks::on_connected(Instant now, hal::StreamId stream) {
  Link* link = find(stream);
  if (link == nullptr) return false;
  open(*link);
  if (rival_ != nullptr) rival_->stop_dialling(now, link->peer);
  node_.on_connected(now, link->peer, streams_.local_endpoint(stream).address, Transport::tcp);
  return true;
}

bool PeerLinks::on_received(Instant now, hal::StreamId stream, Bytes bytes) {
  auto found = by_stream_.find(stream);
  if (found == by_stream_.end()) return false;
  node_.on_received(now, found->second, bytes);
  return true;
}

bool PeerLinks::on_writable(hal::StreamId stream) {
  Link* link = find(stream);
  if (link == nullptr) return false;
  link->blocked = false;
  make_ready(*link);
  return true;
}

bool PeerLinks::on_closed(Instant now, hal::StreamId stream, const Error& reason) {
  Link* link = find(stream);
  if (link == nullptr) return false;
  PeerHandle peer = link->peer;
  bool goes_on = !link->connected && rival_ != nullptr && rival_->is_dialling(peer);
  forget(*link);
  if (!goes_on) node_.on_closed(now, peer, reason);
  return true;
}

void PeerLinks::connect(const ConnectPeer& action) {
  add(action.peer, streams_.connect(action.remote, source_address(listen_, action.remote.address)));
}

bool PeerLinks::is_dialling(PeerHandle peer) const {
  auto found = by_peer_.find(peer);
  return found != by_peer_.end() && !found->second->connected;
}

void PeerLinks::stop_dialling(Instant, PeerHandle peer) {
  if (is_dialling(peer)) close(peer);
}

void PeerLinks::close(PeerHandle peer) {
  Link* link = find_peer(peer);
  if (link == nullptr) return;
  streams_.close(link->stream);
  forget(*link);
}

void PeerLinks::set_reading(PeerHandle peer, bool reading) {
  if (Link* link = find_peer(peer)) streams_.set_reading(link->stream, reading);
}

void PeerLinks::pull(PeerHandle peer) {
  if (Link* link = find_peer(peer)) make_ready(*link);
}

void PeerLinks::make_ready(Link& link) {
  if (link.ready || link.blocked || link.reading || !link.connected) return;
  link.ready = true;
  ready_.push_back(link.peer);
}

bool PeerLinks::send_some(Instant now) {
  for (size_t count = ready_.size(); count != 0; --count) {
    PeerHandle peer = ready_.front();
    ready_.pop_front();
    Link* link = find_peer(peer);
    if (link == nullptr) continue;
    link->ready = false;
    pump(now, *link);
  }
  return !ready_.empty();
}

void PeerLinks::on_timer(Instant now, const std::optional<UplinkUse>& utp) {
  if (gate_ == nullptr) return;
  gate_->on_timer(now, utp);
  while (std::optional<UplinkGate::Turn> turn = gate_->next(now)) {
    Link& link = *find_peer(turn->peer);
    link.waiting = false;
    // Else it asks again when it can send.
    if (!link.blocked && !link.reading) pump(now, link, turn->room);
  }
}

void PeerLinks::hold(Link& link) {
  if (!link.waiting) gate_->wait(link.peer);
  link.waiting = true;
}

void PeerLinks::pump(Instant now, Link& link) { pump(now, link, link.gated ? gate_->room(now) : UINT64_MAX); }

// Of what is gathered, `room` bytes may go out, and in any case the messages before the first block.
void PeerLinks::pump(Instant now, Link& link, uint64_t room) {
  if (room == 0 && !link.items.empty() && link.items.front().block.length != 0) return hold(link);
  items_.swap(link.items);
  heads_.swap(link.heads);
  if (payload_way_ == hal::PayloadWay::sendfile && !link.has_cold) {
    size_t sent = send_from_files(now, link, room);
    if (sent != 0) node_.on_sent(now, link.peer, static_cast<uint32_t>(sent));
    if (sent != 0 && link.gated) gate_->on_sent(now, link.peer, sent);
    room -= std::min<uint64_t>(room, sent);
    if (link.blocked || sent >= memory_.staging_size || (room == 0 && sent != 0)) {
      keep_rest(link);
      if (!link.blocked) return room == 0 ? hold(link) : make_ready(link);
      return;
    }
  }
  Gathered gathered = gather(now, link, room);
  size_t offered = static_cast<size_t>(std::min<uint64_t>(gathered.size, std::max<uint64_t>(room, gathered.messages)));
  size_t sent = 0;
  if (offered != 0) {
    Bytes bytes(staging_.get(), offered);
    sent = streams_.send(link.stream, std::span(&bytes, 1));
    take_sent(sent);
    if (sent != 0) node_.on_sent(now, link.peer, static_cast<uint32_t>(sent));
    if (sent != 0 && link.gated) gate_->on_sent(now, link.peer, sent);
  }
  keep_rest(link);
  link.blocked = sent < offered;
  if (link.blocked) {
    // Next time no more is read than the socket is likely to take.
    link.gather_size = std::max(sent, k_gather_min);
    return;
  }
  // A block that has to be read first needs no turn for that.
  bool is_cold = gathered.cold && offered == gathered.size;
  if (!is_cold && (offered < gathered.size || gathered.held)) return hold(link);
  if (gathered.size >= link.gather_size) link.gather_size = std::min(2 * link.gather_size, memory_.staging_size);
  if (gathered.cold) {
    read_cold(link);
  } else if (!gathered.exhausted) {
    make_ready(link);
  }
}

// Sends blocks that lie in one file each, up to the first item that does not, is cold, or is a message: that goes by way of the buffer.
size_t PeerLinks::send_from_files(Instant now, Link& link, uint64_t room) {
  size_t total = 0;
  while (total < std::min<uint64_t>(room, memory_.staging_size)) {
    if (items_.empty() && !pull_item(now, link.peer, true)) break;
    const Item& item = items_.front();
    if (item.block.length == 0) break;
    uint32_t head_sent = std::min(item.sent, item.head_size);
    uint32_t block_sent = item.sent - head_sent;
    BlockRef rest = {item.block.torrent, item.block.piece, item.block.begin + block_sent, item.block.length - block_sent};
    std::optional<Storage::CachedPlace> place = storage_.find_cached(rest);
    if (!place) break;
    Bytes head = Bytes(heads_).subspan(head_sent, item.head_size - head_sent);
    size_t length = static_cast<size_t>(std::min<uint64_t>(rest.length, room - total));
    bool ended = false;
    size_t taken = streams_.send_file(link.stream, head, place->file->descriptor(), place->offset, length, ended);
    total += taken;
    take_sent(taken);
    if (ended) break;
    link.blocked = taken < head.size() + length;
    if (link.blocked) break;
  }
  return total;
}

bool PeerLinks::pull_item(Instant now, PeerHandle peer, bool with_block) {
  SendItem pulled;
  if (!node_.next_send(now, peer, pulled, with_block)) return false;
  Item item;
  item.head_size = static_cast<uint32_t>(pulled.bytes.size());
  if (pulled.block) item.block = *pulled.block;
  CHECK(item.size() != 0);
  heads_.insert(heads_.end(), pulled.bytes.begin(), pulled.bytes.end());
  items_.push_back(item);
  return true;
}

PeerLinks::Gathered PeerLinks::gather(Instant now, Link& link, uint64_t room_on_uplink) {
  BlockRef blocks[k_items_max];
  MutBytes places[k_items_max];
  size_t begins[k_items_max];  // of the item of each block, in the staging buffer
  size_t block_count = 0;
  size_t head_at = 0;
  Gathered out;
  for (size_t i = 0; i < k_items_max; ++i) {
    bool with_block = out.size < room_on_uplink;
    if (i == items_.size() && (out.size >= link.gather_size || !pull_item(now, link.peer, with_block))) {
      out.exhausted = out.size < link.gather_size;
      out.held = !with_block;
      break;
    }
    const Item& item = items_[i];
    MutBytes room(staging_.get() + out.size, memory_.staging_size - out.size);
    size_t left = item.size() - item.sent;
    if (left > room.size() && out.size != 0) break;
    // Only a message larger than the whole buffer is cut here.
    uint32_t head_sent = std::min(item.sent, item.head_size);
    size_t head_left = std::min<size_t>(item.head_size - head_sent, room.size());
    std::copy_n(heads_.begin() + static_cast<std::ptrdiff_t>(head_at + head_sent), head_left, room.begin());
    head_at += item.head_size;
    size_t begin = out.size;
    out.size += head_left;
    if (item.block.length == 0 && out.messages == begin) out.messages = out.size;
    uint32_t block_sent = item.sent - head_sent;
    if (block_sent == item.block.length || head_sent + head_left < item.head_size) continue;
    BlockRef rest = {item.block.torrent, item.block.piece, item.block.begin + block_sent, item.block.length - block_sent};
    if (rest.length > room.size() - head_left) break;
    MutBytes place = room.subspan(head_left, rest.length);
    out.size += rest.length;
    if (link.has_cold && i == 0) {
      CHECK(link.cold.size() == rest.length);
      std::copy(link.cold.begin(), link.cold.end(), place.begin());
      continue;
    }
    blocks[block_count] = rest;
    places[block_count] = place;
    begins[block_count] = begin;
    ++block_count;
  }
  if (link.has_cold) release_cold(link);
  size_t whole = storage_.read_cached(std::span(blocks, block_count), std::span(places, block_count));
  if (whole < block_count) {
    out.size = begins[whole];
    out.cold = true;
  }
  return out;
}

// Drops what the socket has taken from the front of the items.
void PeerLinks::take_sent(size_t bytes) {
  size_t gone = 0;
  size_t heads_gone = 0;
  while (bytes != 0) {
    Item& item = items_[gone];
    size_t left = item.size() - item.sent;
    if (bytes < left) {
      item.sent += static_cast<uint32_t>(bytes);
      break;
    }
    bytes -= left;
    heads_gone += item.head_size;
    ++gone;
  }
  items_.erase(items_.begin(), items_.begin() + static_cast<std::ptrdiff_t>(gone));
  heads_.erase(heads_.begin(), heads_.begin() + static_cast<std::ptrdiff_t>(heads_gone));
}

void PeerLinks::keep_rest(Link& link) {
  if (items_.empty() && heads_.capacity() > k_heads_kept_max) heads_ = {};
  items_.swap(link.items);
  heads_.swap(link.heads);
}

void PeerLinks::read_cold(Link& link) {
  CHECK(!link.items.empty() && !link.reading);
  link.reading = true;
  waiting_for_read_.push_back(link.peer);
  start_cold_reads();
}

void PeerLinks::start_cold_reads() {
  while (cold_reads_ < memory_.cold_reads && !waiting_for_read_.empty()) {
    Link* link = find_peer(waiting_for_read_.front());
    waiting_for_read_.pop_front();
    if (link == nullptr) continue;
    const Item& item = link->items.front();
    uint32_t block_sent = item.sent - std::min(item.sent, item.head_size);
    std::vector<uint8_t> buffer;
    if (!free_buffers_.empty()) {
      buffer = std::move(free_buffers_.back());
      free_buffers_.pop_back();
    }
    ++cold_reads_;
    storage_.read(link->peer, {item.block.torrent, item.block.piece, item.block.begin + block_sent, item.block.length - block_sent},
                  std::move(buffer));
  }
}

void PeerLinks::on_block_read(Instant now, PeerHandle peer, const BlockRef& block, const Status& status, std::vector<uint8_t> data) {
  Link* link = find_peer(peer);
  if (link == nullptr || !status) {
    --cold_reads_;
    keep_buffer(std::move(data));
    start_cold_reads();
    if (link == nullptr) return;
    streams_.close(link->stream);
    forget(*link);
    node_.on_read_failed(now, peer, block, status.error());
    return;
  }
  link->reading = false;
  link->has_cold = true;
  link->cold = std::move(data);
  pump(now, *link);
}

void PeerLinks::keep_buffer(std::vector<uint8_t> buffer) {
  if (!low_memory_) free_buffers_.push_back(std::move(buffer));
}

void PeerLinks::set_low_memory(bool low) {
  low_memory_ = low;
  if (low) std::vector<std::vector<uint8_t>>().swap(free_buffers_);
}

// The buffer goes back whether the socket takes the block or not: one that does not read must not keep it.
void PeerLinks::release_cold(Link& link) {
  link.has_cold = false;
  keep_buffer(std::exchange(link.cold, {}));
  --cold_reads_;
  start_cold_reads();
}

}  // namespace millet
