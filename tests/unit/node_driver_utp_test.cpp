// The driver and uTP on the real machine: a fake node behind it, and beside it a peer that is the engine over a socket of its own.
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>

#include "base/random.h"
#include "driver/node_driver.h"
#include "hal/linux/system.h"
#include "store/memory_store.h"
#include "unit/fake_node.h"
#include "unit/temp_folder.h"
#include "unit/test.h"

using namespace millet;

namespace {

constexpr TorrentHandle k_torrent = 9;
constexpr uint32_t k_piece_size = 256 * 1024;

// A file system that can't tell what is in memory: every block needs a job.
class ColdFile final : public hal::File {
 public:
  explicit ColdFile(std::unique_ptr<hal::File> real) : real_(std::move(real)) {}
  Result<size_t> read_at(uint64_t offset, MutBytes out) override { return real_->read_at(offset, out); }
  Result<size_t> read_cached(uint64_t, std::span<const MutBytes>) override { return error(Errc::unsupported, "cold"); }
  Status write_at(uint64_t offset, Bytes bytes) override { return real_->write_at(offset, bytes); }
  Status resize(uint64_t size) override { return real_->resize(size); }
  Status sync() override { return real_->sync(); }
  Result<hal::FileInfo> info() override { return real_->info(); }

 private:
  std::unique_ptr<hal::File> real_;
};
class ColdFiles final : public hal::Files {
 public:
  explicit ColdFiles(hal::Files& real) : real_(real) {}
  Result<std::unique_ptr<hal::File>> open(const std::string& root, const std::string& relative, hal::OpenMode mode) override {
    Result<std::unique_ptr<hal::File>> file = real_.open(root, relative, mode);
    if (!file) return file;
    return std::unique_ptr<hal::File>(std::make_unique<ColdFile>(std::move(file).value()));
  }
  Result<hal::FileInfo> info(const std::string& root, const std::string& relative) override { return real_.info(root, relative); }
  Status remove(const std::string& root, const std::string& relative) override { return real_.remove(root, relative); }
  Result<std::vector<uint8_t>> read_file(const std::string& path, uint64_t size_max) override { return real_.read_file(path, size_max); }
  Result<std::vector<std::string>> list(const std::string& path) override { return real_.list(path); }

 private:
  hal::Files& real_;
};

// Somebody else's node, as far as the wire goes: one stream.
struct RemotePeer final : hal::DatagramEvents {
  RemotePeer(hal::LinuxSystem& machine, LogSink& log)
      : clock(machine.system().clock), socket(machine.uv(), log), utp({}, machine.system().random, 7) {
    socket.set_events(this);
    if (Result<Endpoint> bound = socket.bind(*Endpoint::parse("127.0.0.1:0"), {})) address = *bound;
  }
  void on_datagrams(std::span<const hal::IncomingRun> runs) override {
    for (const hal::IncomingRun& run : runs) {
      for (Bytes left = run.bytes; !left.empty(); left = left.subspan(std::min(run.size, left.size()))) {
        ++datagrams;
        // Every so many-th packet is lost.
        if (lose_every != 0 && datagrams % lose_every == 0) continue;
        utp.on_datagram(clock.now(), run.from, left.first(std::min(run.size, left.size())));
        poll();
      }
    }
    turn();
  }
  void on_datagrams_writable() override {}
  void on_unreachable(const Endpoint&) override {}
  void on_path_mtu(const Endpoint&, uint32_t) override {}
  void poll() {
    UtpEvent event;
    while (utp.poll(clock.now(), event)) {
      if (event.kind == UtpEvent::Kind::accepted || event.kind == UtpEvent::Kind::connected) {
        stream = event.stream;
        ++opened;
      }
      if (event.kind == UtpEvent::Kind::received && first_size == 0) first_size = event.bytes.size();
      if (event.kind == UtpEvent::Kind::received) received.insert(received.end(), event.bytes.begin(), event.bytes.end());
      if (event.kind == UtpEvent::Kind::closed) closed = true;
    }
  }
  void turn() {
    Instant now = clock.now();
    if (utp.next_deadline() <= now) utp.on_timer(now);
    poll();
    UtpRun run;
    while (utp.plan(now, run)) {
      std::vector<uint8_t> buffer(run.size());
      for (size_t i = 0; i < run.count && run.has_payload; ++i) {
        const UtpSegment& segment = run.segments[i];
        std::memcpy(buffer.data() + i * run.packet_size + k_utp_header_size, said.data() + segment.offset, segment.size);
      }
      utp.commit(now, run, buffer);
      hal::OutgoingRun out{run.to, buffer, run.packet_size, run.may_fragment, 0, hal::SendOutcome::sent};
      socket.send(std::span(&out, 1));
    }
  }
  void connect(const Endpoint& to) {
    stream = *utp.connect(clock.now(), to);
    turn();
  }
  void say(std::string_view text) {
    said += text;
    utp.offer(clock.now(), stream, text.size());
    turn();
  }

