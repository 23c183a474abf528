// A whole node behind its driver, on a simulated machine (hal/sim), and a stranger that has a UDP port and TCP connections: the input is a
// script of what the stranger does. Its bytes go the way that all bytes from outside go, through sockets, driver, uTP or TCP, handshake and
// messages to the node, and what that answers goes the way back. Whatever the script says, the node neither crashes nor loops nor waits for
// its disk, holds no more connections than it may, sends no more to an address that has proved nothing than came from there, and serves an
// honest peer afterwards, over TCP and over uTP.
#include <algorithm>
#include <map>

#include "codec/peer_wire.h"
#include "driver/node_driver.h"
#include "fuzz/fuzz.h"
#include "hal/sim/machine.h"
#include "hal/sim/network.h"
#include "hal/sim/udp.h"
#include "hal/sim/world.h"
#include "sim/payload.h"
#include "swarm/utp.h"

using namespace millet;

namespace {

constexpr uint16_t k_port = 6881;
constexpr const char* k_root = "/data";
const Endpoint k_node = {IpAddress::v4({10, 0, 0, 1}), k_port};
const IpAddress k_stranger = IpAddress::v4({10, 0, 0, 2});
const IpAddress k_honest = IpAddress::v4({10, 0, 0, 3});
constexpr size_t k_streams_max = 4;            // of the stranger, over each transport
constexpr size_t k_said_max = 64 * 1024;       // bytes of one stream
constexpr Duration k_step = Duration::ms(20);  // between looks of the stranger's engine at its timers
constexpr Duration k_rest = Duration::seconds(5);

const simtest::Payload& payload() {
  static const simtest::Payload made = simtest::make_payload({"payload", 96 * 1024, 32 * 1024, 1, ""}, Random(5));
  return made;
}

NodeDriverOptions driver_options() {
  NodeDriverOptions out;
  out.config.listen = {IpAddress(), k_port};
  out.config.data = k_root;
  out.config.tcp = out.config.utp = true;
  out.config.trackers = false;
  out.config.peers_max = 12;
  out.config.peers_per_address = 8;
  out.config.speed_enabled = true;
  out.peer_id.raw.fill('n');
  return out;
}

// ---- the node ----

class NodeProgram final : public sim::Program {
 public:
  NodeProgram(sim::Machine& machine, hal::System& system)
      : driver(driver_options(), SigningKey::from_seed({}), system, machine.store("node"), log_) {
    CHECK(driver.restore().has_value() && driver.listen().has_value());
    AddTorrent request;
    request.metainfo = payload().metainfo;
    request.root = k_root;
    request.seed = true;
    CHECK(driver.node().add_torrent(system.clock.now(), request).has_value());
    driver.settle();
  }

 private:
  NullLog log_;

 public:
  NodeDriver driver;
};

class NodeFactory final : public sim::ProgramFactory {
 public:
  std::unique_ptr<sim::Program> start(sim::Machine& machine, hal::System& system) override {
    return std::make_unique<NodeProgram>(machine, system);
  }
};

// ---- the others: what they have is said by who drives them ----

class PeerProgram final : public sim::Program, public hal::StreamEvents, public hal::DatagramEvents {
 public:
  explicit PeerProgram(hal::System& given) : system(given), utp_(utp_options(), system.random, 7) {
    system.streams.set_events(this);
    system.datagrams.set_events(this);
    CHECK(system.datagrams.bind({IpAddress(), 7000}, {}).has_value());
  }
  ~PeerProgram() override {
    system.streams.set_events(nullptr);
    system.datagrams.set_events(nullptr);
  }
  struct Stream {
    bool is_utp = false;
    bool open = false;
    uint64_t id = 0;
    std::vector<uint8_t> said;  // uTP asks for it again
    std::vector<uint8_t> unsent;
    std::vector<uint8_t> heard;
    uint64_t heard_bytes = 0;
  };

