// A small world of whole nodes in one process and in virtual time: links with delay and limited buffers, disks, stores that forget what
// was not durable, one HTTP tracker. For tests of the node; the full simulator with the real driver is tests/sim.
#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "codec/bencode.h"
#include "codec/metainfo.h"
#include "codec/peer_wire.h"
#include "crypto/hash.h"
#include "crypto/sign.h"
#include "node/node.h"
#include "store/memory_store.h"
#include "torrent/info_hash.h"
#include "torrent/picker.h"

namespace millet::testing {

class SeededRandom final : public SecureRandom {
 public:
  explicit SeededRandom(uint64_t seed) : random_(seed) {}
  void fill(MutBytes out) override {
    for (uint8_t& byte : out) byte = static_cast<uint8_t>(random_.next());
  }

 private:
  Random random_;
};

class LineLog final : public LogSink {
 public:
  LogLevel level() const override { return LogLevel::debug; }
  void write(LogLevel, std::string_view line) override {
    lines.emplace_back(line);
    if (echo) fprintf(stderr, "%s %s\n", name.c_str(), lines.back().c_str());
  }
  bool has(std::string_view text) const {
    return std::any_of(lines.begin(), lines.end(), [&](const std::string& line) { return line.find(text) != std::string::npos; });
  }
  std::vector<std::string> lines;
  std::string name;
  bool echo = false;
};

// A torrent of random content, with what a disk needs to hold it.
struct Payload {
  std::vector<uint8_t> metainfo;
  std::map<std::string, std::vector<uint8_t>> files;  // by relative path
  InfoHash hash;
  uint32_t pieces = 0;
  uint64_t size = 0;
};

inline Payload make_payload(uint64_t seed, uint32_t piece_size, const std::vector<uint64_t>& sizes, const std::string& tracker = "") {
  Payload out;
  Random random(seed);
  std::vector<uint8_t> all;
  std::string info = "d5:filesl";
  for (size_t i = 0; i < sizes.size(); ++i) {
    std::string name = "file" + std::to_string(i);
    std::vector<uint8_t> bytes(sizes[i]);
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random.next());
    all.insert(all.end(), bytes.begin(), bytes.end());
    out.files["data/" + name] = std::move(bytes);
    info += "d6:lengthi" + std::to_string(sizes[i]) + "e4:pathl" + std::to_string(name.size()) + ":" + name + "ee";
  }
  info += "e4:name4:data12:piece lengthi" + std::to_string(piece_size) + "e6:pieces";
  out.size = all.size();
  out.pieces = static_cast<uint32_t>((all.size() + piece_size - 1) / piece_size);
  info += std::to_string(out.pieces * 20) + ":";
  for (size_t at = 0; at < all.size(); at += piece_size) {
    Sha1Digest digest = Sha1::of(Bytes(all).subspan(at, std::min<size_t>(piece_size, all.size() - at)));
    info += as_text(digest.bytes());
  }
  info += "e";
  std::string text = "d";
  if (!tracker.empty()) text += "8:announce" + std::to_string(tracker.size()) + ":" + tracker;
  text += "4:info" + info + "e";
  out.metainfo.assign(text.begin(), text.end());
  out.hash = InfoHash{Sha1::of(as_bytes(info)).raw};
  return out;
}

class World;

struct DiskFile {
  std::vector<uint8_t> bytes;
  int64_t modified_ns = 1;
};

// One node and the machine around it.
class Machine {
 public:
  Machine(World& world, uint32_t number);
  void start();
  // The process dies here and now; the store forgets what was not durable.
  void crash();
  bool is_up() const { return node != nullptr; }
  void put(const Payload& payload);
  bool holds(const Payload& payload) const;
  InfoHash add(const Payload& payload, std::vector<Endpoint> peers = {}, bool seed = false);
  TorrentStatus status(const InfoHash& hash);
  // Makes the changed `config` the node's.
  void reconfigure();
  // Runs a command of the node that must succeed: command(&Node::pause_torrent, hash).
  template <typename Method, typename... Args>
  void command(Method method, const Args&... args);
  static void must(const Status& status) {
    if (!status) check_failed(status.error().reason.c_str(), __FILE__, __LINE__);
  }
  // Runs the node's actions until there is none.
  void drain();

