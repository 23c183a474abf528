// base: amounts, meters, bitfields, endpoints, token buckets.
#include "base/amount.h"
#include "base/bitfield.h"
#include "base/bytes.h"
#include "base/endpoint.h"
#include "base/ids.h"
#include "base/random.h"
#include "base/time.h"
#include "base/token_bucket.h"
#include "unit/test.h"

using namespace millet;

static void amounts_parse_and_print_six_decimals(void**) {
  assert_true(Amount::parse_btt("12.5")->in_micro() == 12'500'000);
  assert_string_equal(Amount::micro(12'500'000).to_btt().c_str(), "12.5");
  assert_string_equal(Amount::micro(1).to_btt().c_str(), "0.000001");
  assert_true(Amount::parse_btt("990000000000")->in_micro() == k_supply_micro);
  for (const char* bad : {"", ".", "-1", "1.0000001", "990000000000.000001", "99999999999999999999", "1e3", "1 "}) {
    assert_false(Amount::parse_btt(bad).has_value());
  }
}

static void amounts_never_wrap(void**) {
  assert_false(Amount::supply().plus(Amount::micro(1)).has_value());
  assert_false(Amount::micro(0).minus(Amount::micro(1)).has_value());
  assert_true(Amount::micro(3).minus_or_zero(Amount::micro(5)).is_zero());
}

// due vectors.
static void meter_matches_the_golden_vectors(void**) {
  Meter meter;
  assert_true(meter.add(Rate::pico_per_byte(14000), 16384).has_value());
  assert_int_equal(meter.due().in_micro(), 230);
  assert_true(meter.add(Rate::pico_per_byte(14000), 16384).has_value());
  assert_int_equal(meter.due().in_micro(), 459);
  Meter one;
  assert_true(one.add(Rate::pico_per_byte(1), 16384).has_value());
  assert_int_equal(one.due().in_micro(), 1);
  Meter most;
  assert_true(most.add(Rate::pico_per_byte(Rate::k_max), 131072).has_value());
  assert_true(most.due().in_micro() == 9223372036855u);
}

static void meter_is_exact_over_many_blocks(void**) {
  Meter meter;
  for (int i = 0; i < 1'000'000; ++i) assert_true(meter.add(Rate::pico_per_byte(1), 1).has_value());
  assert_int_equal(meter.due().in_micro(), 1);
  assert_int_equal(meter.rest(), 0);
}

static void price_of_rounds_up_and_saturates(void**) {
  assert_int_equal(price_of(Rate::pico_per_byte(1000), 1'000'000'000).in_micro(), 1'000'000);
  assert_int_equal(price_of(Rate::pico_per_byte(1), 1).in_micro(), 1);
  assert_true(price_of(Rate::pico_per_byte(Rate::k_max), uint64_t{1} << 60) == Amount::supply());
}

static void bitfield_refuses_spare_bits(void**) {
  const uint8_t good[] = {0xff, 0x80};
  const uint8_t bad[] = {0xff, 0xc0};
  assert_int_equal(Bitfield::from_wire(good, 9)->count(), 9);
  assert_false(Bitfield::from_wire(bad, 9).has_value());
  assert_false(Bitfield::from_wire(good, 17).has_value());
  Bitfield bits(9);
  bits.set_all();
  assert_true(equal(bits.wire(), good));
  bits.clear(8);
  assert_int_equal(bits.count(), 8);
  assert_false(bits.test(8));
}

static void endpoints_parse_and_print(void**) {
  assert_string_equal(Endpoint::parse("127.0.0.1:80")->to_string().c_str(), "127.0.0.1:80");
  assert_string_equal(Endpoint::parse("[::1]:6881")->to_string().c_str(), "[::1]:6881");
  assert_true(Endpoint::parse("[::ffff:10.0.0.1]:1")->address.is_v4());
  for (const char* bad : {"", ":", "1.2.3.4", "1.2.3.4:65536", "::1:80", "1.2.3.4:", "name:80", "1.2.3.4:8x"}) {
    assert_false(Endpoint::parse(bad).has_value());
  }
}

static void token_bucket_keeps_its_rate(void**) {
  TokenBucket bucket(1000, 100);
  Instant now = Instant::from_us(0);
  uint64_t taken = 0;
  // Odd small steps: rounding must neither gain nor lose over ten seconds.
  for (int i = 0; i < 10'000'000 / 777; ++i) {
    now = now + Duration::us(777);
    while (bucket.take(now, 1)) ++taken;
  }
  assert_in_range(taken, 10'000 + 100 - 2, 10'000 + 100);
  assert_false(bucket.can_take(now, 50));
  assert_true(bucket.can_take(bucket.ready_at(now, 50), 50));
}

static void random_is_the_same_for_the_same_seed(void**) {
  Random a(7);
  Random b(7);
  for (int i = 0; i < 1000; ++i) assert_true(a.next() == b.next());
  uint64_t counts[3] = {};
  for (int i = 0; i < 30000; ++i) ++counts[a.below(3)];
  for (uint64_t count : counts) assert_in_range(count, 9500, 10500);
}

static void hex_round_trips(void**) {
  const uint8_t raw[] = {0x00, 0xab, 0xff};
  assert_string_equal(to_hex(raw).c_str(), "00abff");
  assert_true(equal(*array_from_hex<3>("00ABff"), raw));
  assert_false(array_from_hex<3>("00abf").has_value());
  assert_false(array_from_hex<3>("00abfg").has_value());
}

static void printable_text_is_escaped_once(void**) {
  const uint8_t raw[] = {'a', '\n', '\\', 'x', '4', 0xff, '\\'};
  std::string once = printable(Bytes(raw));
  assert_string_equal(once.c_str(), "a\\x0a\\x5cx4\\xff\\x5c");
  assert_string_equal(printable(once).c_str(), once.c_str());
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(amounts_parse_and_print_six_decimals),
      cmocka_unit_test(amounts_never_wrap),
      cmocka_unit_test(meter_matches_the_golden_vectors),
      cmocka_unit_test(meter_is_exact_over_many_blocks),
      cmocka_unit_test(price_of_rounds_up_and_saturates),
      cmocka_unit_test(bitfield_refuses_spare_bits),
      cmocka_unit_test(endpoints_parse_and_print),
      cmocka_unit_test(token_bucket_keeps_its_rate),
      cmocka_unit_test(random_is_the_same_for_the_same_seed),
      cmocka_unit_test(hex_round_trips),
      cmocka_unit_test(printable_text_is_escaped_once),
  };
  return RUN_TESTS(tests);
}