  Stream* connect(bool is_utp) {
    Stream stream;
    stream.is_utp = is_utp;
    if (is_utp) {
      Result<UtpId> id = utp_.connect(now(), k_node);
      if (!id) return nullptr;
      stream.id = *id;
    } else {
      stream.id = system.streams.connect(k_node, std::nullopt);
    }
    streams.push_back(std::move(stream));
    pump();
    return &streams.back();
  }
  void say(Stream& stream, Bytes bytes) {
    if (stream.said.size() + bytes.size() > k_said_max) return;
    stream.said.insert(stream.said.end(), bytes.begin(), bytes.end());
    stream.unsent.insert(stream.unsent.end(), bytes.begin(), bytes.end());
    send_some(stream);
    pump();
  }
  void set_reading(Stream& stream, bool reading) {
    if (stream.is_utp)
      utp_.set_reading(now(), stream.id, reading);
    else if (stream.open)
      system.streams.set_reading(stream.id, reading);
    pump();
  }
  // `rudely`: a RESET where there is one.
  void close(size_t index, bool rudely) {
    Stream stream = std::move(streams[index]);
    streams.erase(streams.begin() + static_cast<std::ptrdiff_t>(index));
    if (!stream.is_utp)
      system.streams.close(stream.id);
    else if (rudely || !stream.open)
      utp_.abandon(now(), stream.id);
    else
      utp_.close(now(), stream.id);
    pump();
  }
  void pump() {
    if (utp_.next_deadline() <= now()) utp_.on_timer(now());
    poll();
    UtpRun run;
    std::vector<uint8_t> buffer;
    while (utp_.plan(now(), run)) {
      buffer.assign(run.size(), 0);
      for (size_t i = 0; run.has_payload && i < run.count; ++i) fill(run, i, buffer);
      utp_.commit(now(), run, buffer);
      // A mistake of the script's choice in one of the packets.
      if (mistakes != 0) {
        --mistakes;
        buffer[mistake_at % buffer.size()] ^= mistake;
      }
      hal::OutgoingRun out{run.to, buffer, run.packet_size, run.may_fragment, 0, hal::SendOutcome::sent, run.from};
      system.datagrams.send(std::span(&out, 1));
    }
  }

  void on_accepted(hal::ListenerId, hal::StreamId, const Endpoint&) override {}
  void on_connected(hal::StreamId id) override {
    if (Stream* stream = find(false, id)) {
      stream->open = true;
      send_some(*stream);
    }
  }
  void on_received(hal::StreamId id, Bytes bytes) override {
    if (Stream* stream = find(false, id)) hear(*stream, bytes);
  }
  void on_writable(hal::StreamId id) override {
    if (Stream* stream = find(false, id)) send_some(*stream);
  }
  void on_closed(hal::StreamId id, const Error&) override { forget(false, id); }
  void on_datagrams(std::span<const hal::IncomingRun> runs) override {
    for (const hal::IncomingRun& run : runs) {
      for (Bytes left = run.bytes; !left.empty(); left = left.subspan(std::min(run.size, left.size()))) {
        utp_.on_datagram(now(), run.from, left.first(std::min(run.size, left.size())));
        poll();
      }
    }
    pump();
  }
  void on_datagrams_writable() override {}
  void on_unreachable(const Endpoint&) override {}
  void on_path_mtu(const Endpoint&, uint32_t) override {}

  hal::System& system;
  std::vector<Stream> streams;
  unsigned mistakes = 0;
  size_t mistake_at = 0;
  uint8_t mistake = 0;