  World& world;
  uint32_t number;
  Endpoint endpoint;
  NodeConfig config;
  SigningKey key;
  NodeIdentity identity;
  SeededRandom random;
  LineLog log;
  MemoryStore store;
  std::map<std::string, DiskFile> disk;
  std::unique_ptr<Node> node;
  uint64_t generation = 0;  // of the process: events of an earlier one are dropped
  uint64_t life = 0;        // draws another peer id in each life

  // Faults and counts for tests.
  uint64_t disk_room = UINT64_MAX;  // bytes that writes may still add
  bool reads_fail = false;
  std::function<void(const BlockRef&, std::vector<uint8_t>&)> tamper;  // changes what is sent
  std::function<void(const Action&)> on_act;                           // sees each action before it is carried out
  uint32_t pieces_hashed = 0;
  uint32_t commits = 0;
  uint32_t timer_calls = 0;
  bool stopped = false;
  std::vector<std::string> urls;
  std::vector<std::vector<uint8_t>> evidence;  // against the ledger

 private:
  friend class World;
  void act(Action& action);
  void do_commit(Commit& commit);
  void do_write(WriteBlock& write);
  void do_hash(const HashPiece& hash);
  void do_files(Ticket ticket, TorrentHandle torrent);
  void connect(const ConnectPeer& connect);
  void pull(PeerHandle peer);
  Result<std::vector<uint8_t>> read(TorrentHandle torrent, uint32_t piece, uint32_t begin, uint32_t length);
  // Runs `answer` on this process after a delay, if it still lives.
  void later(Duration delay, std::function<void()> answer);
  void reschedule();

  std::map<TorrentHandle, OpenTorrent> open_;
  std::map<TorrentHandle, PieceLayout> layouts_;
  struct Socket {
    uint64_t link = 0;
    int side = 0;
    bool wants_pull = false;
  };
  std::map<PeerHandle, Socket> sockets_;
  Instant timer_at_ = Instant::never();
  uint64_t timer_generation_ = 0;
};

// The other end of a connection that the test itself plays.
struct RawPeer {
  uint64_t link = 0;
  std::vector<uint8_t> received;
  bool closed = false;
  std::function<void()> on_bytes;  // after more was received
};

class World {
 public:
  static constexpr size_t k_socket_buffer = 128 * 1024;

  explicit World(uint64_t seed_in = 1) : seed(seed_in) {}
  Machine& add() {
    machines.push_back(std::make_unique<Machine>(*this, static_cast<uint32_t>(machines.size() + 1)));
    return *machines.back();
  }
  void at(Instant when, std::function<void()> what) { events_.emplace(std::make_pair(when, ++event_number_), std::move(what)); }
  // Runs events for some virtual time.
  void run(Duration time) {
    run_until(time, [] { return false; });
  }
  // True: the condition became true in time.
  bool run_until(Duration time, const std::function<bool()>& condition) {
    Instant end = now + time;
    while (!condition()) {
      if (events_.empty() || events_.begin()->first.first > end) {
        now = end;
        return condition();
      }
      auto first = events_.begin();
      now = std::max(now, first->first.first);
      std::function<void()> what = std::move(first->second);
      events_.erase(first);
      what();
      if (++steps_ > 50'000'000) return false;
    }
    return true;
  }
  Machine* find(const Endpoint& endpoint) {
    for (auto& machine : machines) {
      if (machine->endpoint == endpoint) return machine.get();
    }
    return nullptr;
  }
  // A connection from outside, played by the test. Nothing: refused.
  RawPeer* dial_raw(Machine& to, const char* from = "10.9.9.9");
  void send_raw(RawPeer& peer, std::vector<uint8_t> bytes);
  void close_raw(RawPeer& peer);
  // Sees what a machine puts on a link to another one, and may change it.
  struct Wire {
    uint64_t link;
    Machine* from;
    Machine* to;
  };
  std::function<void(const Wire& wire, std::vector<uint8_t>& bytes)> on_wire;
  // Puts bytes on a link as if `from` had sent them; on_wire does not see them.
  void forge(uint64_t link, const Machine& from, std::vector<uint8_t> bytes);

