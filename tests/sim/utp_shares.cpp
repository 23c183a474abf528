// How uTP behaves on a home uplink: alone, beside TCP, beside itself, and on a link that loses packets. Prints what it measures; fails
// beyond the bounds.
//
//   utp_shares [--verbose]
//
// The link is the one of tests/bench: 20 Mbit/s with a queue of a second, a path of a fraction of a millisecond. The TCP flow is CUBIC (RFC
// 9438) as far as a share needs it: slow start, its cubic growth and its Reno-friendly one, 0.7 on a loss.
#include <math.h>
#include <stdio.h>

#include <deque>
#include <string_view>

#include "unit/utp_world.h"

using namespace millet;

namespace {

bool g_verbose = false;
int g_failed = 0;

void report(const char* what, double value, double least, double most) {
  bool ok = value >= least && value <= most;
  if (!ok) ++g_failed;
  printf("%-68s %10.3f   %s [%g, %g]\n", what, value, ok ? "ok  " : "FAIL", least, most);
}

constexpr uint64_t k_rate = 20'000'000;
constexpr uint32_t k_overhead = 42;  // Ethernet, IP, UDP: what tbf counts

UtpLink uplink(Duration delay = Duration::us(150)) {
  UtpLink link;
  link.bits_per_second = k_rate;
  link.delay = delay;
  link.queue_max = k_rate / 8;
  link.overhead = k_overhead;
  return link;
}
UtpLink downlink(Duration delay = Duration::us(150)) {
  UtpLink link;
  link.delay = delay;
  link.overhead = k_overhead;
  return link;
}

// A seeder behind one uplink, and leechers each with an address of its own.
struct Home {
  UtpWorld world;
  UtpWorld::Node& seeder;
  UtpLink& up;
  std::vector<UtpWorld::Node*> leechers;

