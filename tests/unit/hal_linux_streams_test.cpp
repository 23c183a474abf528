#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "hal/linux/payload_way.h"
#include "hal/linux/system.h"
#include "hal/linux/tcp_control.h"
#include "unit/temp_folder.h"
#include "unit/test.h"

using namespace millet;
using namespace millet::hal;

namespace {

// Turns the loop and writes down what happens.
struct World final : StreamEvents, TimerEvents {
  World() : loop(clock), streams(loop.uv(), log) {
    loop.set_events(this);
    streams.set_events(this);
  }
  ~World() {
    streams.close_all();
    loop.close();
  }
  void on_accepted(ListenerId listener, StreamId stream, const Endpoint& remote) override {
    accepted.push_back({listener, stream, remote});
    if (close_accepted) streams.close(stream);
  }
  void on_connected(StreamId stream) override { connected.push_back(stream); }
  void on_received(StreamId stream, Bytes bytes) override {
    largest_read = std::max(largest_read, bytes.size());
    received[stream].insert(received[stream].end(), bytes.begin(), bytes.end());
    if (on_bytes) on_bytes(stream);
  }
  void on_writable(StreamId stream) override {
    ++writable;
    if (on_room) on_room(stream);
  }
  void on_closed(StreamId stream, const Error& reason) override { closed.emplace(stream, reason); }
  void on_timer() override { ++ticks; }
  void on_shutdown() override {}

  // False if it did not become true within ten seconds.
  bool until(const std::function<bool()>& reached) {
    Instant end = clock.now() + Duration::seconds(10);
    while (!reached()) {
      if (clock.now() > end) return false;
      turn(Duration::ms(5));
    }
    return true;
  }
  void turn(Duration longest) {
    loop.arm(clock.now() + longest);
    uv_run(loop.uv(), UV_RUN_ONCE);
  }
  void turns_for(Duration time) {
    Instant end = clock.now() + time;
    while (clock.now() < end) turn(Duration::ms(2));
  }

