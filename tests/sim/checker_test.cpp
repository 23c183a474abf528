// The checkers of the simulator can fail: each rule of money.h is broken once by hand. And what the tap of uTP tells them is the stream.
#include "unit/test.h"

#include "sim/integrity.h"
#include "sim/money.h"
#include "sim/payload.h"
#include "sim/utp_tap.h"
#include "unit/sim_fixture.h"

namespace millet::simtest {
namespace {

constexpr uint32_t k_piece = 32 * 1024;
constexpr uint32_t k_block = 16 * 1024;

PublicKey key_of(uint8_t value) {
  PublicKey key;
  key.raw.fill(value);
  return key;
}

// A payer (machine 0, stream 0) and a payee (machine 1, stream 1) with one channel, a bid of 4000 and a RATE of 3000 pBTT per byte.
struct Deal {
  sim::World world{1};
  Report report{world};
  MoneyChecker checker{world, report};
  PeerSide payer;
  PeerSide payee;
  uint32_t block = 0;

  Deal() {
    payer.stream = 0;
    payee.stream = 1;
    payee.machine = 1;
    payer.own_hello = hello(1);
    payee.own_hello = hello(2);
    payer.other_hello = payee.own_hello;
    payee.other_hello = payer.own_hello;
    checker.add_torrent(InfoHash{}, k_piece);
    checker.set_reserve(1, Rate::pico_per_byte(1000));
    say(payer, payee, *payer.own_hello);
    say(payee, payer, *payee.own_hello);
    speed::BidMessage bid;
    bid.bid_seq = 1;
    bid.rate = Rate::pico_per_byte(4000);
    say(payer, payee, bid);
    speed::ChannelMessage channel;
    channel.capacity = Amount::micro(1'000'000);
    say(payer, payee, channel);
  }
  static speed::HelloMessage hello(uint8_t value) {
    speed::HelloMessage message;
    message.key = key_of(value);
    return message;
  }
  void say(PeerSide& from, PeerSide& to, const speed::Message& message) {
    checker.on_speed_sent(from, message);
    checker.on_speed_received(to, message);
  }
  void rate(uint64_t pico, uint32_t window = k_piece, uint64_t sent = 0) {
    speed::RateMessage message;
    message.bid_seq = 1;
    message.rate = Rate::pico_per_byte(pico);
    message.window = window;
    message.sent = sent;
    say(payee, payer, message);
  }
  void send_block() {
    wire::PieceSlice slice;
    std::vector<uint8_t> data(k_block);
    slice.range = {block / 2, block % 2 * k_block, k_block};
    slice.data = data;
    checker.on_sent(payee, slice);
    checker.on_received(payer, slice);
    ++block;
  }
  void pay(uint64_t seq, uint64_t cum) {
    speed::PayMessage message;
    message.seq = seq;
    message.cum = Amount::micro(cum);
    say(payer, payee, message);
  }
  void ack(uint64_t counted, uint64_t durable) {
    speed::AckMessage message;
    message.counted = Amount::micro(counted);
    message.durable = Amount::micro(durable);
    say(payee, payer, message);
  }
  bool broke(const char* text) const { return !report.clean() && report.breaches()[0].find(text) != std::string::npos; }
};

// Two blocks at 3000 pBTT per byte cost 98.304: 99.
void honest_deal_is_clean(void**) {
  Deal deal;
  deal.rate(3000);
  for (uint64_t piece = 1; piece <= 20; ++piece) {
    deal.send_block();
    deal.send_block();
    deal.pay(piece, (piece * k_piece * 3000 + 999'999) / 1'000'000);
    deal.ack((piece * k_piece * 3000 + 999'999) / 1'000'000, 0);
  }
  assert_true(deal.report.clean());
  MoneyChecker::Sale sale = deal.checker.sales()[{key_of(1), key_of(2)}];
  assert_int_equal(sale.bytes, 20 * k_piece);
  assert_int_equal(sale.paid_micro, (20 * uint64_t{k_piece} * 3000 + 999'999) / 1'000'000);
}

void block_beyond_the_window_is_found(void**) {
  Deal deal;
  deal.rate(3000);
  deal.send_block();
  deal.send_block();
  assert_true(deal.report.clean());
  deal.send_block();
  assert_true(deal.broke("in a window of 32768"));
}

// One micro-BTT less than the piece costs does not cover its last block.
void underpayment_leaves_the_block_unpaid(void**) {
  Deal deal;
  deal.rate(3000);
  deal.send_block();
  deal.send_block();
  deal.pay(1, 98);
  deal.send_block();
  assert_true(deal.report.clean());
  deal.send_block();
  assert_true(deal.broke("in a window of"));
}

// Old debt shuts the window together with what is new, until it has been shut for 30 s.
void debt_of_an_earlier_connection_counts_for_thirty_seconds(void**) {
  for (int late = 0; late < 2; ++late) {
    Deal deal;
    deal.rate(3000);
    deal.send_block();
    deal.checker.on_end(deal.payee);
    deal.checker.on_end(deal.payer);
    deal.payer.stream = 2;
    deal.payee.stream = 3;
    speed::BidMessage bid;
    bid.bid_seq = 1;
    bid.rate = Rate::pico_per_byte(4000);
    deal.say(deal.payer, deal.payee, bid);
    deal.rate(3000);
    deal.send_block();
    assert_true(deal.report.clean());
    if (late == 1) deal.world.run_for(Duration::seconds(31));
    deal.send_block();
    assert_true(late == 1 ? deal.report.clean() : deal.broke("in a window of"));
    deal.send_block();
    assert_false(deal.report.clean());
  }
}

void price_above_the_bid_or_below_the_reserve_is_found(void**) {
  Deal above;
  above.rate(4001);
  assert_true(above.broke("above the winner's bid"));
  Deal below;
  below.rate(999);
  assert_true(below.broke("below the reserve"));
  Deal wide;
  wide.rate(3000, 2 * k_piece);
  assert_true(wide.broke("window is not one piece"));
  Deal wrong_count;
  wrong_count.rate(3000, k_piece, 1);
  assert_true(wrong_count.broke("RATE.sent"));
}

void paying_more_than_is_owed_is_found(void**) {
  Deal deal;
  deal.rate(3000);
  deal.send_block();
  deal.pay(1, 50);  // 49.152, rounded up
  assert_true(deal.report.clean());
  deal.pay(2, 52);
  assert_true(deal.broke("paid 52"));
}

// A wider window is for who has paid for 16 pieces, where the provider's owner allows it.
void a_window_of_two_pieces_must_be_earned(void**) {
  for (bool allowed : {false, true}) {
    Deal deal;
    if (allowed) deal.checker.set_exposure(1, 2);
    deal.rate(3000);
    for (uint64_t piece = 1; piece <= 16; ++piece) {
      deal.send_block();
      deal.send_block();
      deal.pay(piece, (piece * k_piece * 3000 + 999'999) / 1'000'000);
    }
    deal.rate(3000, 2 * k_piece, 16 * k_piece);
    assert_true(allowed ? deal.report.clean() : deal.broke("none that was earned"));
  }
  Deal early;
  early.checker.set_exposure(1, 2);
  early.rate(3000, 2 * k_piece);
  assert_true(early.broke("none that was earned"));
}

void paying_for_a_piece_that_is_not_whole_is_found(void**) {
  Deal deal;
  deal.checker.add_torrent(InfoHash{}, k_piece, 10 * k_piece);
  deal.rate(3000);
  deal.send_block();
  deal.pay(1, 50);
  assert_true(deal.broke("before its pieces were whole"));
}

void more_than_the_capacity_is_never_acknowledged(void**) {
  Deal deal;
  deal.ack(1'000'001, 0);
  assert_true(deal.broke("more than the channel's capacity"));
}

// What a cheat sends covers nothing unless its signature is good, and a breach of its own is nobody's.
void a_forged_payment_does_not_count(void**) {
  Deal deal;
  deal.checker.set_dishonest(0);
  deal.rate(3000);
  deal.send_block();
  deal.send_block();
  deal.pay(1, 99);
  deal.pay(1, 98);
  assert_true(deal.report.clean());
  deal.ack(99, 0);
  assert_true(deal.broke("counts more than was paid"));
}

void honest_payers_are_not_banned(void**) {
  for (bool honest : {true, false}) {
    Deal deal;
    if (!honest) deal.checker.set_dishonest(0);
    deal.say(deal.payee, deal.payer, speed::StopMessage{static_cast<uint8_t>(speed::StopReason::banned), 60});
    assert_true(honest ? deal.broke("bans an honest payer") : deal.report.clean());
  }
}

void wrong_bytes_are_found(void**) {
  sim::World world(5);
  Report report(world);
  Payload payload = make_payload(PayloadOptions{}, world.random("payload"));
  IntegrityChecker checker(payload, report);
  PeerSide side;
  side.machine = 3;
  side.info_hash = payload.info_hash;
  std::vector<uint8_t> data(payload.all.begin() + payload.piece_size + 100, payload.all.begin() + payload.piece_size + 200);
  wire::PieceSlice slice{{1, 0, k_block}, 100, data};
  checker.on_sent(side, slice);
  assert_true(report.clean());
  data[99] ^= 1;
  checker.on_sent(side, slice);
  assert_false(report.clean());
}

void signed_numbers_only_grow(void**) {
  Deal repeated;
  repeated.rate(3000);
  repeated.send_block();
  repeated.pay(5, 40);
  repeated.pay(5, 40);
  assert_true(repeated.report.clean());
  repeated.pay(5, 41);
  assert_true(repeated.broke("after seq 5"));
  Deal lower;
  lower.rate(3000);
  lower.send_block();
  lower.pay(5, 40);
  lower.pay(6, 39);
  assert_true(lower.broke("after seq 5"));
  // A payer that crashed may have forgotten an amount, never a sequence.
  for (uint64_t seq : {6, 5}) {
    Deal crashed;
    crashed.rate(3000);
    crashed.send_block();
    crashed.pay(5, 40);
    crashed.checker.crashed(0);
    crashed.pay(seq, 39);
    assert_true(seq == 6 ? crashed.report.clean() : crashed.broke("after seq 5"));
  }
}

void durable_promises_only_grow_and_survive(void**) {
  Deal back;
  back.rate(3000);
  back.send_block();
  back.pay(1, 40);
  back.ack(40, 40);
  back.ack(40, 39);
  assert_true(back.broke("ACK.durable went back"));
  Deal invented;
  invented.rate(3000);
  invented.send_block();
  invented.pay(1, 40);
  invented.ack(41, 0);
  assert_true(invented.broke("counts more than was paid"));
  Deal forgotten;
  forgotten.rate(3000);
  forgotten.send_block();
  forgotten.pay(1, 40);
  forgotten.ack(40, 40);
  speed::ResumeMessage resume;
  resume.slot = 0;
  resume.channel = forgotten.checker.channels().begin()->first;
  resume.cum = Amount::micro(39);
  forgotten.say(forgotten.payee, forgotten.payer, resume);
  assert_true(forgotten.broke("below what was acknowledged as durable"));
}

void crash_of_the_payee_forgets_debt_not_promises(void**) {
  Deal deal;
  deal.rate(3000);
  deal.send_block();
  deal.send_block();
  deal.checker.crashed(1);
  deal.send_block();
  deal.send_block();
  assert_true(deal.report.clean());
  deal.send_block();
  assert_false(deal.report.clean());
}

void payload_is_made_from_the_seed_and_compared(void**) {
  sim::World world(5);
  PayloadOptions options;
  options.files = 5;
  Payload a = make_payload(options, world.random("payload"));
  Payload b = make_payload(options, world.random("payload"));
  Payload c = make_payload(options, world.random("payload", 1));
  assert_true(a.info_hash == b.info_hash && a.info_hash != c.info_hash);
  sim::Disk disk(sim::DiskOptions{}, Random(1));
  assert_string_equal(a.difference(disk, "/data").c_str(), "payload/file0 is missing");
  a.install(disk, "/data");
  assert_string_equal(a.difference(disk, "/data").c_str(), "");
  std::vector<uint8_t> changed = a.files[4].bytes;
  assert_true(changed.size() > 100);
  changed[100] ^= 1;
  disk.install("/data/" + a.files[4].path, changed, 0);
  assert_string_equal(a.difference(disk, "/data").c_str(), "payload/file4 differs at byte 100");
}

// ---- the tap over uTP ----

// What a tap is told, as text: "d>abc" is sent by who dialled, "a<abc" is what the other side got.
struct Told final : sim::Tap {
  void on_open(hal::StreamId stream, uint32_t, const Endpoint&, const Endpoint&) override { text += name(stream) + "+ "; }
  void on_sent(hal::StreamId stream, Bytes bytes) override { text += name(stream) + ">" + std::string(as_text(bytes)) + " "; }
  void on_received(hal::StreamId stream, Bytes bytes) override { text += name(stream) + "<" + std::string(as_text(bytes)) + " "; }
  void on_end(hal::StreamId stream) override { text += name(stream) + "- "; }
  static std::string name(hal::StreamId stream) { return stream % 2 == 0 ? "d" : "a"; }
  std::string text;
};

// Machine 0 dials machine 1 with the connection id 100; its first number is 65534, so that numbers wrap.
struct TappedUtp {
  Told told;
  UtpTap tap{told};
  Endpoint dialler{IpAddress::v4({10, 0, 0, 1}), 1000};
  Endpoint dialled{IpAddress::v4({10, 0, 0, 2}), 1000};

  static std::vector<uint8_t> packet(UtpType type, uint16_t connection, uint16_t seq, std::string_view payload) {
    std::vector<uint8_t> out(k_utp_header_size);
    UtpHeader header;
    header.type = type;
    header.connection = connection;
    header.seq = seq;
    encode_utp(header, out);
    out.insert(out.end(), payload.begin(), payload.end());
    return out;
  }
  void dial() { tap.on_sent(0, dialler, dialled, packet(UtpType::syn, 100, 65533, "")); }
  void send(uint16_t seq, std::string_view payload, UtpType type = UtpType::data) {
    tap.on_sent(0, dialler, dialled, packet(type, 101, seq, payload));
  }
  void arrive(uint16_t seq, std::string_view payload, UtpType type = UtpType::data) {
    tap.on_received(1, dialler, dialled, packet(type, 101, seq, payload));
  }
};

void a_stream_of_utp_is_told_in_its_order_and_once(void**) {
  TappedUtp utp;
  utp.dial();
  utp.dial();
  utp.send(65534, "one");
  utp.send(65535, "two");
  utp.send(0, "three");
  utp.arrive(0, "three");
  utp.arrive(65534, "one");
  utp.send(65535, "two");
  utp.arrive(65535, "two");
  utp.arrive(65534, "one");
  utp.tap.on_sent(1, utp.dialled, utp.dialler, TappedUtp::packet(UtpType::data, 100, 7, "yes"));
  utp.tap.on_received(0, utp.dialled, utp.dialler, TappedUtp::packet(UtpType::data, 100, 7, "yes"));
  assert_string_equal(utp.told.text.c_str(), "d+ d>one d>two d>three a+ a<one a<two a<three a>yes d<yes ");
  assert_int_equal(utp.tap.retransmissions(), 1);
  assert_int_equal(utp.tap.changed(), 0);
}

void a_retransmission_with_other_bytes_is_found(void**) {
  for (const char* again : {"twO", "twoo", ""}) {
    TappedUtp utp;
    utp.dial();
    utp.send(65534, "one");
    utp.send(65535, "two");
    utp.send(65535, again, *again == 0 ? UtpType::fin : UtpType::data);
    assert_int_equal(utp.tap.changed(), 1);
  }
}

void a_side_of_utp_ends_with_its_socket_a_reset_or_both_ends_of_the_stream(void**) {
  for (int how : {0, 1, 2, 3}) {
    TappedUtp utp;
    utp.dial();
    utp.send(65534, "x");
    utp.arrive(65534, "x");
    if (how == 0) utp.tap.on_socket_closed(1, 1000);
    if (how == 1) utp.tap.on_sent(1, utp.dialled, utp.dialler, TappedUtp::packet(UtpType::reset, 100, 1, ""));
    // Who does not know the connection any more answers with the id that the packet had.
    if (how == 2) utp.tap.on_received(0, utp.dialled, utp.dialler, TappedUtp::packet(UtpType::reset, 101, 1, ""));
    if (how == 3) {
      utp.send(65535, "", UtpType::fin);
      utp.arrive(65535, "", UtpType::fin);
      utp.tap.on_sent(1, utp.dialled, utp.dialler, TappedUtp::packet(UtpType::fin, 100, 7, ""));
    }
    utp.arrive(how == 3 ? 0 : 65535, "late");
    assert_string_equal(utp.told.text.c_str(), how == 2 ? "d+ d>x a+ a<x d- a<late " : "d+ d>x a+ a<x a- ");
    if (how == 2) continue;
    utp.dial();
    utp.tap.on_sent(0, utp.dialler, utp.dialled, TappedUtp::packet(UtpType::syn, 100, 9, ""));
    utp.send(10, "again");
    std::string text = utp.told.text.substr(utp.told.text.size() - 14);
    assert_string_equal(text.c_str(), "d- d+ d>again ");
  }
}

}  // namespace
}  // namespace millet::simtest

int main() {
  using namespace millet::simtest;
  const CMUnitTest tests[] = {
      cmocka_unit_test(honest_deal_is_clean),
      cmocka_unit_test(block_beyond_the_window_is_found),
      cmocka_unit_test(underpayment_leaves_the_block_unpaid),
      cmocka_unit_test(debt_of_an_earlier_connection_counts_for_thirty_seconds),
      cmocka_unit_test(price_above_the_bid_or_below_the_reserve_is_found),
      cmocka_unit_test(paying_more_than_is_owed_is_found),
      cmocka_unit_test(a_window_of_two_pieces_must_be_earned),
      cmocka_unit_test(paying_for_a_piece_that_is_not_whole_is_found),
      cmocka_unit_test(more_than_the_capacity_is_never_acknowledged),
      cmocka_unit_test(a_forged_payment_does_not_count),
      cmocka_unit_test(honest_payers_are_not_banned),
      cmocka_unit_test(wrong_bytes_are_found),
      cmocka_unit_test(signed_numbers_only_grow),
      cmocka_unit_test(durable_promises_only_grow_and_survive),
      cmocka_unit_test(crash_of_the_payee_forgets_debt_not_promises),
      cmocka_unit_test(payload_is_made_from_the_seed_and_compared),
      cmocka_unit_test(a_stream_of_utp_is_told_in_its_order_and_once),
      cmocka_unit_test(a_retransmission_with_other_bytes_is_found),
      cmocka_unit_test(a_side_of_utp_ends_with_its_socket_a_reset_or_both_ends_of_the_stream),
  };
  return RUN_TESTS(tests);
}