  uint64_t seed;
  Instant now = Instant::from_us(1'000'000);
  Duration delay = Duration::ms(5);  // of links, one way
  // Instead of it, of one that `from` dials: until the other side hears of it, and of what goes over it then.
  struct Delays {
    Duration dial;
    Duration bytes;
  };
  std::function<Delays(const Machine& from)> delays;
  std::vector<std::unique_ptr<Machine>> machines;
  bool tracker_up = true;
  // Answers exchanges with a URL that begins so.
  std::string ledger_url;
  std::function<Result<HttpReply>(const HttpExchange&)> ledger;
  WallTime wall() const { return WallTime::from_ms(1'700'000'000'000 + now.in_us() / 1000); }
  std::function<Result<HttpReply>(Machine&, const HttpExchange&)> http;  // instead of the tracker

 private:
  friend class Machine;
  struct End {
    Machine* machine = nullptr;  // nothing: played by the test
    uint64_t generation = 0;
    PeerHandle peer = 0;
    RawPeer* raw = nullptr;
    size_t in_flight = 0;  // bytes on their way to the other end
  };
  struct Link {
    End ends[2];
    Duration delay;
    bool open = true;
  };
  void deliver(uint64_t link, int to, std::vector<uint8_t> bytes);
  void send(uint64_t link, int from, std::vector<uint8_t> bytes);
  void transmit(uint64_t link, int from, std::vector<uint8_t> bytes);
  // What is on its way arrives before.
  void close(uint64_t link, int by);
  void tell_closed(uint64_t link, int to);
  Result<HttpReply> track(Machine& from, const HttpExchange& exchange);

  std::map<uint64_t, Link> links_;
  uint64_t link_number_ = 0;
  std::map<std::pair<Instant, uint64_t>, std::function<void()>> events_;
  uint64_t event_number_ = 0;
  uint64_t steps_ = 0;
  std::deque<RawPeer> raw_;
  std::map<std::string, std::vector<Endpoint>> swarms_;  // by the info hash as it stands in the URL
};

// ---- machine ----

inline SigningKey machine_key(uint32_t number) {
  std::array<uint8_t, SigningKey::k_seed_size> seed{};
  seed.fill(static_cast<uint8_t>(number));
  return SigningKey::from_seed(seed);
}

inline Machine::Machine(World& world_in, uint32_t number_in)
    : world(world_in), number(number_in), key(machine_key(number_in)), random(world_in.seed * 1000 + number_in) {
  endpoint = {IpAddress::v4({10, 0, 0, static_cast<uint8_t>(number)}), 6881};
  config.listen = endpoint;
  config.data = "/payload";
  identity.key = key.public_key();
  log.name = "[" + std::to_string(number) + "]";
}

inline void Machine::start() {
  CHECK(node == nullptr);
  ++life;
  identity.peer_id = wire::make_peer_id(random);
  stopped = false;
  node = std::make_unique<Node>(config, identity, random, log);
  node->set_listen_port(endpoint.port);
  auto state = store.begin_read();
  Status restored = node->restore(world.now, world.wall(), **state);
  if (!restored) check_failed(restored.error().reason.c_str(), __FILE__, __LINE__);
  drain();
}

inline void Machine::crash() {
  node.reset();
  ++generation;
  for (auto& [peer, socket] : sockets_) world.close(socket.link, socket.side);
  sockets_.clear();
  open_.clear();
  layouts_.clear();
  store.crash();
}

inline void Machine::put(const Payload& payload) {
  for (auto& [path, bytes] : payload.files) disk[config.data + "/" + path] = {bytes, static_cast<int64_t>(world.now.in_us())};
}

