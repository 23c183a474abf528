// hal/linux: the UDP socket over loopback. Every way of sending gives the same datagrams; what the system refuses is told per destination.
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <net/if.h>

#include <algorithm>
#include <functional>
#include <vector>

#include "hal/linux/system.h"
#include "unit/test.h"

using namespace millet;
using namespace millet::hal;

namespace {

struct CountingLog final : LogSink {
  LogLevel level() const override { return LogLevel::debug; }
  void write(LogLevel, std::string_view line) override { lines.emplace_back(line); }
  std::vector<std::string> lines;
};

struct Inbox final : DatagramEvents {
  void on_datagrams(std::span<const IncomingRun> runs) override {
    ++calls;
    for (const IncomingRun& run : runs) {
      from = run.from;
      local = run.local;
      largest_run = std::max(largest_run, run.bytes.size() / run.size);
      if (run.bytes.empty()) datagrams.emplace_back();
      for (Bytes left = run.bytes; !left.empty(); left = left.subspan(std::min(run.size, left.size()))) {
        Bytes one = left.first(std::min(run.size, left.size()));
        datagrams.emplace_back(one.begin(), one.end());
        sources.push_back(run.from);
      }
    }
    if (on_batch) on_batch();
  }
  void on_datagrams_writable() override { ++writable; }
  void on_unreachable(const Endpoint& remote) override { unreachable.push_back(remote); }
  void on_path_mtu(const Endpoint&, uint32_t) override {}

  std::vector<std::vector<uint8_t>> datagrams;
  std::vector<Endpoint> sources;  // of datagrams that are not empty
  std::vector<Endpoint> unreachable;
  std::function<void()> on_batch;
  Endpoint from;
  IpAddress local;
  size_t largest_run = 0;
  int calls = 0;
  int writable = 0;
};

// Two sockets on one loop: `out` sends, `in` receives.
struct World final : TimerEvents {
  explicit World(std::optional<SendWay> way = std::nullopt) : loop(clock), out(loop.uv(), log, way), in(loop.uv(), log) {
    loop.set_events(this);
    out.set_events(&sender);
    in.set_events(&receiver);
  }
  ~World() {
    out.close();
    in.close();
    loop.close();
  }
  void on_timer() override {}
  void on_shutdown() override {}
  // False if it did not become true within ten seconds.
  bool until(const std::function<bool()>& reached) {
    Instant end = clock.now() + Duration::seconds(10);
    while (!reached()) {
      if (clock.now() > end) return false;
      loop.arm(clock.now() + Duration::ms(5));
      uv_run(loop.uv(), UV_RUN_ONCE);
    }
    return true;
  }
  bool open(const char* from, const char* to, const DatagramOptions& options = {}) {
    Result<Endpoint> a = out.bind(*Endpoint::parse(from), options);
    Result<Endpoint> b = in.bind(*Endpoint::parse(to), options);
    if (!a || !b) return false;
    source = *a;
    target = *b;
    return true;
  }