  hal::Clock& clock;
  hal::LinuxDatagrams socket;
  Utp utp;
  Endpoint address;
  UtpId stream = 0;
  std::string said;
  std::vector<uint8_t> received;
  size_t first_size = 0;  // bytes of the first packet with some
  uint64_t datagrams = 0;
  uint64_t lose_every = 0;
  int opened = 0;
  bool closed = false;
};

struct Setup {
  bool tcp = false;
  bool cold = false;
  const char* listen = "127.0.0.1:0";
};

struct World {
  explicit World(Setup setup = {}) : cold_files(machine.system().files), remote(machine, log) {
    fake = &node;
    Random random(1);
    payload.resize(2 * 1024 * 1024);
    for (uint8_t& byte : payload) byte = static_cast<uint8_t>(random.next());
    int fd = open((folder / "p").c_str(), O_CREAT | O_WRONLY, 0600);
    written = write(fd, payload.data(), payload.size()) == static_cast<ssize_t>(payload.size());
    close(fd);
    hal::System& real = machine.system();
    hal::Files& files = setup.cold ? static_cast<hal::Files&>(cold_files) : real.files;
    system = std::make_unique<hal::System>(
        hal::System{real.clock, real.random, real.streams, real.datagrams, files, real.executor, real.resolver, real.loop, real.cpu});
    NodeDriverOptions options;
    options.config.listen = *Endpoint::parse(setup.listen);
    options.config.tcp = setup.tcp;
    options.config.utp = true;
    driver = std::make_unique<NodeDriver>(options, key, *system, store, log);
    OpenTorrent open_torrent;
    open_torrent.torrent = k_torrent;
    open_torrent.root = folder.path();
    open_torrent.files = {{"p", payload.size()}};
    open_torrent.piece_size = k_piece_size;
    node.actions.emplace_back(std::move(open_torrent));
    if (driver->restore()) listening = *driver->listen();
  }
  ~World() {
    remote.socket.close();
    driver->shut_down();
    machine.run();
    driver.reset();
    fake = nullptr;
  }
  bool until(const std::function<bool()>& reached) {
    Instant end = machine.system().clock.now() + Duration::seconds(20);
    while (!reached()) {
      if (machine.system().clock.now() > end) return false;
      remote.turn();
      if (uv_run(machine.uv(), UV_RUN_NOWAIT) != 0) usleep(200);
    }
    return true;
  }
  // The remote peer connects; its handle. It is known when it has said something: a SYN alone leaves no state.
  PeerHandle accept_peer() {
    remote.connect(listening);
    if (!until([&] { return remote.opened == 1; })) return 0;
    remote.say("hello");
    until([&] { return node.last_peer != 0 || remote.closed; });
    return node.last_peer;
  }
  FakeItem item(size_t number) {
    size_t at = number % (payload.size() / k_block_size) * k_block_size;
    FakeItem out;
    out.bytes.assign(13, static_cast<uint8_t>(number));
    out.block = BlockRef{k_torrent, static_cast<uint32_t>(at / k_piece_size), static_cast<uint32_t>(at % k_piece_size), k_block_size};
    expected.insert(expected.end(), out.bytes.begin(), out.bytes.end());
    expected.insert(expected.end(), payload.begin() + static_cast<std::ptrdiff_t>(at),
                    payload.begin() + static_cast<std::ptrdiff_t>(at + k_block_size));
    return out;
  }
  void send_blocks(PeerHandle peer, size_t count) {
    for (size_t i = 0; i < count; ++i) node.send(peer, item(i * 7));
    driver->settle();
  }