inline bool Machine::holds(const Payload& payload) const {
  return std::all_of(payload.files.begin(), payload.files.end(), [&](const auto& file) {
    auto found = disk.find(config.data + "/" + file.first);
    return found != disk.end() && found->second.bytes == file.second;
  });
}

inline InfoHash Machine::add(const Payload& payload, std::vector<Endpoint> peers, bool seed) {
  AddTorrent request;
  request.metainfo = payload.metainfo;
  request.peers = std::move(peers);
  request.seed = seed;
  Result<InfoHash> result = node->add_torrent(world.now, request);
  if (!result) check_failed(result.error().reason.c_str(), __FILE__, __LINE__);
  drain();
  return *result;
}

inline TorrentStatus Machine::status(const InfoHash& hash) {
  for (TorrentStatus& status : node->torrents(world.now)) {
    if (status.info_hash == hash) return status;
  }
  return {};
}

inline void Machine::reconfigure() {
  must(node->set_config(world.now, config));
  drain();
}

template <typename Method, typename... Args>
void Machine::command(Method method, const Args&... args) {
  must((node.get()->*method)(world.now, args...));
  drain();
}

inline void Machine::later(Duration delay, std::function<void()> answer) {
  world.at(world.now + delay, [this, born = generation, answer = std::move(answer)] {
    if (born != generation || node == nullptr) return;
    answer();
    drain();
  });
}

inline void Machine::reschedule() {
  Instant next = node->next_deadline();
  if (next == timer_at_) return;
  timer_at_ = next;
  uint64_t mine = ++timer_generation_;
  if (next.is_never()) return;
  world.at(std::max(next, world.now), [this, mine, born = generation] {
    if (born != generation || mine != timer_generation_ || node == nullptr) return;
    timer_at_ = Instant::never();
    ++timer_calls;
    node->on_timer(world.now, world.wall());
    drain();
  });
}

inline void Machine::drain() {
  Action action;
  while (node->poll_action(action)) act(action);
  reschedule();
}

inline void Machine::act(Action& action) {
  if (on_act) on_act(action);
  if (auto* a = std::get_if<ConnectPeer>(&action)) return connect(*a);
  if (auto* a = std::get_if<PullPeer>(&action)) return pull(a->peer);
  if (auto* a = std::get_if<OpenTorrent>(&action)) {
    std::vector<uint64_t> sizes;
    for (TorrentFile& file : a->files) sizes.push_back(file.size);
    layouts_[a->torrent] = *PieceLayout::make(a->piece_size, sizes);
    open_[a->torrent] = std::move(*a);
  } else if (auto* close = std::get_if<ClosePeer>(&action)) {
    auto socket = sockets_.find(close->peer);
    if (socket == sockets_.end()) return;
    world.close(socket->second.link, socket->second.side);
    sockets_.erase(socket);
  } else if (auto* files = std::get_if<CheckFiles>(&action)) {
    do_files(files->ticket, files->torrent);
  } else if (auto* sync = std::get_if<SyncTorrent>(&action)) {
    do_files(sync->ticket, sync->torrent);
  } else if (auto* hash = std::get_if<HashPiece>(&action)) {
    do_hash(*hash);
  } else if (auto* write = std::get_if<WriteBlock>(&action)) {
    do_write(*write);
  } else if (auto* commit = std::get_if<Commit>(&action)) {
    do_commit(*commit);
  } else if (auto* exchange = std::get_if<HttpExchange>(&action)) {
    urls.push_back(exchange->url);
    later(Duration::ms(20), [this, exchange = std::move(*exchange)] {
      bool to_ledger = !world.ledger_url.empty() && exchange.url.starts_with(world.ledger_url);
      Result<HttpReply> reply = to_ledger    ? world.ledger(exchange)
                                : world.http ? world.http(*this, exchange)
                                             : world.track(*this, exchange);
      node->on_http_done(world.now, world.wall(), exchange.ticket, reply);
    });
  } else if (auto* sign = std::get_if<SignBytes>(&action)) {
    later(Duration::ms(1),
          [this, ticket = sign->ticket, signature = key.sign(sign->message)] { node->on_signed(world.now, ticket, signature); });
  } else if (auto* check = std::get_if<VerifyBytes>(&action)) {
    bool valid = verify(check->key, check->message, check->signature);
    later(Duration::ms(1), [this, ticket = check->ticket, valid] { node->on_verified(world.now, ticket, valid); });
  } else if (auto* kept = std::get_if<KeepEvidence>(&action)) {
    evidence.push_back(std::move(kept->bytes));
  } else if (std::get_if<ShutDownDone>(&action)) {
    stopped = true;
  }
}

