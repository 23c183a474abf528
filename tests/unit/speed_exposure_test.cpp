// speed/exposure.h, bans.h, ledger_clock.h, records.h: what a provider gives on trust, and what it remembers of it.
#include "speed/exposure.h"

#include "base/random.h"
#include "speed/bans.h"
#include "speed/ledger_clock.h"
#include "speed/records.h"
#include "unit/test.h"

using namespace millet;
using namespace millet::speed;

namespace {

Rate pico(uint64_t value) { return Rate::pico_per_byte(value); }
Amount micro(uint64_t value) { return Amount::micro(value); }
Instant at(int64_t seconds) { return Instant::from_us(0) + Duration::seconds(seconds); }
LedgerTime ledger(uint64_t seconds) { return LedgerTime::from_seconds(seconds); }
IpAddress ip(const char* text) { return *IpAddress::parse(text); }
constexpr uint32_t k_block = 16'384;

void send(Debt& debt, uint64_t rate, uint32_t bytes) {
  if (!debt.on_sent(pico(rate), bytes)) check_failed("sent", __FILE__, __LINE__);
}

// 14000 pBTT/B x 16384 B = 229.376, twice 458.752.
void payments_cover_the_oldest_blocks_first(void**) {
  Debt debt;
  for (int i = 0; i < 4; ++i) send(debt, 14'000, k_block);
  assert_int_equal(debt.unpaid_bytes(), 4 * k_block);
  assert_int_equal(debt.owed().in_micro(), 918);
  assert_int_equal(*debt.on_paid(micro(229)), 0);
  assert_int_equal(*debt.on_paid(micro(1)), k_block);
  assert_int_equal(*debt.on_paid(micro(459)), 2 * k_block);
  assert_int_equal(debt.unpaid_bytes(), k_block);
  assert_int_equal(debt.owed().in_micro(), 918 - 689);
}

// There is no credit: due = max(due, paid).
void paying_too_much_buys_nothing_ahead(void**) {
  Debt debt;
  send(debt, 14'000, k_block);
  assert_int_equal(*debt.on_paid(micro(1'000'000)), k_block);
  send(debt, 14'000, k_block);
  assert_int_equal(debt.unpaid_bytes(), k_block);
  assert_int_equal(debt.owed().in_micro(), 229);  // 229.376, of which the rounding up of the last payment holds a part
}

// A last piece of one byte: the payment before it was rounded up by more than it costs, so nobody will ever pay for it.
void block_that_the_rounding_covers_is_paid_for(void**) {
  Debt debt;
  send(debt, 1'000, k_block);
  assert_int_equal(*debt.on_paid(micro(17)), k_block);  // 16.384
  send(debt, 1'000, 1);
  assert_int_equal(debt.owed().in_micro(), 0);
  assert_int_equal(debt.unpaid_bytes(), 0);
}

// Both sides count fractions of a micro-BTT; whatever happens in between, a payer that pays all it owes leaves nothing open.
void rounding_never_leaves_a_block_open(void**) {
  Random random(3);
  for (int run = 0; run < 300; ++run) {
    Debt debt;
    Meter payer;          // exact, as the payer counts
    Amount signed_total;  // whole
    for (int step = 0; step < 60; ++step) {
      uint64_t rate = 1 + random.below(200);
      uint32_t bytes = static_cast<uint32_t>(1 + random.below(k_block));
      send(debt, rate, bytes);
      assert_true(payer.add(pico(rate), bytes).has_value());
      uint64_t event = random.below(8);
      if (event < 4) {
        Amount delta = *payer.due().minus(signed_total);
        signed_total = payer.due();
        assert_true(debt.on_paid(delta).has_value());
        assert_int_equal(debt.unpaid_bytes(), 0);
      } else if (event == 4) {
        // The payer crashes: it knows what it paid, nothing else; the provider writes the rest off.
        payer = Meter::restore(signed_total.in_micro(), 0);
        debt.write_off(debt.unpaid_bytes());
        assert_int_equal(debt.unpaid_bytes(), 0);
      } else if (event == 5) {
        debt = Debt::restore(debt.state());
      }
    }
  }
}

void debt_survives_a_restart_as_one_old_debt(void**) {
  Debt debt;
  for (int i = 0; i < 3; ++i) send(debt, 14'000, k_block);
  assert_true(debt.on_paid(micro(230)).has_value());
  Debt back = Debt::restore(debt.state());
  assert_int_equal(back.unpaid_bytes(), 2 * k_block);
  assert_true(back.owed() == debt.owed());
  uint64_t old = back.unpaid_bytes();
  send(back, 14'000, k_block);
  assert_int_equal(back.unpaid_bytes(), 3 * k_block);
  Debt::WrittenOff written_off = back.write_off(old);
  assert_int_equal(written_off.bytes, 2 * k_block);
  assert_int_equal(written_off.amount.in_micro(), 459);
  assert_int_equal(back.unpaid_bytes(), k_block);
}

void tiny_blocks_cost_little_memory(void**) {
  Debt debt;
  for (int i = 0; i < 100'000; ++i) send(debt, 1000, 1);
  assert_int_equal(debt.unpaid_bytes(), 100'000);
  assert_int_equal(*debt.on_paid(micro(100)), 100'000);
}

// Attack 24.
void debts_never_pass_the_supply(void**) {
  Debt debt;
  bool refused = false;
  for (int i = 0; i < 200'000 && !refused; ++i) refused = !debt.on_sent(pico(Rate::k_max), Meter::k_bytes_max).has_value();
  assert_true(refused);
  assert_false(Debt().on_paid(Amount::supply()).has_value());
}

// Attack 6: identities without end get what the bucket holds, an eighth of it per network.
void unknown_payers_share_one_bucket(void**) {
  UnknownBucket bucket(1000);
  constexpr uint32_t piece = 256 * 1024;
  uint32_t windows = 0;
  for (int network = 0; network < 40; ++network) {
    uint32_t here = 0;
    for (int host = 0; host < 50; ++host) {
      if (bucket.take(at(0), IpAddress::v4({10, 0, static_cast<uint8_t>(network), 0}), piece)) ++here;
    }
    assert_true(here <= 16);  // 4 MiB
    windows += here;
  }
  assert_int_equal(windows, 128);  // 32 MiB
  assert_int_equal(bucket.taken(), 32u << 20);
  // Payments give back; what is lost comes back at the refill rate.
  bucket.give_back(ip("10.0.0.0"), piece);
  assert_true(bucket.take(at(0), ip("10.0.0.0"), piece));
  bucket.lose(at(0), ip("10.0.0.0"), piece);
  assert_false(bucket.take(at(100), ip("10.1.0.0"), piece));
  assert_true(bucket.take(at(263), ip("10.1.0.0"), piece));
}

void the_bucket_holds_two_pieces_of_any_size(void**) {
  UnknownBucket bucket(0);
  constexpr uint32_t piece = 64u << 20;
  assert_true(bucket.take(at(0), ip("10.0.0.0"), piece));
  assert_false(bucket.take(at(0), ip("10.0.0.0"), piece));
  assert_true(bucket.take(at(0), ip("10.0.1.0"), piece));
  assert_false(bucket.take(at(0), ip("10.0.2.0"), piece));
}

void three_strikes_within_an_hour_are_a_ban_and_each_ban_is_longer(void**) {
  BanList bans;
  BanList::Subject who = BanList::of(ip("10.0.0.1"));
  assert_false(bans.strike(ledger(1000), who));
  assert_false(bans.strike(ledger(1001), who));
  assert_false(bans.strike(ledger(4702), who));  // the first two are over an hour old
  assert_false(bans.strike(ledger(4703), who));
  assert_true(bans.strike(ledger(4704), who));
  assert_int_equal(bans.banned_for(ledger(4704), who), 3600);
  assert_int_equal(bans.banned_for(ledger(4704 + 3600), who), 0);
  for (uint64_t i = 0; i < 3; ++i) bans.strike(ledger(9000), who);
  assert_int_equal(bans.banned_for(ledger(9000), who), 7200);
  for (int ban = 0; ban < 10; ++ban) {
    for (uint64_t i = 0; i < 3; ++i) bans.strike(ledger(20'000), who);
  }
  assert_int_equal(bans.banned_for(ledger(20'000), who), 24 * 3600);
  assert_int_equal(bans.banned_for(ledger(20'000), BanList::of(ip("10.0.0.2"))), 0);
}

void forgiven_strikes_do_not_count(void**) {
  BanList bans;
  BanList::Subject who = BanList::of(PublicKey());
  for (uint64_t i = 0; i < 20; ++i) {
    assert_false(bans.strike(ledger(1000), who));
    assert_false(bans.strike(ledger(1000), who));
    bans.forgive(ledger(1000), who);
    bans.forgive(ledger(1000), who);
  }
}

void bans_survive_a_restart(void**) {
  BanList bans;
  BanList::Subject banned = BanList::of(ip("2001:db8::1"));
  BanList::Subject struck = BanList::of(ip("10.0.0.2"));
  bans.ban(ledger(1000), banned, 500);
  bans.strike(ledger(1000), struck);
  bans.strike(ledger(1000), struck);
  StoreBatch batch;
  bans.collect(batch);
  assert_int_equal(batch.size(), 2);
  assert_false(bans.dirty());
  BanList back;
  for (const StoreChange& change : batch) assert_true(back.restore(change.key, *change.value).has_value());
  assert_int_equal(back.banned_for(ledger(1000), BanList::of(ip("2001:db8::2"))), 500);  // the same /64
  assert_true(back.strike(ledger(1001), struck));
}

void the_ban_list_is_bounded(void**) {
  BanList bans;
  bans.ban(ledger(1000), BanList::of(ip("10.0.0.1")), 5000);
  for (uint32_t i = 0; i < 10'000; ++i) {
    bans.strike(ledger(1000), BanList::of(IpAddress::v4({11, 0, static_cast<uint8_t>(i >> 8), static_cast<uint8_t>(i)})));
  }
  assert_int_equal(bans.banned_for(ledger(1000), BanList::of(ip("10.0.0.1"))), 5000);
  StoreBatch batch;
  bans.collect(batch);
  size_t kept = 0;
  for (const StoreChange& change : batch) kept += change.value.has_value() ? 1 : 0;
  assert_int_equal(kept, BanList::k_subjects_max);
}

void ledger_time_is_unknown_until_the_ledger_signs_and_one_answer_sets_nothing_back(void**) {
  LedgerClock clock;
  clock.restore(at(0), ledger(5000));
  assert_false(clock.now(at(10)).has_value());
  assert_true(clock.floor(at(10)) == ledger(5010));
  assert_true(clock.when(at(10), ledger(6000)).is_never());
  clock.observe(at(10), ledger(4000));  // behind what is certain
  assert_true(*clock.now(at(10)) == ledger(5010));
  clock.observe(at(20), ledger(6000));
  assert_true(*clock.now(at(25)) == ledger(6005));
  assert_true(clock.when(at(25), ledger(6100)) == at(120));
  clock.observe(at(30), ledger(6001));
  assert_true(*clock.now(at(30)) == ledger(6010));
  assert_true(clock.reached_within(at(89), Duration::seconds(60)));
  assert_false(clock.reached_within(at(91), Duration::seconds(60)));
}

// Our clock is 50 ppm fast, and the ledger is asked four times an hour, over weeks; some answers are late.
void a_fast_clock_follows_the_ledger_over_weeks(void**) {
  LedgerClock clock;
  Random random(5);
  LedgerTime floor;
  for (int64_t real = 0; real < 60 * 24 * 3600; real += 900) {
    Instant now = Instant::from_us(real * 1'000'050);
    uint64_t time = 1'800'000'000 + static_cast<uint64_t>(real);
    clock.observe(now, ledger(time - random.below(4)));
    uint64_t known = clock.now(now)->in_seconds();
    assert_in_range(known, time - 3, time + LedgerClock::k_delay_s + 1);
    assert_true(clock.floor(now) >= floor && clock.floor(now) >= *clock.now(now));
    floor = clock.floor(now);
    assert_in_range(floor.in_seconds(), known, time + LedgerClock::k_delay_s + 1);
  }
}

void a_ledger_that_is_set_back_is_followed_and_the_floor_stays(void**) {
  LedgerClock clock;
  clock.observe(at(0), ledger(10'000));
  // Two minutes back: two answers are not enough, and one that says otherwise in between begins the row again.
  clock.observe(at(10), ledger(9890));
  clock.observe(at(20), ledger(9900));
  clock.observe(at(30), ledger(10'030));
  clock.observe(at(40), ledger(9920));
  clock.observe(at(50), ledger(9930));
  assert_true(*clock.now(at(50)) == ledger(10'050));
  clock.observe(at(61), ledger(9940));  // it was late
  assert_true(*clock.now(at(61)) == ledger(9941));
  assert_true(clock.when(at(61), ledger(9951)) == at(71));
  // What has passed has passed: the floor waits.
  assert_true(clock.floor(at(61)) == ledger(10'061));
  assert_true(clock.floor(at(180)) == ledger(10'061));
  assert_true(clock.floor(at(191)) == ledger(10'071));
  // A floor of the store that is ahead is followed back in the same way, and one signed time is no reason.
  LedgerClock restarted;
  restarted.restore(at(0), ledger(20'000));
  restarted.observe(at(0), ledger(19'400));
  assert_true(*restarted.now(at(0)) == ledger(20'000));
  restarted.observe(at(1), ledger(19'401));
  restarted.observe(at(2), ledger(19'402));
  assert_true(*restarted.now(at(2)) == ledger(19'402));
  assert_true(restarted.floor(at(2)) == ledger(20'002));
}

template <typename Record>
void expect_round_trip(Random& random) {
  for (int i = 0; i < 200; ++i) {
    std::vector<uint8_t> bytes(1 + k_fields_size<Record>);
    bytes[0] = Record::k_version;
    for (size_t k = 1; k < bytes.size(); ++k) bytes[k] = random.below(3) == 0 ? static_cast<uint8_t>(random.next()) : 0;
    Result<Record> record = decode_record<Record>(bytes);
    if (!record) continue;  // an amount above the supply
    assert_true(encode_record(*record) == bytes);
    bytes[0] ^= 1;
    assert_false(decode_record<Record>(bytes).has_value());
    bytes[0] ^= 1;
    bytes.pop_back();
    assert_false(decode_record<Record>(bytes).has_value());
  }
}

void every_record_survives_a_round_trip(void**) {
  Random random(9);
  expect_round_trip<ClockRecord>(random);
  expect_round_trip<PayeeChannelRecord>(random);
  expect_round_trip<DebtRecord>(random);
  expect_round_trip<AccountRecord>(random);
  expect_round_trip<HistoryRecord>(random);
  expect_round_trip<SettledHistoryRecord>(random);
  expect_round_trip<PayerChannelRecord>(random);
  expect_round_trip<TorrentRecord>(random);
  expect_round_trip<BanRecord>(random);
  assert_false(restore_meter(k_supply_micro, 0).has_value());
  assert_false(restore_meter(0, 1'000'000).has_value());
}

// A state folder moves between processors: the bytes are fixed.
void records_have_fixed_bytes(void**) {
  PayerChannelRecord record;
  record.cum = micro(0x0102);
  record.ceiling = micro(0x0304);
  record.seq_ceiling = 0x0506;
  record.state = 2;
  std::vector<uint8_t> bytes = encode_record(record);
  assert_int_equal(bytes.size(), 1 + 136 + 8 + 8 + 8 + 1 + 20);
  assert_string_equal(to_hex(Bytes(bytes).subspan(137, 25)).c_str(), "00000000000001020000000000000304000000000000050602");
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(payments_cover_the_oldest_blocks_first),
      cmocka_unit_test(paying_too_much_buys_nothing_ahead),
      cmocka_unit_test(block_that_the_rounding_covers_is_paid_for),
      cmocka_unit_test(rounding_never_leaves_a_block_open),
      cmocka_unit_test(debt_survives_a_restart_as_one_old_debt),
      cmocka_unit_test(tiny_blocks_cost_little_memory),
      cmocka_unit_test(debts_never_pass_the_supply),
      cmocka_unit_test(unknown_payers_share_one_bucket),
      cmocka_unit_test(the_bucket_holds_two_pieces_of_any_size),
      cmocka_unit_test(three_strikes_within_an_hour_are_a_ban_and_each_ban_is_longer),
      cmocka_unit_test(forgiven_strikes_do_not_count),
      cmocka_unit_test(bans_survive_a_restart),
      cmocka_unit_test(the_ban_list_is_bounded),
      cmocka_unit_test(ledger_time_is_unknown_until_the_ledger_signs_and_one_answer_sets_nothing_back),
      cmocka_unit_test(a_fast_clock_follows_the_ledger_over_weeks),
      cmocka_unit_test(a_ledger_that_is_set_back_is_followed_and_the_floor_stays),
      cmocka_unit_test(every_record_survives_a_round_trip),
      cmocka_unit_test(records_have_fixed_bytes),
  };
  return RUN_TESTS(tests);
}
