// node: attacks on a seller's auction, and by what is said before money moves: bids, proofs, negotiation, values out of range. Whole nodes
// with the real ledger. Numbers are those of tests/README.md.
#include "unit/node_sale.h"
#include "unit/speed_attacker.h"

using namespace millet;
using namespace millet::testing;
using speed::BidMessage;
using speed::ChannelMessage;
using speed::FundsMessage;
using speed::RateMessage;
using speed::StopMessage;

namespace {

Rate pico(uint64_t value) { return Rate::pico_per_byte(value); }

// Rates that a seller has named to a buyer, by what the wire said.
uint64_t last_price(const SpeedTap& tap, const Machine& seed, const Machine& buyer) {
  auto rate = tap.last<RateMessage>(seed, buyer);
  return rate ? rate->rate.in_pico_per_byte() : 0;
}

// A seller that a test talks to by hand.
struct Stall {
  Market market;
  Payload payload = make_payload(1, k_piece, {3'000'000});
  Machine* seed;
  uint32_t signatures = 0;  // that the seller was made to sign

  Stall() : seed(&market.seed_of(payload, 0)) {
    seed->on_act = [this](const Action& action) { signatures += std::holds_alternative<SignBytes>(action); };
  }
  std::unique_ptr<Attacker> attacker(uint32_t number) { return std::make_unique<Attacker>(market, *seed, payload, number); }
  void run(int64_t ms) { market.world.run(Duration::ms(ms)); }
  bool closes(Attacker& attacker, int64_t seconds = 20) {
    return market.world.run_until(Duration::seconds(seconds), [&] { return attacker.closed(); });
  }
  void expect_honest_buyer_is_served() {
    Machine& buyer = market.buyer(payload, *seed, 100, 50);
    assert_true(market.completes(buyer, payload));
    assert_true(buyer.status(payload.hash).bytes_paid_down > 0);
    assert_true(market.all_channels_end({seed, &buyer}));
    assert_int_equal(market.balance(*seed) + market.balance(buyer), 100 * k_btt);
  }
};

}  // namespace

