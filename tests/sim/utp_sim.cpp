// uTP over a thousand links: every byte arrives, in order, once; no connection is ever stuck; the queue that we make stays below a bound.
//
//   utp_sim [--verbose] [FIRST [COUNT]]     seeds; default: the short form, 0 to 59. The long form is `utp_sim 0 1000`.
#include <stdio.h>
#include <stdlib.h>

#include <string_view>

#include "unit/utp_world.h"

using namespace millet;

namespace {

constexpr uint64_t k_short_count = 60;

// Uniform in the exponent: as many slow links as fast ones.
uint64_t log_uniform(Random& random, uint64_t from, uint64_t to) {
  uint64_t steps = 0;
  for (uint64_t value = from; value < to; value *= 2) ++steps;
  uint64_t value = from << random.below(steps);
  return std::min(value + random.below(value), to);
}

struct Case {
  UtpLink there;
  UtpLink back;
  uint64_t bytes = 0;
  uint64_t bytes_back = 0;
  int32_t ppm = 0;
  int64_t offset_us = 0;
  bool v6 = false;
  uint32_t later_packet_max = 0;  // the path shrinks on the way; 0: it does not
  bool closes = false;
  bool is_clean = false;  // the delay bound holds for it
};

Case make_case(Random& random) {
  Case out;
  UtpLink& link = out.there;
  link.bits_per_second = log_uniform(random, 64'000, 1'000'000'000);
  link.delay = Duration::us(static_cast<int64_t>(log_uniform(random, 500, 250'000)));  // one way
  link.queue_max = std::max<uint64_t>(16 * 1500, link.bits_per_second / 8 * (20 + random.below(1000)) / 1000);
  out.is_clean = random.below(3) == 0;
  if (!out.is_clean) {
    if (random.below(2) == 0) link.loss_ppm = static_cast<uint32_t>(log_uniform(random, 100, 100'000));
    if (random.below(3) == 0) link.duplicate_ppm = static_cast<uint32_t>(random.below(50'000));
    if (random.below(3) == 0) {
      link.reorder_ppm = static_cast<uint32_t>(random.below(200'000));
      link.reorder_delay = Duration::us(static_cast<int64_t>(random.below(50'000)));
    }
  }
  static constexpr uint32_t k_packets[] = {1500, 1500, 1492, 1420, 1400, 1280};
  link.packet_max = k_packets[random.below(std::size(k_packets))];
  out.v6 = random.below(2) == 0;
  link.overhead = out.v6 ? 48 : 28;
  out.back = link;
  if (random.below(2) == 0) out.back.bits_per_second = log_uniform(random, 64'000, 1'000'000'000);
  out.ppm = static_cast<int32_t>(random.below(1001)) - 500;
  out.offset_us = static_cast<int64_t>(random.below(1ull << 34));
  uint64_t ten_seconds = link.bits_per_second / 8 * 10;
  out.bytes = std::min<uint64_t>(ten_seconds, 20'000 + random.below(2'500'000));
  if (random.below(3) == 0) out.bytes_back = std::min<uint64_t>(out.back.bits_per_second / 8 * 10, random.below(500'000));
  if (!out.is_clean && random.below(6) == 0) out.later_packet_max = 1280;
  out.closes = out.bytes_back == 0 && random.below(2) == 0;  // a FIN ends both directions
  return out;
}

// How long it may take at most: with 10 % loss a transfer lives from timeouts.
Duration allowance(const Case& test) {
  int64_t rtt = (test.there.delay + test.back.delay).in_us() + 200'000;
  int64_t packets = static_cast<int64_t>((test.bytes + test.bytes_back) / 1200 + 10);
  int64_t slowest = static_cast<int64_t>(std::min(test.there.bits_per_second, test.back.bits_per_second));
  int64_t wire = static_cast<int64_t>(test.bytes + test.bytes_back) * 8'000'000 / slowest;
  int64_t per_packet = test.is_clean ? rtt / 8 : rtt;
  return Duration::us(20'000'000 + 4 * wire + packets * per_packet);
}

bool run_case(uint64_t seed, bool verbose) {
  Random random(seed * 2 + 1);
  Case test = make_case(random);
  UtpWorld world(seed);
  UtpWorld::Node& a = world.add({}, test.v6);
  UtpWorld::Node& b = world.add({}, test.v6);
  b.clock_ppm = test.ppm;
  b.clock_offset_us = test.offset_us;
  b.serve = test.bytes_back;
  UtpLink& there = world.add_link(test.there);
  UtpLink& back = world.add_link(test.back);
  world.route(a, b, {&there});
  world.route(b, a, {&back});
  Instant start = world.now();
  UtpWorld::Stream& stream = world.connect(a, b, test.bytes, test.closes);
  auto done = [&] {
    return !b.streams.empty() && b.only().received == test.bytes && stream.received == test.bytes_back && (!test.closes || b.only().closed);
  };
  Instant limit = start + allowance(test);
  // The first slow start finds the link's rate by overshooting, the more the longer it takes to hear of it.
  Duration settle = Duration::seconds(2) + Duration::us(12 * (test.there.delay + test.back.delay).in_us());
  if (test.is_clean) {
    world.run(start + settle, done);
    std::fill(there.queue_ms.begin(), there.queue_ms.end(), 0);
  }
  if (test.later_packet_max != 0) {
    world.run(start + Duration::us((limit - start).in_us() / 40), done);
    there.packet_max = back.packet_max = test.later_packet_max;
  }
  // A path with 10 % loss loses four SYNs in a row one time in 2,500: the node dials again, so does this.
  bool ok = world.run(limit, [&] { return done() || stream.closed; });
  ok = ok && done() && !stream.bad && !b.only().bad;
  uint32_t p95 = there.queue_percentile_ms(95);
  uint32_t packet_ms = static_cast<uint32_t>(1500 * 8 * 1000 / test.there.bits_per_second);
  bool delay_ok = !test.is_clean || p95 <= 100 + 4 * packet_ms;
  if (verbose || !ok || !delay_ok) {
    int64_t ms = (world.now() - start).in_ms();
    uint64_t goodput = ms == 0 ? 0 : test.bytes * 8 / static_cast<uint64_t>(ms);
    printf(
        "seed %llu %s%s: %llu kbit/s %lld ms queue %zu loss %u dup %u reorder %u/%lld ms mtu %u->%u ppm %d v%d | %llu of %llu, back %llu "
        "of %llu in %lld ms (of %lld), %llu kbit/s, again %llu, p95 queue %u ms, %s %s\n",
        static_cast<unsigned long long>(seed), ok ? "ok" : "FAILED", delay_ok ? "" : " DELAY",
        static_cast<unsigned long long>(test.there.bits_per_second / 1000), static_cast<long long>(test.there.delay.in_ms()),
        test.there.queue_max, test.there.loss_ppm, test.there.duplicate_ppm, test.there.reorder_ppm,
        static_cast<long long>(test.there.reorder_delay.in_ms()), test.there.packet_max, test.later_packet_max, test.ppm, test.v6 ? 6 : 4,
        static_cast<unsigned long long>(b.streams.empty() ? 0 : b.only().received), static_cast<unsigned long long>(test.bytes),
        static_cast<unsigned long long>(stream.received), static_cast<unsigned long long>(test.bytes_back), static_cast<long long>(ms),
        static_cast<long long>(allowance(test).in_ms()), static_cast<unsigned long long>(goodput),
        static_cast<unsigned long long>(a.engine->counters().payload_again), p95, stream.what.c_str(),
        b.streams.empty() ? "" : b.only().what.c_str());
  }
  return ok && delay_ok;
}

}  // namespace

int main(int argc, char** argv) {
  bool verbose = argc > 1 && std::string_view(argv[1]) == "--verbose";
  if (verbose) {
    --argc;
    ++argv;
  }
  uint64_t first = argc > 1 ? strtoull(argv[1], nullptr, 10) : 0;
  uint64_t count = argc > 2 ? strtoull(argv[2], nullptr, 10) : argc > 1 ? 1 : k_short_count;
  uint64_t failed = 0;
  for (uint64_t seed = first; seed < first + count; ++seed) failed += !run_case(seed, verbose);
  printf("%llu links, %llu failed\n", static_cast<unsigned long long>(count), static_cast<unsigned long long>(failed));
  return failed == 0 ? 0 : 1;
}
