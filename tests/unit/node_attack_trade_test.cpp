// node: attacks of sellers, of somebody on the wire, and with channels at the ledger. Whole nodes with the real ledger. Numbers are those
// of tests/README.md.
#include "unit/node_sale.h"
#include "unit/speed_attacker.h"

using namespace millet;
using namespace millet::testing;
using speed::AckStatus;
using speed::BidMessage;
using speed::ChannelMessage;
using speed::PayMessage;
using speed::RateMessage;

namespace {

Rate pico(uint64_t value) { return Rate::pico_per_byte(value); }

// What the buyer has signed, over all its channels.
uint64_t signed_in_all(const SpeedTap& tap, const Machine& buyer, const Machine& seed) {
  std::map<uint8_t, uint64_t> highest;
  for (const PayMessage& pay : tap.all<PayMessage>(buyer, seed)) highest[pay.slot] = std::max(highest[pay.slot], pay.cum.in_micro());
  uint64_t sum = 0;
  for (const auto& [slot, cum] : highest) sum += cum;
  return sum;
}

// Changes the prices that the seller names, while `on`.
void change_rates(Sale& sale, const bool& on, const std::function<void(RateMessage&)>& lie) {
  sale.tap.change = [&sale, &on, lie](Machine& from, Machine&, speed::Message& message) {
    auto* rate = std::get_if<RateMessage>(&message);
    if (on && rate != nullptr && &from == sale.seed && !rate->rate.is_zero()) lie(*rate);
    return true;
  };
}

}  // namespace

// Attack 8.
static void a_channel_notice_that_lies_buys_nothing(void**) {
  enum Lie { larger, longer, of_another_payee, never_opened };
  for (Lie lie : {larger, longer, of_another_payee, never_opened}) {
    Sale sale;
    std::optional<ChannelTerms> of_accomplice;
    sale.tap.change = [&](Machine& from, Machine&, speed::Message& message) {
      auto* channel = std::get_if<ChannelMessage>(&message);
      if (channel == nullptr || &from == sale.seed) return true;
      if (lie == larger) channel->capacity = Amount::micro(channel->capacity.in_micro() * 2);
      if (lie == longer) channel->expiry = channel->expiry.plus_seconds(24 * 3600);
      if (lie == never_opened) channel->nonce[3] ^= 1;
      if (lie == of_another_payee) {
        // It is at the ledger, and has the money, but for an accomplice.
        if (!of_accomplice) {
          sale.market.ledger.now_s = sale.market.ledger_time().in_seconds();
          OpenOperation open = sale.market.ledger.open(sale.buyer->key, ledger_world::numbered_key(99).public_key(), 1000, 3600);
          CHECK(sale.market.ledger.code(open) == LedgerCode::done);
          of_accomplice = open.statement;
        }
        *channel = Attacker::notice(*of_accomplice, channel->slot);
      }
      return true;
    };
    sale.start();
    assert_true(sale.run(30, [&] { return has_ack(sale.tap, *sale.seed, *sale.buyer, AckStatus::bad_channel); }));
    assert_true(Market::count(*sale.seed, k_strike) > 0);
    sale.run(20);
    assert_true(sale.seed->status(sale.payload.hash).bytes_paid_up <= k_piece);
    sale.expect_nothing_paid();
  }
}

