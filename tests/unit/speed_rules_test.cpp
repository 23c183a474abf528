// The rules of PROTOCOL.md over whole engines, one test each: auction rounds, windows, channels, the ledger away, switching off.
#include <algorithm>

#include "unit/speed_duo.h"
#include "unit/test.h"

using namespace millet;
using namespace millet::speed;
using namespace millet::speed::world;

namespace {

constexpr uint64_t k_reserve = 1000;

uint64_t price(uint64_t rate, uint64_t bytes) { return (rate * bytes + 999'999) / 1'000'000; }

// Two auctioned slots, four bidders, one free slot: winners, prices and payments exactly as the rule says.
void an_auction_with_four_bidders_is_paid_as_the_rule_says(void**) {
  Settings settings;
  settings.auction_slots = 2;
  settings.pieces = 400;
  settings.block_time = Duration::ms(1);
  World world(1, settings);
  Node& provider = world.add("provider", true);
  for (uint64_t rate : {3000, 5000, 7000, 9000}) {
    Node& node = world.add("bidder" + std::to_string(rate), false, 1'000'000'000);
    node.max_rate = Rate::pico_per_byte(rate);
    world.ledger.fund(node.key, 2'000'000'000);
    world.connect(node, provider);
  }
  std::vector<std::pair<PeerHandle, uint64_t>> rates;
  world.on_send = [&](Node& from, PeerHandle to, std::vector<uint8_t>& payload) {
    Message message = *decode(payload);
    if (const auto* rate = std::get_if<RateMessage>(&message); rate != nullptr && &from == &provider) {
      rates.push_back({to, rate->rate.in_pico_per_byte()});
    }
    return true;
  };
  for (auto& node : world.nodes) world.start(*node);
  // After the first whole round the two highest pay what the third bid.
  world.run(world.now + Duration::seconds(12));
  std::map<PeerHandle, uint64_t> current(rates.begin(), rates.end());
  for (const auto& [to, rate] : rates) current[to] = rate;
  PeerHandle seven = world.links[2].handle_b, nine = world.links[3].handle_b;
  assert_true(provider.speed->payee().holds_slot(seven) && provider.speed->payee().holds_slot(nine));
  assert_int_equal(current[seven], 5000);
  assert_int_equal(current[nine], 5000);
  assert_true(world.run(world.now + Duration::seconds(600), [&] { return world.everybody_complete() && world.all_channels_ended(); }));
  // Each paid for its bytes at one of the prices that were set: the reserve, or a losing bid below its own.
  uint64_t earned = 0;
  for (uint32_t i = 1; i <= 4; ++i) {
    uint64_t paid = world.liability(world.nodes[i]->key);
    uint64_t bytes = world.transfers[{i, 0}].bytes_paid;
    assert_int_equal(bytes, uint64_t{settings.pieces} * settings.piece_size);
    assert_in_range(paid, price(k_reserve, bytes), price(i == 4 ? 7000 : 5000, bytes) + 4);
    earned += paid;
  }
  assert_int_equal(world.ledger.balance[provider.key], earned);
  // Who loses at first wins when others have finished; nobody competes then.
  assert_int_equal(rates.back().second, k_reserve);
  assert_int_equal(world.violations.size(), 0);
}

// One price for all winners, also for one that won when nobody competed: from the next round on it pays what the loser bids.
void a_winner_that_was_alone_pays_the_new_price(void**) {
  Settings settings;
  settings.auction_slots = 1;
  settings.free_slots = 0;
  settings.pieces = 400;
  settings.block_time = Duration::ms(40);
  World world(1, settings);
  Node& provider = world.add("provider", true);
  for (uint64_t rate : {9000, 5000}) {
    Node& node = world.add("bidder" + std::to_string(rate), false, 1'000'000'000);
    node.max_rate = Rate::pico_per_byte(rate);
    world.ledger.fund(node.key, 2'000'000'000);
    world.connect(node, provider);
  }
  uint64_t pays = 0;
  world.on_send = [&](Node& from, PeerHandle to, std::vector<uint8_t>& payload) {
    Message message = *decode(payload);
    const auto* rate = std::get_if<RateMessage>(&message);
    if (rate != nullptr && &from == &provider && to == world.links[0].handle_b) pays = rate->rate.in_pico_per_byte();
    return true;
  };
  world.start(*world.nodes[0]);
  world.start(*world.nodes[1]);
  world.run(world.now + Duration::seconds(25));
  assert_int_equal(pays, k_reserve);
  world.start(*world.nodes[2]);
  world.run(world.now + Duration::seconds(21));
  assert_true(provider.speed->payee().holds_slot(world.links[0].handle_b));
  assert_int_equal(pays, 5000);
  assert_int_equal(world.violations.size(), 0);
}

// A bid that never changes is backed for as long as it waits, and sets the winner's price all that time.
void a_bid_that_waits_longer_than_its_funds_last_stays_backed(void**) {
  Settings settings;
  settings.auction_slots = 1;
  settings.pieces = 2000;
  settings.block_time = Duration::ms(300);
  settings.work_time = Duration::ms(200);  // of a small processor, which must not lose the statement before while it checks the next one
  World world(1, settings);
  Node& provider = world.add("provider", true);
  for (uint64_t rate : {9000, 5000}) {
    Node& node = world.add("bidder" + std::to_string(rate), false, 1'000'000'000);
    node.max_rate = Rate::pico_per_byte(rate);
    world.ledger.fund(node.key, 2'000'000'000);
    world.connect(node, provider);
  }
  std::vector<Instant> bids, funds;
  Rate asked;
  world.on_send = [&](Node& from, PeerHandle to, std::vector<uint8_t>& payload) {
    Message message = *decode(payload);
    if (const auto* rate = std::get_if<RateMessage>(&message); rate != nullptr && to == world.links[0].handle_b) asked = rate->rate;
    if (&from != world.nodes[2].get()) return true;
    if (std::holds_alternative<BidMessage>(message)) bids.push_back(world.now);
    if (std::holds_alternative<FundsMessage>(message)) funds.push_back(world.now);
    return true;
  };
  for (auto& node : world.nodes) world.start(*node);
  world.run(world.now + Duration::seconds(31));
  bool backed = true;
  Instant end = world.now + Duration::minutes(35);
  world.run(end, [&] {
    backed = backed && provider.speed->payee().backed_bid(world.now, world.links[1].handle_b) == Rate::pico_per_byte(5000);
    return !backed || asked != Rate::pico_per_byte(5000);
  });
  assert_true(backed);
  assert_int_equal(asked.in_pico_per_byte(), 5000);
  assert_true(world.now == end);
  assert_int_equal(bids.size(), 1);
  assert_in_range(funds.size(), 6, 9);
  for (size_t i = 1; i < funds.size(); ++i) assert_true(funds[i] - funds[i - 1] >= Duration::minutes(4));
  assert_int_equal(world.violations.size(), 0);
}

// Alone at the reserve: to the micro-BTT.
void a_download_at_the_reserve_costs_exactly_its_bytes(void**) {
  Settings settings;
  settings.pieces = 100;
  Duo duo(settings);
  duo.start();
  assert_true(duo.run_to_end());
  assert_int_equal(duo.earned(), price(k_reserve, uint64_t{settings.pieces} * settings.piece_size));
  assert_int_equal(duo.world.violations.size(), 0);
}

// The last payment of a requester that has what it wanted, and hangs up.
void a_payment_that_is_checked_after_its_payer_left_is_earned_for_its_torrent(void**) {
  Settings settings;
  settings.pieces = 8;
  settings.work_time = Duration::ms(200);
  Duo duo(settings);
  Tap<PayMessage> pays(duo.world, *duo.requester);
  duo.start();
  uint64_t all = price(k_reserve, uint64_t{settings.pieces} * settings.piece_size);
  assert_true(duo.run(60, [&] { return !pays.seen.empty() && pays.seen.back().cum.in_micro() == all; }));
  duo.world.run(duo.world.now + settings.delay + Duration::ms(1));
  duo.world.cut(0, Instant::never());
  duo.run(1);
  assert_int_equal(duo.provider->speed->payee().counted_total().in_micro(), all);
  assert_int_equal(duo.provider->speed->payee().counted_for(duo.world.info_hash).in_micro(), all);
}

void free_slots_cost_nothing_and_open_no_channel(void**) {
  Settings settings;
  settings.auction_slots = 0;
  settings.free_slots = 1;
  settings.block_time = Duration::ms(200);
  Duo duo(settings);
  Tap<RateMessage> rates(duo.world, *duo.provider);
  duo.start();
  assert_true(duo.run(60, [&] { return duo.requester->complete(); }));
  assert_true(!rates.seen.empty());
  for (const RateMessage& rate : rates.seen) assert_true(rate.kind == static_cast<uint8_t>(RateKind::free) && rate.rate.is_zero());
  assert_int_equal(duo.world.ledger.channels.size(), 0);
}

void without_a_budget_nobody_bids(void**) {
  Duo duo({}, 0);
  duo.world.ledger.fund(duo.requester->key, 5'000'000);
  Tap<BidMessage> bids(duo.world, *duo.requester);
  duo.start();
  duo.run(60);
  assert_int_equal(bids.seen.size(), 0);
}

// The newest proven connection of a pair of keys is the paying one. Here only the provider learns that a second one is: its own proof is
// lost, and without it the requester leaves everything as it was.
void a_second_connection_of_a_payer_supersedes_the_first(void**) {
  Settings settings;
  settings.pieces = 2000;
  settings.block_time = Duration::ms(20);
  Duo duo(settings, 100'000'000);
  duo.requester->max_rate = Rate::pico_per_byte(5000);
  duo.start();
  duo.run(3);
  PeerHandle first = duo.world.only_peer(*duo.provider);
  assert_true(duo.provider->speed->payee().holds_slot(first));
  std::vector<StopMessage> stops;
  duo.world.on_send = [&](Node& from, PeerHandle, std::vector<uint8_t>& payload) {
    Message message = *decode(payload);
    if (const auto* stop = std::get_if<StopMessage>(&message)) stops.push_back(*stop);
    return &from != duo.provider || !std::holds_alternative<ProveMessage>(message);
  };
  duo.world.connect(*duo.requester, *duo.provider);
  duo.run(1);
  assert_true(duo.provider->speed->payee().holds_slot(first));
  assert_true(stops.empty() && duo.world.disconnects.empty());
  PeerHandle second = duo.world.links[1].handle_a;
  duo.world.inject(*duo.requester, second, BidMessage{1, 0, Rate::pico_per_byte(4000)});
  duo.run(1);
  assert_true(has_stop(stops, StopReason::superseded));
  assert_false(duo.provider->speed->payee().holds_slot(first));
}

// A connection to the requester that is none of the world's: somebody who names the provider's key.
struct Impostor {
  static constexpr PeerHandle k_handle = 1'000'000;

  explicit Impostor(Duo& d) : duo(d) {
    duo.world.on_send = [this](Node&, PeerHandle to, std::vector<uint8_t>& payload) {
      if (to != k_handle) return true;
      heard.push_back(*decode(payload));
      return false;
    };
  }
  void connect(const InfoHash& torrent) {
    duo.requester->speed->on_connected(
        duo.world.now, k_handle,
        PeerInfo{IpAddress::v4({10, 66, 0, 1}), torrent, duo.requester->peer_id, PeerId(), false, duo.world.set.piece_size});
    duo.requester->speed->payer().set_wanted(duo.world.now, k_handle, true);
    HelloMessage hello;
    hello.ledger = duo.world.ledger.id;
    hello.key = duo.provider->key;
    hello.services = k_service_provider;
    say(hello);
  }
  void say(const Message& message) {
    duo.requester->speed->on_message(duo.world.now, k_handle, encode(message));
    duo.world.drain(*duo.requester);
  }
  template <typename M>
  bool heard_any() const {
    return std::any_of(heard.begin(), heard.end(), [](const Message& message) { return std::holds_alternative<M>(message); });
  }

  Duo& duo;
  std::vector<Message> heard;
};

// It was there first, on this torrent or on another one, proves nothing or the wrong thing, and stays.
void who_cannot_prove_a_providers_key_never_has_its_place(void**) {
  for (int kind = 0; kind < 4; ++kind) {
    const bool other_torrent = (kind & 1) != 0, says_prove = (kind & 2) != 0;
    Duo duo;
    Impostor impostor(duo);
    duo.world.links[0].reconnect_at = duo.world.now + Duration::seconds(3);
    duo.start();
    InfoHash torrent = duo.world.info_hash;
    if (other_torrent) {
      torrent.raw[0] ^= 1;
      TorrentBudget budget;
      budget.budget = Amount::micro(500'000);
      duo.requester->speed->payer().set_bytes_left(duo.world.now, torrent, 50'000'000);
      duo.requester->speed->payer().set_torrent(duo.world.now, torrent, budget);
    }
    duo.run(1);
    impostor.connect(torrent);
    if (says_prove) impostor.say(ProveMessage());
    duo.run(1);
    assert_int_equal(duo.disconnected("proof"), says_prove);
    assert_true(duo.run(60, [&] { return duo.requester->complete(); }));
    assert_false(impostor.heard_any<BidMessage>() || impostor.heard_any<FundsMessage>() || impostor.heard_any<ChannelMessage>());
    assert_true(duo.run(700, [&] { return duo.world.all_channels_ended(); }));
    uint64_t bytes = duo.world.transfers[{1, 0}].bytes_paid;
    assert_int_equal(bytes, uint64_t{duo.world.set.pieces} * duo.world.set.piece_size);
    assert_int_equal(duo.earned(), price(k_reserve, bytes));
    assert_int_equal(duo.world.violations.size(), 0);
  }
}

// The provider is away, and somebody says in its name that its channel has ended.
void who_cannot_prove_a_providers_key_ends_no_channel_of_it(void**) {
  Settings settings;
  settings.pieces = 200;
  Duo duo(settings);
  Impostor impostor(duo);
  duo.start();
  assert_true(duo.run(20, [&] { return duo.counted() > 500; }));
  duo.world.crash(*duo.provider);
  impostor.connect(duo.world.info_hash);
  duo.run(1);
  Payer& payer = duo.requester->speed->payer();
  assert_int_equal(payer.channels().size(), 1);
  CloseMessage close;
  close.channel = payer.channels()[0].id;
  AckMessage ack;
  ack.status = static_cast<uint8_t>(AckStatus::closed);
  ResumeMessage resume;
  resume.slot = k_slot_unknown;
  RateMessage rate;
  rate.epoch = 1;
  for (const Message& message : {Message(ack), Message(close), Message(resume), Message(rate)}) impostor.say(message);
  duo.run(5);
  assert_false(impostor.heard_any<ChannelMessage>() || impostor.heard_any<PayMessage>() || impostor.heard_any<AcceptMessage>());
  assert_int_equal(payer.channels().size(), 1);
  assert_string_equal(payer.channels()[0].state, "open");
  duo.world.start(*duo.provider);
  duo.world.links[0].reconnect_at = duo.world.now;
  assert_true(duo.run_to_end());
  assert_int_equal(duo.world.ledger.channels.size(), 1);
  assert_int_equal(duo.world.violations.size(), 0);
}

// Power was cut at the provider, and it is back at another port before the requester's old connection has timed out.
void a_provider_that_came_back_is_paid_on_its_new_connection(void**) {
  Settings settings;
  settings.pieces = 2000;
  settings.block_time = Duration::ms(20);
  Duo duo(settings, 1'000'000'000);
  duo.start();
  assert_true(duo.run(20, [&] { return duo.counted() > 0; }));
  duo.world.vanish(*duo.provider);
  duo.run(1);
  duo.provider->peer_id.raw.fill(0x5a);
  duo.world.start(*duo.provider);
  duo.world.connect(*duo.requester, *duo.provider);
  duo.run(1);
  assert_true(duo.disconnected("superseded by a newer connection"));
  duo.world.links[0].reconnect_at = Instant::never();
  assert_true(duo.run(12, [&] { return !duo.provider->speed->payee().counted_total().is_zero(); }));
  assert_true(duo.provider->speed->payee().holds_slot(duo.world.links[1].handle_b));
  assert_int_equal(duo.requester->peers.size(), 1);
  // Not a byte goes for nothing, from then on as before.
  assert_true(duo.run_to_end());
  assert_int_equal((duo.world.transfers[{1, 0}].bytes_free), 0);
  assert_int_equal(duo.earned(), price(k_reserve, duo.world.transfers[{1, 0}].bytes_paid));
  assert_int_equal(duo.world.violations.size(), 0);
}

// A seller that moves from TCP to uTP, or back, while its first connection still lives: both sides change over to the new one, the channel
// goes along, and what was owed is paid once.
void a_seller_that_moves_to_another_transport_is_paid_there(void**) {
  for (int64_t after_ms : {2'000, 2'005, 2'010, 2'015, 2'020, 2'040, 2'333}) {
    Settings settings;
    settings.pieces = 600;
    settings.block_time = Duration::ms(10);
    Duo duo(settings, 1'000'000'000);
    duo.start();
    duo.world.run(duo.world.now + Duration::ms(after_ms));
    assert_true(duo.counted() > 0);
    duo.world.connect(*duo.requester, *duo.provider);
    assert_true(duo.run(2, [&] { return duo.disconnected("superseded by a newer connection"); }));
    duo.world.run(duo.world.now);
    duo.world.links[0].reconnect_at = Instant::never();
    assert_true(duo.run(12, [&] { return duo.provider->speed->payee().holds_slot(duo.world.links[1].handle_b); }));
    assert_true(duo.run_to_end());
    assert_int_equal(duo.world.ledger.channels.size(), 1);
    assert_int_equal((duo.world.transfers[{1, 0}].bytes_free), 0);
    uint64_t bytes = duo.world.transfers[{1, 0}].bytes_paid;
    assert_int_equal(bytes, uint64_t{settings.pieces} * settings.piece_size);
    assert_int_equal(duo.earned(), price(k_reserve, bytes));
    assert_int_equal(duo.banned_for(), 0);
    assert_int_equal(duo.world.violations.size(), 0);
  }
}

// A payment got lost on its way, and the channel ended without it: it is owed again, and paid over the next channel before the provider's
// clock for the piece has run out.
void what_a_channel_ended_without_paying_is_paid_at_once_over_the_next(void**) {
  Settings settings;
  settings.pieces = 60;
  settings.block_time = Duration::ms(20);
  Duo duo(settings, 1'000'000'000);
  bool lose = false;
  std::vector<StopMessage> stops;
  duo.world.on_send = [&](Node&, PeerHandle, std::vector<uint8_t>& payload) {
    Message message = *decode(payload);
    if (const auto* stop = std::get_if<StopMessage>(&message)) stops.push_back(*stop);
    return !lose || !std::holds_alternative<PayMessage>(message);
  };
  duo.start();
  assert_true(duo.run(20, [&] { return duo.counted() > 0; }));
  lose = true;
  duo.run(2);
  ChannelId id = duo.provider->speed->payee().channels()[0].id;
  assert_true(duo.world.highest_pay.at(id).in_micro() > duo.counted());
  CloseMessage close;
  close.channel = id;
  duo.world.inject(*duo.requester, duo.world.only_peer(*duo.requester), close);
  assert_true(duo.run(10, [&] { return !duo.world.ledger.channels.at(id).open; }));
  lose = false;
  assert_true(duo.run_to_end());
  assert_false(has_stop(stops, StopReason::unpaid));
  uint64_t bytes = duo.world.transfers[{1, 0}].bytes_paid;
  assert_in_range(duo.earned(), price(k_reserve, bytes), price(k_reserve, bytes) + 1);
  assert_int_equal(duo.world.violations.size(), 0);
}

// What it wrote last is lost if it ends the connection too early.
void a_payer_keeps_the_connection_until_its_close_is_answered(void**) {
  Duo duo;
  bool answers = false;
  std::vector<CloseMessage> answered;
  bool asked = false;
  duo.world.on_send = [&](Node& from, PeerHandle, std::vector<uint8_t>& payload) {
    Result<Message> message = decode(payload);
    if (!message || !std::holds_alternative<CloseMessage>(*message)) return true;
    asked = asked || &from == duo.requester;
    if (&from != duo.provider) return true;
    answered.push_back(std::get<CloseMessage>(*message));
    return answers;
  };
  duo.start();
  assert_true(duo.run(600, [&] { return asked; }));
  PeerHandle provider = duo.world.only_peer(*duo.requester);
  // The answer is held back: the payer waits for it, as long as the ledger has not said that the channel has ended.
  assert_true(duo.run(1, [&] { return !answered.empty(); }));
  assert_true(duo.requester->speed->payer().is_busy(provider));
  answers = true;
  duo.world.inject(*duo.provider, duo.world.only_peer(*duo.provider), answered[0]);
  assert_true(duo.run(1, [&] { return !duo.requester->speed->payer().is_busy(provider); }));
  assert_true(duo.run_to_end());
  assert_int_equal(duo.world.violations.size(), 0);
}

// Six payers of one /24 and an eighth of the bucket for four pieces: two wait for their channel before the first byte.
void an_empty_bucket_serves_against_a_channel_of_sixteen_pieces(void**) {
  Settings settings;
  settings.piece_size = 1024 * 1024;
  settings.pieces = 40;
  settings.auction_slots = 6;
  settings.block_time = Duration::us(200);
  World world(1, settings);
  Node& provider = world.add("provider", true);
  for (uint8_t i = 0; i < 6; ++i) {
    Node& node = world.add("payer", false, 10'000'000);
    node.address = IpAddress::v4({10, 200, 0, static_cast<uint8_t>(i + 1)});
    world.ledger.fund(node.key, 20'000'000);
    world.connect(node, provider);
  }
  std::vector<RateMessage> rates;
  world.on_send = [&](Node&, PeerHandle, std::vector<uint8_t>& payload) {
    Message message = *decode(payload);
    if (const auto* rate = std::get_if<RateMessage>(&message)) rates.push_back(*rate);
    return true;
  };
  for (auto& node : world.nodes) world.start(*node);
  assert_true(world.run(world.now + Duration::seconds(600), [&] { return world.everybody_complete(); }));
  auto closed = std::count_if(rates.begin(), rates.end(), [](const RateMessage& rate) { return rate.window == 0; });
  assert_in_range(closed, 2, 4);
  assert_int_equal(world.violations.size(), 0);
}

// ---- channels ----

void a_channel_is_rolled_over_at_three_quarters_and_a_debt_is_split(void**) {
  Settings settings;
  settings.pieces = 2000;
  settings.block_time = Duration::ms(1);
  Duo duo(settings, 100'000'000);
  duo.requester->max_rate = Rate::pico_per_byte(1000);
  duo.start();
  uint64_t at_third = 0;
  duo.run(600, [&] {
    if (duo.world.ledger.channels.size() == 3 && at_third == 0) at_third = duo.world.liability(duo.requester->key);
    return duo.world.everybody_complete();
  });
  // The first holds 1000, as little as the ledger takes; of 64 pieces of 65.536 micro-BTT three quarters are 3146.
  assert_in_range(at_third, 4100, 4500);
  assert_true(duo.world.ledger.channels.size() >= 4);
  assert_true(duo.run_to_end());
  uint64_t full = 0;
  for (const auto& [id, entry] : duo.world.ledger.channels) full += entry.claimed == entry.terms.capacity ? 1 : 0;
  // All but the last: to the last micro-BTT, the remainder of a piece on the next channel.
  assert_int_equal(full, duo.world.ledger.channels.size() - 1);
  assert_int_equal(duo.earned(), price(k_reserve, uint64_t{settings.pieces} * settings.piece_size));
  assert_int_equal(duo.world.violations.size(), 0);
}

void the_payee_claims_at_half_life_and_at_its_threshold(void**) {
  for (bool threshold : {false, true}) {
    Settings settings;
    settings.pieces = 180;
    settings.block_time = Duration::seconds(3);  // twelve seconds a piece: 36 minutes
    Duo duo(settings);
    if (threshold) duo.provider->options.payee.claim_threshold = Amount::micro(2000);
    duo.start();
    duo.run(29 * 60);
    assert_int_equal(duo.world.ledger.claims, threshold ? 4 : 0);
    duo.run(3 * 60);
    if (!threshold) assert_int_equal(duo.world.ledger.claims, 1);
    assert_true(duo.earned() > 8000);
    assert_int_equal(duo.world.violations.size(), 0);
  }
}

// The first channel lives an hour: it stops being paid over 20 minutes before, and is closed 10 minutes before.
void an_expiring_channel_is_replaced_and_closed_in_time(void**) {
  Settings settings;
  settings.pieces = 400;
  settings.block_time = Duration::seconds(3);  // 80 minutes
  Duo duo(settings, 10'000'000);               // the first channel lasts for all
  Tap<AckMessage> acks(duo.world, *duo.provider);
  duo.start();
  duo.run(39 * 60);
  assert_false(has_ack(acks.seen, AckStatus::expiring));
  duo.run(3 * 60);
  assert_true(has_ack(acks.seen, AckStatus::expiring));
  assert_int_equal(duo.world.ledger.channels.size(), 2);
  assert_true(duo.run_to_end(90 * 60));
  assert_int_equal(duo.earned(), price(k_reserve, uint64_t{settings.pieces} * settings.piece_size));
  assert_int_equal(duo.world.violations.size(), 0);
}

void a_payer_that_vanishes_has_its_channel_closed_after_ten_minutes(void**) {
  Settings settings;
  settings.pieces = 2000;
  Duo duo(settings, 10'000'000);
  duo.start();
  duo.run(10);
  uint64_t counted = duo.counted();
  assert_true(counted > 0);
  duo.world.crash(*duo.requester);
  duo.run(9 * 60);
  assert_false(duo.world.all_channels_ended());
  duo.run(2 * 60);
  assert_true(duo.world.all_channels_ended());
  assert_true(duo.earned() >= counted);
  assert_int_equal(duo.world.violations.size(), 0);
}

// Attack 10: nobody closes, so everything goes back.
void what_the_payee_never_closes_goes_back_to_the_payer(void**) {
  Duo duo;
  duo.start();
  duo.run(2, [&] { return duo.counted() > 0; });
  duo.world.crash(*duo.provider);
  duo.run(2 * 3600);
  duo.world.ledger.expire(duo.world.ledger_now());
  assert_int_equal(duo.world.ledger.balance[duo.requester->key], 2'000'000);
  assert_true(duo.requester->speed->payer().channels().empty());
  assert_int_equal(duo.world.violations.size(), 0);
}

// ---- the ledger away ----

void without_the_ledger_serving_goes_on_within_the_channel_and_nobody_is_struck(void**) {
  Settings settings;
  settings.pieces = 60;
  settings.block_time = Duration::ms(200);
  Duo duo(settings);
  duo.start();
  duo.run(5, [&] { return duo.counted() > 0; });
  duo.world.ledger.up = false;
  duo.run(600);
  assert_true(duo.requester->complete());
  duo.world.ledger.up = true;
  assert_true(duo.run_to_end());
  assert_int_equal(duo.banned_for(), 0);
  assert_true(duo.world.disconnects.empty());
  assert_int_equal(duo.world.violations.size(), 0);
}

void a_ledger_that_is_down_at_first_only_delays(void**) {
  Duo duo;
  duo.world.ledger.up = false;
  duo.start();
  duo.run(300);
  assert_int_equal(duo.world.ledger.channels.size(), 0);
  duo.world.ledger.up = true;
  assert_true(duo.run_to_end());
  assert_int_equal(duo.world.violations.size(), 0);
}

// The ledger leaves between the payer's OPEN and the payee's look at the channel, until little of its life is left.
void what_was_paid_before_a_late_check_is_counted(void**) {
  Settings settings;
  settings.pieces = 60;
  settings.block_time = Duration::ms(200);
  Duo duo(settings);
  Tap<PayMessage> pays(duo.world, *duo.requester);
  duo.start();
  assert_true(duo.run(60, [&] { return !duo.world.ledger.channels.empty(); }));
  duo.world.ledger.up = false;
  duo.run(40 * 60);
  assert_true(!pays.seen.empty());
  assert_int_equal(duo.counted(), 0);
  duo.world.ledger.up = true;
  assert_true(duo.run_to_end(600));
  assert_int_equal(duo.earned(), price(k_reserve, uint64_t{settings.pieces} * settings.piece_size));
  assert_int_equal(duo.banned_for(), 0);
  assert_int_equal(duo.world.violations.size(), 0);
}

// Attack 12: every operation is repeated until it is answered, and done once.
void lost_replies_open_no_second_channel(void**) {
  Duo duo;
  duo.world.ledger_loses_replies = true;
  duo.start();
  assert_true(duo.run_to_end());
  assert_int_equal(duo.world.ledger.channels.size(), 1);
  assert_int_equal(duo.world.violations.size(), 0);
}

// ---- slow stores, slow processors ----

void a_store_that_hangs_pauses_paid_serving_and_strikes_nobody(void**) {
  Settings settings;
  settings.pieces = 2000;
  settings.block_time = Duration::ms(2);
  Duo duo(settings, 10'000'000);
  duo.start();
  duo.run(12);
  duo.provider->store_free = duo.world.now + Duration::seconds(100);
  duo.run(15);  // the next commit hangs
  uint64_t before = duo.world.transfers[{1, 0}].bytes_paid;
  duo.run(60);
  uint64_t after = duo.world.transfers[{1, 0}].bytes_paid;
  assert_int_equal(after, before);
  assert_true(duo.run(200, [&] { return duo.requester->complete(); }));
  assert_int_equal(duo.banned_for(), 0);
  assert_true(duo.world.disconnects.empty());
  assert_int_equal(duo.world.violations.size(), 0);
}

void a_small_processor_verifies_less_often_and_still_serves(void**) {
  Duo duo;
  duo.provider->options.verifications_per_second = 2;
  duo.start();
  Instant start = duo.world.now;
  assert_true(duo.run_to_end());
  assert_true(duo.world.now - start >= Duration::seconds(10));  // 24 pieces, two a second
  assert_int_equal(duo.banned_for(), 0);
  assert_true(duo.world.disconnects.empty());
}

// ---- unpaid pieces ----

void an_unpaid_piece_chokes_after_thirty_seconds_and_a_hold_stops_that_clock(void**) {
  for (bool hold : {false, true}) {
    Duo duo;
    std::vector<StopMessage> stops;
    duo.world.on_send = [&](Node& from, PeerHandle, std::vector<uint8_t>& payload) {
      Message message = *decode(payload);
      if (const auto* stop = std::get_if<StopMessage>(&message)) stops.push_back(*stop);
      return &from != duo.requester || !std::holds_alternative<PayMessage>(message);
    };
    duo.start();
    duo.run(5, [&] { return duo.world.transfers[{1, 0}].bytes_paid > 0; });
    if (hold) duo.world.inject(*duo.requester, duo.world.only_peer(*duo.requester), HoldMessage{0});
    duo.run(28);
    assert_false(has_stop(stops, StopReason::unpaid));
    duo.run(10);
    assert_int_equal(has_stop(stops, StopReason::unpaid), !hold);
    duo.run(90);
    assert_true(has_stop(stops, StopReason::unpaid));
  }
}

// ---- switching off and on ----

void switched_off_the_provider_closes_its_channels_and_loses_nothing(void**) {
  Settings settings;
  settings.pieces = 2000;
  Duo duo(settings, 10'000'000);
  duo.start();
  duo.run(10);
  uint64_t counted = duo.counted();
  SpeedOptions off = duo.provider->options;
  off.payee.enabled = false;
  duo.provider->speed->set_options(duo.world.now, off);
  duo.world.drain(*duo.provider);
  assert_true(duo.run(10, [&] { return duo.world.all_channels_ended(); }));
  assert_true(duo.earned() >= counted && counted > 0);
  assert_int_equal(duo.provider->speed->payee().slots_held(), 0);
  assert_int_equal(duo.world.violations.size(), 0);
}

void switched_off_the_requester_pays_what_it_owes_and_closes(void**) {
  Settings settings;
  settings.pieces = 2000;
  Duo duo(settings, 10'000'000);
  duo.start();
  duo.run(10);
  SpeedOptions off = duo.requester->options;
  off.payer.enabled = false;
  duo.requester->speed->set_options(duo.world.now, off);
  duo.world.drain(*duo.requester);
  assert_true(duo.run(20, [&] { return duo.world.all_channels_ended(); }));
  assert_int_equal(duo.world.disconnects.size(), 0);
  assert_int_equal(duo.world.violations.size(), 0);
}

// The user changes the bid: it goes out at once.
void a_changed_maximum_is_bid_at_once(void**) {
  Settings settings;
  settings.pieces = 2000;
  Duo duo(settings, 1'000'000'000);
  duo.requester->max_rate = Rate::pico_per_byte(5000);
  Tap<BidMessage> bids(duo.world, *duo.requester);
  duo.start();
  duo.run(3);
  TorrentBudget budget;
  budget.budget = duo.requester->budget;
  budget.bidding.max_rate = Rate::pico_per_byte(4900);  // 2 %: no news but for the user
  duo.requester->speed->payer().set_torrent(duo.world.now, duo.world.info_hash, budget);
  duo.world.drain(*duo.requester);
  assert_int_equal(bids.seen.size(), 2);
  assert_int_equal(bids.seen[1].rate.in_pico_per_byte(), 4900);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(an_auction_with_four_bidders_is_paid_as_the_rule_says),
      cmocka_unit_test(a_winner_that_was_alone_pays_the_new_price),
      cmocka_unit_test(a_bid_that_waits_longer_than_its_funds_last_stays_backed),
      cmocka_unit_test(a_download_at_the_reserve_costs_exactly_its_bytes),
      cmocka_unit_test(a_payment_that_is_checked_after_its_payer_left_is_earned_for_its_torrent),
      cmocka_unit_test(free_slots_cost_nothing_and_open_no_channel),
      cmocka_unit_test(without_a_budget_nobody_bids),
      cmocka_unit_test(a_second_connection_of_a_payer_supersedes_the_first),
      cmocka_unit_test(who_cannot_prove_a_providers_key_never_has_its_place),
      cmocka_unit_test(who_cannot_prove_a_providers_key_ends_no_channel_of_it),
      cmocka_unit_test(a_provider_that_came_back_is_paid_on_its_new_connection),
      cmocka_unit_test(a_seller_that_moves_to_another_transport_is_paid_there),
      cmocka_unit_test(what_a_channel_ended_without_paying_is_paid_at_once_over_the_next),
      cmocka_unit_test(a_payer_keeps_the_connection_until_its_close_is_answered),
      cmocka_unit_test(an_empty_bucket_serves_against_a_channel_of_sixteen_pieces),
      cmocka_unit_test(a_channel_is_rolled_over_at_three_quarters_and_a_debt_is_split),
      cmocka_unit_test(the_payee_claims_at_half_life_and_at_its_threshold),
      cmocka_unit_test(an_expiring_channel_is_replaced_and_closed_in_time),
      cmocka_unit_test(a_payer_that_vanishes_has_its_channel_closed_after_ten_minutes),
      cmocka_unit_test(what_the_payee_never_closes_goes_back_to_the_payer),
      cmocka_unit_test(without_the_ledger_serving_goes_on_within_the_channel_and_nobody_is_struck),
      cmocka_unit_test(a_ledger_that_is_down_at_first_only_delays),
      cmocka_unit_test(what_was_paid_before_a_late_check_is_counted),
      cmocka_unit_test(lost_replies_open_no_second_channel),
      cmocka_unit_test(a_store_that_hangs_pauses_paid_serving_and_strikes_nobody),
      cmocka_unit_test(a_small_processor_verifies_less_often_and_still_serves),
      cmocka_unit_test(an_unpaid_piece_chokes_after_thirty_seconds_and_a_hold_stops_that_clock),
      cmocka_unit_test(switched_off_the_provider_closes_its_channels_and_loses_nothing),
      cmocka_unit_test(switched_off_the_requester_pays_what_it_owes_and_closes),
      cmocka_unit_test(a_changed_maximum_is_bid_at_once),
  };
  return RUN_TESTS(tests);
}
