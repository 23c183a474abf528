// How long two keys can trade, and what that locks: channels are closed when they are full and their slots used again (PROTOCOL.md
// section 9).
#include <algorithm>
#include <optional>
#include <set>

#include "unit/speed_duo.h"
#include "unit/test.h"

using namespace millet;
using namespace millet::speed;
using namespace millet::speed::world;

namespace {

constexpr uint64_t k_reserve = 1000;

uint64_t price(uint64_t rate, uint64_t bytes) { return (rate * bytes + 999'999) / 1'000'000; }

// Small pieces, one in ten seconds: channels of about 64 pieces.
Settings slow_trade(uint32_t pieces) {
  Settings settings;
  settings.piece_size = 16 * 1024;
  settings.pieces = pieces;
  settings.block_time = Duration::seconds(10);
  return settings;
}

// Either side alone closes a full channel: the other one's CLOSE is lost. With one provider a trade never ends for want of slots.
void a_trade_goes_on_over_more_than_twenty_channels(void**) {
  for (bool payer_closes : {true, false}) {
    Duo duo(slow_trade(1400));
    duo.requester->max_rate = Rate::pico_per_byte(k_reserve);
    size_t rolled_over = 0, most = 0;
    duo.world.on_send = [&](Node& from, PeerHandle, std::vector<uint8_t>& payload) {
      Result<Message> message = decode(payload);
      const auto* close = message ? std::get_if<CloseMessage>(&*message) : nullptr;
      if (close == nullptr || close->reason != static_cast<uint8_t>(CloseReason::rolled_over)) return true;
      bool goes = (&from == duo.requester) == payer_closes;
      rolled_over += goes ? 1 : 0;
      return goes;
    };
    duo.start();
    assert_true(duo.run(5 * 3600, [&] {
      most = std::max(most, duo.requester->speed->payer().channels().size());
      return duo.world.everybody_complete();
    }));
    assert_true(duo.world.ledger.channels.size() > 20);
    assert_in_range(rolled_over, duo.world.ledger.channels.size() - 2, duo.world.ledger.channels.size());
    assert_in_range(most, 2, 4);
    assert_true(duo.run_to_end());
    assert_int_equal(duo.earned(), price(k_reserve, uint64_t{duo.world.set.pieces} * duo.world.set.piece_size));
    assert_int_equal(duo.world.disconnects.size(), 0);
    assert_int_equal(duo.world.violations.size(), 0);
  }
}

// Providers that win bids and send nothing: the blocks of the first piece take a day.
struct Idle {
  explicit Idle(uint32_t providers, bool one_network) : world(1, settings()) {
    requester = &world.add("requester", false, k_budget);
    requester->max_rate = Rate::pico_per_byte(20'000);
    world.ledger.fund(requester->key, 100 * k_budget);
    for (uint32_t i = 0; i < providers; ++i) {
      Node& provider = world.add("provider" + std::to_string(i), true);
      if (one_network) provider.address = IpAddress::v4({10, 9, 0, static_cast<uint8_t>(1 + i / 8)});
      world.connect(*requester, provider);
    }
    for (auto& node : world.nodes) world.start(*node);
  }
  static Settings settings() {
    Settings settings;
    settings.pieces = 100;
    settings.block_time = Duration::hours(24);
    return settings;
  }
  // Locked at the ledger by channels that are open.
  std::vector<uint64_t> locked() const {
    std::vector<uint64_t> out;
    for (const auto& [id, entry] : world.ledger.channels) {
      if (entry.open) out.push_back(entry.terms.capacity.in_micro());
    }
    return out;
  }
  static constexpr uint64_t k_budget = 100'000;
  World world;
  Node* requester;
};

void keys_without_end_lock_a_few_pieces_in_a_network(void**) {
  Idle idle(16, true);
  idle.world.run(idle.world.now + Duration::minutes(10));
  std::vector<uint64_t> locked = idle.locked();
  assert_int_equal(locked.size(), Payer::k_first_channels_max);
  for (uint64_t capacity : locked) assert_true(capacity <= price(20'000, Payer::k_first_pieces * idle.world.set.piece_size));
  assert_int_equal(idle.world.violations.size(), 0);
}

void all_channels_of_a_torrent_stay_within_its_budget(void**) {
  Idle idle(40, false);
  idle.world.run(idle.world.now + Duration::minutes(10));
  std::vector<uint64_t> locked = idle.locked();
  uint64_t sum = 0;
  for (uint64_t capacity : locked) sum += capacity;
  assert_in_range(sum, Idle::k_budget / 2, Idle::k_budget);
  assert_in_range(locked.size(), 20, 27);
  assert_int_equal(idle.world.violations.size(), 0);
}

// After the first four pieces a provider gets the channels that it is worth, of half of what is left at most.
void a_provider_that_delivers_gets_larger_channels(void**) {
  Settings settings;
  settings.pieces = 300;
  Duo duo(settings, 30'000);
  duo.requester->max_rate = Rate::pico_per_byte(k_reserve);
  duo.start();
  assert_true(duo.run_to_end());
  std::vector<std::pair<LedgerTime, uint64_t>> opened;
  for (const auto& [id, entry] : duo.world.ledger.channels) opened.push_back({entry.terms.valid_until, entry.terms.capacity.in_micro()});
  std::sort(opened.begin(), opened.end());
  assert_int_equal(opened[0].second, 1000);  // the ledger's minimum
  assert_int_equal(opened[1].second, price(k_reserve, 64 * uint64_t{settings.piece_size}));
  assert_int_equal(duo.earned(), price(k_reserve, uint64_t{settings.pieces} * settings.piece_size));
  assert_int_equal(duo.world.violations.size(), 0);
}

// Three payers, each of them below the threshold: together they reach it, and the largest is claimed.
void the_threshold_is_over_all_channels(void**) {
  Settings settings;
  settings.pieces = 200;
  settings.auction_slots = 3;
  settings.delay = Duration::seconds(1);  // each gets a piece in a few seconds
  World world(1, settings);
  Node& provider = world.add("provider", true);
  provider.options.payee.claim_threshold = Amount::micro(4000);
  for (int i = 0; i < 3; ++i) {
    Node& requester = world.add("requester" + std::to_string(i), false, 1'000'000);
    world.ledger.fund(requester.key, 2'000'000);
    world.connect(requester, provider);
  }
  for (auto& node : world.nodes) world.start(*node);
  uint64_t most = 0;
  auto unclaimed = [&] {
    uint64_t sum = 0;
    for (const ChannelView& view : provider.speed->payee().channels()) sum += view.durable.in_micro() - view.claimed.in_micro();
    return sum;
  };
  assert_true(world.run(world.now + Duration::minutes(20), [&] {
    most = std::max(most, unclaimed());
    return world.ledger.claims == 3;
  }));
  world.run(world.now + Duration::seconds(1));
  assert_in_range(most, 4000, 5500);
  for (const ChannelView& view : provider.speed->payee().channels()) assert_true(view.claimed.in_micro() < 4000);
  assert_true(unclaimed() < 4000);
  assert_int_equal(world.violations.size(), 0);
}

// The capacities of the channels, in the order in which they were opened.
std::vector<uint64_t> capacities(const Duo& duo) {
  std::vector<std::pair<LedgerTime, uint64_t>> opened;
  for (const auto& [id, entry] : duo.world.ledger.channels) opened.push_back({entry.terms.valid_until, entry.terms.capacity.in_micro()});
  std::sort(opened.begin(), opened.end());
  std::vector<uint64_t> out;
  for (const auto& [time, capacity] : opened) out.push_back(capacity);
  return out;
}

constexpr uint64_t k_piece_micro = 66;  // what a piece costs in the worlds below, and may be owed when a channel is planned

// Ten pieces a second from one provider.
Settings ten_a_second(uint32_t pieces) {
  Settings settings;
  settings.pieces = pieces;
  settings.block_time = Duration::ms(25);
  return settings;
}

// Ten minutes of that, all bought.
void buy_six_thousand(Duo& duo) {
  duo.requester->max_rate = Rate::pico_per_byte(1000);
  duo.start();
  assert_true(duo.run(900, [&] { return duo.world.everybody_complete(); }));
  assert_int_equal(duo.world.violations.size(), 0);
}

void channels_grow_to_ten_minutes_of_what_a_provider_is_paid(void**) {
#ifdef MILLET_SANITIZED
  skip();  // minutes
#endif
  Duo duo(ten_a_second(6000), 100'000'000);
  buy_six_thousand(duo);
  std::vector<uint64_t> found = capacities(duo);
  assert_int_equal(found.size(), 6);
  assert_int_equal(found[0], 1000);  // the ledger's minimum, for the first
  assert_int_equal(found[1], 4195);  // 64 pieces of 65.536
  for (size_t i = 2; i < 5; ++i) assert_in_range(found[i], found[i - 1] * 7 / 2, found[i - 1] * 4 + k_piece_micro);
}

// A provider may lock what a channel holds until it expires: no more than a quarter of what is left, or 64 pieces.
void a_channel_locks_a_quarter_of_what_is_left_at_most(void**) {
  constexpr uint64_t k_budget = 70'000;
  Duo duo(ten_a_second(1000), k_budget);
  duo.requester->max_rate = Rate::pico_per_byte(1000);
  duo.start();
  duo.run(60, [&] { return duo.world.ledger.channels.size() >= 4; });
  std::vector<uint64_t> found = capacities(duo);
  assert_in_range(found.size(), 3, 8);
  uint64_t most = *std::max_element(found.begin(), found.end());
  assert_in_range(most, 3 * 4195, k_budget / 4 + k_piece_micro);  // four times the second would be 67,000
  assert_int_equal(duo.world.violations.size(), 0);
}

// Section 10: at an even rate the requester's state is written once a minute, and for each step of a channel; never for a lease.
void six_thousand_paid_pieces_take_few_commits(void**) {
#ifdef MILLET_SANITIZED
  skip();  // minutes
#endif
  Duo duo(ten_a_second(6000), 100'000'000);
  buy_six_thousand(duo);
  assert_in_range(duo.requester->commits, 10, 30);
}

// Section 9: with room in its window a requester pays for at least 64 KiB and a quarter of a second at once, and not much later either.
void payments_are_64_kib_and_250_ms_apart(void**) {
  for (int64_t block_ms : {20, 100}) {
    Settings settings;
    settings.pieces = 300;
    settings.block_time = Duration::ms(block_ms);
    Duo duo(settings, 50'000'000);
    duo.provider->options.payee.window_pieces = 64;
    duo.requester->max_rate = Rate::pico_per_byte(k_reserve);
    std::vector<std::pair<Instant, PayMessage>> pays;
    duo.world.on_send = [&](Node&, PeerHandle, std::vector<uint8_t>& payload) {
      Result<Message> message = decode(payload);
      if (message && std::holds_alternative<PayMessage>(*message)) pays.push_back({duo.world.now, std::get<PayMessage>(*message)});
      return true;
    };
    duo.start();
    auto piece = [&] { return std::count(duo.requester->have.begin(), duo.requester->have.end(), true); };
    assert_true(duo.run(300, [&] { return piece() >= 150; }));  // the window has grown
    pays.clear();
    assert_true(duo.run(300, [&] { return piece() >= 250; }));
    assert_true(pays.size() >= 20);
    Duration longest = Duration::ms(std::max<int64_t>(250, 4 * block_ms) + 4 * block_ms + 20);
    for (size_t i = 1; i < pays.size(); ++i) {
      Duration apart = pays[i].first - pays[i - 1].first;
      assert_true(apart >= Duration::ms(250));
      assert_true(apart <= longest);
      if (pays[i].second.slot != pays[i - 1].second.slot) continue;
      assert_true(pays[i].second.cum.minus_or_zero(pays[i - 1].second.cum).in_micro() >= price(k_reserve, 64 * 1024) - 1);
    }
    assert_true(duo.run_to_end());
    assert_int_equal(duo.world.violations.size(), 0);
  }
}

// Section 9: while a payment is being checked, of all that come only the newest waits for its turn.
void only_the_newest_payment_waits_for_its_check(void**) {
  Settings settings;
  settings.work_time = Duration::seconds(1);
  Duo duo(settings);
  duo.requester->may_ask = 8;  // two pieces
  std::vector<AckMessage> acks;
  std::optional<PayMessage> last;
  duo.world.on_send = [&](Node&, PeerHandle, std::vector<uint8_t>& payload) {
    Result<Message> message = decode(payload);
    if (message && std::holds_alternative<AckMessage>(*message)) acks.push_back(std::get<AckMessage>(*message));
    if (message && std::holds_alternative<PayMessage>(*message)) last = std::get<PayMessage>(*message);
    return true;
  };
  duo.start();
  assert_true(duo.run(120, [&] { return std::count(duo.requester->have.begin(), duo.requester->have.end(), true) == 2; }));
  duo.run(20);
  assert_true(last.has_value());
  assert_int_equal(duo.counted(), last->cum.in_micro());
  acks.clear();
  const PayMessage before = *last;
  const ChannelId id = duo.world.ledger.channels.begin()->first;
  for (uint64_t more = 1; more <= 8; ++more) {
    PayMessage pay{before.slot, before.seq + more, *before.cum.plus(Amount::micro(more)), Signature()};
    pay.signature = fake_sign(duo.requester->key, preimage(PayStatement{duo.world.ledger.id, id, pay.seq, pay.cum}));
    duo.world.inject(*duo.requester, duo.world.only_peer(*duo.requester), pay);
  }
  duo.run(20);
  std::set<uint64_t> counted;
  for (const AckMessage& ack : acks) {
    if (static_cast<AckStatus>(ack.status) == AckStatus::counted) counted.insert(ack.seq - before.seq);
  }
  assert_true((counted == std::set<uint64_t>{1, 8}));
  assert_int_equal(duo.counted(), before.cum.in_micro() + 8);
  assert_int_equal(duo.banned_for(), 0);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(channels_grow_to_ten_minutes_of_what_a_provider_is_paid),
      cmocka_unit_test(a_channel_locks_a_quarter_of_what_is_left_at_most),
      cmocka_unit_test(six_thousand_paid_pieces_take_few_commits),
      cmocka_unit_test(a_trade_goes_on_over_more_than_twenty_channels),
      cmocka_unit_test(keys_without_end_lock_a_few_pieces_in_a_network),
      cmocka_unit_test(all_channels_of_a_torrent_stay_within_its_budget),
      cmocka_unit_test(a_provider_that_delivers_gets_larger_channels),
      cmocka_unit_test(the_threshold_is_over_all_channels),
      cmocka_unit_test(payments_are_64_kib_and_250_ms_apart),
      cmocka_unit_test(only_the_newest_payment_waits_for_its_check),
  };
  return RUN_TESTS(tests);
}
