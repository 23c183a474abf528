// The rate that keeps TCP from filling the uplink, on a modelled link: one queue, connections that take whatever the rate lets them.
#include "swarm/tcp_uplink.h"

#include <algorithm>
#include <deque>
#include <vector>

#include "unit/test.h"

using namespace millet;

namespace {

constexpr uint32_t k_packet = 1448;

struct OnItsWay {
  int64_t back_us;
  int64_t sent_us;
  uint32_t bytes;
};

class Home {
 public:
  struct Connection {
    TcpUplink::Flow flow;
    uint32_t length_us = 0;  // of its path, there and back
    uint64_t own_rate = 0;   // bytes per second behind the uplink; 0: no limit
    uint64_t socket_max = 1 << 18;
    uint64_t sent = 0;
    uint64_t acknowledged = 0;
    uint64_t round_trip_us = 0;  // smoothed
    uint64_t least_us = UINT32_MAX;
    int64_t own_free_us = 0;
    bool wants = true;
    std::deque<OnItsWay> out;
  };

  Home(uint64_t rate, uint32_t length_us) : rate_(rate) { add(length_us); }
  Connection& add(uint32_t length_us) {
    connections.push_back({});
    connections.back().length_us = length_us;
    return connections.back();
  }

  void run(Duration time) {
    for (Instant end = now + time; now < end; now = now + Duration::ms(1)) step();
  }
  uint64_t acknowledged() const {
    uint64_t sum = 0;
    for (const Connection& connection : connections) sum += connection.acknowledged;
    return sum;
  }
  // Per cent of the link that ours have taken.
  uint64_t run_and_measure(Duration time) {
    queues_ms.clear();
    uint64_t before = acknowledged();
    run(time);
    return (acknowledged() - before) * 100 / (rate_ * static_cast<uint64_t>(time.in_ms()) / 1000);
  }
  uint32_t percentile(size_t percent) {
    std::sort(queues_ms.begin(), queues_ms.end());
    return queues_ms[(queues_ms.size() - 1) * percent / 100];
  }