// Attack 7: the winner's notice of its channel never comes.
static void a_winner_that_opens_no_channel_is_ignored_and_the_price_falls(void**) {
  Market market;
  SpeedTap tap(market.world);
  Payload payload = make_payload(1, k_piece, {70'000'000});
  Machine& seed = market.seed_of(payload, 60'000);  // four slots, two of them sold
  Machine& liar = market.buyer(payload, seed, 2000, 1000, 9);
  tap.change = [&](Machine& from, Machine&, speed::Message& message) {
    return &from != &liar || !std::holds_alternative<ChannelMessage>(message);
  };
  Machine& a = market.buyer(payload, seed, 2000, 1000, 7);
  Machine& b = market.buyer(payload, seed, 2000, 1000, 5);
  assert_true(market.world.run_until(Duration::seconds(60), [&] { return tap.last<StopMessage>(seed, liar).has_value(); }));
  Instant stopped = market.world.now;
  assert_int_equal(tap.last<StopMessage>(seed, liar)->reason, static_cast<uint8_t>(speed::StopReason::no_channel));
  std::vector<RateMessage> rates = tap.all<RateMessage>(seed, a);
  assert_true(std::any_of(rates.begin(), rates.end(), [](const RateMessage& rate) { return rate.rate == pico(5000); }));  // b's bid
  market.world.run(Duration::seconds(2));
  for (Machine* buyer : {&a, &b}) assert_int_equal(last_price(tap, seed, *buyer), 1000);
  // For ten minutes it is served at most what nobody has bought.
  size_t heard = tap.heard.size();
  market.world.run(stopped + Duration::seconds(590) - market.world.now);
  for (size_t i = heard; i < tap.heard.size(); ++i) {
    const auto* rate = std::get_if<RateMessage>(&tap.heard[i].message);
    if (rate != nullptr && tap.heard[i].to == &liar) assert_true(rate->rate.is_zero());
  }
  assert_true(liar.status(payload.hash).bytes_paid_down <= k_piece);
  for (Machine* buyer : {&a, &b}) assert_int_equal(last_price(tap, seed, *buyer), 1000);
}

// Attack 19: somebody says that it has a buyer's key, and takes what the key gets. It can't prove it.
static void somebody_elses_key_gets_nothing_and_is_not_struck(void**) {
  Stall stall;
  Machine& victim = stall.market.add(100);
  uint32_t struck = 0;
  for (uint32_t i = 1; i <= 5; ++i) {
    auto attacker = stall.attacker(i);
    attacker->claimed_key = victim.identity.key;  // signs with another one
    if (!attacker->connect("10.9.0.9")) break;
    assert_true(stall.closes(*attacker));
    assert_int_equal(attacker->bytes_paid, 0);
    ++struck;
  }
  assert_int_equal(struck, 3);  // then nothing is accepted from there
  assert_int_equal(Market::count(*stall.seed, "why=false_proof"), 3);
  assert_true(stall.market.world.dial_raw(*stall.seed, "10.9.0.9") == nullptr);
  // The key's owner, from its own address, is served.
  victim.config.budget = Amount::micro(50 * k_btt);
  victim.config.max_rate = pico(1'000'000'000);
  victim.start();
  stall.run(1000);
  victim.add(stall.payload, {stall.seed->endpoint});
  assert_true(stall.market.completes(victim, stall.payload));
  assert_true(victim.status(stall.payload.hash).bytes_paid_down > stall.payload.size / 2);
}

// Attack 20: a bid with nothing behind it.
static void bids_without_money_lift_no_price(void**) {
  Market market;
  SpeedTap tap(market.world);
  Payload payload = make_payload(1, k_piece, {20'000'000});
  Machine& seed = market.seed_of(payload, 100'000);
  Machine* phantom = nullptr;
  tap.change = [&](Machine& from, Machine&, speed::Message& message) {
    return &from != phantom || !(std::holds_alternative<FundsMessage>(message) || std::holds_alternative<ChannelMessage>(message));
  };
  phantom = &market.buyer(payload, seed, 100'000, 50'000, 900);
  Machine& a = market.buyer(payload, seed, 2000, 1000, 9);
  Machine& b = market.buyer(payload, seed, 2000, 1000, 7);
  market.buyer(payload, seed, 2000, 1000, 5);
  market.world.run(Duration::seconds(45));
  bool seen = false;
  for (const AuctionRound& round : seed.node->auctions()) {
    for (const AuctionBid& bid : round.bids) {
      if (bid.payer != phantom->identity.key) continue;
      seen = true;
      assert_false(bid.backed);
    }
    assert_true(round.price <= pico(5000));
  }
  assert_true(seen);
  AuctionRound round = seed.node->auctions().back();
  assert_true(round.bids.size() >= 3 && round.price == pico(5000));
  for (const AuctionBid& bid : round.bids) assert_int_equal(bid.won, bid.payer == a.identity.key || bid.payer == b.identity.key);
}

// Attack 21.
static void at_a_reserve_of_zero_nobody_opens_a_channel(void**) {
  Market market;
  SpeedTap tap(market.world);
  Payload payload = make_payload(1, k_piece, {3'000'000});
  Machine& seed = market.add();
  seed.config.reserve = Rate();
  seed.put(payload);
  seed.start();
  seed.add(payload, {}, true);
  market.world.run(Duration::seconds(3));
  Machine& buyer = market.buyer(payload, seed, 100, 50);
  assert_true(market.completes(buyer, payload));
  assert_true(!tap.all<BidMessage>(buyer, seed).empty());
  assert_true(tap.all<ChannelMessage>(buyer, seed).empty() && tap.all<speed::PayMessage>(buyer, seed).empty());
  assert_int_equal(market.balance(buyer), 100 * k_btt);
}

// Attack 23: a flood of bids. Two are accepted at once, then one a minute.
static void a_flood_of_bids_changes_one_bid(void**) {
  Stall stall;
  auto attacker = stall.attacker(1);
  stall.market.fund(attacker->claimed_key, 100 * k_btt);
  attacker->accepts = false;
  attacker->connect("10.9.0.1");
  stall.run(500);
  for (uint32_t i = 2; i < 2000; ++i) attacker->say(BidMessage{i, 0, pico(5000 + 10 * i)});
  stall.run(12'000);
  AuctionRound round = stall.seed->node->auctions().back();
  assert_int_equal(round.bids.size(), 1);
  assert_true(round.bids[0].rate == pico(5020));  // the second
  assert_false(attacker->closed());
  stall.run(60'000);
  for (uint32_t i = 2000; i < 2100; ++i) attacker->say(BidMessage{i, 0, pico(9000 + i)});
  stall.run(12'000);
  for (const AuctionRound& one : stall.seed->node->auctions()) {
    for (const AuctionBid& bid : one.bids) assert_true(bid.rate <= pico(9000 + 2001));
  }
  stall.expect_honest_buyer_is_served();
}

// Attack 23, the other side: what an honest buyer sends changes by more than a tenth, and not more often than once a minute.
static void an_honest_buyer_bids_once_a_minute_at_most(void**) {
  Market market;
  SpeedTap tap(market.world);
  Payload payload = make_payload(1, k_piece, {20'000'000});
  Machine& seed = market.seed_of(payload, 30'000);  // eleven minutes
  Machine& buyer = market.buyer(payload, seed, 1000, 500);
  assert_true(market.completes(buyer, payload, Duration::minutes(30)));
  Instant before = Instant::from_us(0);
  Rate last;
  uint32_t bids = 0;
  for (const SpeedTap::Heard& one : tap.heard) {
    const auto* bid = std::get_if<BidMessage>(&one.message);
    if (bid == nullptr || one.from != &buyer || bid->rate.is_zero()) continue;
    assert_true(++bids == 1 || one.at - before >= Duration::seconds(59));
    uint64_t was = last.in_pico_per_byte(), is = bid->rate.in_pico_per_byte();
    assert_true(bids == 1 || (is > was ? is - was : was - is) > was / 10);
    before = one.at;
    last = bid->rate;
  }
  assert_in_range(bids, 2, 12);
}

// Attack 24: to a seller, then to a buyer.
static void values_that_overflow_end_the_connection(void**) {
  constexpr uint64_t k_max = UINT64_MAX, k_half = uint64_t{1} << 63;
  auto bytes = [](uint8_t type, const std::function<void(ByteWriter&)>& write) {
    std::vector<uint8_t> out;
    ByteWriter writer(out);
    writer.u8(type);
    write(writer);
    return out;
  };
  auto zeros = [](ByteWriter& writer, size_t count) {
    for (size_t i = 0; i < count; ++i) writer.u8(0);
  };
  std::vector<std::vector<uint8_t>> to_seller;
  std::vector<std::vector<uint8_t>> to_buyer;
  for (uint64_t value : {k_max, k_half, (uint64_t{1} << 46) + 1}) {
    to_seller.push_back(bytes(1, [&](ByteWriter& w) { w.u32(9).u8(0).u64(value); }));
    to_buyer.push_back(bytes(2, [&](ByteWriter& w) { w.u32(1).u32(1).u64(value).u8(0).u32(k_piece).u16(30).u64(0); }));
  }
  for (uint64_t value : {k_max, k_half, Amount::supply().in_micro() + 1}) {
    to_seller.push_back(bytes(3, [&](ByteWriter& w) { w.u8(0).u64(value).u64(1).bytes(std::vector<uint8_t>(16)).u64(1); }));
    to_seller.push_back(bytes(4, [&](ByteWriter& w) { zeros(w.u8(0).u64(1).u64(value), 64); }));
    to_seller.push_back(bytes(11, [&](ByteWriter& w) { zeros(w.u64(value).u64(1), 64); }));
    to_buyer.push_back(bytes(5, [&](ByteWriter& w) { w.u8(0).u8(0).u64(1).u64(value).u64(value).u64(value); }));
    to_buyer.push_back(bytes(6, [&](ByteWriter& w) {
      zeros(w, 33);
      zeros(w.u64(1).u64(value), 64);
    }));
    to_buyer.push_back(bytes(7, [&](ByteWriter& w) {
      zeros(w, 33);
      w.u64(1).u64(value);
    }));
  }
  Stall stall;
  uint32_t number = 0;
  for (const std::vector<uint8_t>& payload : to_seller) {
    auto attacker = stall.attacker(++number);
    assert_true(attacker->connect("10.9." + std::to_string(number) + ".1"));
    stall.run(500);
    attacker->say_payload(payload);
    assert_true(stall.closes(*attacker));
  }
  stall.expect_honest_buyer_is_served();
  for (const std::vector<uint8_t>& payload : to_buyer) {
    Sale sale(2'000'000, 400'000);
    sale.start();
    sale.run(3);
    sale.tap.say_payload(*sale.seed, *sale.buyer, payload);
    sale.run(1);
    assert_int_equal(Market::count(*sale.buyer, "is out of range"), 1);
    assert_true(sale.market.completes(*sale.buyer, sale.payload));
    assert_true(sale.market.all_channels_end({sale.seed, sale.buyer}, Duration::hours(30)));
    assert_int_equal(sale.market.balance(*sale.seed) + sale.market.balance(*sale.buyer), sale.market.funded);
  }
}

// Attack 24, what is in range and as large as it can be: the highest bid with the whole supply, a channel without end, the last sequence.
static void the_largest_values_wrap_nowhere(void**) {
  Stall stall;
  auto attacker = stall.attacker(1);
  constexpr uint64_t k_money = 1'000'000 * k_btt;
  stall.market.fund(attacker->claimed_key, k_money);
  attacker->bid.rate = pico(uint64_t{1} << 46);
  ChannelTerms terms;
  bool paid = false;
  attacker->on_message = [&](const speed::Message& message) {
    if (std::holds_alternative<RateMessage>(message) && terms.capacity.is_zero()) {
      attacker->say(ChannelMessage{1, Amount::supply(), LedgerTime::from_seconds(UINT64_MAX), {}, LedgerTime::from_seconds(UINT64_MAX)});
      terms = attacker->open_channel(k_money);
    }
  };
  attacker->on_piece = [&] {
    attacker->say(attacker->payment(terms, UINT64_MAX, k_money));  // more than is due, with the last sequence that there is
    paid = true;
  };
  attacker->connect("10.9.0.1");
  assert_true(stall.market.world.run_until(Duration::seconds(30),
                                           [&] { return paid && !stall.seed->node->stats(stall.market.world.now).earned.is_zero(); }));
  attacker->leave();
  assert_true(stall.market.all_channels_end({stall.seed}));
  assert_int_equal(stall.market.balance(*stall.seed), k_money);  // it asked for it
}

// Attack 34: the extension's id.
static void ids_that_are_none_are_no_extension(void**) {
  Stall stall;
  uint32_t number = 0;
  for (const char* m : {"9:btt_speedi0e", "9:btt_speedi256e", "9:btt_speedi-1e", "9:btt_speedi9223372036854775807e"}) {
    auto attacker = stall.attacker(++number);
    attacker->greeting = std::string("d1:md") + m + "ee";
    assert_true(attacker->connect("10.9.0." + std::to_string(number)));
    stall.run(3000);
    assert_true(attacker->heard.empty() && !attacker->closed());  // a peer like any other
    assert_int_equal(stall.signatures, 0);
  }
  // One id for two extensions is the sender's own affair; two ids for one are no dictionary (BEP 3).
  for (bool twice : {false, true}) {
    auto attacker = stall.attacker(++number);
    attacker->greeting = std::string("d1:md") + (twice ? "9:btt_speedi3e9:btt_speedi4e" : "9:btt_speedi3e6:ut_pexi3e") + "ee";
    assert_true(attacker->connect("10.9.0." + std::to_string(number)));
    stall.run(3000);
    assert_int_equal(attacker->closed(), twice);
    assert_int_equal(attacker->last<speed::HelloMessage>() != nullptr, !twice);
  }
  stall.expect_honest_buyer_is_served();
}

// Attack 34: a second handshake may change the id, and nothing else.
static void a_later_handshake_changes_only_the_id(void**) {
  Stall stall;
  auto attacker = stall.attacker(1);
  stall.market.fund(attacker->claimed_key, 100 * k_btt);
  attacker->connect("10.9.0.1");
  assert_true(stall.market.world.run_until(Duration::seconds(15), [&] { return attacker->bytes_paid > 0; }));
  attacker->send_extension_handshake("d1:md9:btt_speedi77eee");
  stall.run(200);
  attacker->say(speed::PayMessage{5, 1, Amount::micro(1), Signature()});  // of an unknown slot: answered by RESUME
  stall.run(500);
  assert_int_equal(attacker->last_id, 77);
  assert_true(attacker->last<speed::ResumeMessage>() != nullptr && !attacker->closed());
  attacker->say_hello();
  assert_true(stall.closes(*attacker));  // a second HELLO
  // Withdrawn and offered again, the same key may go on, and another one may not; nor is that a way to make the seller sign without end.
  for (bool other_key : {false, true}) {
    auto turncoat = stall.attacker(other_key ? 3 : 2);
    turncoat->bids = false;
    turncoat->connect("10.9.1.1");
    stall.run(500);
    turncoat->send_extension_handshake("d1:md9:btt_speedi0eee");
    stall.run(200);
    if (other_key) turncoat->claimed_key = ledger_world::numbered_key(4711).public_key();
    turncoat->says_hello_again = true;
    turncoat->send_extension_handshake("d1:md9:btt_speedi4eee");
    stall.run(2000);
    assert_int_equal(turncoat->closed(), other_key);
  }
  auto toggler = stall.attacker(4);
  toggler->bids = false;
  toggler->says_hello_again = true;
  toggler->connect("10.9.2.1");
  stall.run(500);
  stall.signatures = 0;
  for (int i = 0; i < 500 && !toggler->closed(); ++i) {
    toggler->send_extension_handshake(i % 2 == 0 ? "d1:md9:btt_speedi0eee" : "d1:md9:btt_speedi3eee");
    stall.run(20);
  }
  assert_true(toggler->closed());
  assert_in_range(stall.signatures, 1, 20);
  stall.expect_honest_buyer_is_served();
}

// Attack 34 on the checks themselves: while a true proof is being checked, the extension is taken back and offered again with a false one,
// for somebody else's key or for the same. The answer to the first check must not count for the second.
static void the_check_of_one_proof_does_not_vouch_for_another(void**) {
  for (bool other_key : {true, false}) {
    Stall stall;
    Machine& victim = stall.market.add(100);
    auto attacker = stall.attacker(1);
    stall.market.fund(attacker->claimed_key, 1000);
    bool done = false;
    attacker->accepts = false;
    attacker->on_message = [&](const speed::Message& message) {
      if (!std::holds_alternative<speed::HelloMessage>(message) || std::exchange(done, true)) return;
      // All of it arrives together with the true PROVE, FUNDS and BID.
      attacker->send_extension_handshake("d1:md9:btt_speedi0eee");
      attacker->send_extension_handshake("d1:md9:btt_speedi3eee");
      if (other_key) attacker->claimed_key = victim.identity.key;
      attacker->say_hello();
      attacker->say(speed::ProveMessage{Signature()});
      attacker->say(attacker->funds());
      attacker->say(BidMessage{1, 0, pico(50'000)});
    };
    attacker->connect("10.9.0.1");
    stall.run(15'000);
    for (const AuctionRound& round : stall.seed->node->auctions()) {
      for (const AuctionBid& bid : round.bids) assert_true(bid.rate != pico(50'000));
    }
    assert_true(attacker->closed());
    stall.expect_honest_buyer_is_served();
  }
}

int main() {
  CHECK(crypto_init().has_value());
  const CMUnitTest tests[] = {
      cmocka_unit_test(a_winner_that_opens_no_channel_is_ignored_and_the_price_falls),
      cmocka_unit_test(somebody_elses_key_gets_nothing_and_is_not_struck),
      cmocka_unit_test(bids_without_money_lift_no_price),
      cmocka_unit_test(at_a_reserve_of_zero_nobody_opens_a_channel),
      cmocka_unit_test(a_flood_of_bids_changes_one_bid),
      cmocka_unit_test(an_honest_buyer_bids_once_a_minute_at_most),
      cmocka_unit_test(values_that_overflow_end_the_connection),
      cmocka_unit_test(the_largest_values_wrap_nowhere),
      cmocka_unit_test(ids_that_are_none_are_no_extension),
      cmocka_unit_test(a_later_handshake_changes_only_the_id),
      cmocka_unit_test(the_check_of_one_proof_does_not_vouch_for_another),
  };
  return RUN_TESTS(tests);
}
