// node: attacks of payers on a whole node that sells, over the wire and with the real ledger. Numbers are those of tests/README.md.
#include "unit/node_sale.h"
#include "unit/speed_attacker.h"
#include "unit/test.h"

using namespace millet;
using namespace millet::testing;
using speed::AckStatus;
using speed::PayMessage;
using speed::ResumeMessage;
using speed::StopMessage;

namespace {

// Attacks 1, 4 and 5 have one outcome: the connection ends with a strike each time, then the address is banned; nothing counts.
void expect_bad_signatures(Sale& sale) {
  sale.start();
  assert_true(sale.run(30, [&] { return Market::count(*sale.seed, "why=bad_signature") > 0; }));
  assert_int_equal(sale.seed->status(sale.payload.hash).bytes_paid_up, k_piece);
  assert_true(sale.run(3600, [&] { return Market::count(*sale.seed, "banned=1") > 0; }));
  assert_true(sale.refuses_buyer());
  assert_int_equal(Market::count(*sale.seed, k_strike), 3);
  assert_true(sale.seed->status(sale.payload.hash).bytes_paid_up <= 3 * k_piece);
  sale.expect_nothing_paid();
}

// S + L: the same signature to a careless verifier.
Signature malleated(const Signature& signature) {
  static constexpr uint8_t k_order[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
                                          0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0x10};
  Signature out = signature;
  uint32_t carry = 0;
  for (size_t i = 0; i < 32; ++i) {
    carry += uint32_t{signature.raw[32 + i]} + k_order[i];
    out.raw[32 + i] = static_cast<uint8_t>(carry);
    carry >>= 8;
  }
  CHECK(carry == 0);
  return out;
}

}  // namespace

// Attack 1.
static void a_payment_of_another_channel_or_ledger_is_never_counted(void**) {
  for (bool other_ledger : {false, true}) {
    Sale sale;
    sale.pay_with([&](const PayMessage& pay) {
      PayStatement statement{sale.market.ledger.id(), sale.channel(), pay.seq, pay.cum};
      (other_ledger ? statement.ledger.raw : statement.channel.raw)[0] ^= 1;
      return sale.by_buyer(statement);
    });
    expect_bad_signatures(sale);
  }
}

