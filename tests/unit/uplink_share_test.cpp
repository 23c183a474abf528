// What one node sends over TCP and over uTP meets in one queue, that of its own uplink. Both aim at the same queue for the same number of
// bytes in flight (swarm/uplink_target.h), so both get their part: here at least 35 per cent of what goes through each, whoever came first,
// while the queue stays as short as with one of them alone.
#include <algorithm>
#include <deque>
#include <vector>

#include "swarm/tcp_uplink.h"
#include "unit/test.h"
#include "unit/utp_world.h"

using namespace millet;

namespace {

// ---- the rule ----

void the_target_falls_with_what_is_in_flight(void**) {
  constexpr uint64_t k_least = 3000;
  uint64_t last = uplink_target_us(k_uplink_target_most, k_least, k_least);
  assert_in_range(last, 58'000, 58'200);
  assert_int_equal(uplink_target_us(k_uplink_target_most, 1, k_least), last);  // less than two packets is two packets
  for (uint64_t window = 2 * k_least; window <= 64 * k_least; window *= 2) {
    uint64_t next = uplink_target_us(k_uplink_target_most, window, k_least);
    assert_in_range(last - next, 4999, 5001);
    // And between two powers what lies between.
    assert_in_range(uplink_target_us(k_uplink_target_most, window / 4 * 3, k_least), next + 2300, next + 2700);
    last = next;
  }
  assert_int_equal(uplink_target_us(k_uplink_target_most, uint64_t{1} << 46, k_least), 60'000 - 60'000 / 32 - 30'000);
}

// A connection that has `window` bytes in flight, for a few turns.
uint64_t tcp_target_us(uint64_t window, uint32_t round_trip_us) {
  TcpUplink uplink;
  TcpUplink::Flow flow;
  Instant now = Instant::from_us(1'000'000);
  uint64_t acknowledged = 0;
  for (int i = 0; i < 200; ++i) {
    now = now + TcpUplink::k_look;
    acknowledged += window * static_cast<uint64_t>(TcpUplink::k_look.in_us()) / round_trip_us;
    uplink.add(now, flow, {acknowledged, 0, round_trip_us, round_trip_us});
    uplink.on_look(now, true);
  }
  return uplink.target_us();
}

void tcp_aims_at_what_utp_aims_at(void**) {
  UtpLedbat ledbat({}, 1500);
  Instant now = Instant::from_us(1'000'000);
  UtpLedbat::Ack ack;
  ack.bytes = 1500;
  ack.base_rtt_us = 120'000;  // gain 1
  ack.rtt_us = 120'000;
  ack.limited = true;
  uint64_t last = UINT64_MAX;
  while (ledbat.window() < 90'000) {
    for (uint32_t round = ledbat.window(); ledbat.window() < 2 * round;) ledbat.on_ack(now, ack);
    for (uint32_t round_trip_us : {20'000u, 80'000u}) {
      assert_in_range(tcp_target_us(ledbat.window(), round_trip_us), ledbat.target_us() - 200, ledbat.target_us() + 200);
    }
    assert_true(ledbat.target_us() < last);
    last = ledbat.target_us();
  }
}

// ---- both on one link ----

constexpr uint64_t k_rate = 10'000'000;
constexpr uint32_t k_overhead = 42;  // Ethernet, IP, UDP
constexpr uint32_t k_packet = 1448;
constexpr uint32_t k_tcp_overhead = 66;

// TCP connections that take what the rate lets them, and acknowledge as Linux does.
class RatedTcp {
 public:
  RatedTcp(UtpWorld& world, UtpLink& link, Utp& utp, std::vector<uint32_t> lengths_us) : world_(world), link_(link), utp_(utp) {
    for (uint32_t length_us : lengths_us) connections_.push_back({{}, length_us, 0, 0, 0, UINT32_MAX, {}});
  }

  uint64_t acknowledged() const {
    uint64_t sum = 0;
    for (const Connection& connection : connections_) sum += connection.acknowledged;
    return sum;
  }
  TcpUplink uplink;
  bool on = true;

  void step() {
    Instant now = world_.now();
    for (Connection& connection : connections_) take_acknowledgements(now, connection);
    bool waiting = false;
    for (size_t tries = 0; on && tries < connections_.size(); ++tries) {
      Connection& connection = connections_[turn_++ % connections_.size()];
      if (connection.sent - connection.acknowledged > k_socket_max) continue;
      uint64_t room = uplink.room(now);
      waiting = true;
      if (room == 0) break;
      uplink.take(now, connection.flow, room);
      send(now, connection, room);
    }
    if (now < look_at_) return;
    look_at_ = now + TcpUplink::k_look;
    for (Connection& connection : connections_) {
      uplink.add(now, connection.flow, {connection.acknowledged, retransmitted_, connection.round_trip_us, connection.least_us});
    }
    if (std::optional<UplinkUse> use = utp_.uplink_use(now)) uplink.add_utp(now, *use);
    uplink.on_look(now, waiting);
  }

 private:
  static constexpr uint64_t k_socket_max = 1 << 19;
  struct OnItsWay {
    Instant back;
    Instant sent;
    uint32_t bytes;
  };
  struct Connection {
    TcpUplink::Flow flow;
    uint32_t length_us = 0;  // of its path, there and back
    uint64_t sent = 0;
    uint64_t acknowledged = 0;
    uint32_t round_trip_us = 0;  // smoothed
    uint32_t least_us = UINT32_MAX;
    std::deque<OnItsWay> out;
  };

  void take_acknowledgements(Instant now, Connection& connection) {
    while (!connection.out.empty() && connection.out.front().back <= now) {
      OnItsWay packet = connection.out.front();
      connection.out.pop_front();
      uint32_t sample = static_cast<uint32_t>((packet.back - packet.sent).in_us());
      connection.acknowledged += packet.bytes;
      connection.round_trip_us = connection.round_trip_us == 0 ? sample : (connection.round_trip_us * 7 + sample) / 8;
      connection.least_us = std::min(connection.least_us, sample);
    }
  }
  void send(Instant now, Connection& connection, uint64_t bytes) {
    connection.sent += bytes;
    while (bytes != 0) {
      uint32_t size = static_cast<uint32_t>(std::min<uint64_t>(bytes, k_packet));
      bytes -= size;
      Duration backlog = link_.backlog(now);
      Instant gone =
          now + backlog + Duration::us(static_cast<int64_t>(uint64_t{size + k_tcp_overhead} * 8'000'000 / link_.bits_per_second));
      if (static_cast<uint64_t>(backlog.in_us()) * link_.bits_per_second / 8'000'000 + size > link_.queue_max) {
        ++retransmitted_;  // it comes a round trip later; that is all there is to it here
      } else {
        link_.free_at = gone;
      }
      connection.out.push_back({gone + Duration::us(connection.length_us), now, size});
    }
  }

  UtpWorld& world_;
  UtpLink& link_;
  Utp& utp_;
  std::deque<Connection> connections_;
  Instant look_at_;
  uint64_t retransmitted_ = 0;
  size_t turn_ = 0;
};

struct Setting {
  uint64_t seed = 1;
  std::vector<int64_t> utp_delays_us = {};    // of leechers, one way behind the uplink
  std::vector<uint32_t> tcp_lengths_us = {};  // of connections, there and back
  Duration utp_from = {};                     // who begins when
  Duration tcp_from = {};
};

class Home {
 public:
  explicit Home(const Setting& setting)
      : setting_(setting), world_(setting.seed), seeder_(world_.add()), up_(world_.add_link(uplink())),
        tcp_(world_, up_, *seeder_.engine, setting.tcp_lengths_us) {
    world_.timer_grain_us = 1000;
    tcp_.on = false;
  }

  void run(Duration time) {
    for (Instant end = world_.now() + time; world_.now() < end;) {
      Duration passed = world_.now() - start_;
      tcp_.on = passed >= setting_.tcp_from;
      if (leechers_.empty() && passed >= setting_.utp_from) begin_utp();
      tcp_.step();
      queues_ms_.push_back(static_cast<uint32_t>(up_.backlog(world_.now()).in_ms()));
      world_.run_for(Duration::ms(1));
    }
  }
  // Runs, and gives the percentages of the link that TCP and uTP have got.
  std::pair<uint64_t, uint64_t> shares(Duration time) {
    queues_ms_.clear();
    uint64_t tcp = tcp_.acknowledged();
    uint64_t utp = utp_received();
    run(time);
    uint64_t link = k_rate / 8 * static_cast<uint64_t>(time.in_ms()) / 1000;
    return {(tcp_.acknowledged() - tcp) * 100 / link, (utp_received() - utp) * 100 / link};
  }
  uint32_t queue_ms(size_t percent) {
    std::sort(queues_ms_.begin(), queues_ms_.end());
    return queues_ms_[(queues_ms_.size() - 1) * percent / 100];
  }

 private:
  static UtpLink uplink() {
    UtpLink link;
    link.bits_per_second = k_rate;
    link.delay = Duration::us(150);
    link.queue_max = k_rate / 8;
    link.overhead = k_overhead;
    return link;
  }
  void begin_utp() {
    for (int64_t delay_us : setting_.utp_delays_us) {
      UtpWorld::Node& leecher = world_.add();
      UtpLink near;
      near.delay = Duration::us(delay_us);
      near.overhead = k_overhead;
      world_.route(seeder_, leecher, {&up_, &world_.add_link(near)});
      world_.route(leecher, seeder_, {&world_.add_link(near)});
      leechers_.push_back(&leecher);
      world_.connect(seeder_, leecher, uint64_t{1} << 40);
    }
  }
  uint64_t utp_received() const {
    uint64_t sum = 0;
    for (const UtpWorld::Node* leecher : leechers_) sum += leecher->streams.empty() ? 0 : leecher->streams.begin()->second.received;
    return sum;
  }

  const Setting setting_;
  UtpWorld world_;
  UtpWorld::Node& seeder_;
  UtpLink& up_;
  std::vector<UtpWorld::Node*> leechers_;
  RatedTcp tcp_;
  const Instant start_ = world_.now();
  std::vector<uint32_t> queues_ms_;
};

void share(const Setting& setting) {
  Home home(setting);
  home.run(Duration::seconds(70));
  auto [tcp, utp] = home.shares(Duration::seconds(60));
  uint32_t median = home.queue_ms(50);
  uint32_t high = home.queue_ms(95);
  print_message("%zu over TCP: %u %%, %zu over uTP: %u %%, queue %u ms, %u ms\n", setting.tcp_lengths_us.size(), static_cast<unsigned>(tcp),
                setting.utp_delays_us.size(), static_cast<unsigned>(utp), median, high);
  assert_true(tcp * 100 >= (tcp + utp) * 35);
  assert_true(utp * 100 >= (tcp + utp) * 35);
  assert_true(tcp + utp >= 88);
  assert_true(median <= 60);
  assert_true(high <= 90);
}

void utp_that_was_there_first_and_tcp_share(void**) {
  share({.seed = 1, .utp_delays_us = {150}, .tcp_lengths_us = {300}, .tcp_from = Duration::seconds(10)});
}
void tcp_that_was_there_first_and_utp_share(void**) {
  share({.seed = 2, .utp_delays_us = {150}, .tcp_lengths_us = {300}, .utp_from = Duration::seconds(10)});
}
void they_share_on_longer_paths(void**) {
  share({.seed = 3, .utp_delays_us = {15'000}, .tcp_lengths_us = {30'000}, .tcp_from = Duration::seconds(10)});
  share({.seed = 4, .utp_delays_us = {15'000}, .tcp_lengths_us = {30'000}, .utp_from = Duration::seconds(10)});
}
void how_many_connections_each_has_does_not_matter(void**) {
  share({.seed = 5, .utp_delays_us = {2'000, 9'000, 5'000, 14'000}, .tcp_lengths_us = {20'000}});
  share({.seed = 6, .utp_delays_us = {8'000}, .tcp_lengths_us = {5'000, 11'000, 30'000, 17'000}});
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(the_target_falls_with_what_is_in_flight),
      cmocka_unit_test(tcp_aims_at_what_utp_aims_at),
      cmocka_unit_test(utp_that_was_there_first_and_tcp_share),
      cmocka_unit_test(tcp_that_was_there_first_and_utp_share),
      cmocka_unit_test(they_share_on_longer_paths),
      cmocka_unit_test(how_many_connections_each_has_does_not_matter),
  };
  return RUN_TESTS(tests);
}