  CountingLog log;
  LinuxClock clock;
  LinuxLoop loop;
  LinuxDatagrams out;
  LinuxDatagrams in;
  Inbox sender;
  Inbox receiver;
  Endpoint source;
  Endpoint target;
};

std::vector<uint8_t> pattern(size_t size, uint32_t seed = 1) {
  std::vector<uint8_t> out(size);
  uint32_t x = seed;
  for (uint8_t& byte : out) byte = static_cast<uint8_t>((x = x * 1664525 + 1013904223) >> 24);
  return out;
}

OutgoingRun run_of(const Endpoint& to, Bytes bytes, size_t size) {
  OutgoingRun run;
  run.to = to;
  run.bytes = bytes;
  run.size = size;
  return run;
}

std::vector<std::vector<uint8_t>> cut(Bytes bytes, size_t size) {
  std::vector<std::vector<uint8_t>> out;
  for (; !bytes.empty(); bytes = bytes.subspan(std::min(size, bytes.size()))) {
    Bytes one = bytes.first(std::min(size, bytes.size()));
    out.emplace_back(one.begin(), one.end());
  }
  return out;
}

// Runs of different sizes, whole and with a short end, longer than one message may be: every datagram arrives as it is, in order.
void check_way(SendWay way, const char* from, const char* to) {
  World world(way);
  assert_true(world.open(from, to));
  std::vector<uint8_t> payload = pattern(300'000);
  std::vector<std::vector<uint8_t>> expected;
  const size_t shapes[][2] = {{1400, 1400 * 10},  {1400, 1400 * 10 + 7}, {20, 20}, {7, 7 * 200 + 3},
                              {1452, 1452 * 100}, {60'000, 60'000},      {1, 70},  {1400, 3}};
  size_t at = 0;
  std::vector<OutgoingRun> runs;
  for (const auto& [size, total] : shapes) {
    Bytes bytes = Bytes(payload).subspan(at, total);
    at += total;
    runs.push_back(run_of(world.target, bytes, size));
    for (std::vector<uint8_t>& one : cut(bytes, size)) expected.push_back(std::move(one));
  }
  assert_true(world.out.send(runs));
  for (const OutgoingRun& run : runs) assert_true(run.done == run.count() && run.outcome == SendOutcome::sent);
  assert_true(world.until([&] { return world.receiver.datagrams.size() >= expected.size(); }));
  assert_true(world.receiver.datagrams == expected);
  assert_true(world.receiver.from.port == world.source.port);
  assert_true(world.out.way() == way);
  DatagramCounters counters = world.out.counters();
  assert_int_equal(counters.sent, expected.size());
  assert_int_equal(counters.sent_bytes, at);
  assert_int_equal(world.in.counters().received, expected.size());
  assert_int_equal(world.in.counters().received_bytes, at);
  // 395 datagrams.
  if (way == SendWay::single) assert_int_equal(counters.send_calls, expected.size());
  if (way == SendWay::batch) assert_true(counters.send_calls <= expected.size() / 64 + 1);
  if (way == SendWay::offload) assert_int_equal(counters.send_calls, 1);
}

void offload_sends_the_same_datagrams(void**) { check_way(SendWay::offload, "127.0.0.1:0", "127.0.0.1:0"); }
void batch_sends_the_same_datagrams(void**) { check_way(SendWay::batch, "127.0.0.1:0", "127.0.0.1:0"); }
void single_sends_the_same_datagrams(void**) { check_way(SendWay::single, "127.0.0.1:0", "127.0.0.1:0"); }
void every_way_works_over_v6(void**) {
  for (SendWay way : {SendWay::offload, SendWay::batch, SendWay::single}) check_way(way, "[::1]:0", "[::1]:0");
}

void one_socket_takes_both_families(void**) {
  World world;
  assert_true(world.open("[::]:0", "[::]:0"));
  std::vector<uint8_t> payload = pattern(2800);
  OutgoingRun runs[] = {run_of({*IpAddress::parse("127.0.0.1"), world.target.port}, payload, 1400),
                        run_of({*IpAddress::parse("::1"), world.target.port}, payload, 1400)};
  assert_true(world.out.send(std::span(runs, 1)));
  assert_true(world.until([&] { return world.receiver.datagrams.size() == 2; }));
  assert_true(world.receiver.from.address == *IpAddress::parse("127.0.0.1"));  // never a mapped address
  assert_true(world.out.send(std::span(runs + 1, 1)));
  assert_true(world.until([&] { return world.receiver.datagrams.size() == 4; }));
  assert_true(world.receiver.from.address == *IpAddress::parse("::1"));
}

void bind_names_the_address_in_its_error(void**) {
  World world;
  assert_true(world.open("127.0.0.1:0", "127.0.0.1:0"));
  world.out.close();
  Result<Endpoint> second = world.out.bind(world.target, {});
  assert_false(second.has_value());
  assert_true(second.error().code == Errc::conflict);
  assert_non_null(strstr(second.error().reason.c_str(), world.target.to_string().c_str()));
  assert_true(world.out.bind(*Endpoint::parse("127.0.0.1:0"), {}).has_value());  // and may be tried again
}

// A socket without checksums can't be used for segmentation offload: as on a network card or a route that does not take it.
void refused_offload_falls_back_for_good(void**) {
  World world(SendWay::offload);
  assert_true(world.open("127.0.0.1:0", "127.0.0.1:0"));
  int on = 1;
  assert_int_equal(setsockopt(world.out.fd(), SOL_SOCKET, SO_NO_CHECK, &on, sizeof on), 0);
  std::vector<uint8_t> payload = pattern(1400 * 20 + 5);
  OutgoingRun run = run_of(world.target, payload, 1400);
  assert_true(world.out.send(std::span(&run, 1)));
  assert_true(run.outcome == SendOutcome::sent && run.done == 21);
  assert_true(world.out.way() == SendWay::batch);
  assert_true(world.until([&] { return world.receiver.datagrams.size() >= 21; }));
  assert_true(world.receiver.datagrams == cut(payload, 1400));
  auto tells = [](const std::string& line) { return line.find("udp_send_way") != std::string::npos; };
  assert_int_equal(std::count_if(world.log.lines.begin(), world.log.lines.end(), tells), 1);
  int off = 0;
  assert_int_equal(setsockopt(world.out.fd(), SOL_SOCKET, SO_NO_CHECK, &off, sizeof off), 0);
  OutgoingRun again = run_of(world.target, payload, 1400);
  assert_true(world.out.send(std::span(&again, 1)));
  assert_true(world.out.way() == SendWay::batch);
  assert_int_equal(std::count_if(world.log.lines.begin(), world.log.lines.end(), tells), 1);
}

void overflow_of_the_receive_queue_is_counted(void**) {
  World world(SendWay::batch);
  DatagramOptions small;
  small.receive_buffer = 8192;
  assert_true(world.open("127.0.0.1:0", "127.0.0.1:0", small));
  std::vector<uint8_t> payload = pattern(1000 * 500);
  for (int i = 0; i < 5; ++i) {
    OutgoingRun run = run_of(world.target, payload, 1000);
    assert_true(world.out.send(std::span(&run, 1)));
  }
  assert_true(world.until([&] { return !world.receiver.datagrams.empty(); }));
  // The count comes with the next datagram that is taken in.
  size_t before = world.receiver.datagrams.size();
  OutgoingRun last = run_of(world.target, Bytes(payload).first(1), 1);
  assert_true(world.out.send(std::span(&last, 1)));
  assert_true(world.until([&] { return world.receiver.datagrams.size() > before && world.receiver.datagrams.back().size() == 1; }));
  DatagramCounters counters = world.in.counters();
  assert_true(counters.receive_overflows > 0);
  assert_int_equal(counters.received + counters.receive_overflows, 5 * 500 + 1);
}

// Nobody listens there: the next datagrams go out all the same, to that destination and to others.
void a_refusal_is_of_one_destination_and_never_fatal(void**) {
  for (const char* local : {"127.0.0.1:0", "[::1]:0"}) {
    World world;
    assert_true(world.open(local, local));
    Endpoint dead = world.target;
    world.in.close();
    std::vector<uint8_t> payload = pattern(100);
    OutgoingRun lost = run_of(dead, payload, 100);
    assert_true(world.out.send(std::span(&lost, 1)));
    assert_true(lost.outcome == SendOutcome::sent);
    Result<Endpoint> alive = world.in.bind(*Endpoint::parse(local), {});
    assert_true(alive.has_value());
    // The refusal waits in the socket now: it must not hit this one.
    for (int i = 0; i < 3; ++i) {
      OutgoingRun runs[] = {run_of(dead, payload, 100), run_of(*alive, payload, 100)};
      assert_true(world.out.send(runs));
      assert_true(runs[1].outcome == SendOutcome::sent);
    }
    assert_true(world.until([&] { return world.receiver.datagrams.size() == 3 && !world.sender.unreachable.empty(); }));
    for (const Endpoint& remote : world.sender.unreachable) assert_true(remote == dead);
  }
}

void an_address_family_that_the_socket_lacks_is_unreachable(void**) {
  World world;
  assert_true(world.open("127.0.0.1:0", "127.0.0.1:0"));
  std::vector<uint8_t> payload = pattern(300);
  OutgoingRun runs[] = {run_of(*Endpoint::parse("[2001:db8::1]:9"), payload, 100), run_of(world.target, payload, 100)};
  assert_true(world.out.send(runs));
  assert_true(runs[0].outcome == SendOutcome::unreachable && runs[0].done == 3);
  assert_true(runs[1].outcome == SendOutcome::sent);
  assert_true(world.until([&] { return world.receiver.datagrams.size() == 3; }));
}

void a_turn_is_bounded(void**) {
  World world(SendWay::offload);
  DatagramOptions large;
  large.receive_buffer = 16u << 20;
  assert_true(world.open("127.0.0.1:0", "127.0.0.1:0", large));
  std::vector<uint8_t> payload = pattern(1400 * 40);
  for (int i = 0; i < 32; ++i) {
    OutgoingRun run = run_of(world.target, payload, 1400);
    assert_true(world.out.send(std::span(&run, 1)));
  }
  size_t largest_turn = 0;
  size_t seen = 0;
  auto received = [&] {
    size_t bytes = static_cast<size_t>(world.in.counters().received_bytes);
    largest_turn = std::max(largest_turn, bytes - seen);
    seen = bytes;
    return world.receiver.datagrams.size() >= 32 * 40;
  };
  if (!world.until(received)) {
    // Without privileges the buffer is small: what did arrive came in bounded turns.
    assert_true(world.in.counters().receive_overflows > 0 || !world.receiver.datagrams.empty());
  }
  assert_true(largest_turn <= LinuxDatagrams::k_turn_bytes_max + 16 * 65'536);
  assert_true(largest_turn < payload.size() * 32);
}

void closing_in_the_middle_of_a_batch_is_fine(void**) {
  World world;
  assert_true(world.open("127.0.0.1:0", "127.0.0.1:0"));
  world.receiver.on_batch = [&] { world.in.close(); };
  std::vector<uint8_t> payload = pattern(1400 * 100);
  OutgoingRun run = run_of(world.target, payload, 1400);
  assert_true(world.out.send(std::span(&run, 1)));
  assert_true(world.until([&] { return world.receiver.calls == 1; }));
  Instant end = world.clock.now() + Duration::ms(50);
  assert_true(world.until([&] { return world.clock.now() > end; }));
  assert_int_equal(world.receiver.calls, 1);
}

void what_is_sent_is_marked_as_lower_effort(void**) {
  World world;
  assert_true(world.open("[::]:0", "127.0.0.1:0"));
  int on = 1;
  assert_int_equal(setsockopt(world.in.fd(), IPPROTO_IP, IP_RECVTOS, &on, sizeof on), 0);
  int tos = 0;
  socklen_t size = sizeof tos;
  assert_int_equal(getsockopt(world.out.fd(), IPPROTO_IP, IP_TOS, &tos, &size), 0);
  assert_int_equal(tos >> 2, 1);  // RFC 8622
  assert_int_equal(getsockopt(world.out.fd(), IPPROTO_IPV6, IPV6_TCLASS, &tos, &size), 0);
  assert_int_equal(tos >> 2, 1);
  DatagramOptions ordinary;
  ordinary.lower_effort = false;
  world.out.close();
  assert_true(world.out.bind(*Endpoint::parse("127.0.0.1:0"), ordinary).has_value());
  assert_int_equal(getsockopt(world.out.fd(), IPPROTO_IP, IP_TOS, &tos, &size), 0);
  assert_int_equal(tos, 0);
}

// In a network namespace whose loopback takes packets of 1300 bytes. 0: as it should be; 77: no namespaces here; else the line that failed.
int packets_above_the_link() {
#define EXPECT(condition) \
  if (!(condition)) return __LINE__ % 70 + 1
  if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) return 77;
  int control = socket(AF_INET, SOCK_DGRAM, 0);
  ifreq request = {};
  strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP | IFF_LOOPBACK | IFF_RUNNING;
  if (control < 0 || ioctl(control, SIOCSIFFLAGS, &request) != 0) return 77;
  request.ifr_mtu = 1300;
  if (ioctl(control, SIOCSIFMTU, &request) != 0) return 77;
  close(control);
  for (SendWay way : {SendWay::offload, SendWay::batch, SendWay::single}) {
    for (const char* local : {"127.0.0.1:0", "[::1]:0"}) {
      World world(way);
      EXPECT(world.open(local, local));
      std::vector<uint8_t> payload = pattern(1400 * 8);
      OutgoingRun runs[] = {run_of(world.target, payload, 1400), run_of(world.target, payload, 1200), run_of(world.target, payload, 1400),
                            run_of(world.target, Bytes(payload).first(1400), 1400)};
      runs[2].may_fragment = true;
      EXPECT(world.out.send(runs));
      EXPECT(runs[0].outcome == SendOutcome::too_big && runs[0].done == 8);
      EXPECT(runs[1].outcome == SendOutcome::sent);
      EXPECT(runs[3].outcome == SendOutcome::too_big);
      EXPECT(runs[2].outcome == SendOutcome::sent);
      std::vector<std::vector<uint8_t>> expected = cut(payload, 1200);
      for (std::vector<uint8_t>& one : cut(payload, 1400)) expected.push_back(std::move(one));
      EXPECT(world.until([&] { return world.receiver.datagrams.size() >= expected.size(); }));
      EXPECT(world.receiver.datagrams == expected);
      EXPECT(world.out.way() == way);  // no reason to fall back
      EXPECT(world.out.counters().too_big == 9);
    }
  }
  return 0;
#undef EXPECT
}

void a_datagram_above_the_link_is_told_and_may_be_fragmented(void**) {
  pid_t child = fork();
  if (child == 0) _exit(packets_above_the_link());
  int status = 0;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) skip();
  assert_int_equal(WEXITSTATUS(status), 0);
}

// ---- a machine with several addresses ----

// `out` is bound to all of them, and asked at two that the routes would not pick. 0: it answers from where it was asked; else the line.
int answers_from_where_it_was_asked(SendWay way, const std::string& any, const std::string& asker, const std::string& first,
                                    const std::string& second) {
#define EXPECT(condition) \
  if (!(condition)) return __LINE__ % 70 + 1
  World world(way);
  EXPECT(world.open(any.c_str(), asker.c_str()));
  IpAddress asked[] = {*IpAddress::parse(first), *IpAddress::parse(second)};
  std::vector<uint8_t> payload = pattern(1400 * 20 + 5);
  std::vector<OutgoingRun> answers;
  for (const IpAddress& address : asked) {
    OutgoingRun question = run_of({address, world.source.port}, Bytes(payload).first(40), 40);
    size_t before = world.sender.datagrams.size();
    EXPECT(world.in.send(std::span(&question, 1)));
    EXPECT(world.until([&] { return world.sender.datagrams.size() > before; }));
    EXPECT(world.sender.local == address);
    answers.push_back(run_of(world.sender.from, payload, 1400));
    answers.back().from = world.sender.local;
    answers.push_back(run_of(world.sender.from, Bytes(payload).first(900), 900));
    answers.back().from = world.sender.local;
  }
  answers.push_back(run_of(world.sender.from, Bytes(payload).first(100), 100));  // as the system likes
  EXPECT(world.out.send(answers));
  for (const OutgoingRun& run : answers) EXPECT(run.outcome == SendOutcome::sent);
  EXPECT(world.out.way() == way);
  EXPECT(world.until([&] { return world.receiver.datagrams.size() >= 45; }));
  for (size_t i = 0; i < 44; ++i) EXPECT(world.receiver.sources[i] == (Endpoint{asked[i / 22], world.source.port}));
  EXPECT(world.receiver.sources[44].address == world.target.address);  // which is what it would have done with all
  EXPECT(world.receiver.local == IpAddress());                         // bound to one: there is nothing to tell
  // An address that the machine has lost: nothing goes out from another one, and that is no reason to send in another way.
  OutgoingRun lost[] = {run_of(world.target, payload, 1400), run_of(world.target, Bytes(payload).first(7), 7)};
  lost[0].from = world.target.address.is_v4() ? *IpAddress::parse("192.0.2.1") : *IpAddress::parse("2001:db8::1");
  EXPECT(world.out.send(lost));
  EXPECT(lost[0].outcome == SendOutcome::unreachable && lost[1].outcome == SendOutcome::sent);
  EXPECT(world.out.way() == way);
  EXPECT(world.until([&] { return world.receiver.datagrams.size() >= 46; }));
  EXPECT(world.receiver.datagrams[45].size() == 7);
  return 0;
}

void an_answer_comes_from_the_address_that_was_asked(void**) {
  for (SendWay way : {SendWay::offload, SendWay::batch, SendWay::single}) {
    for (const char* any : {"0.0.0.0:0", "[::]:0"}) {
      assert_int_equal(answers_from_where_it_was_asked(way, any, "127.0.0.1:0", "127.0.0.2", "127.0.0.3"), 0);
    }
  }
}

// in6_ifreq of the kernel, whose header can't be included beside the C library's.
struct AddressRequest {
  in6_addr address;
  uint32_t prefix;
  int interface;
};

// In a network namespace, because a machine's loopback has only one IPv6 address.
int answers_over_v6() {
  if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) return 77;
  int control = socket(AF_INET6, SOCK_DGRAM, 0);
  ifreq request = {};
  strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP | IFF_LOOPBACK | IFF_RUNNING;
  if (control < 0 || ioctl(control, SIOCSIFFLAGS, &request) != 0) return 77;
  for (const char* text : {"fd00::1", "fd00::2"}) {
    AddressRequest add = {};
    IpAddress address = *IpAddress::parse(text);
    Bytes raw = address.raw();
    std::copy(raw.begin(), raw.end(), add.address.s6_addr);
    add.prefix = 128;
    add.interface = static_cast<int>(if_nametoindex("lo"));
    if (ioctl(control, SIOCSIFADDR, &add) != 0) return 77;
    // It can be used a moment later.
    sockaddr_in6 probe = {};
    probe.sin6_family = AF_INET6;
    probe.sin6_addr = add.address;
    bool usable = false;
    for (int tries = 0; tries < 2000 && !usable; ++tries) {
      int fd = socket(AF_INET6, SOCK_DGRAM, 0);
      usable = bind(fd, reinterpret_cast<sockaddr*>(&probe), sizeof probe) == 0;
      close(fd);
      if (!usable) usleep(1000);
    }
    if (!usable) return 77;
  }
  close(control);
  for (SendWay way : {SendWay::offload, SendWay::batch, SendWay::single}) {
    if (int line = answers_from_where_it_was_asked(way, "[::]:0", "[::1]:0", "fd00::1", "fd00::2"); line != 0) return line;
  }
  return 0;
#undef EXPECT
}