// Attack 2.
static void an_older_payment_sent_again_changes_nothing(void**) {
  Sale sale(4'000'000, 400'000);
  sale.start();
  auto pays = [&] { return sale.tap.all<PayMessage>(*sale.buyer, *sale.seed); };
  assert_true(sale.run(30, [&] { return pays().size() >= 5; }));
  std::vector<PayMessage> old = pays();
  sale.tap.change = [&](Machine&, Machine&, speed::Message& message) { return !std::holds_alternative<PayMessage>(message); };
  sale.run(2);  // what was under way has been counted, nothing newer comes
  uint64_t before = sale.earned();
  sale.tap.heard.clear();
  sale.tap.say(*sale.buyer, *sale.seed, old[1]);
  assert_true(sale.run(2, [&] { return sale.tap.last<ResumeMessage>(*sale.seed, *sale.buyer).has_value(); }));
  assert_true(has_ack(sale.tap, *sale.seed, *sale.buyer, AckStatus::stale));
  assert_int_equal(sale.tap.last<ResumeMessage>(*sale.seed, *sale.buyer)->cum.in_micro(), before);
  assert_int_equal(sale.earned(), before);
  sale.tap.change = nullptr;
  assert_true(sale.market.completes(*sale.buyer, sale.payload));
  assert_true(sale.market.all_channels_end({sale.seed, sale.buyer}));
  assert_int_equal(sale.market.balance(*sale.seed) + sale.market.balance(*sale.buyer), sale.market.funded);
  assert_int_equal(Market::count(*sale.seed, k_strike), 0);
}

// Attack 3.
static void a_payment_above_the_capacity_is_refused_and_serving_stops(void**) {
  Sale sale;
  sale.tap.change = [&](Machine& from, Machine&, speed::Message& message) {
    auto* pay = std::get_if<PayMessage>(&message);
    if (pay == nullptr || &from == sale.seed) return true;
    ChannelStatus channel = sale.buyer->node->channels().at(0);
    pay->cum = *channel.capacity.plus(Amount::micro(1));
    pay->signature = sale.by_buyer(PayStatement{sale.market.ledger.id(), channel.id, pay->seq, pay->cum});
    return true;
  };
  sale.start();
  assert_true(sale.run(20, [&] { return has_ack(sale.tap, *sale.seed, *sale.buyer, AckStatus::over_capacity); }));
  sale.run(10);
  assert_int_equal(sale.seed->status(sale.payload.hash).bytes_paid_up, k_piece);
  sale.expect_nothing_paid();
}

// Attack 4: the payer signs the right channel and the right amount, in the words of another statement.
static void a_signature_of_another_purpose_is_no_payment(void**) {
  for (int kind = 0; kind < 4; ++kind) {
    Sale sale;
    sale.pay_with([&](const PayMessage& pay) {
      LedgerId ledger = sale.market.ledger.id();
      if (kind == 0) return sale.by_buyer(CloseStatement{ledger, sale.channel(), pay.seq, pay.cum});
      if (kind == 1) return sale.by_buyer(ClaimStatement{ledger, sale.channel(), pay.seq, pay.cum});
      if (kind == 2) return sale.by_buyer(FundStatement{ledger, sale.seed->identity.key, pay.cum, LedgerTime::from_seconds(pay.seq)});
      TransferStatement transfer;
      transfer.ledger = ledger;
      transfer.from = sale.buyer->identity.key;
      transfer.to = sale.seed->identity.key;
      transfer.amount = pay.cum;
      return sale.by_buyer(transfer);
    });
    expect_bad_signatures(sale);
  }
}

// Attack 5.
static void a_malleated_payment_is_a_bad_signature(void**) {
  Sale sale;
  sale.pay_with([](const PayMessage& pay) { return malleated(pay.signature); });
  expect_bad_signatures(sale);
}

// Attack 5: keys of small order have signatures that hold for every message: R the neutral point, S zero.
static void a_key_of_small_order_proves_nothing(void**) {
  const char* keys[] = {"0100000000000000000000000000000000000000000000000000000000000000",
                        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                        "0000000000000000000000000000000000000000000000000000000000000000",
                        "0000000000000000000000000000000000000000000000000000000000000080",
                        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
                        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"};
  Market market;
  Payload payload = make_payload(1, k_piece, {1'000'000});
  Machine& seed = market.seed_of(payload, 0);
  uint32_t number = 0;
  for (const char* hex : keys) {
    Attacker attacker(market, seed, payload, ++number);
    attacker.claimed_key = *PublicKey::from_hex(hex);
    attacker.false_proof = Signature();
    attacker.false_proof->raw[0] = 1;
    attacker.shows_funds = false;
    assert_true(attacker.connect("10.9.0." + std::to_string(number)));
    assert_true(market.world.run_until(Duration::seconds(20), [&] { return attacker.closed(); }));
    assert_int_equal(attacker.bytes_paid, 0);
    assert_true(attacker.rate == std::nullopt);
  }
  for (const PeerStatus& peer : seed.node->peers(market.world.now, std::nullopt)) assert_false(peer.speed);
  Machine& buyer = market.buyer(payload, seed, 100, 50);
  assert_true(market.completes(buyer, payload) && buyer.status(payload.hash).bytes_paid_down > 0);
}

// Attack 6: a thousand identities with money to show, each from a network of its own; each takes a piece, does not pay, leaves.
static void a_thousand_identities_get_what_the_bucket_holds(void**) {
  constexpr uint32_t k_identities = 1000, k_at_once = 30, k_large = 1024 * 1024;
  constexpr uint64_t k_upload_rate = 2'000'000, k_bucket = 32u << 20;
  for (bool one_network : {false, true}) {
    Market market;
    Payload payload = make_payload(1, k_large, {8u << 20});
    Machine& seed = market.add();
    seed.config.upload_rate = k_upload_rate;
    seed.config.peers_max = 100;
    seed.put(payload);
    seed.start();
    seed.add(payload, {}, true);
    market.world.run(Duration::seconds(3));
    Instant start = market.world.now;
    std::vector<std::unique_ptr<Attacker>> crowd;
    std::set<size_t> done;
    uint32_t next = 0, takers = 0;
    uint64_t taken = 0;
    auto begin_one = [&] {
      crowd.push_back(std::make_unique<Attacker>(market, seed, payload, next));
      Attacker& one = *crowd.back();
      one.piece_size = k_large;
      one.wants = next % payload.pieces;
      market.fund(one.claimed_key, 1'000'000);
      one.on_piece = [&done, &takers, place = crowd.size() - 1] {
        ++takers;
        done.insert(place);
      };
      one.on_message = [&done, place = crowd.size() - 1](const speed::Message& message) {
        if (std::holds_alternative<StopMessage>(message)) done.insert(place);
      };
      std::string from = one_network ? "10.99.99." + std::to_string(next % 250 + 1)
                                     : "11." + std::to_string(next / 250) + "." + std::to_string(next % 250) + ".7";
      if (!one.connect(from)) done.insert(crowd.size() - 1);
      ++next;
    };
    while (next < k_identities || crowd.size() > done.size()) {
      while (next < k_identities && crowd.size() - done.size() < k_at_once) begin_one();
      market.world.run(Duration::ms(500));
      for (size_t place : done) {
        if (crowd[place] == nullptr) continue;
        taken += crowd[place]->bytes_paid;
        crowd[place].reset();
      }
      if (market.world.now - start > Duration::hours(3)) break;
    }
    uint64_t seconds = static_cast<uint64_t>((market.world.now - start).in_seconds());
    for (auto& one : crowd) taken += one ? one->bytes_paid : 0;
    print_message("%u identities, %d s: %u took a piece, %d KiB in all\n", next, static_cast<int>(seconds), takers,
                  static_cast<int>(taken / 1024));
    assert_int_equal(next, k_identities);
    // What the bucket holds, and what comes back to it: a hundredth of the upload rate.
    uint64_t refilled = k_upload_rate / 100 * seconds;
    uint64_t bound = (one_network ? k_bucket / 8 : k_bucket) + refilled + k_large;
    assert_in_range(taken, (one_network ? k_bucket / 8 : k_bucket) / 2, bound);
    assert_true(seed.node->stats(market.world.now).earned.is_zero());
    // Somebody honest is served beside them: its channel stands for what the bucket lacks.
    Machine& buyer = market.buyer(payload, seed, 100, 50);
    assert_true(market.completes(buyer, payload) && buyer.status(payload.hash).bytes_paid_down > 0);
  }
}

// Attack 6 with money: where the bucket is empty, a channel of 16 pieces stands for one. Whoever takes that piece, asks for its money back
// and comes again under another name with the same money would get the whole torrent for nothing.
static void one_sum_of_money_stands_for_one_piece(void**) {
  constexpr uint32_t k_large = 1024 * 1024, k_names = 20;
  Market market;
  Payload payload = make_payload(1, k_large, {8u << 20});
  Machine& seed = market.add();
  seed.config.upload_rate = 5'000'000;
  seed.put(payload);
  seed.start();
  seed.add(payload, {}, true);
  market.world.run(Duration::seconds(3));
  uint64_t capital = price_of(Rate::pico_per_byte(1000), uint64_t{16} * k_large).in_micro();
  SigningKey purse = market.ledger.funded(77, capital);
  uint32_t pieces = 0, covered = 0;
  auto move_money = [&](const SigningKey& from, const PublicKey& to) {
    market.ledger.now_s = market.ledger_time().in_seconds();
    return market.ledger.code(market.ledger.transfer(from, to, capital)) == LedgerCode::done;
  };
  std::vector<std::unique_ptr<Attacker>> names;
  Instant start = market.world.now;
  bool has_money = true;
  for (uint32_t i = 0; i < k_names && has_money; ++i) {
    names.push_back(std::make_unique<Attacker>(market, seed, payload, i));
    Attacker& one = *names.back();
    one.piece_size = k_large;
    one.shows_funds = false;
    if (!move_money(purse, one.claimed_key)) break;
    std::optional<ChannelTerms> terms;
    one.on_message = [&](const speed::Message& message) {
      const auto* rate = std::get_if<speed::RateMessage>(&message);
      if (rate != nullptr && !rate->rate.is_zero() && rate->window == 0 && !terms) terms = one.open_channel(capital);
    };
    bool got = false;
    one.on_piece = [&] { got = true; };
    assert_true(one.connect("10.77.0." + std::to_string(i % 200 + 1)));
    market.world.run_until(Duration::seconds(60), [&] { return got || one.closed() || one.last<StopMessage>() != nullptr; });
    pieces += got;
    if (!terms) {
      one.leave();
      assert_true(move_money(one.key(), purse.public_key()));
      continue;
    }
    covered += got;
    one.say(speed::CloseMessage{channel_id(*terms), 0, 0, Amount()});
    market.world.run(Duration::seconds(2));
    one.leave();
    // As soon as the money is back, the next name has it.
    has_money = market.world.run_until(Duration::seconds(120), [&] { return move_money(one.key(), purse.public_key()); });
  }
  print_message("%u pieces, %u of them on the strength of a channel\n", pieces, covered);
  assert_int_equal(covered, 1);
  assert_in_range(pieces, 2, 5);
  assert_true(market.world.now - start < Duration::minutes(10));
  market.world.run(Duration::minutes(12));
  assert_int_equal(Market::count(seed, "why=left_unpaid"), 1);
  assert_true(seed.node->channels().empty());  // and then the money goes back
}

int main() {
  CHECK(crypto_init().has_value());
  const CMUnitTest tests[] = {
      cmocka_unit_test(a_payment_of_another_channel_or_ledger_is_never_counted),
      cmocka_unit_test(an_older_payment_sent_again_changes_nothing),
      cmocka_unit_test(a_payment_above_the_capacity_is_refused_and_serving_stops),
      cmocka_unit_test(a_signature_of_another_purpose_is_no_payment),
      cmocka_unit_test(a_malleated_payment_is_a_bad_signature),
      cmocka_unit_test(a_key_of_small_order_proves_nothing),
      cmocka_unit_test(a_thousand_identities_get_what_the_bucket_holds),
      cmocka_unit_test(one_sum_of_money_stands_for_one_piece),
  };
  return RUN_TESTS(tests);
}
