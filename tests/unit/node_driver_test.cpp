#include "driver/node_driver.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <malloc.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <functional>

#include "base/random.h"
#include "hal/linux/system.h"
#include "store/memory_store.h"
#include "unit/fake_node.h"
#include "unit/temp_folder.h"
#include "unit/test.h"

using namespace millet;

namespace {

constexpr TorrentHandle k_torrent = 9;
constexpr uint32_t k_piece_size = 256 * 1024;

struct EchoHandler final : RequestHandler {
  std::string handle(Instant, std::string_view request) override { return "echo " + std::string(request); }
};

// The machine's streams, whose peers are all far away.
struct FarStreams final : hal::Streams {
  explicit FarStreams(hal::Streams& streams) : real(streams) {}
  void set_events(hal::StreamEvents* events) override { real.set_events(events); }
  Result<Endpoint> listen(hal::ListenerId id, const Endpoint& local) override { return real.listen(id, local); }
  Status listen_local(hal::ListenerId id, const std::string& path) override { return real.listen_local(id, path); }
  void set_accepting(hal::ListenerId id, bool accepting) override { real.set_accepting(id, accepting); }
  hal::StreamId connect(const Endpoint& remote, const std::optional<IpAddress>& local) override { return real.connect(remote, local); }
  size_t send(hal::StreamId stream, std::span<const Bytes> parts) override { return real.send(stream, parts); }
  void set_reading(hal::StreamId stream, bool reading) override { real.set_reading(stream, reading); }
  void close(hal::StreamId stream) override { real.close(stream); }
  Endpoint local_endpoint(hal::StreamId stream) override { return real.local_endpoint(stream); }
  size_t send_file(hal::StreamId stream, Bytes head, int descriptor, uint64_t offset, size_t length, bool& ended) override {
    return real.send_file(stream, head, descriptor, offset, length, ended);
  }
  bool is_over_uplink(hal::StreamId) override { return true; }
  std::optional<hal::StreamProgress> progress(hal::StreamId stream) override { return real.progress(stream); }
  hal::Streams& real;
};

// A driver with a fake node on the real machine, and a payload of 2 MiB in three files.
struct World {
  explicit World(bool far = false, Automatic sendfile = Automatic::no) {
    fake = &node;
    Random random(1);
    payload.resize(2 * 1024 * 1024);
    for (uint8_t& byte : payload) byte = static_cast<uint8_t>(random.next());
    write_file("a", 0, 700'001);
    write_file("b", 700'001, 5);
    write_file("c", 700'006, payload.size() - 700'006);
    NodeDriverOptions options;
    options.config.listen = *Endpoint::parse("127.0.0.1:0");
    options.config.utp = false;
    options.config.tcp_sendfile = sendfile;
    driver = std::make_unique<NodeDriver>(options, key, far ? far_system : machine.system(), store, log);
    OpenTorrent open;
    open.torrent = k_torrent;
    open.root = folder.path();
    open.files = {{"a", 700'001}, {"b", 5}, {"c", payload.size() - 700'006}};
    open.piece_size = k_piece_size;
    node.actions.emplace_back(std::move(open));
    if (driver->restore()) listening = *driver->listen();
  }
  ~World() {
    driver->shut_down();
    machine.run();
    driver.reset();
    fake = nullptr;
  }
  void write_file(const char* name, size_t at, size_t size) {
    int fd = open((folder / name).c_str(), O_CREAT | O_WRONLY, 0600);
    while (size != 0) {
      ssize_t put = write(fd, payload.data() + at, size);
      at += static_cast<size_t>(put);
      size -= static_cast<size_t>(put);
    }
    close(fd);
  }
  // A socket connected to the driver.
  int connect_raw(int receive_buffer = 0) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (receive_buffer != 0) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    sockaddr_in to = {};
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons(listening.port);
    if (connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) return -1;
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
  }
  // A peer that the node knows: its socket and its handle.
  std::pair<int, PeerHandle> connect_peer(int receive_buffer = 0) {
    size_t before = node.last_peer;
    int fd = connect_raw(receive_buffer);
    until([&] { return node.last_peer > before; });
    return {fd, node.last_peer};
  }
  bool until(const std::function<bool()>& reached) {
    Instant end = machine.system().clock.now() + Duration::seconds(20);
    while (!reached()) {
      if (machine.system().clock.now() > end) return false;
      // The driver owns the timer: a turn without waiting, so that the test's own sockets are looked at too.
      if (uv_run(machine.uv(), UV_RUN_NOWAIT) != 0) usleep(200);
    }
    return true;
  }
  // Queues blocks of the payload with a header each, in order from `first`; what a peer should receive.
  std::vector<uint8_t> send_blocks(PeerHandle peer, size_t first, size_t count) {
    std::vector<uint8_t> expected;
    for (size_t i = first; i < first + count; ++i) {
      size_t at = i % (payload.size() / k_block_size) * k_block_size;
      FakeItem item;
      item.bytes.assign(13, static_cast<uint8_t>(i));
      item.block = BlockRef{k_torrent, static_cast<uint32_t>(at / k_piece_size), static_cast<uint32_t>(at % k_piece_size), k_block_size};
      expected.insert(expected.end(), item.bytes.begin(), item.bytes.end());
      expected.insert(expected.end(), payload.begin() + static_cast<std::ptrdiff_t>(at),
                      payload.begin() + static_cast<std::ptrdiff_t>(at + k_block_size));
      node.send(peer, std::move(item));
    }
    driver->settle();
    return expected;
  }
  // Reads until `size` bytes are there, or the connection ends.
  std::vector<uint8_t> read_all(int fd, size_t size) {
    std::vector<uint8_t> out(size);
    size_t got = 0;
    until([&] {
      ssize_t part = recv(fd, out.data() + got, size - got, 0);
      if (part > 0) got += static_cast<size_t>(part);
      return got == size || part == 0;
    });
    out.resize(got);
    return out;
  }

  FakeNode node;
  NullLog log;
  TempFolder folder;
  hal::LinuxSystem machine{log};
  FarStreams far_streams{machine.system().streams};
  hal::System far_system{machine.system().clock,     machine.system().random, far_streams,
                         machine.system().datagrams, machine.system().files,  machine.system().executor,
                         machine.system().resolver,  machine.system().loop,   machine.system().cpu};
  MemoryStore store;
  SigningKey key = SigningKey::generate(machine.system().random);
  std::vector<uint8_t> payload;
  std::unique_ptr<NodeDriver> driver;
  Endpoint listening;
};

// Nobody knows at first what the uplink takes; messages don't wait for its room, and nothing is lost or out of order by waiting.
void blocks_over_the_uplink_wait_for_its_room_and_messages_do_not(void**) {
  World world(true);
  auto [fd, peer] = world.connect_peer();
  auto [other_fd, other] = world.connect_peer();
  Instant began = world.machine.system().clock.now();
  std::vector<uint8_t> expected = world.send_blocks(peer, 0, 100);
  assert_true(world.node.pulled <= 2);  // of 100 blocks
  world.node.send(other, {std::vector<uint8_t>(5, 1), std::nullopt});
  world.driver->settle();
  assert_int_equal(world.read_all(other_fd, 5).size(), 5);
  assert_true(world.node.pulled <= 20);
  std::vector<uint8_t> expected_other = world.send_blocks(other, 50, 20);
  assert_true(world.read_all(other_fd, expected_other.size()) == expected_other);
  assert_true(world.read_all(fd, expected.size()) == expected);
  assert_true(world.machine.system().clock.now() > began + Duration::ms(300));
  assert_int_equal(world.driver->transport_status().tcp_connections, 2);
  assert_true(world.driver->transport_status().tcp_uplink_rate > TcpUplink::k_rate_first);
  close(fd);
  close(other_fd);
}

// Blocks that lie across files, messages between blocks and a reader that is slow at first: the buffer and the file take turns.
void blocks_sent_from_files_arrive_with_their_headers_in_order(void**) {
  for (bool far : {false, true}) {
    World world(far, Automatic::yes);
    assert_true(world.driver->transport_status().tcp_payload_way == "sendfile");
    auto [fd, peer] = world.connect_peer(16 * 1024);
    std::vector<uint8_t> expected = world.send_blocks(peer, 0, 130);
    for (size_t i = 0; i < 60; ++i) {
      std::vector<uint8_t> message(i % 7 + 1, static_cast<uint8_t>(i));
      expected.insert(expected.end(), message.begin(), message.end());
      world.node.send(peer, {message, std::nullopt});
      std::vector<uint8_t> more = world.send_blocks(peer, i * 37, i % 3);
      expected.insert(expected.end(), more.begin(), more.end());
    }
    assert_true(world.read_all(fd, expected.size()) == expected);
    close(fd);
  }
}

void blocks_arrive_with_their_headers_in_order(void**) {
  World world;
  auto [fd, peer] = world.connect_peer();
  assert_int_equal(world.node.port, world.listening.port);
  std::vector<uint8_t> expected = world.send_blocks(peer, 0, 300);
  assert_true(world.read_all(fd, expected.size()) == expected);
  assert_int_equal(world.node.sent, expected.size());
  close(fd);
  assert_true(world.until([&] { return world.node.closed.count(1) == 1; }));
}

void messages_of_any_size_and_order_arrive(void**) {
  World world;
  auto [fd, peer] = world.connect_peer();
  Random random(5);
  std::vector<uint8_t> expected;
  for (int i = 0; i < 60; ++i) {
    size_t size = random.below(8) == 0 ? 400'000 : 1 + static_cast<size_t>(random.below(5000));
    FakeItem message;
    message.bytes.assign(size, static_cast<uint8_t>(i));
    expected.insert(expected.end(), message.bytes.begin(), message.bytes.end());
    world.node.send(peer, std::move(message));
    if (random.below(2) == 0) continue;
    std::vector<uint8_t> block = world.send_blocks(peer, static_cast<size_t>(random.below(100)), 1);
    expected.insert(expected.end(), block.begin(), block.end());
  }
  world.driver->settle();
  assert_true(world.read_all(fd, expected.size()) == expected);
  close(fd);
}

// A peer that does not read: the driver stops pulling, and what it holds back is not bytes. Another is served meanwhile.
void a_slow_reader_is_not_pulled_for(void**) {
  World world;
  auto [slow, slow_peer] = world.connect_peer(4096);
  std::vector<uint8_t> slow_expected = world.send_blocks(slow_peer, 0, 2000);
  auto [fast, fast_peer] = world.connect_peer();
  std::vector<uint8_t> fast_expected = world.send_blocks(fast_peer, 7, 200);
  assert_true(world.read_all(fast, fast_expected.size()) == fast_expected);
  size_t slow_pulled = 2000 - world.node.to_send[slow_peer].size();
  assert_true(slow_pulled < 250);  // socket buffers and one gather, not the 2000 that are there
  assert_true(world.read_all(slow, slow_expected.size()) == slow_expected);
  close(slow);
  close(fast);
}

// musl has no figure.
size_t heap_in_use() {
#if defined(__GLIBC__)
  return mallinfo2().uordblks;
#else
  return 0;
#endif
}

// Many of them, each with an endless queue: what one costs is a connection, not a block. (Sanitizers have a heap of their own: no figure.)
void slow_readers_cost_no_payload_memory(void**) {
  World world;
  constexpr size_t k_readers = 200;
  std::vector<std::pair<int, PeerHandle>> readers;
  for (size_t i = 0; i < k_readers; ++i) readers.push_back(world.connect_peer(4096));
  size_t before = heap_in_use();
  world.node.endless = BlockRef{k_torrent, 3, 0, k_block_size};
  for (auto& reader : readers) world.node.actions.emplace_back(PullPeer{reader.second});
  world.driver->settle();
  size_t pulled = 0;
  assert_true(world.until([&] {
    bool still = world.node.pulled == pulled && pulled > k_readers;
    pulled = world.node.pulled;
    usleep(20'000);
    return still;
  }));
  size_t after = heap_in_use();
  assert_true(after < before + k_readers * 4096 + 64 * 1024);
  assert_true(pulled < k_readers * 250);
  for (auto& reader : readers) close(reader.first);
}

// Bytes that leave the page cache while a slow reader waits for them are read again by a job.
void a_block_that_gets_cold_in_the_middle_goes_on(void**) {
  World world;
  auto [fd, peer] = world.connect_peer(4096);
  std::vector<uint8_t> expected = world.send_blocks(peer, 0, 400);
  std::vector<uint8_t> got;
  while (got.size() < expected.size()) {
    for (const char* name : {"a", "c"}) {
      int file = open((world.folder / name).c_str(), O_RDONLY);
      fdatasync(file);
      posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
      close(file);
    }
    std::vector<uint8_t> part = world.read_all(fd, std::min<size_t>(expected.size() - got.size(), 300'000));
    assert_true(!part.empty());
    got.insert(got.end(), part.begin(), part.end());
  }
  assert_true(got == expected);
  close(fd);
}

void many_cold_readers_share_the_buffers(void**) {
  World world;
  std::vector<std::pair<int, PeerHandle>> peers;
  std::vector<std::vector<uint8_t>> expected;
  for (size_t i = 0; i < 3 * PeerLinks::Memory().cold_reads; ++i) peers.push_back(world.connect_peer());
  for (size_t i = 0; i < peers.size(); ++i) expected.push_back(world.send_blocks(peers[i].second, i, 3));
  for (size_t i = 0; i < peers.size(); ++i) {
    assert_true(world.read_all(peers[i].first, expected[i].size()) == expected[i]);
    close(peers[i].first);
  }
}

void a_vanished_file_ends_the_connection_and_nothing_else(void**) {
  World world;
  unlink((world.folder / "c").c_str());
  auto [fd, peer] = world.connect_peer();
  auto [other, other_peer] = world.connect_peer();
  world.send_blocks(peer, 100, 3);
  std::vector<uint8_t> expected = world.send_blocks(other_peer, 0, 20);
  assert_true(world.until([&] { return world.node.read_failed.size() == 1; }));
  assert_int_equal(world.node.read_failed.begin()->first, peer);
  assert_int_equal(world.node.read_failed.begin()->second.code, Errc::not_found);
  assert_int_equal(world.read_all(fd, 1).size(), 0);
  assert_true(world.node.closed.empty());
  assert_true(world.read_all(other, expected.size()) == expected);
  close(fd);
  close(other);
}

// The peer goes away while its block is read: the buffer comes back.
void a_connection_that_closes_during_a_cold_read_leaves_nothing(void**) {
  World world;
  for (size_t i = 0; i < 2 * PeerLinks::Memory().cold_reads; ++i) {
    auto [fd, peer] = world.connect_peer();
    world.send_blocks(peer, 50, 1);
    world.node.actions.emplace_back(ClosePeer{peer});
    world.driver->settle();
    close(fd);
  }
  auto [fd, peer] = world.connect_peer();
  std::vector<uint8_t> expected = world.send_blocks(peer, 50, 2);
  assert_true(world.read_all(fd, expected.size()) == expected);
  close(fd);
}

void connections_beyond_what_the_node_takes_are_closed_and_others_served(void**) {
  World world;
  auto [fd, peer] = world.connect_peer();
  world.node.peers_max = 1;
  for (int i = 0; i < 500; ++i) {
    int refused = world.connect_raw();
    assert_int_equal(world.read_all(refused, 1).size(), 0);
    close(refused);
  }
  assert_int_equal(world.node.last_peer, 1);
  std::vector<uint8_t> expected = world.send_blocks(peer, 0, 50);
  assert_true(world.read_all(fd, expected.size()) == expected);
  close(fd);
}

void received_bytes_reach_the_node_and_reading_can_pause(void**) {
  World world;
  auto [fd, peer] = world.connect_peer();
  assert_int_equal(send(fd, "hello", 5, 0), 5);
  PeerHandle handle = peer;
  assert_true(world.until([&] { return world.node.received[handle] == "hello"; }));
  world.node.actions.emplace_back(SetReading{peer, false});
  world.driver->settle();
  assert_int_equal(send(fd, "later", 5, 0), 5);
  for (int i = 0; i < 20; ++i) uv_run(world.machine.uv(), UV_RUN_NOWAIT);
  assert_true(world.node.received[peer] == "hello");
  world.node.actions.emplace_back(SetReading{peer, true});
  world.driver->settle();
  assert_true(world.until([&] { return world.node.received[handle] == "hellolater"; }));
  close(fd);
}

void the_node_connects_and_is_told_of_failure(void**) {
  World world;
  world.node.actions.emplace_back(ConnectPeer{500, world.listening});
  world.node.actions.emplace_back(ConnectPeer{501, *Endpoint::parse("127.0.0.1:1")});
  world.driver->settle();
  assert_true(world.until([&] { return world.node.peers.count(500) == 1 && world.node.closed.count(501) == 1; }));
  assert_int_equal(world.node.closed.at(501).code, Errc::unavailable);
}

void work_comes_back(void**) {
  World world;
  Commit commit;
  commit.sequence = 1;
  commit.changes.push_back({"table", {1}, std::vector<uint8_t>{2}});
  world.node.actions.emplace_back(std::move(commit));
  world.node.actions.emplace_back(SignBytes{10, {1, 2, 3}});
  world.node.actions.emplace_back(HashPiece{20, k_torrent, 2});
  world.node.actions.emplace_back(CheckFiles{30, k_torrent});
  world.node.actions.emplace_back(HttpExchange{40, "http://127.0.0.1:1/", {}, 100, 1000});
  world.driver->settle();
  assert_true(world.until([&] {
    return world.node.durable.size() == 1 && world.node.signatures.size() == 1 && world.node.hashed.size() == 1 &&
           world.node.checked.size() == 1 && world.node.replies.size() == 1;
  }));
  const std::vector<uint8_t> message = {1, 2, 3};
  assert_true(verify(world.key.public_key(), message, world.node.signatures.at(10)));
  assert_true(*world.node.hashed.at(20) == Sha1::of(Bytes(world.payload).subspan(2 * k_piece_size, k_piece_size)));
  assert_int_equal(world.node.checked.at(30)->at(1)->size, 5);
  assert_false(world.node.replies.at(40).has_value());
  world.node.actions.emplace_back(VerifyBytes{50, world.key.public_key(), message, world.node.signatures.at(10)});
  world.node.actions.emplace_back(VerifyBytes{51, world.key.public_key(), {1, 2, 4}, world.node.signatures.at(10)});
  world.node.actions.emplace_back(WriteBlock{60, {k_torrent, 0, 0, 16}, std::vector<uint8_t>(16, 1)});
  world.driver->settle();
  assert_true(world.until([&] { return world.node.verified.size() == 2 && world.node.written.size() == 1; }));
  assert_true(world.node.verified.at(50) && !world.node.verified.at(51) && world.node.written.at(60).has_value());
}

void the_timer_rings_when_the_node_asked(void**) {
  World world;
  world.node.deadline = world.machine.system().clock.now() + Duration::ms(10);
  world.driver->settle();
  assert_true(world.until([&] { return world.node.timers == 1; }));
}

void a_signal_ends_it_when_the_node_is_done(void**) {
  World world;
  world.node.answers_shutdown = false;
  kill(getpid(), SIGTERM);
  assert_true(world.until([&] { return world.node.shut_down; }));
  assert_false(world.driver->ended_well());
  world.node.actions.emplace_back(ShutDownDone{});
  world.driver->settle();
  world.machine.run();
  assert_true(world.driver->ended_well());
}

std::string ask(World& world, const std::string& path, const std::string& request, size_t reply_size) {
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un to = {};
  to.sun_family = AF_UNIX;
  strcpy(to.sun_path, path.c_str());
  if (connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) return "no connection";
  fcntl(fd, F_SETFL, O_NONBLOCK);
  size_t put = 0;
  world.until([&] {
    ssize_t part = send(fd, request.data() + put, request.size() - put, MSG_NOSIGNAL);
    if (part > 0) put += static_cast<size_t>(part);
    return put == request.size() || (part < 0 && errno != EAGAIN);
  });
  std::vector<uint8_t> reply = world.read_all(fd, reply_size);
  close(fd);
  return std::string(as_text(reply));
}

void the_control_socket_answers_lines_within_its_bounds(void**) {
  World world;
  EchoHandler handler;
  std::string path = world.folder / "control";
  assert_true(world.driver->serve_control(path, handler, 1000).has_value());
  assert_string_equal(ask(world, path, "one\r\ntwo\n", 18).c_str(), "echo one\necho two\n");
  std::string refused = ask(world, path, std::string(5000, 'x'), 1000);
  assert_non_null(strstr(refused.c_str(), "longer than 1000 bytes"));
  refused = ask(world, path, std::string(5000, 'x') + "\n", 1000);
  assert_non_null(strstr(refused.c_str(), "longer than 1000 bytes"));
  std::vector<int> idle;
  for (size_t i = 0; i < ControlServer::k_clients_max; ++i) {
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un to = {};
    to.sun_family = AF_UNIX;
    strcpy(to.sun_path, path.c_str());
    assert_int_equal(connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
    idle.push_back(fd);
  }
  refused = ask(world, path, "", 1000);
  assert_non_null(strstr(refused.c_str(), "too many control connections"));
  for (int fd : idle) close(fd);
  assert_true(world.until([&] { return ask(world, path, "again\n", 11) == "echo again\n"; }));
}

}  // namespace

int main() {
  if (!crypto_init()) return 1;
  const CMUnitTest tests[] = {
      cmocka_unit_test(blocks_arrive_with_their_headers_in_order),
      cmocka_unit_test(blocks_sent_from_files_arrive_with_their_headers_in_order),
      cmocka_unit_test(blocks_over_the_uplink_wait_for_its_room_and_messages_do_not),
      cmocka_unit_test(messages_of_any_size_and_order_arrive),
      cmocka_unit_test(a_slow_reader_is_not_pulled_for),
      cmocka_unit_test(slow_readers_cost_no_payload_memory),
      cmocka_unit_test(a_block_that_gets_cold_in_the_middle_goes_on),
      cmocka_unit_test(many_cold_readers_share_the_buffers),
      cmocka_unit_test(a_vanished_file_ends_the_connection_and_nothing_else),
      cmocka_unit_test(a_connection_that_closes_during_a_cold_read_leaves_nothing),
      cmocka_unit_test(connections_beyond_what_the_node_takes_are_closed_and_others_served),
      cmocka_unit_test(received_bytes_reach_the_node_and_reading_can_pause),
      cmocka_unit_test(the_node_connects_and_is_told_of_failure),
      cmocka_unit_test(work_comes_back),
      cmocka_unit_test(the_timer_rings_when_the_node_asked),
      cmocka_unit_test(a_signal_ends_it_when_the_node_is_done),
      cmocka_unit_test(the_control_socket_answers_lines_within_its_bounds),
  };
  return RUN_TESTS(tests);
}