inline void Machine::do_commit(Commit& commit) {
  ++commits;
  // The disk takes its time: a crash in between forgets the commit.
  auto changes = std::make_shared<StoreBatch>(std::move(commit.changes));
  later(Duration::ms(10), [this, changes, sequence = commit.sequence] {
    Status status = commit_batch(store, *changes);
    status ? node->on_durable(world.now, sequence) : node->on_commit_failed(world.now, sequence, status.error());
  });
}

inline void Machine::do_write(WriteBlock& write) {
  const OpenTorrent& torrent = open_.at(write.block.torrent);
  ExtentWalk walk = layouts_.at(write.block.torrent).extents(write.block.piece, write.block.begin, write.block.length);
  FileExtent extent;
  size_t from = 0;
  Status status = ok;
  while (walk.next(extent)) {
    DiskFile& file = disk[torrent.root + "/" + torrent.files[extent.file].path];
    uint64_t end = extent.offset + extent.length;
    uint64_t grows = end > file.bytes.size() ? end - file.bytes.size() : 0;
    if (grows > disk_room) {
      status = error(Errc::no_room, "the disk is full");
      break;
    }
    disk_room -= grows;
    if (grows > 0) file.bytes.resize(end);
    std::copy_n(write.data.begin() + static_cast<std::ptrdiff_t>(from), extent.length,
                file.bytes.begin() + static_cast<std::ptrdiff_t>(extent.offset));
    file.modified_ns = static_cast<int64_t>(world.now.in_us());
    from += extent.length;
  }
  later(Duration::ms(2), [this, ticket = write.ticket, status] { node->on_block_written(world.now, ticket, status); });
}

inline Result<std::vector<uint8_t>> Machine::read(TorrentHandle handle, uint32_t piece, uint32_t begin, uint32_t length) {
  const OpenTorrent& torrent = open_.at(handle);
  ExtentWalk walk = layouts_.at(handle).extents(piece, begin, length);
  FileExtent extent;
  std::vector<uint8_t> out;
  while (walk.next(extent)) {
    std::string path = torrent.root + "/" + torrent.files[extent.file].path;
    auto file = disk.find(path);
    if (reads_fail) return error(Errc::denied, path + ": permission denied");
    if (file == disk.end()) return error(Errc::not_found, path + " does not exist");
    if (file->second.bytes.size() < extent.offset + extent.length) return error(Errc::io, path + " is too short");
    auto at = file->second.bytes.begin() + static_cast<std::ptrdiff_t>(extent.offset);
    out.insert(out.end(), at, at + extent.length);
  }
  return out;
}

inline void Machine::do_hash(const HashPiece& hash) {
  ++pieces_hashed;
  Result<std::vector<uint8_t>> bytes =
      read(hash.torrent, hash.piece, hash.begin, hash.length != 0 ? hash.length : layouts_.at(hash.torrent).piece_size(hash.piece));
  Result<Sha1Digest> digest = bytes ? Result<Sha1Digest>(Sha1::of(*bytes)) : Result<Sha1Digest>(bytes.error());
  later(Duration::ms(1), [this, digest, ticket = hash.ticket] { node->on_piece_hashed(world.now, ticket, digest); });
}