  TcpUplink uplink;
  std::deque<Connection> connections;
  Instant now = Instant::from_us(1'000'000'000);
  uint32_t others_ms = 0;   // others keep the queue at least this long
  uint64_t drop_above = 0;  // bytes of queue; 0: none are dropped
  std::vector<uint32_t> queues_ms;

 private:
  int64_t backlog_us() const { return std::max<int64_t>(free_us_ - now.in_us(), 0); }
  void step() {
    int64_t at = now.in_us();
    for (Connection& connection : connections) {
      while (!connection.out.empty() && connection.out.front().back_us <= at) {
        OnItsWay packet = connection.out.front();
        connection.out.pop_front();
        uint64_t sample = static_cast<uint64_t>(packet.back_us - packet.sent_us);
        connection.acknowledged += packet.bytes;
        connection.round_trip_us = connection.round_trip_us == 0 ? sample : (connection.round_trip_us * 7 + sample) / 8;
        connection.least_us = std::min(connection.least_us, sample);
      }
    }
    if (backlog_us() < int64_t{others_ms} * 1000) free_us_ = at + int64_t{others_ms} * 1000;
    bool waiting = false;
    for (size_t tries = 0; tries < connections.size(); ++tries) {
      Connection& connection = connections[turn_++ % connections.size()];
      if (!connection.wants || connection.sent - connection.acknowledged > connection.socket_max) continue;
      uint64_t room = uplink.room(now);
      waiting = true;
      if (room == 0) break;
      uplink.take(now, connection.flow, room);
      send(connection, room);
    }
    if (at >= look_us_) {
      look_us_ = at + TcpUplink::k_look.in_us();
      for (Connection& connection : connections) {
        uplink.add(now, connection.flow,
                   {connection.acknowledged, retransmitted_, static_cast<uint32_t>(connection.round_trip_us),
                    static_cast<uint32_t>(connection.least_us)});
      }
      uplink.on_look(now, waiting);
    }
    queues_ms.push_back(static_cast<uint32_t>(backlog_us() / 1000));
  }
  void send(Connection& connection, uint64_t bytes) {
    connection.sent += bytes;
    while (bytes != 0) {
      uint32_t size = static_cast<uint32_t>(std::min<uint64_t>(bytes, k_packet));
      bytes -= size;
      if (drop_above != 0 && static_cast<uint64_t>(backlog_us()) * rate_ / 1'000'000 > drop_above) ++retransmitted_;
      int64_t gone = std::max(free_us_, now.in_us()) + static_cast<int64_t>(uint64_t{size} * 1'000'000 / rate_);
      free_us_ = gone;
      if (connection.own_rate != 0) {
        gone = std::max(gone, connection.own_free_us) + static_cast<int64_t>(uint64_t{size} * 1'000'000 / connection.own_rate);
        connection.own_free_us = gone;
      }
      connection.out.push_back({gone + connection.length_us, now.in_us(), size});
    }
  }

  uint64_t rate_;
  int64_t free_us_ = 0;
  int64_t look_us_ = 0;
  uint64_t retransmitted_ = 0;
  size_t turn_ = 0;
};

void fills_the_link_and_keeps_its_queue_short(void**) {
  for (uint32_t rate : {125'000u, 625'000u, 2'500'000u, 12'500'000u}) {
    for (uint32_t length_us : {300u, 20'000u, 100'000u}) {
      Home home(rate, length_us);
      home.connections.front().socket_max = 1 << 22;
      home.run(Duration::seconds(10));
      uint64_t share = home.run_and_measure(Duration::seconds(60));
      print_message("%7u bytes/s, %6u us: %3u %%, queue %3u ms, %3u ms\n", rate, length_us, static_cast<unsigned>(share),
                    home.percentile(50), home.percentile(95));
      assert_true(share >= 95);
      assert_true(home.percentile(50) <= 60);
      assert_true(home.percentile(95) <= 75);
    }
  }
}

void gives_way_to_what_fills_the_queue_and_comes_back(void**) {
  Home home(2'500'000, 300);
  home.run(Duration::seconds(20));
  home.others_ms = 800;
  home.run(Duration::seconds(10));
  assert_true(home.run_and_measure(Duration::seconds(40)) <= 1);
  home.others_ms = 0;
  home.run(Duration::seconds(5));
  assert_true(home.run_and_measure(Duration::seconds(1)) >= 90);
}

void a_slow_peer_holds_nobody_up(void**) {
  Home home(2'500'000, 10'000);
  home.connections.front().own_rate = 100'000;
  home.add(15'000);
  home.run(Duration::seconds(10));
  assert_true(home.run_and_measure(Duration::seconds(30)) >= 90);
  assert_true(home.percentile(95) <= 110);
}

void a_connection_that_joins_does_not_take_the_queue_for_its_path(void**) {
  Home home(2'500'000, 10'000);
  home.run(Duration::seconds(12));
  home.add(20'000);
  home.connections.front().wants = false;
  home.run_and_measure(Duration::seconds(10));
  assert_true(home.percentile(95) <= 110);
}

void a_queue_that_is_shorter_than_the_target_is_not_flooded(void**) {
  Home home(2'500'000, 10'000);
  home.drop_above = 75'000;  // 30 ms
  home.run(Duration::seconds(10));
  assert_true(home.run_and_measure(Duration::seconds(30)) >= 80);
  assert_true(home.percentile(50) <= 40);
}

void stands_back_so_that_its_queue_is_not_taken_for_the_path(void**) {
  Home home(2'500'000, 10'000);
  home.run(Duration::seconds(10));
  for (int i = 0; i < 3; ++i) {
    home.run_and_measure(Duration::seconds(32));
    assert_true(home.percentile(0) <= 2);
  }
}

void what_utp_measures_counts_where_it_is_less(void**) {
  TcpUplink uplink;
  TcpUplink::Flow flow;
  Instant now = Instant::from_us(1'000'000);
  uint64_t acknowledged = 0;
  auto look = [&](bool with_utp) {
    for (int i = 0; i < 40; ++i) {
      now = now + TcpUplink::k_look;
      uplink.add(now, flow, {acknowledged += 4'000, 0, 200'000, 10'000});
      if (with_utp) uplink.add_utp(now, {1'000, 0});
      uplink.on_look(now, true);
    }
  };
  look(false);
  assert_int_equal(uplink.queue_us(), 190'000);
  assert_true(uplink.rate() <= 200'000);
  look(true);
  assert_int_equal(uplink.queue_us(), 1'000);
  assert_true(uplink.rate() >= 440'000);
}

void keeps_a_little_when_nothing_gets_through(void**) {
  TcpUplink uplink;
  Instant now = Instant::from_us(1'000'000);
  for (int i = 0; i < 4000; ++i) uplink.on_look(now = now + TcpUplink::k_look, true);
  assert_int_equal(uplink.rate(), TcpUplink::k_rate_least);
  assert_true(uplink.room(now) >= uplink.quantum());
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(fills_the_link_and_keeps_its_queue_short),
      cmocka_unit_test(gives_way_to_what_fills_the_queue_and_comes_back),
      cmocka_unit_test(a_slow_peer_holds_nobody_up),
      cmocka_unit_test(a_connection_that_joins_does_not_take_the_queue_for_its_path),
      cmocka_unit_test(a_queue_that_is_shorter_than_the_target_is_not_flooded),
      cmocka_unit_test(stands_back_so_that_its_queue_is_not_taken_for_the_path),
      cmocka_unit_test(what_utp_measures_counts_where_it_is_less),
      cmocka_unit_test(keeps_a_little_when_nothing_gets_through),
  };
  return RUN_TESTS(tests);
}