// Attack 8: a channel that has ended is announced again.
static void a_channel_that_has_ended_counts_for_nothing(void**) {
  Sale sale(2'000'000, 400'000);
  sale.start();
  assert_true(sale.run(20, [&] { return sale.tap.last<ChannelMessage>(*sale.buyer, *sale.seed).has_value(); }));
  ChannelMessage ended = *sale.tap.last<ChannelMessage>(*sale.buyer, *sale.seed);
  assert_true(sale.market.completes(*sale.buyer, sale.payload));
  assert_true(sale.market.all_channels_end({sale.seed, sale.buyer}));
  uint64_t got = sale.market.balance(*sale.seed);
  PayMessage last = *sale.tap.last<PayMessage>(*sale.buyer, *sale.seed);
  // The same buyer again, for another torrent.
  Payload second = make_payload(2, k_piece, {2'000'000});
  sale.seed->put(second);
  sale.seed->add(second, {}, true);
  sale.run(3);
  sale.tap.change = [&](Machine& from, Machine&, speed::Message& message) {
    if (&from == sale.seed) return true;
    if (auto* channel = std::get_if<ChannelMessage>(&message)) *channel = ended;
    if (auto* pay = std::get_if<PayMessage>(&message)) *pay = last;
    return true;
  };
  sale.tap.heard.clear();
  sale.buyer->add(second, {sale.seed->endpoint});
  assert_true(sale.run(60, [&] { return has_ack(sale.tap, *sale.seed, *sale.buyer, AckStatus::closed); }));
  sale.run(30);
  assert_true(sale.seed->status(second.hash).bytes_paid_up <= k_piece);
  assert_true(sale.seed->status(second.hash).earned.is_zero());
  sale.run(7200);
  assert_int_equal(sale.market.balance(*sale.seed), got);
}

// Attack 9: one wallet on two machines, each of which promises the whole of it to another seller.
static void one_balance_on_two_machines_pays_once(void**) {
  Market market;
  Payload payload = make_payload(1, k_piece, {6'000'000});
  Machine* seeds[] = {&market.seed_of(payload, 100'000), &market.seed_of(payload, 100'000)};
  Machine* buyers[2] = {};
  uint64_t money = price_of(pico(50'000), 6 * k_piece).in_micro();  // for six pieces at the bid: a first channel takes four
  for (Machine*& buyer : buyers) {
    buyer = &market.add();
    buyer->key = machine_key(100);
    buyer->identity.key = buyer->key.public_key();
    buyer->config.budget = Amount::micro(50 * k_btt);
    buyer->config.max_rate = pico(50'000);
  }
  market.fund(buyers[0]->identity.key, money);
  for (Machine* buyer : buyers) buyer->start();
  market.world.run(Duration::seconds(2));
  for (int i = 0; i < 2; ++i) buyers[i]->add(payload, {seeds[i]->endpoint});
  market.world.run(Duration::minutes(3));
  assert_true(Market::count(*buyers[0], "event=speed_open_failed") + Market::count(*buyers[1], "event=speed_open_failed") +
                  Market::count(*buyers[0], "event=speed_no_funds") + Market::count(*buyers[1], "event=speed_no_funds") >
              0);
  for (Machine* buyer : buyers) buyer->command(&Node::remove_torrent, payload.hash, false);
  assert_true(market.all_channels_end({seeds[0], seeds[1], buyers[0], buyers[1]}, Duration::hours(30)));
  uint64_t got = 0;
  for (Machine* seed : seeds) {
    uint64_t balance = market.balance(*seed);
    got += balance;
    // Nobody has given more than one piece that was not paid, whatever was promised.
    TorrentStatus sold = seed->status(payload.hash);
    assert_int_equal(balance, sold.earned.in_micro());
    assert_in_range(sold.bytes_paid_up * 1000 / 1'000'000, balance > 0 ? balance - 1 : 0,
                    balance + price_of(pico(1000), k_piece).in_micro() + 1);
  }
  assert_true(got > 0 && got <= money);
  assert_int_equal(got + market.balance(*buyers[0]), money);
}

// Attack 10: the payee is gone when the channel expires. What it has not claimed goes back to the payer; what it has claimed is its own.
static void at_the_expiry_what_was_not_claimed_goes_back(void**) {
  for (bool claims : {false, true}) {
    Sale sale(2'000'000, 100'000);
    if (claims) {
      sale.seed->config.claim_threshold = Amount::micro(300);
      sale.seed->reconfigure();
    }
    sale.start();
    sale.market.tick_ledger();
    assert_true(sale.run(60, [&] { return sale.earned() > 1500; }));
    assert_int_equal(Market::count(*sale.seed, "event=speed_claimed") > 0, claims);
    uint64_t earned = sale.earned();
    sale.seed->crash();  // for good
    sale.run(3 * 3600);
    uint64_t kept = sale.market.balance(*sale.seed);
    if (claims)
      assert_in_range(kept, 300, earned);
    else
      assert_int_equal(kept, 0);
    assert_int_equal(sale.market.balance(*sale.buyer) + kept, sale.market.funded);
    assert_true(sale.buyer->node->channels().empty());
  }
}

// speed.claim_threshold, and the claim at half of a channel's life, on whole nodes: the money is at the ledger while the channel is open.
static void earnings_are_claimed_while_the_channel_is_open(void**) {
  for (bool threshold : {true, false}) {
    Sale sale(9'000'000, 4000);  // about 40 minutes
    if (threshold) {
      sale.seed->config.claim_threshold = Amount::micro(500);
      sale.seed->reconfigure();
    }
    sale.start();
    sale.run(15 * 60);
    uint64_t early = sale.market.balance(*sale.seed);
    if (threshold) assert_in_range(early, 500, sale.earned());
    if (!threshold) assert_int_equal(early, 0);
    sale.run(17 * 60);  // half

    std::vector<ChannelStatus> channels = sale.seed->node->channels();
    assert_int_equal(channels.size(), 1);
    assert_string_equal(channels[0].state.c_str(), "active");
    uint64_t half = sale.market.balance(*sale.seed);
    assert_in_range(half, early + 500, sale.earned());
    assert_int_equal(channels[0].claimed.in_micro(), half);
    assert_true(sale.market.completes(*sale.buyer, sale.payload, Duration::minutes(60)));
    assert_true(sale.market.all_channels_end({sale.seed, sale.buyer}));
    assert_int_equal(sale.market.balance(*sale.seed), sale.seed->status(sale.payload.hash).earned.in_micro());
    assert_int_equal(sale.market.balance(*sale.seed) + sale.market.balance(*sale.buyer), sale.market.funded);
  }
}

// Attack 11: the payee's CLOSE reaches the ledger around the second of the expiry; then the ledger's clock is set back.
static void a_close_around_the_expiry_ends_the_channel_once(void**) {
  bool seen[2] = {};
  for (int64_t offset : {-2, -1, 0, 1, 2}) {
    Sale sale(2'000'000, 100'000);
    Market& market = sale.market;
    // The seller reaches the ledger under a path of its own, so that its way there can be cut.
    bool cut = false;
    sale.seed->config.ledger_url = market.world.ledger_url + "/s";
    market.world.ledger = [&](const HttpExchange& exchange) -> Result<HttpReply> {
      HttpExchange plain;
      plain.url = exchange.url;
      plain.body = exchange.body;
      size_t at = plain.url.find("/s/");
      if (at != std::string::npos && cut) return error(Errc::unavailable, "connection refused");
      if (at != std::string::npos) plain.url.erase(at, 2);
      return market.answer(plain);
    };
    sale.seed->crash();
    sale.seed->start();
    sale.run(3);
    sale.start();
    assert_true(sale.run(60, [&] { return sale.earned() > 1000; }));
    int64_t expiry = sale.seed->node->channels().at(0).expiry;
    sale.buyer->crash();
    cut = true;
    sale.run(30);  // what the seller has counted is durable
    uint64_t earned = sale.earned();
    sale.seed->crash();
    market.tick_ledger();
    sale.run(expiry + offset - market.world.wall().in_seconds());
    // It comes back with the ledger in reach, and closes at once: just in time, or just too late.
    cut = false;
    sale.seed->start();
    sale.run(120);
    market.ledger_clock_error_s = -600;
    sale.run(120);
    market.ledger_clock_error_s = 0;
    sale.run(3600);
    // All of it is the seller's, or all of it went back.
    uint64_t got = market.balance(*sale.seed);
    assert_true(got == 0 || got == earned);
    assert_true(offset < 1 || got == 0);
    assert_int_equal(got + market.balance(*sale.buyer), market.funded);
    assert_true(sale.seed->node->channels().empty());
    seen[got == 0 ? 0 : 1] = true;
  }
  assert_true(seen[0] && seen[1]);
}

// Attack 12: every request reaches the ledger twice, at once and later again, and every second answer is lost.
static void requests_that_arrive_twice_are_executed_once(void**) {
  Sale sale(3'000'000, 300'000);
  Market& market = sale.market;
  uint32_t lost = 0;
  market.world.ledger = [&](const HttpExchange& exchange) -> Result<HttpReply> {
    (void)market.answer(exchange);
    Result<HttpReply> reply = market.answer(exchange);
    HttpExchange again;
    again.url = exchange.url;
    again.body = exchange.body;
    auto later = std::make_shared<HttpExchange>(std::move(again));
    market.world.at(market.world.now + Duration::seconds(30), [&market, later] { (void)market.answer(*later); });
    if (++lost % 2 == 0) return reply;
    return error(Errc::unavailable, "the answer is lost");
  };
  sale.start();
  assert_true(sale.market.completes(*sale.buyer, sale.payload));
  assert_true(market.all_channels_end({sale.seed, sale.buyer}));
  sale.run(60);
  assert_true(lost >= 8);
  TorrentStatus bought = sale.buyer->status(sale.payload.hash);
  assert_true(bought.bytes_paid_down > 0);
  assert_int_equal(market.balance(*sale.seed), sale.earned());
  assert_in_range(sale.earned(), bought.spent.in_micro(), bought.spent.in_micro() + 2);
  assert_int_equal(market.balance(*sale.seed) + market.balance(*sale.buyer), market.funded);
}

// Attack 17, and 18: it makes no difference who wrote the price.
static void a_price_above_the_bid_is_never_paid(void**) {
  for (int lie = 0; lie < 4; ++lie) {
    Sale sale(3'000'000, 300'000);
    bool on = lie != 1;
    change_rates(sale, on, [&](RateMessage& rate) {
      if (lie <= 1) rate.rate = pico(sale.tap.last<BidMessage>(*sale.buyer, *sale.seed)->rate.in_pico_per_byte() + 1);
      if (lie == 2) rate.sent += 16'384;
      if (lie == 3) rate.epoch += 1;
    });
    sale.start();
    if (lie == 1) {
      // Honest until some pieces are paid, then raised.
      assert_true(sale.run(30, [&] { return sale.earned() > 300; }));
      on = true;
      RateMessage rate = *sale.tap.last<RateMessage>(*sale.seed, *sale.buyer);
      ++rate.epoch;
      rate.rate = pico(sale.tap.last<BidMessage>(*sale.buyer, *sale.seed)->rate.in_pico_per_byte() + 1);
      sale.tap.say(*sale.seed, *sale.buyer, rate);
    }
    size_t closed = Market::count(*sale.buyer, "event=peer_closed");
    assert_true(sale.run(30, [&] { return Market::count(*sale.buyer, "event=peer_closed") > closed; }));
    sale.run(60);
    // Only what was received at honest prices.
    assert_true(signed_in_all(sale.tap, *sale.buyer, *sale.seed) <=
                price_of(pico(1000), sale.buyer->status(sale.payload.hash).bytes_paid_down).in_micro() + 1);
    assert_int_equal(Market::count(*sale.buyer, "event=speed_ban"), 0);
    on = false;
    assert_true(sale.market.completes(*sale.buyer, sale.payload, Duration::minutes(30)));
    assert_true(sale.market.all_channels_end({sale.seed, sale.buyer}, Duration::hours(30)));
    assert_int_equal(sale.market.balance(*sale.seed) + sale.market.balance(*sale.buyer), sale.market.funded);
  }
}

// Attack 18: somebody on the wire raises the buyer's bids, and the seller's prices up to them.
static void somebody_on_the_wire_costs_at_most_the_bid(void**) {
  Sale sale(3'000'000, 300'000);
  Rate bid, highest;
  size_t raised = 0;
  bool on = true;
  sale.tap.change = [&](Machine& from, Machine&, speed::Message& message) {
    if (!on) return true;
    if (auto* said = std::get_if<BidMessage>(&message); said != nullptr && !said->rate.is_zero()) {
      bid = said->rate;
      highest = std::max(highest, bid);
      said->rate = pico(said->rate.in_pico_per_byte() * 3);
    }
    if (auto* rate = std::get_if<RateMessage>(&message); rate != nullptr && &from == sale.seed && !rate->rate.is_zero()) {
      raised += rate->rate < bid ? 1 : 0;
      rate->rate = bid;
    }
    return true;
  };
  sale.start();
  sale.run(20);
  on = false;
  // Prices were raised, and it is the buyer's own bid at most that was paid.
  assert_true(raised > 0);
  auto expect_its_bid_at_most = [&] {
    TorrentStatus bought = sale.buyer->status(sale.payload.hash);
    assert_true(bought.bytes_paid_down > 0);
    assert_true(bought.spent.in_micro() <= price_of(highest, bought.bytes_paid_down).in_micro() + 1);
  };
  expect_its_bid_at_most();
  assert_true(sale.market.completes(*sale.buyer, sale.payload, Duration::minutes(30)));
  expect_its_bid_at_most();
  for (Machine* machine : {sale.seed, sale.buyer}) {
    assert_int_equal(Market::count(*machine, "event=speed_ban"), 0);
    assert_int_equal(Market::count(*machine, "banned=1"), 0);
  }
  assert_true(sale.market.all_channels_end({sale.seed, sale.buyer}, Duration::hours(30)));
  assert_int_equal(sale.market.balance(*sale.seed) + sale.market.balance(*sale.buyer), sale.market.funded);
  assert_true(sale.market.balance(*sale.buyer) >= 50 * k_btt);
}

// Attack 18: on the wire somebody puts its own key in the place of the seller's. It would be paid, if it could prove it.
static void a_key_that_is_put_in_on_the_wire_is_not_paid(void**) {
  Sale sale(2'000'000, 300'000);
  SigningKey own = ledger_world::numbered_key(4242);
  bool on = true;
  sale.tap.change = [&](Machine& from, Machine&, speed::Message& message) {
    if (auto* hello = std::get_if<speed::HelloMessage>(&message); on && hello != nullptr && &from == sale.seed)
      hello->key = own.public_key();
    return true;
  };
  sale.start();
  sale.run(60);
  assert_true(sale.tap.all<PayMessage>(*sale.buyer, *sale.seed).empty());
  assert_true(sale.tap.all<ChannelMessage>(*sale.buyer, *sale.seed).empty());
  on = false;
  assert_true(sale.market.completes(*sale.buyer, sale.payload, Duration::hours(3)));  // false proofs from there had the address banned
  assert_true(sale.market.all_channels_end({sale.seed, sale.buyer}, Duration::hours(30)));
  assert_int_equal(sale.market.balance(*sale.seed) + sale.market.balance(*sale.buyer), sale.market.funded);
}

// Attack 22: the seller names the whole bid as its price, always, and keeps the buyer waiting until little is left.
static void whoever_always_takes_the_whole_bid_gets_the_budget_at_most(void**) {
  constexpr uint64_t k_budget = 100'000, k_max_pico = 500'000;
  Sale sale(3'000'000, 20'000);
  bool on = true;
  change_rates(sale, on, [&](RateMessage& rate) { rate.rate = sale.tap.last<BidMessage>(*sale.buyer, *sale.seed)->rate; });
  sale.buyer = &sale.market.add(100);
  sale.buyer->config.budget = Amount::micro(k_budget);
  sale.buyer->config.max_rate = pico(k_max_pico);
  sale.buyer->start();
  sale.run(1);
  sale.buyer->add(sale.payload, {sale.seed->endpoint});
  assert_true(sale.market.completes(*sale.buyer, sale.payload, Duration::minutes(30)));
  for (const BidMessage& bid : sale.tap.all<BidMessage>(*sale.buyer, *sale.seed)) assert_true(bid.rate <= pico(k_max_pico));
  assert_true(sale.market.all_channels_end({sale.seed, sale.buyer}, Duration::hours(30)));
  uint64_t got = sale.market.balance(*sale.seed);
  assert_in_range(got, k_budget / 3, k_budget);
  assert_int_equal(got + sale.market.balance(*sale.buyer), sale.market.funded);
}

int main() {
  CHECK(crypto_init().has_value());
  const CMUnitTest tests[] = {
      cmocka_unit_test(a_channel_notice_that_lies_buys_nothing),
      cmocka_unit_test(a_channel_that_has_ended_counts_for_nothing),
      cmocka_unit_test(one_balance_on_two_machines_pays_once),
      cmocka_unit_test(at_the_expiry_what_was_not_claimed_goes_back),
      cmocka_unit_test(earnings_are_claimed_while_the_channel_is_open),
      cmocka_unit_test(a_close_around_the_expiry_ends_the_channel_once),
      cmocka_unit_test(requests_that_arrive_twice_are_executed_once),
      cmocka_unit_test(a_price_above_the_bid_is_never_paid),
      cmocka_unit_test(somebody_on_the_wire_costs_at_most_the_bid),
      cmocka_unit_test(a_key_that_is_put_in_on_the_wire_is_not_paid),
      cmocka_unit_test(whoever_always_takes_the_whole_bid_gets_the_budget_at_most),
  };
  return RUN_TESTS(tests);
}