inline void Machine::do_files(Ticket ticket, TorrentHandle handle) {
  const OpenTorrent& torrent = open_.at(handle);
  FileStates states;
  for (const TorrentFile& file : torrent.files) {
    auto found = disk.find(torrent.root + "/" + file.path);
    states.push_back(found == disk.end() ? std::nullopt : std::optional(FileState{found->second.bytes.size(), found->second.modified_ns}));
  }
  later(Duration::ms(3), [this, ticket, states = std::move(states)] { node->on_files_checked(world.now, ticket, states); });
}

inline void Machine::connect(const ConnectPeer& action) {
  PeerHandle mine = action.peer;
  Endpoint remote = action.remote;
  uint64_t number_of_link = ++world.link_number_;
  sockets_[mine] = {number_of_link, 0, false};
  World::Delays delays = world.delays ? world.delays(*this) : World::Delays{world.delay, world.delay};
  world.links_[number_of_link].ends[0] = {this, generation, mine, nullptr, 0};
  world.links_[number_of_link].delay = delays.bytes;
  later(delays.dial, [this, mine, remote, number_of_link] {
    if (sockets_.count(mine) == 0) return;
    Machine* other = world.find(remote);
    std::optional<PeerHandle> theirs;
    // The other side sees the connection come from our address and some port.
    if (other != nullptr && other->is_up()) {
      theirs = other->node->on_accepted(world.now, {endpoint.address, static_cast<uint16_t>(40000 + number_of_link % 20000)},
                                        other->endpoint.address, Transport::tcp);
    }
    if (!theirs) {
      sockets_.erase(mine);
      world.links_.erase(number_of_link);
      node->on_closed(world.now, mine, error(Errc::unavailable, "connection refused"));
      return;
    }
    world.links_[number_of_link].ends[1] = {other, other->generation, *theirs, nullptr, 0};
    other->sockets_[*theirs] = {number_of_link, 1, false};
    other->drain();
    node->on_connected(world.now, mine, endpoint.address, Transport::tcp);
  });
}

inline void Machine::pull(PeerHandle peer) {
  auto socket = sockets_.find(peer);
  if (socket == sockets_.end()) return;
  auto link_at = world.links_.find(socket->second.link);
  if (link_at == world.links_.end()) return;
  World::End& end = link_at->second.ends[socket->second.side];
  while (end.in_flight < World::k_socket_buffer) {
    SendItem item;
    if (!node->next_send(world.now, peer, item)) {
      socket->second.wants_pull = false;
      return;
    }
    std::vector<uint8_t> bytes(item.bytes.begin(), item.bytes.end());
    if (item.block) {
      Result<std::vector<uint8_t>> block = read(item.block->torrent, item.block->piece, item.block->begin, item.block->length);
      if (!block) {
        uint64_t link = socket->second.link;
        int side = socket->second.side;
        sockets_.erase(socket);
        world.close(link, side);
        node->on_read_failed(world.now, peer, *item.block, block.error());
        return;
      }
      if (tamper) tamper(*item.block, *block);
      bytes.insert(bytes.end(), block->begin(), block->end());
    }
    node->on_sent(world.now, peer, static_cast<uint32_t>(bytes.size()));
    world.send(socket->second.link, socket->second.side, std::move(bytes));
  }
  socket->second.wants_pull = true;
}

// ---- world ----

inline void World::send(uint64_t number, int from, std::vector<uint8_t> bytes) {
  const Link& link = links_.at(number);
  Machine* sender = link.ends[from].machine;
  Machine* receiver = link.ends[1 - from].machine;
  if (on_wire && sender != nullptr && receiver != nullptr) on_wire({number, sender, receiver}, bytes);
  if (!bytes.empty()) transmit(number, from, std::move(bytes));
}

inline void World::forge(uint64_t number, const Machine& from, std::vector<uint8_t> bytes) {
  auto link = links_.find(number);
  if (link != links_.end()) transmit(number, link->second.ends[0].machine == &from ? 0 : 1, std::move(bytes));
}

inline void World::transmit(uint64_t number, int from, std::vector<uint8_t> bytes) {
  Link& link = links_.at(number);
  link.ends[from].in_flight += bytes.size();
  at(now + link.delay, [this, number, from, bytes = std::move(bytes)]() mutable { deliver(number, 1 - from, std::move(bytes)); });
}

