// Paid slots that earn nothing (PROTOCOL.md sections 6 and 8): held by who asks for nothing, asks for next to nothing, or can't pay what it
// owes.
#include <algorithm>

#include "unit/speed_duo.h"
#include "unit/test.h"

using namespace millet;
using namespace millet::speed;
using namespace millet::speed::world;

namespace {

constexpr uint64_t k_reserve = 1000;

// One auctioned slot; a squatter that bids 9000 and asks for no more than a test allows; an honest bidder of 5000.
struct Contest {
  explicit Contest(const Settings& settings = of_one_slot()) : world(1, settings) {
    provider = &world.add("provider", true);
    squatter = &world.add("squatter", false, 400'000'000);
    honest = &world.add("honest", false, 200'000'000);
    squatter->max_rate = Rate::pico_per_byte(9000);
    squatter->may_ask = 0;
    honest->max_rate = Rate::pico_per_byte(5000);
    for (Node* node : {squatter, honest}) {
      world.ledger.fund(node->key, 800'000'000);
      world.connect(*node, *provider);
    }
    world.on_send = [this](Node&, PeerHandle to, std::vector<uint8_t>& payload) {
      Message message = *decode(payload);
      if (const auto* stop = std::get_if<StopMessage>(&message)) stops.push_back({to, *stop});
      return true;
    };
  }
  static Settings of_one_slot() {
    Settings settings;
    settings.auction_slots = 1;
    settings.pieces = 4000;
    settings.block_time = Duration::ms(160);
    return settings;
  }
  void run(int64_t seconds) {
    world.run(world.now + Duration::seconds(seconds));
    assert_true(world.violations.empty());
  }
  // Allows so many blocks each ten seconds.
  void run_slowly(int64_t seconds, uint64_t blocks) {
    for (int64_t i = 0; i < seconds / 10; ++i) {
      world.allow(*squatter, blocks);
      run(10);
    }
  }
  bool holds(size_t link) const { return provider->speed->payee().holds_slot(world.links[link].handle_b); }
  bool squatter_holds() const { return holds(0); }
  bool honest_holds() const { return holds(1); }
  uint64_t sold() { return world.transfers[{2, 0}].bytes_paid; }