 private:
  static UtpOptions utp_options() {
    UtpOptions out;
    out.connections_max = 16;
    return out;
  }
  Instant now() { return system.clock.now(); }
  Stream* find(bool is_utp, uint64_t id) {
    auto at = std::find_if(streams.begin(), streams.end(), [&](const Stream& s) { return s.is_utp == is_utp && s.id == id; });
    return at == streams.end() ? nullptr : &*at;
  }
  void forget(bool is_utp, uint64_t id) {
    std::erase_if(streams, [&](const Stream& s) { return s.is_utp == is_utp && s.id == id; });
  }
  static void hear(Stream& stream, Bytes bytes) {
    stream.heard_bytes += bytes.size();
    size_t kept = std::min<size_t>(bytes.size(), wire::k_handshake_size - std::min<size_t>(stream.heard.size(), wire::k_handshake_size));
    stream.heard.insert(stream.heard.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(kept));
  }
  void send_some(Stream& stream) {
    if (stream.unsent.empty() || (!stream.is_utp && !stream.open)) return;
    if (stream.is_utp) {
      utp_.offer(now(), stream.id, stream.unsent.size());
      stream.unsent.clear();
      return;
    }
    Bytes part(stream.unsent);
    size_t taken = system.streams.send(stream.id, std::span<const Bytes>(&part, 1));
    stream.unsent.erase(stream.unsent.begin(), stream.unsent.begin() + static_cast<std::ptrdiff_t>(taken));
  }
  void fill(const UtpRun& run, size_t i, std::vector<uint8_t>& buffer) {
    const UtpSegment& segment = run.segments[i];
    const Stream* stream = find(true, run.stream);
    if (stream == nullptr) return;  // closed by the script: what is left of it are zeros
    CHECK(segment.offset + segment.size <= stream->said.size());
    std::memcpy(buffer.data() + i * run.packet_size + k_utp_header_size, stream->said.data() + segment.offset, segment.size);
  }
  void poll() {
    UtpEvent event;
    while (utp_.poll(now(), event)) {
      Stream* stream = find(true, event.stream);
      if (event.kind == UtpEvent::Kind::closed) forget(true, event.stream);
      if (event.kind == UtpEvent::Kind::connected && stream != nullptr) stream->open = true;
      if (event.kind == UtpEvent::Kind::received && stream != nullptr) hear(*stream, event.bytes);
    }
  }

  Utp utp_;
};

class PeerFactory final : public sim::ProgramFactory {
 public:
  std::unique_ptr<sim::Program> start(sim::Machine&, hal::System& system) override { return std::make_unique<PeerProgram>(system); }
};

// Counts what goes to and comes from the stranger's ports that never finish a handshake.
class Balance final : public sim::DatagramTap {
 public:
  void on_sent(uint32_t, const Endpoint& from, const Endpoint& to, Bytes datagram) override {
    if (from == k_node) sent_to_[to] += datagram.size();
  }
  void on_received(uint32_t, const Endpoint& from, const Endpoint& to, Bytes datagram) override {
    if (to.port == k_port) received_from_[from] += datagram.size();
  }
  void on_socket_closed(uint32_t, uint16_t) override {}
  bool amplifies(const Endpoint& who) { return sent_to_[who] > received_from_[who]; }

 private:
  std::map<Endpoint, uint64_t> sent_to_;
  std::map<Endpoint, uint64_t> received_from_;
};

// ---- the script ----

class Script {
 public:
  explicit Script(Bytes input) : input_(input) {
    add("node", k_node.address, node_factory_);
    add("stranger", k_stranger, peer_factory_);
    add("honest", k_honest, peer_factory_);
    world_.udp().set_tap(&balance_);
    for (uint16_t i = 0; i < std::size(raw_); ++i) {
      raw_[i].machine = 1;
      CHECK(world_.udp().bind(raw_[i], {k_stranger, static_cast<uint16_t>(7001 + i)}).has_value());
    }
    pass(Duration::seconds(2));  // the node looks at its files
    CHECK(driver().node().torrents(world_.now())[0].state == TorrentState::seeding);
  }
  ~Script() {
    for (sim::Udp::Owner& owner : raw_) world_.udp().close(owner);
    world_.udp().set_tap(nullptr);
  }
  void run() {
    while (at_ < input_.size()) step();
  }
  // Bytes that the stranger heard on its stream that heard most.
  uint64_t most_heard(bool is_utp) {
    uint64_t most = 0;
    for (const PeerProgram::Stream& stream : stranger().streams) {
      if (stream.is_utp == is_utp) most = std::max(most, stream.heard_bytes);
    }
    return most;
  }
  void check();