  explicit Home(uint64_t seed, const UtpLink& link = uplink(), const UtpOptions& options = {})
      : world(seed), seeder(world.add(options)), up(world.add_link(link)) {
    world.timer_grain_us = 1000;
  }
  UtpWorld::Node& add(Duration delay = Duration::us(150), uint32_t loss_ppm = 0) {
    UtpWorld::Node& leecher = world.add();
    leecher.clock_offset_us = static_cast<int64_t>(leechers.size()) * 123'456'789;
    leecher.clock_ppm = static_cast<int32_t>(leechers.size() * 37 % 100) - 50;
    UtpLink near;
    near.delay = delay;
    near.loss_ppm = loss_ppm;
    world.route(seeder, leecher, {&up, &world.add_link(near)});
    world.route(leecher, seeder, {&world.add_link(downlink(delay))});
    leechers.push_back(&leecher);
    world.connect(seeder, leecher, uint64_t{1} << 40);
    return leecher;
  }
  uint64_t received(size_t i) const { return leechers[i]->streams.empty() ? 0 : leechers[i]->only().received; }
  // Runs with a ping of one packet every 50 ms: milliseconds of queue that it met.
  std::vector<double> ping(Duration time) {
    std::vector<double> out;
    for (Instant end = world.now() + time; world.now() < end;) {
      world.run_for(Duration::us(49'300 + static_cast<int64_t>(out.size() * 7919 % 1400)));
      out.push_back(static_cast<double>(up.backlog(world.now()).in_us()) / 1000);
      if (g_verbose && out.size() % 10 == 0) {
        printf("  %6.2f s queue %6.1f ms", static_cast<double>(world.now().in_us()) / 1e6, out.back());
        for (const auto& [id, stream] : seeder.streams) printf("  w %u q %u", seeder.engine->window(id), seeder.engine->queue_us(id));
        printf("\n");
      }
    }
    return out;
  }
};

double percentile(std::vector<double> values, unsigned percent) {
  std::sort(values.begin(), values.end());
  return values[(values.size() - 1) * percent / 100];
}

double mbit(uint64_t bytes, Duration time) { return static_cast<double>(bytes) * 8 / static_cast<double>(time.in_us()); }

// ---- TCP ----

// CUBIC: acknowledgements come a round trip after sending, losses are known then too.
struct Cubic {
  Cubic(UtpWorld& of, UtpLink& over) : world(of), link(over), epoch(of.now()) {}

  UtpWorld& world;
  UtpLink& link;
  double window = 10;
  double threshold = 1e9;
  double origin = 10;
  double reno = 0;  // section 4.3
  Instant epoch;
  Instant cut_at;
  struct Sent {
    Instant at;
    Instant back;
    bool lost;
  };
  std::deque<Sent> out;
  uint64_t delivered = 0;
  Random random{99};

  static constexpr size_t k_size = 1514;
  static constexpr double k_c = 0.4;

  void send(Instant now) {
    while (static_cast<double>(out.size()) < window) {
      Duration backlog = link.backlog(now);
      bool full = static_cast<uint64_t>(backlog.in_us()) * link.bits_per_second / 8'000'000 + k_size > link.queue_max;
      Instant gone = now + backlog;
      if (!full) {
        gone = gone + Duration::us(static_cast<int64_t>(k_size * 8'000'000 / link.bits_per_second));
        link.free_at = gone;
      }
      out.push_back({now, gone + Duration::us(400), full});
    }
  }
  void on_back(Instant now, const Sent& sent) {
    if (sent.lost) {
      if (sent.at <= cut_at) return;
      cut_at = epoch = now;
      origin = window;
      window = threshold = reno = std::max(window * 0.7, 2.0);
      return;
    }
    delivered += 1448;
    if (window < threshold) {
      window += 1;
      return;
    }
    double t = static_cast<double>((now - epoch).in_us()) / 1e6;
    double k = cbrt(origin * 0.3 / k_c);
    double target = k_c * (t - k) * (t - k) * (t - k) + origin;
    reno += 3 * 0.3 / 1.7 / window;
    window += target > window ? (target - window) / window : 0.01 / window;
    window = std::max(window, reno);
  }
  // Lets it run beside what else the world does.
  void run(Duration time) {
    for (Instant end = world.now() + time; world.now() < end;) {
      Instant now = world.now();
      while (!out.empty() && out.front().back <= now) {
        Sent sent = out.front();
        out.pop_front();
        on_back(now, sent);
      }
      send(now);
      Instant next = out.empty() ? end : earlier(out.front().back, end);
      world.run(std::max(next, now + Duration::us(1)), [] { return false; });
    }
  }
};

// ---- scenarios ----

void alone() {
  Home home(1);
  home.add();
  home.world.run_for(Duration::seconds(10));
  uint64_t before = home.received(0);
  std::vector<double> pings = home.ping(Duration::seconds(50));
  report("alone: goodput, Mbit/s", mbit(home.received(0) - before, Duration::seconds(50)), 18.9, 20);
  report("alone: median queue, ms", percentile(pings, 50), 0, 60);
  report("alone: 95th percentile of the queue, ms", percentile(pings, 95), 0, 75);
}

void alone_on_a_longer_path() {
  Home home(2, uplink(Duration::ms(1)));
  home.add(Duration::ms(25));
  home.world.run_for(Duration::seconds(10));
  uint64_t before = home.received(0);
  std::vector<double> pings = home.ping(Duration::seconds(50));
  report("alone, 50 ms path: goodput, Mbit/s", mbit(home.received(0) - before, Duration::seconds(50)), 17.5, 20);
  report("alone, 50 ms path: 95th percentile of the queue, ms", percentile(pings, 95), 0, 80);
}

// Per cent of what goes through while a TCP flow, which has had 10 s to begin, runs beside ours.
double share_of(Cubic& tcp, Home& home, Duration duration) {
  tcp.run(Duration::seconds(10));
  uint64_t ours = home.received(0);
  uint64_t theirs = tcp.delivered;
  tcp.run(duration);
  ours = home.received(0) - ours;
  theirs = tcp.delivered - theirs;
  return 100.0 * static_cast<double>(theirs) / static_cast<double>(ours + theirs);
}

void beside_tcp() {
  Home home(3);
  home.add();
  home.world.run_for(Duration::seconds(10));
  Cubic tcp(home.world, home.up);
  report("beside TCP: its share, percent", share_of(tcp, home, Duration::seconds(40)), 99, 100);
  // It ends: its queue drains, then the link is ours again.
  Instant end = home.world.now();
  double back = 60;
  uint64_t last = home.received(0);
  for (int i = 1; i <= 120 && back == 60; ++i) {
    home.world.run_for(Duration::ms(500));
    uint64_t now = home.received(0);
    if (mbit(now - last, Duration::ms(500)) >= 0.9 * 18.9) back = static_cast<double>((home.world.now() - end).in_ms()) / 1000;
    last = now;
  }
  report("after TCP: seconds until nine tenths of the link are used", back, 0, 5);
}

// A queue that is shorter than our target: losses are all that tells.
void beside_tcp_and_a_short_queue() {
  UtpLink link = uplink(Duration::ms(10));
  link.queue_max = k_rate / 8 * 30 / 1000;
  Home home(30, link);
  home.add(Duration::ms(10));
  home.world.run_for(Duration::seconds(10));
  Cubic tcp(home.world, home.up);
  report("beside TCP, a queue of 30 ms: its share, percent", share_of(tcp, home, Duration::seconds(60)), 80, 100);
}

// One peer takes little; the others get what is left.
void beside_a_slow_peer() {
  Home home(31);
  UtpWorld::Node& slow = home.add(Duration::ms(10));
  UtpLink narrow = downlink(Duration::ms(10));
  narrow.bits_per_second = 2'000'000;
  narrow.queue_max = 500'000;
  UtpLink& last = home.world.add_link(narrow);
  home.world.route(home.seeder, slow, {&home.up, &last});
  home.add(Duration::ms(15));
  home.world.run_for(Duration::seconds(30));
  uint64_t before = home.received(0);
  uint64_t other = home.received(1);
  home.ping(Duration::seconds(60));
  report("a slow peer of 2 Mbit/s: its goodput, Mbit/s", mbit(home.received(0) - before, Duration::seconds(60)), 1.4, 2);
  report("beside the slow peer: another's goodput, Mbit/s", mbit(home.received(1) - other, Duration::seconds(60)), 15, 18);
  report("beside the slow peer: 95th percentile of its own queue, ms", last.queue_percentile_ms(95), 0, 110);
}

void a_second_flow() {
  Home home(4);
  home.add();
  home.world.run_for(Duration::seconds(60));
  home.add();
  home.ping(Duration::seconds(60));
  uint64_t first = home.received(0);
  uint64_t second = home.received(1);
  std::vector<double> pings = home.ping(Duration::seconds(60));
  first = home.received(0) - first;
  second = home.received(1) - second;
  report("a second flow 60 s later: its share after 60 s, percent",
         100.0 * static_cast<double>(second) / static_cast<double>(first + second), 45, 55);
  report("two flows: goodput, Mbit/s", mbit(first + second, Duration::seconds(60)), 18.5, 20);
  report("two flows: 95th percentile of the queue, ms", percentile(pings, 95), 0, 90);
}

// Two seeders of different houses behind one link: nothing is shared but the queue.
struct Seeders {
  uint64_t seed = 40;
  uint64_t rate = k_rate;
  int32_t first_ppm = 0;
  int32_t second_ppm = 0;
  Duration delay = Duration::us(150);  // each way, beside that of the link, which is as long
  Duration later = Duration::seconds(60);
  double off_max = 5;  // per cent
};
void two_seeders(const Seeders& what) {
  UtpLink link = uplink(what.delay);
  link.bits_per_second = what.rate;
  link.queue_max = what.rate / 8;
  Home home(what.seed, link);
  home.add(what.delay).clock_ppm = what.first_ppm;
  home.world.run_for(what.later);
  UtpWorld::Node& other = home.world.add();
  UtpWorld::Node& leecher = home.world.add();
  leecher.clock_ppm = what.second_ppm;
  home.world.route(other, leecher, {&home.up, &home.world.add_link(downlink(what.delay))});
  home.world.route(leecher, other, {&home.world.add_link(downlink(what.delay))});
  home.world.connect(other, leecher, uint64_t{1} << 40);
  home.ping(Duration::seconds(60));
  uint64_t first = home.received(0);
  uint64_t second = leecher.only().received;
  std::vector<double> pings = home.ping(Duration::seconds(60));
  first = home.received(0) - first;
  second = leecher.only().received - second;
  printf("two seeders, %.1f Mbit/s, %.1f ms, clocks off by %d and %d ppm:\n", static_cast<double>(what.rate) / 1e6,
         static_cast<double>(what.delay.in_us()) * 3 / 1000, what.first_ppm, what.second_ppm);
  report("the share of one that begins a minute later, after a minute, percent",
         100.0 * static_cast<double>(second) / static_cast<double>(first + second), 50 - what.off_max, 50 + what.off_max);
  double rate = static_cast<double>(what.rate) / 1e6;
  report("two seeders: goodput, Mbit/s", mbit(first + second, Duration::seconds(60)), rate * 0.92, rate);
  report("two seeders: 95th percentile of the queue, ms", percentile(pings, 95), 0, 90);
}
void two_seeders() {
  two_seeders({});
  two_seeders({.seed = 41, .first_ppm = -50, .later = Duration::ms(61'300)});
  two_seeders({.seed = 42, .first_ppm = 100, .second_ppm = -100, .later = Duration::ms(60'700)});
  two_seeders({.seed = 43, .first_ppm = -100, .second_ppm = 100, .later = Duration::ms(62'100)});
  two_seeders({.seed = 44, .delay = Duration::ms(5), .later = Duration::ms(63'100)});
  two_seeders({.seed = 45, .first_ppm = 30, .second_ppm = -20, .delay = Duration::ms(15)});
  two_seeders({.seed = 46, .rate = 5'000'000, .delay = Duration::ms(5), .off_max = 7});  // two packets of the first one are 5 ms
  two_seeders({.seed = 47, .rate = 50'000'000, .first_ppm = -30, .delay = Duration::ms(3)});
}

void several_flows(size_t count, double queue_max) {
  Home home(5 + count);
  for (size_t i = 0; i < count; ++i) {
    home.add();
    home.world.run_for(Duration::ms(2300));
  }
  home.world.run_for(Duration::seconds(60));
  std::vector<uint64_t> before;
  for (size_t i = 0; i < count; ++i) before.push_back(home.received(i));
  std::vector<double> pings = home.ping(Duration::seconds(60));
  double sum = 0;
  double squares = 0;
  for (size_t i = 0; i < count; ++i) {
    double x = static_cast<double>(home.received(i) - before[i]);
    if (g_verbose) printf("  flow %zu: %.2f Mbit/s\n", i, x * 8 / 60e6);
    sum += x;
    squares += x * x;
  }
  char what[80];
  snprintf(what, sizeof(what), "%zu flows: Jain's index", count);
  report(what, sum * sum / (static_cast<double>(count) * squares), 0.95, 1);
  snprintf(what, sizeof(what), "%zu flows: goodput, Mbit/s", count);
  report(what, sum * 8 / 60e6, 18, 20);
  snprintf(what, sizeof(what), "%zu flows: 95th percentile of the queue, ms", count);
  report(what, percentile(pings, 95), 0, queue_max);
}

// libtorrent's window with losses at random: 3000 bytes more a round trip as long as there is no queue, half on a loss, at most once a
// round trip.
double libtorrent_mbit(double loss, double rtt) {
  Random random(7);
  double window = 20 * 1452;
  double sum = 0;
  constexpr int k_rounds = 200'000;
  for (int i = 0; i < k_rounds; ++i) {
    sum += window;
    double kept = pow(1 - loss, window / 1452);
    if (static_cast<double>(random.below(1'000'000)) / 1e6 > kept)
      window = std::max(window / 2, 1452.0);
    else
      window += 3000;
  }
  return sum / k_rounds * (1 - loss) * 8 / rtt / 1e6;
}

void losses_at_random() {
  UtpLink link = uplink(Duration::ms(1));
  link.bits_per_second = 100'000'000;
  link.queue_max = 12'500'000;
  Home home(20, link);
  home.add(Duration::ms(24), 10'000);
  home.world.run_for(Duration::seconds(10));
  uint64_t before = home.received(0);
  home.ping(Duration::seconds(60));
  double ours = mbit(home.received(0) - before, Duration::seconds(60));
  double theirs = libtorrent_mbit(0.01, 0.050);
  printf("1 %% of loss, 50 ms: %.2f Mbit/s, libtorrent's window %.2f\n", ours, theirs);
  report("1 % of loss, 50 ms: times libtorrent's goodput", ours / theirs, 1.5, 100);
}

}  // namespace

int main(int argc, char** argv) {
  g_verbose = argc > 1 && std::string_view(argv[1]) == "--verbose";
  alone();
  alone_on_a_longer_path();
  beside_tcp();
  beside_tcp_and_a_short_queue();
  beside_a_slow_peer();
  a_second_flow();
  two_seeders();
  several_flows(4, 90);
  several_flows(20, 120);
  losses_at_random();
  printf("%d beyond their bounds\n", g_failed);
  return g_failed == 0 ? 0 : 1;
}
