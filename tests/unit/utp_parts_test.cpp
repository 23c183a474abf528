// Parts of the uTP engine by themselves: packets in flight and their losses, packets that wait.
#include <set>

#include "base/random.h"
#include "swarm/utp_received.h"
#include "swarm/utp_sent.h"
#include "unit/test.h"

using namespace millet;

namespace {

constexpr uint32_t k_full = 1000;
constexpr uint32_t k_wire = k_full + k_utp_header_size;

void push(UtpSent& sent, uint32_t now_us, unsigned count) {
  for (unsigned i = 0; i < count; ++i) sent.push(now_us, static_cast<uint16_t>(sent.next()) * k_full, k_full, false);
}

std::vector<uint16_t> lost(const UtpSent& sent) {
  uint16_t out[UtpSent::k_packets_max / 16];
  return {out, out + sent.peek_lost(out, std::size(out))};
}

// ---- UtpSent ----

void cumulative_acknowledgements_free_what_they_cover(void**) {
  UtpSent sent(65'534);
  push(sent, 1000, 5);
  assert_int_equal(sent.in_flight(), 5 * k_wire);
  UtpSent::Acked acked = sent.on_ack(51'000, 0, {}, 50'000);
  assert_int_equal(acked.wire_bytes, 3 * k_wire);
  assert_int_equal(acked.payload_bytes, 3 * k_full);
  assert_int_equal(acked.rtt_us, 50'000);
  assert_true(acked.advanced);
  assert_int_equal(sent.first(), 1);
  assert_int_equal(sent.in_flight(), 2 * k_wire);
  // The same again tells nothing.
  acked = sent.on_ack(52'000, 0, {}, 50'000);
  assert_int_equal(acked.wire_bytes, 0);
  assert_false(acked.advanced);
}

void selective_acknowledgements_count_once(void**) {
  UtpSent sent(100);
  push(sent, 1000, 80);
  std::vector<uint8_t> sack(12, 0);
  sack[0] = 0x05;   // 102 and 104 (acknowledged: 100)
  sack[8] = 0x01;   // 166
  sack[11] = 0xff;  // 190 on: never sent
  UtpSent::Acked acked = sent.on_ack(51'000, 100, sack, 50'000);
  assert_int_equal(acked.wire_bytes, 4 * k_wire);
  assert_int_equal(sent.sacked(), 3);
  acked = sent.on_ack(52'000, 100, sack, 50'000);
  assert_int_equal(acked.wire_bytes, 0);
  acked = sent.on_ack(53'000, 103, {}, 50'000);
  assert_int_equal(acked.wire_bytes, 2 * k_wire);  // 101 and 103
  assert_int_equal(sent.sacked(), 2);
  assert_int_equal(sent.first(), 104);
}

void what_was_sent_before_something_that_arrived_is_lost(void**) {
  UtpSent sent(1);
  push(sent, 0, 2);       // 1, 2
  push(sent, 10'000, 4);  // 3 to 6
  uint32_t wait = 0;
  const uint8_t sack[] = {0x04, 0, 0, 0};  // 4 (acknowledged: 0)
  sent.on_ack(60'000, 0, sack, 50'000);
  // 1 and 2 are 10 ms older than 4 and beyond a reordering window of 5 ms; 3 was sent with 4 and waits for the rest of it.
  UtpSent::Lost found = sent.detect(60'000, 5000, wait);
  assert_int_equal(found.wire_bytes, 2 * k_wire);
  assert_true(found.congestion);
  assert_int_equal(wait, 5000);
  assert_true(lost(sent) == std::vector<uint16_t>({1, 2}));
  found = sent.detect(65'000, 5000, wait);
  assert_int_equal(found.wire_bytes, k_wire);
  assert_true(lost(sent) == std::vector<uint16_t>({1, 2, 3}));
  assert_int_equal(wait, 0);
  assert_int_equal(sent.in_flight(), 2 * k_wire);
  // Sent again they are in flight again, and the acknowledgement gives no round trip (Karn).
  for (uint16_t seq : {1, 2, 3}) sent.resend(70'000, seq);
  assert_int_equal(sent.in_flight(), 5 * k_wire);
  assert_false(sent.has_lost());
  UtpSent::Acked acked = sent.on_ack(120'000, 4, {}, 50'000);
  assert_int_equal(acked.rtt_us, 0);
  assert_false(acked.spurious);
}

void an_answer_that_is_too_fast_is_of_the_original(void**) {
  UtpSent sent(1);
  push(sent, 0, 1);
  push(sent, 10'000, 1);
  const uint8_t sack[] = {0x01, 0, 0, 0};
  sent.on_ack(60'000, 0, sack, 50'000);
  uint32_t wait = 0;
  sent.detect(70'000, 0, wait);
  sent.resend(70'000, 1);
  UtpSent::Acked acked = sent.on_ack(71'000, 2, {}, 50'000);
  assert_true(acked.spurious);
  // Arrived though it counted as lost and was not sent again.
  UtpSent late(1);
  push(late, 0, 1);
  push(late, 10'000, 1);
  late.on_ack(60'000, 0, sack, 50'000);
  late.detect(70'000, 0, wait);
  assert_true(late.on_ack(75'000, 2, {}, 50'000).spurious);
  assert_true(late.reordered());
}

void after_a_timeout_all_goes_again_in_the_order_of_the_stream(void**) {
  UtpSent sent(1);
  push(sent, 0, 2);
  push(sent, 10'000, 4);
  uint32_t wait = 0;
  const uint8_t sack[] = {0x08, 0, 0, 0};  // 5
  sent.on_ack(60'000, 0, sack, 50'000);
  sent.detect(65'000, 5000, wait);
  sent.resend(66'000, 1);
  UtpSent::Lost all = sent.lose_all();
  assert_true(all.congestion);
  assert_int_equal(sent.in_flight(), 0);
  assert_true(lost(sent) == std::vector<uint16_t>({1, 2, 3, 4, 6}));
}

void a_lost_probe_is_no_congestion(void**) {
  UtpSent sent(1);
  sent.push(0, 0, 1400, true);
  push(sent, 10'000, 1);
  const uint8_t sack[] = {0x01, 0, 0, 0};
  sent.on_ack(60'000, 0, sack, 50'000);
  uint32_t wait = 0;
  UtpSent::Lost found = sent.detect(60'000, 0, wait);
  assert_int_equal(found.probe_size, 1400);
  assert_false(found.congestion);
  sent.resend(61'000, 1);
  assert_int_equal(sent.on_ack(120'000, 2, {}, 50'000).probe_size, 0);
}

// Against a plain model: sets of numbers.
void random_histories_agree_with_a_model(void**) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    Random random(seed);
    UtpSent sent(static_cast<uint16_t>(random.next()));
    uint16_t first = sent.first();
    std::set<uint32_t> out;      // not arrived, as distance from the start
    std::set<uint32_t> arrived;  // at the receiver
    uint32_t pushed = 0;
    uint32_t cumulative = 0;  // all below have arrived and been acknowledged
    uint32_t now = 0;
    for (int step = 0; step < 400; ++step) {
      now += 1000;
      for (uint64_t i = random.below(8); i != 0 && !sent.is_full(); --i) {
        push(sent, now, 1);
        out.insert(pushed++);
      }
      for (uint64_t i = random.below(8); i != 0 && !out.empty(); --i) {
        auto at = out.begin();
        std::advance(at, static_cast<long>(random.below(std::min<size_t>(out.size(), 20))));
        arrived.insert(*at);
        out.erase(at);
      }
      while (arrived.count(cumulative) != 0) ++cumulative;
      std::vector<uint8_t> sack(16, 0);
      for (uint32_t i = 0; i < 128; ++i) {
        if (arrived.count(cumulative + 1 + i) != 0) sack[i / 8] = static_cast<uint8_t>(sack[i / 8] | 1 << i % 8);
      }
      if (random.below(3) != 0 && pushed != 0) sent.on_ack(now, static_cast<uint16_t>(first + cumulative - 1), sack, 500);
      uint32_t wait = 0;
      sent.detect(now, 3000, wait);
      if (random.below(50) == 0) sent.lose_all();
      for (uint16_t seq : lost(sent)) {
        if (random.below(2) == 0) sent.resend(now, seq);
      }
      if (random.below(20) == 0) sent.trim();
      // What is neither acknowledged nor lost is in flight; nothing is both.
      uint32_t in_flight = 0;
      for (uint16_t seq = sent.first(); seq != sent.next(); ++seq) in_flight += (sent.at(seq).flags & 1) != 0 ? k_wire : 0;
      assert_int_equal(sent.in_flight(), in_flight);
      for (uint16_t seq : lost(sent)) assert_int_equal(sent.at(seq).flags & 7, 2);
    }
    assert_int_equal(sent.next(), static_cast<uint16_t>(first + pushed));
  }
}

// ---- UtpReceived ----

void packets_beyond_a_hole_wait_in_order(void**) {
  UtpPool pool(1 << 20);
  UtpReceived received(pool, 65'530, 1 << 20);
  const uint8_t bytes[] = {1, 2, 3};
  assert_int_equal(received.classify(65'530), UtpReceived::Fate::in_order);
  received.took_in_order();
  for (uint16_t seq : {65'534, 2, 65'532, 2}) {
    if (received.classify(seq) == UtpReceived::Fate::kept) assert_true(received.keep(seq, bytes));
  }
  assert_int_equal(received.classify(2), UtpReceived::Fate::duplicate);
  assert_int_equal(received.buffered(), 9);
  uint8_t sack[UtpReceived::k_sack_size_max];
  assert_int_equal(received.write_sack(sack), 4);
  // Acknowledged: 65530; the first bit is 65532.
  assert_int_equal(sack[0], 0x45);
  assert_int_equal(sack[1], 0);
  assert_false(received.is_readable());
  assert_true(received.keep(65'531, bytes));
  assert_int_equal(received.next(), 65'533);
  assert_true(received.is_readable());
  for (int i = 0; i < 2; ++i) {
    assert_int_equal(received.front().size(), 3);
    received.pop();
  }
  assert_false(received.is_readable());
  assert_int_equal(received.buffered(), 6);
}

void selective_acknowledgements_are_whole_words_up_to_a_bound(void**) {
  UtpPool pool(8 << 20);
  UtpReceived received(pool, 0, 4 << 20);
  const uint8_t byte[] = {1};
  uint8_t sack[UtpReceived::k_sack_size_max];
  assert_int_equal(received.write_sack(sack), 0);
  assert_true(received.keep(32, byte));
  assert_int_equal(received.write_sack(sack), 4);
  assert_int_equal(sack[3], 0x80);
  assert_true(received.keep(33, byte));
  assert_int_equal(received.write_sack(sack), 8);
  for (uint16_t seq = 34; seq < 3000; ++seq) assert_true(received.keep(seq, byte));
  assert_int_equal(received.write_sack(sack), UtpReceived::k_sack_size_max);
  // What it says is what is there.
  for (size_t i = 0; i < 8 * UtpReceived::k_sack_size_max; ++i) assert_int_equal(sack[i / 8] >> i % 8 & 1, i + 1 >= 32);
  assert_int_equal(received.classify(4096), UtpReceived::Fate::refused);
}

void the_last_quarter_of_the_pool_is_for_those_with_little(void**) {
  UtpPool pool(400 * UtpPool::k_block_size);
  UtpReceived greedy(pool, 0, 4 << 20);
  UtpReceived modest(pool, 0, 4 << 20);
  std::vector<uint8_t> payload(1400, 7);
  uint16_t kept = 0;
  for (uint16_t seq = 1; seq < 1000; ++seq) kept += greedy.keep(seq, payload);
  assert_int_equal(kept, 300);
  kept = 0;
  for (uint16_t seq = 1; seq < 1000; ++seq) kept += modest.keep(seq, payload);
  assert_int_equal(kept, UtpReceived::k_packets_always);
}

void an_unused_pool_has_no_memory(void**) {
  UtpPool pool(1 << 20);
  size_t empty = pool.memory();
  std::vector<uint32_t> blocks;
  while (true) {
    uint32_t block = pool.take();
    if (block == UtpPool::k_none) break;
    pool.data(block)[0] = pool.data(block)[UtpPool::k_block_size - 1] = 1;
    blocks.push_back(block);
  }
  assert_int_equal(blocks.size() * UtpPool::k_block_size, 1 << 20);
  for (uint32_t block : blocks) pool.give(block);
  assert_int_equal(pool.memory(), empty);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(cumulative_acknowledgements_free_what_they_cover),
      cmocka_unit_test(selective_acknowledgements_count_once),
      cmocka_unit_test(what_was_sent_before_something_that_arrived_is_lost),
      cmocka_unit_test(an_answer_that_is_too_fast_is_of_the_original),
      cmocka_unit_test(after_a_timeout_all_goes_again_in_the_order_of_the_stream),
      cmocka_unit_test(a_lost_probe_is_no_congestion),
      cmocka_unit_test(random_histories_agree_with_a_model),
      cmocka_unit_test(packets_beyond_a_hole_wait_in_order),
      cmocka_unit_test(selective_acknowledgements_are_whole_words_up_to_a_bound),
      cmocka_unit_test(the_last_quarter_of_the_pool_is_for_those_with_little),
      cmocka_unit_test(an_unused_pool_has_no_memory),
  };
  return RUN_TESTS(tests);
}