 private:
  void add(const char* name, const IpAddress& address, sim::ProgramFactory& factory) {
    sim::MachineOptions options;
    options.name = name;
    options.addresses = {address};
    options.link.delay = Duration::ms(1);
    sim::Machine& machine = world_.add_machine(options);
    payload().install(machine.disk(), k_root);
    machine.set_factory(factory);
    CHECK(machine.start());
  }
  PeerProgram& peer(uint32_t machine) { return *static_cast<PeerProgram*>(world_.machine(machine).program()); }
  PeerProgram& stranger() { return peer(1); }
  NodeDriver& driver() { return static_cast<NodeProgram*>(world_.machine(0).program())->driver; }
  uint8_t next() { return at_ < input_.size() ? input_[at_++] : 0; }
  std::vector<uint8_t> some(size_t most) {
    std::vector<uint8_t> out(next() % (most + 1));
    for (uint8_t& byte : out) byte = next();
    return out;
  }
  void pass(Duration time) {
    for (Instant end = world_.now() + time; world_.now() < end;) {
      CHECK(world_.run_until(std::min(end, world_.now() + k_step)) != sim::StopReason::livelock);
      for (uint32_t machine : {1u, 2u}) peer(machine).pump();
    }
  }
  void step();
  void forge();
  void say(PeerProgram& from, PeerProgram::Stream& stream, unsigned what);
  static std::vector<uint8_t> handshake(char id);