  struct Accepted {
    ListenerId listener;
    StreamId stream;
    Endpoint remote;
  };
  struct CountingLog final : LogSink {
    LogLevel level() const override { return LogLevel::debug; }
    void write(LogLevel, std::string_view line) override { lines.emplace_back(line); }
    std::vector<std::string> lines;
  };
  CountingLog log;
  LinuxClock clock;
  LinuxLoop loop;
  LinuxStreams streams;
  std::vector<Accepted> accepted;
  std::vector<StreamId> connected;
  std::map<StreamId, std::vector<uint8_t>> received;
  std::map<StreamId, Error> closed;
  std::function<void(StreamId)> on_bytes;
  std::function<void(StreamId)> on_room;
  bool close_accepted = false;
  size_t largest_read = 0;
  int writable = 0;
  int ticks = 0;
};

Endpoint parse(const char* text) { return *Endpoint::parse(text); }

// A listener on a free port of loopback and both ends of one connection to it.
struct Pair {
  explicit Pair(World& world) {
    listening = *world.streams.listen(1, parse("127.0.0.1:0"));
    client = world.streams.connect(listening, std::nullopt);
    good = world.until([&] { return world.accepted.size() == 1 && world.connected.size() == 1; });
    if (good) server = world.accepted[0].stream;
  }
  Endpoint listening;
  StreamId client = 0;
  StreamId server = 0;
  bool good = false;
};

size_t send_text(World& world, StreamId stream, std::string_view text) {
  Bytes parts[] = {as_bytes(text)};
  return world.streams.send(stream, parts);
}

void bytes_go_both_ways_in_order(void**) {
  World world;
  Pair pair(world);
  assert_true(pair.good);
  assert_int_not_equal(pair.listening.port, 0);
  assert_true(world.accepted[0].remote == world.streams.local_endpoint(pair.client));
  assert_true(world.streams.local_endpoint(pair.server) == pair.listening);
  Bytes parts[] = {as_bytes("one "), {}, as_bytes("two "), as_bytes("three")};
  assert_int_equal(world.streams.send(pair.client, parts), 13);
  assert_int_equal(send_text(world, pair.server, "back"), 4);
  assert_true(world.until([&] { return world.received[pair.server].size() == 13 && world.received[pair.client].size() == 4; }));
  assert_true(as_text(world.received[pair.server]) == "one two three");
  assert_int_equal(world.writable, 0);
}

void a_full_socket_takes_a_part_and_says_when_it_has_room(void**) {
  World world;
  Pair pair(world);
  assert_true(pair.good);
  world.streams.set_reading(pair.client, false);
  std::vector<uint8_t> block(1 << 20, 0x5a);
  Bytes parts[] = {block};
  size_t sent = 0;
  size_t taken = 0;
  do {
    taken = world.streams.send(pair.server, parts);
    sent += taken;
    assert_true(sent < (size_t{64} << 20));  // the kernel's buffers are not endless
  } while (taken == block.size());
  world.turns_for(Duration::ms(50));
  assert_int_equal(world.writable, 0);
  assert_true(world.received[pair.client].empty());
  world.streams.set_reading(pair.client, true);
  assert_true(world.until([&] { return world.received[pair.client].size() == sent && world.writable == 1; }));
  assert_true(world.largest_read <= Streams::k_receive_bytes_max);
  world.turns_for(Duration::ms(20));
  assert_int_equal(world.writable, 1);  // write interest is gone when nothing waits
}

void a_connection_that_is_refused_is_closed_with_the_reason(void**) {
  World world;
  Endpoint listening = *world.streams.listen(1, parse("127.0.0.1:0"));
  Endpoint nobody = listening;
  world.streams.close_all();
  World other;
  StreamId id = other.streams.connect(nobody, std::nullopt);
  assert_true(other.closed.empty());
  assert_true(other.until([&] { return other.closed.count(id) == 1; }));
  assert_int_equal(other.closed.at(id).code, Errc::unavailable);
}

void an_impossible_source_address_is_an_event_not_a_crash(void**) {
  World world;
  StreamId id = world.streams.connect(parse("127.0.0.1:9"), *IpAddress::parse("192.0.2.77"));
  assert_true(world.closed.empty());  // never before connect() returns
  assert_true(world.until([&] { return world.closed.count(id) == 1; }));
  assert_non_null(strstr(world.closed.at(id).reason.c_str(), "192.0.2.77"));
}

void the_source_address_is_bound(void**) {
  World world;
  Endpoint listening = *world.streams.listen(1, parse("127.0.0.1:0"));
  world.streams.connect(listening, *IpAddress::parse("127.0.0.9"));
  assert_true(world.until([&] { return world.accepted.size() == 1; }));
  assert_string_equal(world.accepted[0].remote.address.to_string().c_str(), "127.0.0.9");
}

void the_other_side_going_away_is_told_once_and_bytes_before_it_arrive(void**) {
  World world;
  Pair pair(world);
  assert_true(pair.good);
  send_text(world, pair.client, "last words");
  world.streams.close(pair.client);
  assert_true(world.until([&] { return world.closed.count(pair.server) == 1; }));
  assert_true(as_text(world.received[pair.server]) == "last words");
  assert_string_equal(world.closed.at(pair.server).reason.c_str(), "closed by the peer");
  assert_int_equal(world.closed.count(pair.client), 0);
  assert_int_equal(send_text(world, pair.server, "x"), 0);  // a dead id is harmless
  world.streams.close(pair.server);
}

// SIGPIPE would end the process here.
void sending_to_a_reset_connection_is_an_event(void**) {
  World world;
  Pair pair(world);
  assert_true(pair.good);
  world.streams.set_reading(pair.server, false);
  send_text(world, pair.server, "unread");
  world.turns_for(Duration::ms(5));
  world.streams.set_reading(pair.client, false);
  world.streams.close(pair.client);
  std::vector<uint8_t> block(1 << 16, 1);
  assert_true(world.until([&] {
    Bytes parts[] = {block};
    world.streams.send(pair.server, parts);
    return world.closed.count(pair.server) == 1;
  }));
}

// A raw end of a connection to a World, for what no stream of ours would do.
struct RawPeer {
  explicit RawPeer(World& world) {
    Endpoint listening = *world.streams.listen(1, parse("127.0.0.1:0"));
    fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in to = {};
    to.sin_family = AF_INET;
    to.sin_port = htons(listening.port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
    assert_true(world.until([&] { return world.accepted.size() == 1; }));
    stream = world.accepted[0].stream;
  }
  ~RawPeer() {
    if (fd >= 0) ::close(fd);
  }
  void reset() {
    linger hard = {1, 0};
    assert_int_equal(::setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard), 0);
    ::close(std::exchange(fd, -1));
  }
  int fd = -1;
  StreamId stream = 0;
};

void what_came_before_a_reset_is_read(void**) {
  for (bool sends : {false, true}) {
    World world;
    RawPeer peer(world);
    assert_int_equal(::send(peer.fd, "last words", 10, 0), 10);
    peer.reset();
    // Whether the end is seen first when something is sent, or when it is waited for.
    if (sends) send_text(world, peer.stream, "to nobody");
    assert_true(world.until([&] { return world.closed.count(peer.stream) == 1; }));
    assert_true(as_text(world.received[peer.stream]) == "last words");
  }
}

void an_end_with_unread_bytes_is_no_reset(void**) {
  World world;
  RawPeer peer(world);
  world.streams.set_reading(peer.stream, false);
  std::vector<uint8_t> unread(100'000, 7);
  assert_int_equal(::send(peer.fd, unread.data(), unread.size(), 0), unread.size());
  send_text(world, peer.stream, "last words");
  world.streams.close(peer.stream);
  world.turns_for(Duration::ms(5));
  char text[32];
  assert_int_equal(::recv(peer.fd, text, sizeof text, MSG_WAITALL), 10);  // until the end, which an error would be, too
  int error = 0;
  socklen_t size = sizeof error;
  assert_int_equal(::getsockopt(peer.fd, SOL_SOCKET, SO_ERROR, &error, &size), 0);
  assert_int_equal(error, 0);
  assert_int_equal(::recv(peer.fd, text, sizeof text, 0), 0);
}

void a_receiver_may_close_its_stream(void**) {
  World world;
  Pair pair(world);
  assert_true(pair.good);
  world.on_bytes = [&](StreamId stream) { world.streams.close(stream); };
  send_text(world, pair.client, "bye");
  assert_true(world.until([&] { return world.closed.count(pair.client) == 1; }));
  assert_int_equal(world.closed.count(pair.server), 0);
}

void ids_are_never_used_again(void**) {
  World world;
  Pair pair(world);
  assert_true(pair.good);
  StreamId old = pair.client;
  world.streams.close(old);
  StreamId next = world.streams.connect(pair.listening, std::nullopt);
  assert_true(old != next);
  world.streams.close(old);  // does not hit the new one in its place
  assert_true(world.until([&] { return world.connected.size() == 2; }));
}

void a_port_in_use_is_named_with_the_way_out(void**) {
  World world;
  Endpoint listening = *world.streams.listen(1, parse("127.0.0.1:0"));
  World other;
  Result<Endpoint> second = other.streams.listen(1, listening);
  assert_false(second.has_value());
  assert_int_equal(second.error().code, Errc::conflict);
  assert_non_null(strstr(second.error().reason.c_str(), listening.to_string().c_str()));
  assert_non_null(strstr(second.error().reason.c_str(), "choose another port"));
}

void any_address_listens_on_both_families(void**) {
  World world;
  Result<Endpoint> listening = world.streams.listen(1, parse("[::]:0"));
  assert_true(listening.has_value());
  world.streams.connect({*IpAddress::parse("127.0.0.1"), listening->port}, std::nullopt);
  assert_true(world.until([&] { return world.accepted.size() == 1; }));
  assert_string_equal(world.accepted[0].remote.address.to_string().c_str(), "127.0.0.1");  // not ::ffff:127.0.0.1
  if (listening->address.is_v4()) return;                                                  // a machine without IPv6
  world.streams.connect({*IpAddress::parse("::1"), listening->port}, std::nullopt);
  assert_true(world.until([&] { return world.accepted.size() == 2; }));
}

void paused_accepting_leaves_connections_in_the_backlog(void**) {
  World world;
  Endpoint listening = *world.streams.listen(1, parse("127.0.0.1:0"));
  world.streams.set_accepting(1, false);
  world.streams.connect(listening, std::nullopt);
  assert_true(world.until([&] { return world.connected.size() == 1; }));
  world.turns_for(Duration::ms(20));
  assert_true(world.accepted.empty());
  world.streams.set_accepting(1, true);
  assert_true(world.until([&] { return world.accepted.size() == 1; }));
}

// Without descriptors left, accepting waits: one line in the log, no busy loop, and it goes on when one is free.
void running_out_of_descriptors_pauses_accepting(void**) {
  World world;
  Endpoint listening = *world.streams.listen(1, parse("127.0.0.1:0"));
  rlimit before = {};
  getrlimit(RLIMIT_NOFILE, &before);
  int client = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in to = {};
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  to.sin_port = htons(listening.port);
  int spare = dup(client);
  rlimit tight = {static_cast<rlim_t>(spare + 1), before.rlim_max};
  setrlimit(RLIMIT_NOFILE, &tight);
  int connected = connect(client, reinterpret_cast<sockaddr*>(&to), sizeof to);
  world.turns_for(Duration::ms(30));
  size_t accepted_while_tight = world.accepted.size();
  int turns = 0;
  Instant end = world.clock.now() + Duration::ms(200);
  while (world.clock.now() < end) {
    world.turn(Duration::ms(50));
    ++turns;
  }
  setrlimit(RLIMIT_NOFILE, &before);
  bool recovered = world.until([&] { return world.accepted.size() == 1; });
  close(spare);
  close(client);
  assert_int_equal(connected, 0);
  assert_int_equal(accepted_while_tight, 0);
  assert_true(turns < 50);
  assert_true(recovered);
  assert_int_equal(world.log.lines.size(), 1);
  assert_non_null(strstr(world.log.lines[0].c_str(), "node.peers_max"));
}

void local_sockets_are_private_and_replace_stale_files_only(void**) {
  TempFolder folder;
  std::string path = folder / "control";
  {
    World world;
    assert_true(world.streams.listen_local(7, path).has_value());
    struct stat status = {};
    assert_int_equal(stat(path.c_str(), &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    World second;
    Status taken = second.streams.listen_local(7, path);
    assert_false(taken.has_value());
    assert_int_equal(taken.error().code, Errc::conflict);

    int client = socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un to = {};
    to.sun_family = AF_UNIX;
    strcpy(to.sun_path, path.c_str());
    assert_int_equal(connect(client, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
    assert_int_equal(write(client, "hello", 5), 5);
    // The second listener's probe was accepted first; it is gone.
    assert_true(world.until([&] { return world.accepted.size() == 2 && world.received[world.accepted[1].stream].size() == 5; }));
    assert_int_equal(world.accepted[1].listener, 7);
    close(client);
  }
  assert_int_not_equal(access(path.c_str(), F_OK), 0);  // removed with its listener

  int stale = socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un at = {};
  at.sun_family = AF_UNIX;
  strcpy(at.sun_path, path.c_str());
  assert_int_equal(bind(stale, reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
  close(stale);
  World world;
  assert_true(world.streams.listen_local(7, path).has_value());

  int file = open((folder / "file").c_str(), O_CREAT | O_WRONLY, 0600);
  close(file);
  assert_int_equal(world.streams.listen_local(8, folder / "file").error().code, Errc::conflict);
  assert_int_equal(access((folder / "file").c_str(), F_OK), 0);
  assert_int_equal(world.streams.listen_local(8, folder / std::string(200, 'x')).error().code, Errc::bad_input);
}

// A burst of connections, all refused by the owner: nothing leaks, the listener lives on.
void thousands_of_refused_connections_leave_nothing_behind(void**) {
  World world;
  Endpoint listening = *world.streams.listen(1, parse("127.0.0.1:0"));
  world.close_accepted = true;
  for (int round = 0; round < 20; ++round) {
    for (int i = 0; i < 100; ++i) world.streams.connect(listening, std::nullopt);
    size_t expected = static_cast<size_t>(round + 1) * 100;
    assert_true(world.until([&] { return world.accepted.size() == expected && world.closed.size() == expected; }));
  }
  world.close_accepted = false;
  StreamId last = world.streams.connect(listening, std::nullopt);
  assert_true(world.until([&] { return world.accepted.size() == 2001 && !world.connected.empty() && world.connected.back() == last; }));
}

void a_file_is_sent_as_far_as_it_goes(void**) {
  World world;
  Pair pair(world);
  assert_true(pair.good);
  TempFolder folder;
  LinuxFiles files;
  Result<std::unique_ptr<File>> file = files.open(folder.path(), "payload", OpenMode::create);
  assert_true(file.has_value());
  std::vector<uint8_t> block(40'000);
  for (size_t i = 0; i < block.size(); ++i) block[i] = static_cast<uint8_t>(i * 7);
  assert_true((*file)->write_at(0, block).has_value());
  if (Result<bool> cached = (*file)->is_cached(100, 39'000)) assert_true(*cached);  // where the kernel tells
  bool ended = true;
  assert_int_equal(world.streams.send_file(pair.server, as_bytes("head"), (*file)->descriptor(), 1000, 30'000, ended), 30'004);
  assert_true(!ended);
  assert_int_equal(world.streams.send_file(pair.server, {}, (*file)->descriptor(), 39'000, 5000, ended), 1000);
  assert_true(ended);
  const std::vector<uint8_t>& got = world.received[pair.client];
  assert_true(world.until([&] { return got.size() >= 31'004; }));
  assert_int_equal(got.size(), 31'004);
  assert_memory_equal(got.data(), "head", 4);
  assert_memory_equal(got.data() + 4, block.data() + 1000, 30'000);
  assert_memory_equal(got.data() + 30'004, block.data() + 39'000, 1000);
  assert_int_equal(world.streams.send_file(999, {}, (*file)->descriptor(), 0, 10, ended), 0);
}

void both_ways_of_payload_are_measured(void**) {
  int64_t copied = payload_cost_ns(PayloadWay::copy);
  int64_t from_file = payload_cost_ns(PayloadWay::sendfile);
  assert_true(copied > 0);
  print_message("1 MiB: copied %lld us, from the file %lld us of processor time\n", static_cast<long long>(copied / 1000),
                static_cast<long long>(from_file / 1000));
  if (from_file < 0) assert_true(cheapest_payload_way() == PayloadWay::copy);
  World world;
  assert_true(world.streams.payload_way() == world.streams.payload_way());  // measured once
}

void what_was_sent_is_known_to_have_arrived(void**) {
  World world;
  Pair pair(world);
  assert_true(pair.good);
  assert_true(!world.streams.is_over_uplink(pair.client) && !world.streams.is_over_uplink(pair.server));
  std::vector<uint8_t> block(100'000, 1);
  Bytes parts[] = {block};
  assert_int_equal(world.streams.send(pair.server, parts), block.size());
  assert_true(world.until([&] {
    std::optional<StreamProgress> progress = world.streams.progress(pair.server);
    return progress && progress->acknowledged >= block.size() && progress->round_trip_us != 0 &&
           progress->round_trip_least_us <= progress->round_trip_us;
  }));
  world.streams.close(pair.server);
  assert_true(!world.streams.progress(pair.server) && !world.streams.is_over_uplink(pair.server) &&
              !world.streams.set_background(pair.server));
}

void a_congestion_control_is_taken_where_the_kernel_has_it(void**) {
  World world;
  Fd fd(socket(AF_INET, SOCK_STREAM, 0));
  assert_true(set_congestion_control(fd.get(), "reno"));  // every kernel has it, and everybody may
  assert_true(!set_congestion_control(fd.get(), "no_such_control"));
  Pair pair(world);
  assert_true(pair.good);
  // The same answer for every connection, told once.
  assert_true(world.streams.set_background(pair.client) == world.streams.set_background(pair.server));
  size_t told = 0;
  for (const std::string& line : world.log.lines) told += line.find("tcp_background") != std::string::npos;
  assert_int_equal(told, 1);
}

void only_private_addresses_of_our_own_networks_are_neighbours(void**) {
  Neighbours neighbours;
  auto contains = [&](const char* text) { return neighbours.contains(*IpAddress::parse(text), 0); };
  for (const char* near : {"127.0.0.1", "127.9.8.7", "::1", "169.254.3.4", "fe80::1"}) assert_true(contains(near));
  for (const char* far : {"8.8.8.8", "198.51.100.7", "2001:db8::1", "fec0::1"}) assert_true(!contains(far));
  ifaddrs* first = nullptr;
  assert_int_equal(getifaddrs(&first), 0);
  for (const ifaddrs* entry = first; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr || entry->ifa_addr->sa_family != AF_INET) continue;
    std::array<uint8_t, 4> raw;
    memcpy(raw.data(), &reinterpret_cast<const sockaddr_in*>(entry->ifa_addr)->sin_addr, 4);
    assert_true(neighbours.contains(IpAddress::v4(raw), 0));  // ourselves
    if (raw[0] != 10) continue;
    raw[3] ^= 1;
    assert_true(neighbours.contains(IpAddress::v4(raw), 0) ||
                (reinterpret_cast<const sockaddr_in*>(entry->ifa_netmask)->sin_addr.s_addr == UINT32_MAX));
  }
  freeifaddrs(first);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(bytes_go_both_ways_in_order),
      cmocka_unit_test(a_full_socket_takes_a_part_and_says_when_it_has_room),
      cmocka_unit_test(a_connection_that_is_refused_is_closed_with_the_reason),
      cmocka_unit_test(an_impossible_source_address_is_an_event_not_a_crash),
      cmocka_unit_test(the_source_address_is_bound),
      cmocka_unit_test(the_other_side_going_away_is_told_once_and_bytes_before_it_arrive),
      cmocka_unit_test(sending_to_a_reset_connection_is_an_event),
      cmocka_unit_test(what_came_before_a_reset_is_read),
      cmocka_unit_test(an_end_with_unread_bytes_is_no_reset),
      cmocka_unit_test(a_receiver_may_close_its_stream),
      cmocka_unit_test(ids_are_never_used_again),
      cmocka_unit_test(a_port_in_use_is_named_with_the_way_out),
      cmocka_unit_test(any_address_listens_on_both_families),
      cmocka_unit_test(paused_accepting_leaves_connections_in_the_backlog),
      cmocka_unit_test(running_out_of_descriptors_pauses_accepting),
      cmocka_unit_test(local_sockets_are_private_and_replace_stale_files_only),
      cmocka_unit_test(thousands_of_refused_connections_leave_nothing_behind),
      cmocka_unit_test(a_file_is_sent_as_far_as_it_goes),
      cmocka_unit_test(both_ways_of_payload_are_measured),
      cmocka_unit_test(what_was_sent_is_known_to_have_arrived),
      cmocka_unit_test(a_congestion_control_is_taken_where_the_kernel_has_it),
      cmocka_unit_test(only_private_addresses_of_our_own_networks_are_neighbours),
  };
  return RUN_TESTS(tests);
}