inline void World::deliver(uint64_t number, int to, std::vector<uint8_t> bytes) {
  auto found = links_.find(number);
  if (found == links_.end() || !found->second.open) return;
  End& sender = found->second.ends[1 - to];
  End& receiver = found->second.ends[to];
  sender.in_flight -= bytes.size();
  if (receiver.raw != nullptr) {
    receiver.raw->received.insert(receiver.raw->received.end(), bytes.begin(), bytes.end());
    auto told = receiver.raw->on_bytes;  // it may be taken away under way
    if (told) told();
  }
  Machine* machine = receiver.machine;
  if (machine != nullptr && machine->node != nullptr && machine->generation == receiver.generation &&
      machine->sockets_.count(receiver.peer) > 0) {
    machine->node->on_received(now, receiver.peer, bytes);
    machine->drain();
  }
  Machine* from = sender.machine;
  if (from != nullptr && from->node != nullptr && from->generation == sender.generation) {
    auto socket = from->sockets_.find(sender.peer);
    if (socket == from->sockets_.end() || !socket->second.wants_pull) return;
    from->pull(sender.peer);
    from->drain();
  }
}

inline void World::close(uint64_t number, int by) {
  auto found = links_.find(number);
  if (found == links_.end()) return;
  at(now + found->second.delay, [this, number, by] { tell_closed(number, 1 - by); });
}

inline void World::tell_closed(uint64_t number, int to) {
  auto found = links_.find(number);
  if (found == links_.end()) return;
  End end = found->second.ends[to];
  links_.erase(found);
  if (end.raw != nullptr) end.raw->closed = true;
  Machine* machine = end.machine;
  if (machine == nullptr || machine->node == nullptr || machine->generation != end.generation || machine->sockets_.erase(end.peer) == 0)
    return;
  machine->node->on_closed(now, end.peer, error(Errc::unavailable, "closed by the peer"));
  machine->drain();
}

inline RawPeer* World::dial_raw(Machine& to, const char* from) {
  Endpoint remote{*IpAddress::parse(from), static_cast<uint16_t>(50000 + raw_.size())};
  std::optional<PeerHandle> theirs = to.node->on_accepted(now, remote, to.endpoint.address, Transport::tcp);
  if (!theirs) return nullptr;
  raw_.push_back({});
  RawPeer& peer = raw_.back();
  peer.link = ++link_number_;
  Link& link = links_[peer.link];
  link.delay = delay;
  link.ends[0].raw = &peer;
  link.ends[1] = {&to, to.generation, *theirs, nullptr, 0};
  to.sockets_[*theirs] = {peer.link, 1, false};
  to.drain();
  return &peer;
}

inline void World::send_raw(RawPeer& peer, std::vector<uint8_t> bytes) {
  if (links_.count(peer.link) > 0) send(peer.link, 0, std::move(bytes));
}

inline void World::close_raw(RawPeer& peer) { close(peer.link, 0); }

// Answers announces with everybody else of the swarm, compact (BEP 23).
inline Result<HttpReply> World::track(Machine& from, const HttpExchange& exchange) {
  if (!tracker_up) return error(Errc::unavailable, "connection refused");
  size_t at = exchange.url.find("info_hash=");
  std::string key = exchange.url.substr(at, exchange.url.find('&', at) - at);
  std::vector<Endpoint>& swarm = swarms_[key];
  std::string peers;
  for (const Endpoint& peer : swarm) {
    if (peer == from.endpoint) continue;
    peers += as_text(peer.address.raw());
    peers += static_cast<char>(peer.port >> 8);
    peers += static_cast<char>(peer.port & 255);
  }
  std::erase(swarm, from.endpoint);
  if (exchange.url.find("event=stopped") == std::string::npos) swarm.push_back(from.endpoint);
  std::string body = "d8:intervali1800e5:peers" + std::to_string(peers.size()) + ":" + peers + "e";
  return HttpReply{200, {body.begin(), body.end()}};
}

}  // namespace millet::testing
