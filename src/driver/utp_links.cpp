#include "driver/utp_links.h"

#include <algorithm>
#include <utility>

#include "base/heap_sort.h"
#include "codec/peer_wire.h"

namespace millet {

struct UtpLinks::Link {
  PeerHandle peer = 0;  // 0: the node has dropped it, and it ends in good order
  UtpId stream = 0;
  Endpoint remote;  // of a dialled one
  bool connected = false;
  bool ready = false;  // in ready_
  uint64_t held = 0;   // the end of the journal that is not offered yet
  UtpJournal journal;
  // A run that could not be filled.
  std::vector<BlockRef> missing;  // to be read
  uint32_t reads = 0;             // under way
  std::vector<Cold> cold;
};

UtpLinks::UtpLinks(const UtpOptions& options, const Memory& memory, Node& node, Storage& storage, hal::Datagrams& datagrams,
                   SecureRandom& random, const IpAddress& listen)
    : memory_(memory), node_(node), storage_(storage), datagrams_(datagrams), listen_(listen),
      utp_(options, random, Random::draw_seed(random)), staging_(new uint8_t[memory.staging_size]), planned_(new UtpRun[k_runs_max]) {
  runs_.reserve(k_runs_max);
}

UtpLinks::~UtpLinks() = default;

size_t UtpLinks::memory() const {
  size_t bytes = utp_.memory();
  for (const auto& [stream, link] : by_stream_) bytes += sizeof(Link) + link->journal.memory();
  return bytes;
}

UtpLinks::Link* UtpLinks::find(UtpId stream) const {
  auto found = by_stream_.find(stream);
  return found == by_stream_.end() ? nullptr : found->second.get();
}

UtpLinks::Link* UtpLinks::find_peer(PeerHandle peer) const {
  auto found = by_peer_.find(peer);
  return found == by_peer_.end() ? nullptr : found->second;
}

UtpLinks::Link& UtpLinks::add(PeerHandle peer, UtpId stream) {
  auto link = std::make_unique<Link>();
  link->peer = peer;
  link->stream = stream;
  Link& out = *link;
  CHECK(by_stream_.emplace(stream, std::move(link)).second);
  CHECK(by_peer_.emplace(peer, &out).second);
  return out;
}

void UtpLinks::forget(Link& link) {
  release_cold(link);
  by_peer_.erase(link.peer);
  by_stream_.erase(link.stream);
}

void UtpLinks::make_ready(Link& link) {
  if (link.ready || !link.connected || link.peer == 0) return;
  link.ready = true;
  ready_.push_back(link.stream);
}

// ---- the socket ----

void UtpLinks::on_datagrams(Instant now, std::span<const hal::IncomingRun> runs) {
  for (const hal::IncomingRun& run : runs) {
    for (Bytes left = run.bytes; !left.empty();) {
      size_t size = std::min(run.size, left.size());
      utp_.on_datagram(now, run.from, left.first(size), run.local);
      poll_events(now);
      left = left.subspan(size);
    }
  }
}

// A forged message must not end what works: attempts to connect believe it, the others become less patient.
void UtpLinks::on_unreachable(Instant now, const Endpoint& remote) {
  utp_.on_unreachable(remote);
  std::vector<UtpId> failed;
  for (const auto& [stream, link] : by_stream_) {
    if (!link->connected && link->remote == remote) failed.push_back(stream);
  }
  heap_sort(failed);
  for (UtpId stream : failed) {
    utp_.abandon(now, stream);
    on_closed(now, stream, error(Errc::unavailable, "nobody listens there"));
  }
}

void UtpLinks::on_timer(Instant now) {
  if (utp_.next_deadline() > now) return;
  utp_.on_timer(now);
  poll_events(now);
}

void UtpLinks::poll_events(Instant now) {
  UtpEvent event;
  while (utp_.poll(now, event)) {
    Link* link = nullptr;
    switch (event.kind) {
      case UtpEvent::Kind::accepted: on_accepted(now, event); break;
      case UtpEvent::Kind::connected: on_connected(now, event.stream); break;
      case UtpEvent::Kind::received:
        link = find(event.stream);
        if (link != nullptr && link->peer != 0) node_.on_received(now, link->peer, event.bytes);
        break;
      case UtpEvent::Kind::writable:
        if ((link = find(event.stream)) != nullptr) make_ready(*link);
        break;
      case UtpEvent::Kind::closed: on_closed(now, event.stream, error(event.reason, event.what)); break;
    }
  }
}

void UtpLinks::on_accepted(Instant now, const UtpEvent& event) {
  std::optional<PeerHandle> peer = node_.on_accepted(now, event.remote, listen_, Transport::utp);
  if (!peer) {
    utp_.abandon(now, event.stream);
    return;
  }
  add(*peer, event.stream).connected = true;
}

void UtpLinks::on_connected(Instant now, UtpId stream) {
  Link* link = find(stream);
  if (link == nullptr) return;
  link->connected = true;
  if (rival_ != nullptr) rival_->stop_dialling(now, link->peer);
  node_.on_connected(now, link->peer, listen_, Transport::utp);
}

void UtpLinks::on_closed(Instant now, UtpId stream, Error reason) {
  Link* link = find(stream);
  if (link == nullptr) return;
  PeerHandle peer = link->peer;
  bool goes_on = !link->connected && rival_ != nullptr && rival_->is_dialling(peer);
  forget(*link);
  if (peer != 0 && !goes_on) node_.on_closed(now, peer, reason);
}

// ---- actions of the node ----

bool UtpLinks::connect(Instant now, const ConnectPeer& action) {
  Result<UtpId> stream = utp_.connect(now, action.remote);
  if (!stream) return false;
  add(action.peer, *stream).remote = action.remote;
  return true;
}

// Messages that are on their way still arrive, as they do when a socket is closed; payload that nobody asked us to finish does not.
void UtpLinks::close(Instant now, PeerHandle peer) {
  Link* link = find_peer(peer);
  if (link == nullptr) return;
  link->journal.trim(utp_.acknowledged(link->stream));
  if (!link->connected || link->journal.has_blocks()) {
    utp_.abandon(now, link->stream);
    forget(*link);
    return;
  }
  offer_held(now, *link);
  release_cold(*link);
  by_peer_.erase(peer);
  link->peer = 0;
  utp_.set_reading(now, link->stream, true);
  utp_.close(now, link->stream);
}

void UtpLinks::set_reading(Instant now, PeerHandle peer, bool reading) {
  const Link* link = find_peer(peer);
  if (link == nullptr) return;
  utp_.set_reading(now, link->stream, reading);
}

void UtpLinks::pull(PeerHandle peer) {
  if (Link* link = find_peer(peer)) make_ready(*link);
}

bool UtpLinks::is_dialling(PeerHandle peer) const {
  const Link* link = find_peer(peer);
  return link != nullptr && !link->connected;
}

void UtpLinks::stop_dialling(Instant now, PeerHandle peer) {
  Link* link = find_peer(peer);
  if (link == nullptr || link->connected) return;
  utp_.abandon(now, link->stream);
  forget(*link);
}

// ---- sending ----

bool UtpLinks::send_some(Instant now) {
  poll_events(now);
  if (blocked_ || !flush(now)) return false;
  for (size_t count = ready_.size(); count != 0; --count) {
    Link* link = find(ready_.front());
    ready_.pop_front();
    if (link == nullptr) continue;
    link->ready = false;
    offer_some(now, *link);
  }
  bool more = plan_some(now);
  if (!flush(now)) return false;
  poll_events(now);
  return more || !ready_.empty();
}

// The engine is offered what may go out soon and no more, so that a choke or a rate limit takes effect at once.
void UtpLinks::offer_some(Instant now, Link& link) {
  if (link.peer == 0) return;
  offer_held(now, link);
  uint64_t room = utp_.room(link.stream);
  link.journal.trim(utp_.acknowledged(link.stream));
  uint64_t begin = link.journal.end();
  bool exhausted = false;
  while (!exhausted && link.journal.end() - begin < room) {
    SendItem item;
    exhausted = !node_.next_send(now, link.peer, item);
    if (!exhausted) link.journal.add(item.bytes, item.block);
  }
  uint64_t offered = link.journal.end() - begin;
  if (offered != 0) {
    // The handshake is a packet of its own: Transmission looks at what follows it in the same packet only when another one comes, which
    // after a bitfield is our keep-alive, two minutes later.
    if (begin == 0 && offered > wire::k_handshake_size) link.held = offered - wire::k_handshake_size;
    utp_.offer(now, link.stream, offered - link.held);
    node_.on_sent(now, link.peer, static_cast<uint32_t>(offered));
  }
  // Without room the engine tells when there is some.
  if (link.held != 0 || (!exhausted && utp_.room(link.stream) != 0)) make_ready(link);
}

void UtpLinks::offer_held(Instant now, Link& link) {
  if (link.held != 0) utp_.offer(now, link.stream, std::exchange(link.held, 0));
}

// True: stopped by a bound, there may be more.
bool UtpLinks::plan_some(Instant now) {
  size_t used = 0;
  while (runs_.size() < k_runs_max && used + UtpRun::k_size_max <= memory_.staging_size) {
    UtpRun& run = planned_[runs_.size()];
    if (!utp_.plan(now, run)) return false;
    MutBytes place(staging_.get() + used, run.size());
    if (run.has_payload) {
      Link* link = find(run.stream);
      CHECK(link != nullptr);
      if (!fill(*link, run, place)) {
        utp_.stall(run.stream);
        continue;
      }
    }
    utp_.commit(now, run, place);
    used += place.size();
    runs_.push_back({run.to, place, run.packet_size, run.may_fragment, 0, hal::SendOutcome::sent, run.from});
  }
  return true;
}

// False: the socket is full, the rest waits.
bool UtpLinks::flush(Instant now) {
  if (runs_.empty()) return true;
  if (!datagrams_.send(runs_)) {
    blocked_ = true;
    return false;
  }
  for (size_t i = 0; i < runs_.size(); ++i) {
    if (runs_[i].outcome == hal::SendOutcome::too_big) utp_.on_too_big(now, planned_[i]);
  }
  runs_.clear();
  return true;
}

// ---- payload ----

bool UtpLinks::fill(Link& link, const UtpRun& run, MutBytes place) {
  blocks_.clear();
  places_.clear();
  for (size_t i = 0; i < run.count; ++i) {
    const UtpSegment& segment = run.segments[i];
    link.journal.gather(segment.offset, place.subspan(i * run.packet_size + k_utp_header_size, segment.size), blocks_, places_);
  }
  if (!link.cold.empty()) take_cold(link);
  size_t whole = storage_.read_cached(blocks_, places_);
  if (whole == blocks_.size()) {
    release_cold(link);
    return true;
  }
  note_missing(link, whole);
  return false;
}

// What jobs have read: the rest of blocks_ is to be read from the cache.
void UtpLinks::take_cold(Link& link) {
  size_t kept = 0;
  for (size_t i = 0; i < blocks_.size(); ++i) {
    const BlockRef& want = blocks_[i];
    auto has = [&](const Cold& cold) {
      return cold.block.torrent == want.torrent && cold.block.piece == want.piece && cold.block.begin <= want.begin &&
             want.begin + want.length <= cold.block.begin + cold.block.length;
    };
    auto found = std::find_if(link.cold.begin(), link.cold.end(), has);
    if (found != link.cold.end()) {
      std::memcpy(places_[i].data(), found->data.data() + (want.begin - found->block.begin), want.length);
      continue;
    }
    blocks_[kept] = blocks_[i];
    places_[kept] = places_[i];
    ++kept;
  }
  blocks_.resize(kept);
  places_.resize(kept);
}

// Lists what is to be read: blocks_ from `from` on, neighbours joined up to a whole block.
void UtpLinks::note_missing(Link& link, size_t from) {
  if (link.cold.size() >= k_cold_parts_max) release_cold(link);
  link.missing.clear();
  for (size_t i = from; i < blocks_.size(); ++i) {
    const BlockRef& next = blocks_[i];
    if (!link.missing.empty()) {
      BlockRef& last = link.missing.back();
      bool joins = last.torrent == next.torrent && last.piece == next.piece && last.begin + last.length == next.begin;
      if (joins && last.length + next.length <= k_block_size) {
        last.length += next.length;
        continue;
      }
    }
    if (link.missing.size() == k_cold_parts_max) break;
    link.missing.push_back(next);
  }
  waiting_for_read_.push_back(link.stream);
  start_cold_reads();
}

void UtpLinks::start_cold_reads() {
  // One that has its blocks and does not send them must not keep the buffers from the others.
  while (cold_buffers_ >= memory_.cold_reads && !waiting_for_read_.empty() && !holding_.empty()) {
    Link* holder = find(holding_.front());
    holding_.pop_front();
    if (holder == nullptr || holder->reads != 0) continue;
    cold_buffers_ -= holder->cold.size();
    holder->cold.clear();
  }
  while (cold_buffers_ < memory_.cold_reads && !waiting_for_read_.empty()) {
    Link* link = find(waiting_for_read_.front());
    waiting_for_read_.pop_front();
    if (link == nullptr || link->peer == 0) continue;
    for (const BlockRef& block : link->missing) {
      ++cold_buffers_;
      ++link->reads;
      ++reading_[link->peer];
      storage_.read(link->peer, block, {});
    }
    link->missing.clear();
  }
}

void UtpLinks::release_cold(Link& link) {
  if (link.cold.empty()) return;
  cold_buffers_ -= link.cold.size();
  link.cold.clear();
  holding_.erase_if([&](UtpId stream) { return stream == link.stream; });
  start_cold_reads();
}

bool UtpLinks::on_block_read(Instant now, PeerHandle peer, const BlockRef& block, const Status& status, std::vector<uint8_t>& data) {
  auto reading = reading_.find(peer);
  if (reading == reading_.end()) return false;
  if (--reading->second == 0) reading_.erase(reading);
  Link* link = find_peer(peer);
  if (link == nullptr || !status) {
    --cold_buffers_;
    if (link != nullptr) {
      utp_.abandon(now, link->stream);
      forget(*link);
      node_.on_read_failed(now, peer, block, status.error());
    }
    start_cold_reads();
    return true;
  }
  link->cold.push_back({block, std::move(data)});
  if (--link->reads == 0) {
    holding_.push_back(link->stream);
    utp_.resume(now, link->stream);
  }
  return true;
}

}  // namespace millet
