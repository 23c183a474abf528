// node: a payer and a payee that die at each point between persisting, signing and sending (attacks 13 and 14 of tests/README.md), as whole
// nodes with the real ledger.
#include "speed/records.h"
#include "unit/node_sale.h"

using namespace millet;
using namespace millet::testing;

namespace {

enum class Point : uint8_t {
  // of the payer
  open_asked_to_sign,  // the terms are durable, the signature is not made
  open_executed,       // the ledger has opened the channel, the answer is lost
  lease_on_its_way,    // to the disk
  pay_asked_to_sign,   // the lease is durable
  pay_signed,          // and not sent
  pay_sent,            // and not acknowledged
  // of the payee
  pay_arrived,      // and not verified
  counted,          // acknowledged, not durable
  voucher_to_disk,  // the commit is on its way
  durable,          // and acknowledged as such
  close_asked_to_sign,
  close_executed,  // the answer is lost
};
constexpr bool is_payers(Point point) { return point <= Point::pay_sent; }

template <typename Statement>
bool signs(const Action& action) {
  const auto* sign = std::get_if<SignBytes>(&action);
  return sign != nullptr && as_text(Bytes(sign->message).first(8)) == Statement::k_tag;
}

bool commits(const Action& action, std::string_view table) {
  const auto* commit = std::get_if<Commit>(&action);
  return commit != nullptr &&
         std::any_of(commit->changes.begin(), commit->changes.end(), [&](const auto& change) { return change.table == table; });
}

// A sale in which one side dies when it has come to a point for the n-th time, and comes back half a second later.
struct Murder {
  Sale sale{3'000'000, 300'000};
  Point point;
  int left;
  bool killed = false;
  bool answers_are_lost = false;
  uint64_t bytes_sent = 0;  // in blocks, by the seller
  uint64_t durable = 0;     // acknowledged as such
  std::map<ChannelId, std::map<uint64_t, uint64_t>> signed_payments;

  Machine& victim() { return is_payers(point) ? *sale.buyer : *sale.seed; }
  void reached() {
    if (killed || --left > 0) return;
    killed = true;
    sale.market.world.at(sale.market.world.now, [this] { victim().crash(); });
    sale.market.world.at(sale.market.world.now + Duration::ms(500), [this] {
      answers_are_lost = false;
      victim().start();
    });
  }
  // A payment is signed within what the disk holds, and a sequence stands for one amount.
  void check_payment(const SignBytes& sign) {
    ByteReader in(Bytes(sign.message).subspan(8 + LedgerId::k_size));
    ChannelId channel{in.array<ChannelId::k_size>()};
    uint64_t seq = in.u64(), cum = in.u64();
    auto state = sale.buyer->store.begin_read();
    std::optional<Bytes> stored = *(*state)->get(speed::k_table_payer_channels, channel.bytes());
    CHECK(stored.has_value());
    auto record = *speed::decode_record<speed::PayerChannelRecord>(*stored);
    CHECK(cum <= record.ceiling.in_micro() && seq <= record.seq_ceiling && record.ceiling <= record.terms.capacity);
    auto [at, fresh] = signed_payments[channel].emplace(seq, cum);
    CHECK(fresh || at->second == cum);
  }
  void on_buyers(const Action& action) {
    if (signs<PayStatement>(action)) check_payment(std::get<SignBytes>(action));
    if (point == Point::open_asked_to_sign && signs<ChannelTerms>(action)) reached();
    if (point == Point::open_executed && signs<ChannelTerms>(action)) answers_are_lost = !killed;
    if (point == Point::lease_on_its_way && commits(action, speed::k_table_payer_channels)) reached();
    if (point == Point::pay_asked_to_sign && signs<PayStatement>(action)) reached();
  }
  void on_sellers(const Action& action) {
    const auto* check = std::get_if<VerifyBytes>(&action);
    bool of_pay = check != nullptr && as_text(Bytes(check->message).first(8)) == PayStatement::k_tag;
    if (point == Point::pay_arrived && of_pay) reached();
    if (point == Point::voucher_to_disk && commits(action, speed::k_table_payee_channels)) reached();
    if (point == Point::close_asked_to_sign && signs<CloseStatement>(action)) reached();
    if (point == Point::close_executed && signs<CloseStatement>(action)) answers_are_lost = !killed;
  }
  bool on_wire(Machine& from, const speed::Message& message) {
    bool pay = std::holds_alternative<speed::PayMessage>(message);
    if (pay && point == Point::pay_signed && !killed) {
      reached();
      return !killed;
    }
    if (pay && point == Point::pay_sent) reached();
    const auto* ack = std::get_if<speed::AckMessage>(&message);
    if (ack == nullptr || &from != sale.seed) return true;
    durable = std::max(durable, ack->durable.in_micro());
    if (point == Point::counted && ack->counted > ack->durable) reached();
    if (point == Point::durable && !ack->durable.is_zero()) reached();
    return true;
  }
  void run(Point where, int nth) {
    point = where;
    left = nth;
    Market& market = sale.market;
    market.world.ledger = [this, &market](const HttpExchange& exchange) {
      Result<HttpReply> reply = market.answer(exchange);
      if (!answers_are_lost) return reply;
      reached();
      return Result<HttpReply>(error(Errc::unavailable, "the answer is lost"));
    };
    sale.tap.change = [this](Machine& from, Machine&, speed::Message& message) { return on_wire(from, message); };
    sale.tap.on_frame = [this](Machine& from, Machine&, uint8_t id, Bytes body) {
      if (&from == sale.seed && id == wire::PieceSlice::k_id) bytes_sent += body.size() - 8;
    };
    sale.seed->on_act = [this](const Action& action) { on_sellers(action); };
    sale.buyer = &market.add(100);
    sale.buyer->on_act = [this](const Action& action) { on_buyers(action); };
    sale.buyer->config.budget = Amount::micro(50 * k_btt);
    sale.buyer->config.max_rate = Rate::pico_per_byte(1'000'000'000);
    sale.buyer->start();
    sale.run(1);
    sale.buyer->add(sale.payload, {sale.seed->endpoint});
  }
};

void expect_survived(Point point, int nth) {
  Murder murder;
  murder.run(point, nth);
  Sale& sale = murder.sale;
  Market& market = sale.market;
  assert_true(market.completes(*sale.buyer, sale.payload, Duration::minutes(30)));
  assert_true(market.world.run_until(Duration::hours(30), [&] {
    return sale.seed->is_up() && sale.buyer->is_up() && sale.seed->node->channels().empty() && sale.buyer->node->channels().empty();
  }));
  assert_true(murder.killed);
  uint64_t got = market.balance(*sale.seed);
  assert_int_equal(got + market.balance(*sale.buyer), market.funded);
  // What was promised to be durable has been paid out, and nothing is paid twice. A crash costs the seller two pieces, or, in the middle of
  // its one commit when the buyer has everything and won't come back, what was at risk: at most 128 pieces.
  assert_true(got >= murder.durable);
  assert_true(got <= price_of(Rate::pico_per_byte(1000), murder.bytes_sent).in_micro() + 2);
  uint64_t bought = price_of(Rate::pico_per_byte(1000), sale.buyer->status(sale.payload.hash).bytes_paid_down).in_micro();
  uint64_t pieces_lost = point == Point::voucher_to_disk ? 128 : 2;
  assert_true(bought > 0 && got + price_of(Rate::pico_per_byte(1000), pieces_lost * k_piece).in_micro() >= bought);
  for (Machine* machine : {sale.seed, sale.buyer}) {
    assert_int_equal(Market::count(*machine, "banned=1"), 0);
    assert_int_equal(Market::count(*machine, "event=speed_ban"), 0);
  }
}

}  // namespace

static void a_payer_killed_at_each_point_signs_within_its_lease_and_goes_on(void**) {
  for (Point point : {Point::open_asked_to_sign, Point::open_executed}) expect_survived(point, 1);
  for (Point point : {Point::lease_on_its_way, Point::pay_asked_to_sign, Point::pay_signed, Point::pay_sent}) {
    for (int nth : {1, 2, 9}) {
      if (point == Point::lease_on_its_way && nth == 9) continue;  // there are not so many
      expect_survived(point, nth);
    }
  }
}

static void a_payee_killed_at_each_point_loses_nothing_that_it_promised(void**) {
  for (Point point : {Point::pay_arrived, Point::counted}) {
    for (int nth : {1, 2, 9}) expect_survived(point, nth);
  }
  for (Point point : {Point::voucher_to_disk, Point::durable, Point::close_asked_to_sign, Point::close_executed}) expect_survived(point, 1);
}

int main() {
  CHECK(crypto_init().has_value());
  const CMUnitTest tests[] = {
      cmocka_unit_test(a_payer_killed_at_each_point_signs_within_its_lease_and_goes_on),
      cmocka_unit_test(a_payee_killed_at_each_point_loses_nothing_that_it_promised),
  };
  return RUN_TESTS(tests);
}