  Bytes input_;
  size_t at_ = 0;
  sim::World world_{1};
  NodeFactory node_factory_;
  PeerFactory peer_factory_;
  Balance balance_;
  sim::Udp::Owner raw_[3];
};

std::vector<uint8_t> Script::handshake(char id) {
  wire::Handshake out;
  out.info_hash = payload().info_hash;
  out.peer_id.raw.fill(static_cast<uint8_t>(id));
  out.extended = out.fast = true;
  std::vector<uint8_t> bytes;
  wire::encode(out, bytes);
  return bytes;
}

// A datagram out of the script's own bytes, more often than not one that looks like uTP.
void Script::forge() {
  sim::Udp::Owner& owner = raw_[next() % std::size(raw_)];
  bool looks_like_utp = next() % 4 != 0;
  std::vector<uint8_t> bytes = some(200);
  if (looks_like_utp && !bytes.empty()) bytes[0] = static_cast<uint8_t>((bytes[0] % 5) << 4 | 1);
  hal::OutgoingRun run{k_node, bytes, std::max<size_t>(bytes.size(), 1), true, 0, hal::SendOutcome::sent, {}};
  world_.udp().send(owner, std::span(&run, 1));
}

void Script::say(PeerProgram& from, PeerProgram::Stream& stream, unsigned what) {
  if (what == 0) return from.say(stream, handshake(static_cast<char>('a' + next() % 4)));
  if (what == 1) return from.say(stream, some(255));
  // A message with its length in front: one of a known number and length, or of anything.
  std::vector<uint8_t> bytes(5);
  bytes[4] = next();
  std::vector<uint8_t> body = what == 2 ? some(60) : std::vector<uint8_t>();
  if (what == 3 && bytes[4] % 2 == 0) bytes[4] = 2;  // interested
  if (what == 3 && bytes[4] % 2 == 1) {
    bytes[4] = 6;  // request
    body.assign(12, 0);
    body[3] = next() % 4;
    body[6] = next() & 0xc0;
    store_be<uint32_t>(body.data() + 8, k_block_size);
  }
  store_be<uint32_t>(bytes.data(), static_cast<uint32_t>(body.size() + 1));
  bytes.insert(bytes.end(), body.begin(), body.end());
  from.say(stream, bytes);
}

void Script::step() {
  PeerProgram& who = stranger();
  size_t count = who.streams.size();
  size_t index = count == 0 ? 0 : next() % count;
  switch (unsigned what = next() % 12) {
    case 0: return pass(Duration::ms(int64_t{next()} * (next() % 8 == 0 ? 50 : 1)));
    case 1: return forge();
    case 2:
    case 3: {
      auto same = [&](const PeerProgram::Stream& stream) { return stream.is_utp == (what == 2); };
      if (static_cast<size_t>(std::count_if(who.streams.begin(), who.streams.end(), same)) < k_streams_max) who.connect(what == 2);
      return pass(Duration::ms(10));
    }
    case 4:
    case 5:
    case 6:
    case 7:
      if (count != 0) say(who, who.streams[index], what - 4);
      return;
    case 8:
      if (count != 0) who.set_reading(who.streams[index], (next() & 1) != 0);
      return;
    case 9:
      if (count != 0) who.close(index, (next() & 1) != 0);
      return;
    case 10:
      who.mistakes = next() % 4;
      who.mistake_at = next();
      who.mistake = next();
      return;
    default:
      // The port is gone for a moment, so that what comes there is answered by ICMP; the disk is cold.
      if (next() % 2 == 0) {
        sim::Udp::Owner& owner = raw_[next() % std::size(raw_)];
        Endpoint local = owner.local;
        world_.udp().close(owner);
        pass(Duration::ms(50));
        CHECK(world_.udp().bind(owner, local).has_value());
      } else {
        world_.machine(0).disk().drop_cache();
      }
  }
}

void Script::check() {
  pass(k_rest);
  CHECK(world_.machine(0).blocking_calls() == 0);
  TransportStatus status = driver().transport_status();
  CHECK(status.tcp_connections + status.utp_connections <= 2 * driver_options().config.peers_max);
  CHECK(driver().node().peers(world_.now(), std::nullopt).size() <= driver_options().config.peers_per_address);
  for (const sim::Udp::Owner& owner : raw_) CHECK(!balance_.amplifies(owner.local));
  PeerProgram& honest = peer(2);
  for (bool is_utp : {false, true}) {
    PeerProgram::Stream* stream = honest.connect(is_utp);
    CHECK(stream != nullptr);
    honest.say(*stream, handshake(is_utp ? 'x' : 'y'));
  }
  pass(Duration::seconds(2));
  CHECK(honest.streams.size() == 2);
  for (const PeerProgram::Stream& stream : honest.streams) CHECK(stream.heard.size() == wire::k_handshake_size);
}

// ---- samples ----

constexpr char k_pass = 0, k_forge = 1, k_connect_utp = 2, k_connect_tcp = 3, k_say_handshake = 4, k_say_rubbish = 5, k_say_message = 6,
               k_say_known = 7, k_break = 10;

std::string script(std::initializer_list<int> bytes) {
  std::string out;
  for (int byte : bytes) out += static_cast<char>(byte);
  return out;
}

// Connects, says who it is, is interested, waits for its slot and asks for three blocks. The first byte of a step names a stream, if there
// is one.
std::string download(char how) {
  std::string out = script({how, 0, k_pass, 100, 1, 0, k_say_handshake, 0, 0, k_pass, 100, 1});
  out += script({0, k_say_known, 0});                                                     // interested
  for (int i = 0; i < 2; ++i) out += script({0, k_pass, 240, 0});                         // 24 s
  for (int block = 0; block < 3; ++block) out += script({0, k_say_known, 1, block, 64});  // request
  return out + script({0, k_pass, 250, 1, 0, k_pass, 250, 1});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Script script(Bytes(data, std::min<size_t>(size, 1024)));
  script.run();
  script.check();
  return 0;
}

std::vector<std::string> fuzz_samples() {
  std::vector<std::string> out;
  for (char how : {k_connect_tcp, k_connect_utp}) {
    out.push_back(download(how));
    // It goes all the way down: blocks come back.
    Script whole(as_bytes(out.back()));
    whole.run();
    CHECK(whole.most_heard(how == k_connect_utp) > 3 * k_block_size);
  }
  std::string forged;
  for (int i = 0; i < 8; ++i) {
    forged += script({k_forge, i % 3, 1, 20 + i, 4 - i % 5, 0, 1, i, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 255, 255, 0, i, 0, 1});
    forged += std::string(static_cast<size_t>(i), 'x');
  }
  out.push_back(forged + script({k_pass, 100, 1}));
  out.push_back(script({k_connect_utp,
                        0,
                        k_pass,
                        50,
                        1,
                        0,
                        k_break,
                        3,
                        20,
                        255,
                        0,
                        k_say_handshake,
                        0,
                        0,
                        k_pass,
                        250,
                        1,
                        0,
                        k_say_rubbish,
                        10,
                        0,
                        0,
                        0,
                        1,
                        2,
                        0,
                        0,
                        0,
                        1,
                        3,
                        0,
                        k_say_message,
                        20,
                        3,
                        0,
                        'd',
                        'e',
                        0,
                        k_pass,
                        200,
                        1}));
  Random random(11);
  for (int i = 0; i < 2; ++i) {
    std::string any;
    for (int j = 0; j < 200; ++j) any += static_cast<char>(random.below(256));
    out.push_back(any);
  }
  return out;
}