  FakeNode node;
  NullLog log;
  TempFolder folder;
  hal::LinuxSystem machine{log};
  ColdFiles cold_files;
  RemotePeer remote;
  MemoryStore store;
  SigningKey key = SigningKey::generate(machine.system().random);
  std::unique_ptr<hal::System> system;
  std::vector<uint8_t> payload;
  std::vector<uint8_t> expected;
  std::unique_ptr<NodeDriver> driver;
  Endpoint listening;
  bool written = false;
};

void blocks_arrive_with_their_headers_in_order(void**) {
  World world;
  PeerHandle peer = world.accept_peer();
  assert_int_not_equal(peer, 0);
  assert_true(world.node.peers[peer] == world.remote.address);
  world.send_blocks(peer, 300);
  assert_true(world.until([&] { return world.remote.received.size() >= world.expected.size(); }));
  assert_true(world.remote.received == world.expected);
  assert_string_equal(world.node.received[peer].c_str(), "hello");
  assert_int_equal(world.node.sent, world.expected.size());
}

// Bound to all addresses, as it is by default, and asked at one that the routes would not pick: the peer knows it by that address only.
void a_machine_with_several_addresses_answers_from_the_one_that_was_asked(void**) {
  for (const char* listen : {"0.0.0.0:0", "[::]:0"}) {
    Setup setup;
    setup.listen = listen;
    World world(setup);
    world.listening.address = *IpAddress::parse("127.0.0.2");
    PeerHandle peer = world.accept_peer();
    assert_int_not_equal(peer, 0);
    world.send_blocks(peer, 100);
    assert_true(world.until([&] { return world.remote.received.size() >= world.expected.size(); }));
    assert_true(world.remote.received == world.expected);
    world.remote.utp.close(world.remote.clock.now(), world.remote.stream);
    assert_true(world.until([&] { return world.remote.closed; }));
  }
}

// BEP 3's is 68 bytes; some take what follows in the same packet only when another one comes.
void the_handshake_is_a_packet_of_its_own(void**) {
  World world;
  PeerHandle peer = world.accept_peer();
  FakeItem greeting;
  greeting.bytes.assign(68 + 86, 7);
  world.node.send(peer, greeting);
  world.driver->settle();
  assert_true(world.until([&] { return world.remote.received.size() == 68 + 86; }));
  assert_int_equal(world.remote.first_size, 68);
}

void lost_packets_are_read_again_and_sent_again(void**) {
  World world;
  world.remote.lose_every = 29;
  PeerHandle peer = world.accept_peer();
  world.send_blocks(peer, 100);
  assert_true(world.until([&] { return world.remote.received.size() >= world.expected.size(); }));
  assert_true(world.remote.received == world.expected);
}

void cold_blocks_are_read_by_jobs(void**) {
  Setup setup;
  setup.cold = true;
  World world(setup);
  world.remote.lose_every = 50;
  PeerHandle peer = world.accept_peer();
  world.send_blocks(peer, 60);
  assert_true(world.until([&] { return world.remote.received.size() >= world.expected.size(); }));
  assert_true(world.remote.received == world.expected);
}

void the_node_is_asked_for_no_more_than_may_go_out_soon(void**) {
  World world;
  PeerHandle peer = world.accept_peer();
  world.remote.utp.set_reading(world.remote.clock.now(), world.remote.stream, false);
  world.send_blocks(peer, 1000);  // 16 MiB
  Instant end = world.remote.clock.now() + Duration::ms(300);
  assert_true(world.until([&] { return world.remote.clock.now() > end; }));
  assert_true(world.node.pulled < 400);  // the window of the peer
  world.remote.utp.set_reading(world.remote.clock.now(), world.remote.stream, true);
  assert_true(world.until([&] { return world.remote.received.size() >= world.expected.size(); }));
  assert_true(world.remote.received == world.expected);
}

void messages_before_a_close_still_arrive(void**) {
  World world;
  PeerHandle peer = world.accept_peer();
  world.node.send(peer, {std::vector<uint8_t>(3000, 'x'), std::nullopt});
  world.driver->settle();
  world.node.actions.emplace_back(ClosePeer{peer});
  world.driver->settle();
  assert_true(world.until([&] { return world.remote.closed; }));
  assert_true(world.remote.received == std::vector<uint8_t>(3000, 'x'));
  assert_true(world.node.closed.empty());
}

void a_peer_that_ends_is_told_to_the_node(void**) {
  World world;
  PeerHandle peer = world.accept_peer();
  world.remote.utp.abandon(world.remote.clock.now(), world.remote.stream);
  assert_true(world.until([&] { return world.node.closed.count(peer) == 1; }));
}

void a_block_that_cannot_be_read_ends_the_connection(void**) {
  World world;
  PeerHandle peer = world.accept_peer();
  assert_int_equal(truncate((world.folder / "p").c_str(), 1000), 0);
  world.send_blocks(peer, 3);
  assert_true(world.until([&] { return world.node.read_failed.count(peer) == 1; }));
  assert_true(world.until([&] { return world.remote.closed; }));
}

void no_room_is_told_to_the_peer(void**) {
  World world;
  world.node.peers_max = 0;
  assert_int_equal(world.accept_peer(), 0);
  assert_true(world.remote.closed);
}

void dialling_is_answered_over_utp(void**) {
  World world;
  world.node.actions.emplace_back(ConnectPeer{77, world.remote.address});
  world.driver->settle();
  assert_true(world.until([&] { return world.node.peers.count(77) == 1; }));
  world.node.send(77, world.item(3));
  world.driver->settle();
  assert_true(world.until([&] { return world.remote.received == world.expected; }));
}

// TCP is refused there; the attempt over uTP goes on, and the node hears of one connection.
void the_transport_that_is_through_first_is_kept(void**) {
  Setup setup;
  setup.tcp = true;
  World world(setup);
  world.node.actions.emplace_back(ConnectPeer{77, world.remote.address});
  world.driver->settle();
  assert_true(world.until([&] { return world.node.peers.count(77) == 1; }));
  assert_true(world.node.closed.empty());
  world.node.send(77, world.item(3));
  world.driver->settle();
  assert_true(world.until([&] { return world.remote.received == world.expected; }));
}

void nobody_over_either_transport_is_one_failure(void**) {
  Setup setup;
  setup.tcp = true;
  World world(setup);
  Endpoint nobody = world.remote.address;
  world.remote.socket.close();
  world.remote.socket.bind(*Endpoint::parse("127.0.0.1:0"), {}).has_value();
  world.node.actions.emplace_back(ConnectPeer{77, nobody});
  world.driver->settle();
  assert_true(world.until([&] { return world.node.closed.count(77) == 1; }));
}

// One port for both.
void both_transports_have_the_same_port(void**) {
  Setup setup;
  setup.tcp = true;
  World world(setup);
  assert_int_not_equal(world.accept_peer(), 0);
  assert_int_equal(world.node.port, world.listening.port);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in to = {};
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  to.sin_port = htons(world.listening.port);
  assert_int_equal(connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
  assert_true(world.until([&] { return world.node.last_peer == 2; }));
  close(fd);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(blocks_arrive_with_their_headers_in_order),
      cmocka_unit_test(a_machine_with_several_addresses_answers_from_the_one_that_was_asked),
      cmocka_unit_test(the_handshake_is_a_packet_of_its_own),
      cmocka_unit_test(lost_packets_are_read_again_and_sent_again),
      cmocka_unit_test(cold_blocks_are_read_by_jobs),
      cmocka_unit_test(the_node_is_asked_for_no_more_than_may_go_out_soon),
      cmocka_unit_test(messages_before_a_close_still_arrive),
      cmocka_unit_test(a_peer_that_ends_is_told_to_the_node),
      cmocka_unit_test(a_block_that_cannot_be_read_ends_the_connection),
      cmocka_unit_test(no_room_is_told_to_the_peer),
      cmocka_unit_test(dialling_is_answered_over_utp),
      cmocka_unit_test(the_transport_that_is_through_first_is_kept),
      cmocka_unit_test(nobody_over_either_transport_is_one_failure),
      cmocka_unit_test(both_transports_have_the_same_port),
  };
  return RUN_TESTS(tests);
}