  World world;
  Node* provider;
  Node* squatter;
  Node* honest;
  std::vector<std::pair<PeerHandle, StopMessage>> stops;
};

void a_winner_that_asks_for_nothing_loses_its_slot(void**) {
  Contest contest;
  for (auto& node : contest.world.nodes) contest.world.start(*node);
  contest.run(25);
  assert_true(contest.squatter_holds());
  contest.run(30);
  assert_true(!contest.squatter_holds() && contest.honest_holds());
  assert_int_equal(contest.stops.size(), 1);
  assert_int_equal(contest.stops[0].second.reason, static_cast<uint8_t>(StopReason::idle));
  assert_int_equal(contest.stops[0].second.retry_after_s, Payee::k_ignore.in_seconds());
  assert_int_equal(contest.stops[0].first, contest.world.links[0].handle_b);
  // Its bid is ignored for ten minutes, although it is the higher one; then it may try again.
  for (int i = 0; i < 55; ++i) {
    contest.run(10);
    assert_true(contest.honest_holds());
  }
  assert_true(contest.sold() > 10'000'000);
  assert_true(contest.world.run(contest.world.now + Duration::seconds(150), [&] { return contest.squatter_holds(); }));
}

void nobody_is_thrown_out_while_nobody_else_wants_the_slot(void**) {
  Contest contest;
  contest.world.start(*contest.provider);
  contest.world.start(*contest.squatter);
  contest.run(600);
  assert_true(contest.squatter_holds() && contest.stops.empty());
  contest.world.start(*contest.honest);
  contest.run(11);
  assert_true(contest.honest_holds());
  // Somebody who does not bid counts, too.
  Contest plain;
  plain.honest->budget = Amount();
  for (auto& node : plain.world.nodes) plain.world.start(*node);
  plain.run(60);
  assert_true(!plain.squatter_holds() && plain.stops.size() == 1);
}

// A piece a minute (here of 64 KiB) is enough, however slow that is.
void who_takes_less_than_a_piece_a_minute_loses_its_slot(void**) {
  for (bool enough : {false, true}) {
    Settings settings = Contest::of_one_slot();
    if (!enough) settings.piece_size = 256 * 1024;
    Contest contest(settings);
    for (auto& node : contest.world.nodes) contest.world.start(*node);
    contest.run_slowly(enough ? 600 : 60, 1);
    if (enough) {
      assert_true(contest.squatter_holds() && contest.stops.empty());
    } else {
      contest.run_slowly(20, 1);
      assert_true(contest.honest_holds() && contest.stops.size() == 1);
    }
  }
}

// Debt of an earlier connection, and a channel with something in it, but not that much.
void a_channel_without_room_for_what_is_owed_holds_no_slot(void**) {
  Contest contest;
  World& world = contest.world;
  Node& debtor = *contest.squatter;
  debtor.may_ask = UINT64_MAX;
  debtor.max_rate = Rate::pico_per_byte(k_reserve);
  debtor.options.payer.capacity_min = Amount::micro(1);
  contest.provider->options.payee.window_pieces = 8;
  bool pays = true;
  world.on_send = [&](Node& from, PeerHandle to, std::vector<uint8_t>& payload) {
    Message message = *decode(payload);
    if (const auto* stop = std::get_if<StopMessage>(&message)) contest.stops.push_back({to, *stop});
    return pays || &from != &debtor || !std::holds_alternative<PayMessage>(message);
  };
  world.start(*contest.provider);
  world.start(debtor);
  contest.run(60);
  pays = false;
  contest.run(15);
  assert_int_equal(contest.provider->speed->payee().exposure(world.links[0].handle_b).unpaid, 8 * world.set.piece_size);
  // It ends its channels, leaves with eight pieces, and is another program when it comes back: one that has forgotten everything, and wants
  // one piece more.
  for (const auto& [id, entry] : world.ledger.channels) world.inject(debtor, world.links[0].handle_a, CloseMessage{id, 0, 0, Amount()});
  world.run(world.now + Duration::ms(30));  // before it hears of that and opens another
  world.crash(debtor);
  contest.run(30);
  assert_true(world.all_channels_ended());
  size_t before = world.ledger.channels.size();
  world.forgive_lease = pays = true;
  debtor.store.clear();
  std::fill(debtor.have.begin() + 1, debtor.have.end(), true);
  debtor.have[0] = false;
  world.start(debtor);
  world.links[0].reconnect_at = world.now;
  contest.run(60);
  assert_int_equal(world.ledger.channels.size(), before + 1);
  assert_int_equal(contest.stops.size(), 1);
  assert_int_equal(contest.stops[0].second.reason, static_cast<uint8_t>(StopReason::no_channel));
  assert_true(!contest.squatter_holds());
}

// A window of many pieces is earned, filled, and left behind; under another name it would be earned again.
void who_leaves_with_a_wide_window_unpaid_is_struck(void**) {
  for (bool closes : {false, true}) {
    Contest contest;
    World& world = contest.world;
    Node& thief = *contest.squatter;
    thief.may_ask = UINT64_MAX;
    contest.provider->options.payee.window_pieces = 8;
    world.start(*contest.provider);
    world.start(thief);
    contest.run(60);
    std::optional<CloseMessage> close;
    for (const auto& [id, entry] : world.ledger.channels) close = CloseMessage{id, 0, 0, Amount()};
    world.on_send = [&](Node& from, PeerHandle, std::vector<uint8_t>& payload) {
      return &from != &thief || !std::holds_alternative<PayMessage>(*decode(payload));
    };
    contest.run(10);
    assert_int_equal(contest.provider->speed->payee().exposure(world.links[0].handle_b).unpaid, 8 * world.set.piece_size);
    if (closes) world.inject(thief, world.links[0].handle_a, *close);
    contest.run(1);
    world.crash(thief);
    contest.run(590);
    auto strikes = [&] {
      uint32_t records = 0;
      for (const auto& [where, value] : contest.provider->store) records += where.first == k_table_bans;
      return records;
    };
    assert_int_equal(strikes(), 0);
    contest.run(30);
    assert_int_equal(strikes(), 1);
  }
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(a_winner_that_asks_for_nothing_loses_its_slot),
      cmocka_unit_test(nobody_is_thrown_out_while_nobody_else_wants_the_slot),
      cmocka_unit_test(who_takes_less_than_a_piece_a_minute_loses_its_slot),
      cmocka_unit_test(a_channel_without_room_for_what_is_owed_holds_no_slot),
      cmocka_unit_test(who_leaves_with_a_wide_window_unpaid_is_struck),
  };
  return RUN_TESTS(tests);
}