void an_answer_comes_from_the_address_that_was_asked_over_v6(void**) {
  pid_t child = fork();
  if (child == 0) _exit(answers_over_v6());
  int status = 0;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) skip();
  assert_int_equal(WEXITSTATUS(status), 0);
}

void the_cheapest_way_is_one_that_works(void**) {
  World world;
  assert_true(world.open("127.0.0.1:0", "127.0.0.1:0"));
  print_message("cheapest: %s\n", send_way_name(world.out.way()));
  std::vector<uint8_t> payload = pattern(1400 * 30);
  OutgoingRun run = run_of(world.target, payload, 1400);
  assert_true(world.out.send(std::span(&run, 1)));
  assert_true(world.until([&] { return world.receiver.datagrams.size() == 30; }));
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(offload_sends_the_same_datagrams),
      cmocka_unit_test(batch_sends_the_same_datagrams),
      cmocka_unit_test(single_sends_the_same_datagrams),
      cmocka_unit_test(every_way_works_over_v6),
      cmocka_unit_test(one_socket_takes_both_families),
      cmocka_unit_test(bind_names_the_address_in_its_error),
      cmocka_unit_test(refused_offload_falls_back_for_good),
      cmocka_unit_test(overflow_of_the_receive_queue_is_counted),
      cmocka_unit_test(a_refusal_is_of_one_destination_and_never_fatal),
      cmocka_unit_test(an_address_family_that_the_socket_lacks_is_unreachable),
      cmocka_unit_test(a_turn_is_bounded),
      cmocka_unit_test(closing_in_the_middle_of_a_batch_is_fine),
      cmocka_unit_test(an_answer_comes_from_the_address_that_was_asked),
      cmocka_unit_test(an_answer_comes_from_the_address_that_was_asked_over_v6),
      cmocka_unit_test(what_is_sent_is_marked_as_lower_effort),
      cmocka_unit_test(a_datagram_above_the_link_is_told_and_may_be_fragmented),
      cmocka_unit_test(the_cheapest_way_is_one_that_works),
  };
  return RUN_TESTS(tests);
}
