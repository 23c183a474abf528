// What uTP costs in memory: counted by the allocator, not estimated.
#include "unit/allocations.h"
#include "unit/test.h"
#include "unit/utp_world.h"

using namespace millet;
using namespace millet::testing;

namespace {

constexpr size_t k_idle_max = 4 * 1024;
constexpr size_t k_busy_max = 64 * 1024;  // at 1024 packets in flight

// Two engines and a wire that allocates nothing: packets cross at once, or wait in a ring.
struct Wire {
  static constexpr size_t k_packets = 4096;
  struct Packet {
    uint16_t size;
    uint8_t bytes[1500];
  };
  SeededSecureRandom secure{1};
  Endpoint address[2] = {{IpAddress::v4({10, 0, 0, 1}), 1}, {IpAddress::v4({10, 0, 0, 2}), 2}};
  std::vector<Packet> ring[2] = {std::vector<Packet>(k_packets), std::vector<Packet>(k_packets)};
  size_t head[2] = {0, 0};
  size_t size[2] = {0, 0};
  std::vector<uint8_t> slab = std::vector<uint8_t>(UtpRun::k_size_max);
  Instant now = Instant::from_us(1'000'000);
  std::unique_ptr<Utp> engine[2];
  UtpId stream[2] = {0, 0};
  uint64_t received = 0;

  explicit Wire(uint16_t connections = 4) {
    UtpOptions options;
    options.connections_max = connections;
    options.ledbat.target = Duration::ms(300);  // packets wait here until they are delivered, which looks like a queue
    for (auto& one : engine) one = std::make_unique<Utp>(options, secure, 1);
  }
  // Sends what `from` has to send; its packets wait for deliver().
  void flush(unsigned from) {
    UtpEvent event;
    while (engine[from]->poll(now, event)) {
      if (event.kind == UtpEvent::Kind::accepted) stream[from] = event.stream;
      if (event.kind == UtpEvent::Kind::received) received += event.bytes.size();
    }
    UtpRun run;
    while (engine[from]->plan(now, run)) {
      engine[from]->commit(now, run, slab);
      for (size_t i = 0; i < run.count; ++i) {
        CHECK(size[1 - from] < k_packets);
        Packet& packet = ring[1 - from][(head[1 - from] + size[1 - from]++) % k_packets];
        packet.size = i + 1u == run.count ? run.last_size : run.packet_size;
        memcpy(packet.bytes, slab.data() + i * run.packet_size, packet.size);
      }
    }
  }
  void deliver(unsigned to) {
    for (size_t left = size[to]; left != 0; --left) {
      Packet& packet = ring[to][head[to]];
      head[to] = (head[to] + 1) % k_packets;
      --size[to];
      engine[to]->on_datagram(now, address[1 - to], Bytes(packet.bytes, packet.size));
      flush(to);
    }
  }
  // One round trip of `rtt`; everything arrives.
  void round(Duration rtt, uint64_t offer) {
    if (offer != 0) engine[0]->offer(now, stream[0], offer);
    flush(0);
    pass(rtt / 2);
    deliver(1);
    pass(rtt / 2);
    deliver(0);
  }
  // Time in which nothing arrives.
  void pass(Duration time) {
    for (Instant end = now + time; now < end;) {
      now = now + Duration::ms(1);
      for (unsigned i : {0u, 1u}) {
        if (engine[i]->next_deadline() <= now) engine[i]->on_timer(now);
        flush(i);
      }
    }
  }
  void connect() {
    stream[0] = *engine[0]->connect(now, address[1]);
    round(Duration::ms(100), 0);
    round(Duration::ms(100), 1000);
    round(Duration::ms(100), 0);
  }
};

void an_idle_connection_costs_little(void**) {
  Wire wire(256);
  size_t before = allocated_bytes();
  for (int i = 0; i < 200; ++i) {
    wire.address[1].port = static_cast<uint16_t>(1000 + i);
    static_cast<void>(wire.engine[0]->connect(wire.now, wire.address[1]));
    wire.flush(0);
    wire.deliver(1);
    wire.deliver(0);
  }
  assert_int_equal(wire.engine[0]->count(), 200);
  assert_true((allocated_bytes() - before) / 200 <= k_idle_max);
}

void a_connection_that_was_busy_and_rests_costs_little(void**) {
  Wire wire;
  size_t before = allocated_bytes();
  wire.connect();
  for (int i = 0; i < 40; ++i) wire.round(Duration::ms(100), 2'000'000);
  // The rest of what was offered goes out, then nothing happens for a minute.
  for (int i = 0; i < 2000 && wire.engine[0]->acknowledged(wire.stream[0]) < 40 * 2'000'000 + 1000; ++i) wire.round(Duration::ms(100), 0);
  assert_int_equal(wire.received, 40 * 2'000'000 + 1000);
  for (int i = 0; i < 600; ++i) wire.round(Duration::ms(100), 0);
  assert_true(allocated_bytes() - before <= 2 * k_idle_max);  // both ends
  assert_true(wire.engine[0]->memory(wire.stream[0]) <= k_idle_max);
}

void a_thousand_packets_in_flight_fit_the_bound(void**) {
  Wire wire;
  size_t before = allocated_bytes();
  wire.connect();
  size_t most = 0;
  size_t in_flight = 0;
  for (int i = 0; i < 200 && in_flight < 1024; ++i) {
    wire.engine[0]->offer(wire.now, wire.stream[0], 4'000'000);
    wire.pass(Duration::ms(100));
    in_flight = wire.size[1];
    most = std::max(most, allocated_bytes() - before);
    wire.deliver(1);
    wire.deliver(0);
  }
  assert_true(in_flight >= 1024);
  // The sender has those packets in flight; the receiver has nothing but its state.
  assert_true(most <= k_busy_max + k_idle_max);
  assert_true(wire.engine[0]->memory(wire.stream[0]) <= k_busy_max);
}

void nothing_is_allocated_per_packet(void**) {
  Wire wire;
  wire.connect();
  for (int i = 0; i < 60; ++i) wire.round(Duration::ms(20), 400'000);
  for (int i = 0; i < 3000 && wire.received < 60 * 400'000 + 1000; ++i) wire.round(Duration::ms(20), 0);
  assert_int_equal(wire.received, 60 * 400'000 + 1000);
  size_t before = allocation_count();
  uint64_t received = wire.received;
  for (int i = 0; i < 200; ++i) wire.round(Duration::ms(20), 50'000);
  assert_true(wire.received - received > 1'000'000);
  assert_int_equal(allocation_count(), before);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(an_idle_connection_costs_little),
      cmocka_unit_test(a_connection_that_was_busy_and_rests_costs_little),
      cmocka_unit_test(a_thousand_packets_in_flight_fit_the_bound),
      cmocka_unit_test(nothing_is_allocated_per_packet),
  };
  return RUN_TESTS(tests);
}
