// Attacks on payers and payees, one test each, over whole engines: what is expected is in PROTOCOL.md sections 6 to 12.
#include <algorithm>

#include "base/bytes.h"
#include "speed/records.h"
#include "unit/speed_duo.h"
#include "unit/test.h"

using namespace millet;
using namespace millet::speed;
using namespace millet::speed::world;

namespace {

// Attack 1.
void a_payment_of_another_channel_or_ledger_is_a_bad_signature(void**) {
  for (bool other_ledger : {false, true}) {
    Duo duo;
    duo.start();
    // The requester signs for another channel, or for a ledger of its own.
    tamper<PayMessage>(duo.world, *duo.requester, [&](PayMessage& pay) {
      PayStatement statement{duo.world.ledger.id, ChannelId(), pay.seq, pay.cum};
      if (other_ledger) {
        statement.ledger.raw.fill(0x12);
        statement.channel = duo.world.ledger.channels.begin()->first;
      }
      pay.signature = fake_sign(duo.requester->key, preimage(statement));
      return true;
    });
    duo.run(5);
    assert_int_equal(duo.counted(), 0);
    assert_true(duo.disconnected("bad signature"));
    // It is a strike: two more and the address is banned.
    duo.run(60, [&] { return duo.banned_for() > 0; });
    assert_true(duo.banned_for() > 0);
    assert_false(duo.requester->complete());
  }
}

// Attack 2.
void an_older_payment_changes_nothing_and_is_no_strike(void**) {
  Settings settings;
  settings.pieces = 200;
  Duo duo(settings);
  std::vector<PayMessage> pays;
  std::vector<AckMessage> acks;
  std::vector<ResumeMessage> resumes;
  bool hold = false;
  duo.world.on_send = [&](Node& from, PeerHandle, std::vector<uint8_t>& payload) {
    Message message = *decode(payload);
    if (const auto* ack = std::get_if<AckMessage>(&message)) acks.push_back(*ack);
    if (const auto* resume = std::get_if<ResumeMessage>(&message)) resumes.push_back(*resume);
    if (&from != duo.requester || !std::holds_alternative<PayMessage>(message)) return true;
    pays.push_back(std::get<PayMessage>(message));
    return !hold;
  };
  duo.start();
  duo.run(60, [&] { return pays.size() >= 4; });
  assert_true(duo.run(60, [&] { return duo.counted() == pays.back().cum.in_micro(); }));
  hold = true;  // nothing newer comes in while the old one is looked at
  duo.run(1);
  uint64_t before = duo.counted();
  acks.clear();
  resumes.clear();
  duo.world.inject(*duo.requester, duo.world.only_peer(*duo.requester), pays[1]);
  assert_true(duo.run(2, [&] { return !resumes.empty(); }));
  assert_true(has_ack(acks, AckStatus::stale));
  assert_int_equal(resumes.back().cum.in_micro(), before);
  assert_int_equal(duo.counted(), before);
  hold = false;
  for (const PayMessage& pay : pays) {
    if (pay.cum.in_micro() > before) duo.world.inject(*duo.requester, duo.world.only_peer(*duo.requester), pay);
  }
  assert_true(duo.run(60, [&] { return duo.requester->complete(); }));
  assert_true(duo.world.disconnects.empty());
  assert_int_equal(duo.banned_for(), 0);
  assert_int_equal(duo.world.violations.size(), 0);
}

// Attack 3.
void a_payment_above_the_capacity_does_not_count_and_serving_stops(void**) {
  Duo duo;
  duo.start();
  Tap<AckMessage> acks(duo.world, *duo.provider);
  bool lie = false;
  duo.world.on_send = [&](Node& from, PeerHandle, std::vector<uint8_t>& payload) {
    Result<Message> message = decode(payload);
    if (&from == duo.provider && std::holds_alternative<AckMessage>(*message)) acks.seen.push_back(std::get<AckMessage>(*message));
    if (&from != duo.requester || !std::holds_alternative<PayMessage>(*message)) return true;
    PayMessage pay = std::get<PayMessage>(*message);
    const auto& [id, entry] = *duo.world.ledger.channels.begin();
    pay.cum = *entry.terms.capacity.plus(Amount::micro(1));
    pay.signature = fake_sign(duo.requester->key, preimage(PayStatement{duo.world.ledger.id, id, pay.seq, pay.cum}));
    payload = encode(pay);
    lie = true;
    return true;
  };
  duo.run(20);
  assert_true(lie && has_ack(acks.seen, AckStatus::over_capacity));
  assert_int_equal(duo.counted(), 0);
  // One piece, and not a byte more.
  assert_int_equal(duo.provider->speed->payee().exposure(duo.world.only_peer(*duo.provider)).unpaid, duo.world.set.piece_size);
}

// Attack 6: forty identities of one network each take what they can and leave without paying.
void identities_without_end_get_what_the_bucket_holds(void**) {
  Settings settings;
  settings.piece_size = 1024 * 1024;
  settings.pieces = 8;
  settings.auction_slots = 40;
  settings.block_time = Duration::us(100);
  World world(1, settings);
  Node& provider = world.add("provider", true);
  world.on_send = [](Node& from, PeerHandle, std::vector<uint8_t>& payload) {
    return from.provider || !std::holds_alternative<ChannelMessage>(*decode(payload));
  };
  for (int i = 0; i < 40; ++i) {
    Node& sybil = world.add("sybil", false, 1'000'000);
    sybil.address = IpAddress::v4({10, 200, 0, static_cast<uint8_t>(i + 1)});
    world.ledger.fund(sybil.key, 1'000'000);
    world.connect(sybil, provider);
  }
  for (auto& node : world.nodes) world.start(*node);
  world.run(world.now + Duration::seconds(60));
  uint64_t got = 0;
  for (const auto& [pair, transfer] : world.transfers) got += transfer.bytes_free + transfer.bytes_paid;
  assert_true(got > 0);
  assert_in_range(got, 1, 4u << 20);  // an eighth of 32 MiB: they are all of one /24
  assert_int_equal(world.violations.size(), 0);
}

// Attack 7.
void a_winner_without_a_channel_loses_its_slot_and_the_price_falls(void**) {
  Settings settings;
  settings.auction_slots = 1;
  settings.pieces = 4000;
  settings.block_time = Duration::ms(40);
  World world(1, settings);
  Node& provider = world.add("provider", true);
  Node& liar = world.add("liar", false, 400'000'000);
  Node& honest = world.add("honest", false, 200'000'000);
  liar.max_rate = Rate::pico_per_byte(9000);
  honest.max_rate = Rate::pico_per_byte(5000);
  for (Node* node : {&liar, &honest}) {
    world.ledger.fund(node->key, 800'000'000);
    world.connect(*node, provider);
  }
  std::vector<std::pair<PeerHandle, RateMessage>> rates;
  std::vector<StopMessage> stops;
  world.on_send = [&](Node& from, PeerHandle to, std::vector<uint8_t>& payload) {
    Message message = *decode(payload);
    if (const auto* rate = std::get_if<RateMessage>(&message)) rates.push_back({to, *rate});
    if (const auto* stop = std::get_if<StopMessage>(&message)) stops.push_back(*stop);
    return &from != &liar || !std::holds_alternative<ChannelMessage>(message);
  };
  for (auto& node : world.nodes) world.start(*node);
  Instant start = world.now;
  world.run(start + Duration::seconds(60), [&] { return !stops.empty(); });
  assert_int_equal(stops.size(), 1);
  assert_int_equal(stops[0].reason, static_cast<uint8_t>(StopReason::no_channel));
  assert_in_range((world.now - start).in_seconds(), 14, 27);
  PeerHandle liars = liar.peers.empty() ? 0 : world.links[0].handle_b;
  // The honest bidder wins at once, at the reserve: the liar's bid is ignored for ten minutes.
  world.run(world.now + Duration::seconds(1));
  assert_true(rates.back().first != liars);
  assert_int_equal(rates.back().second.rate.in_pico_per_byte(), 1000);
  world.run(start + Duration::seconds(600));
  for (const auto& [to, rate] : rates) assert_true(to != liars || rate.epoch == 1);
  assert_true(world.violations.empty());
}

// Attack 8. The requester does what it should; what its notices say, or what the ledger knows of the channel, is made wrong.
void a_channel_notice_that_lies_counts_for_nothing_and_is_a_strike(void**) {
  enum Lie { larger, of_another_payee, longer };
  for (Lie lie : {larger, of_another_payee, longer}) {
    Duo duo;
    std::vector<AckMessage> acks;
    duo.world.on_send = [&](Node& from, PeerHandle, std::vector<uint8_t>& payload) {
      Message message = *decode(payload);
      if (const auto* ack = std::get_if<AckMessage>(&message)) acks.push_back(*ack);
      if (&from != duo.requester || !std::holds_alternative<ChannelMessage>(message)) return true;
      ChannelMessage channel = std::get<ChannelMessage>(message);
      auto& [id, entry] = *duo.world.ledger.channels.begin();
      if (lie == larger) channel.capacity = Amount::micro(channel.capacity.in_micro() * 2);
      // The ledger has the channel, but for somebody else: with us as the payee it is another one, which nobody opened.
      if (lie == of_another_payee) entry.terms.payee.raw[0] ^= 1;
      if (lie == longer) channel.expiry = channel.expiry.plus_seconds(24 * 3600);
      payload = encode(channel);
      return true;
    };
    duo.start();
    assert_true(duo.run(40, [&] { return has_ack(acks, AckStatus::bad_channel); }));
    assert_int_equal(duo.counted(), 0);
    uint64_t got = duo.world.transfers[{1, 0}].bytes_paid;
    assert_true(got <= duo.world.set.piece_size);
    // It is a strike, and the strike is remembered.
    duo.run(15);
    auto is_strike = [](const auto& entry) { return entry.first.first == k_table_bans; };
    assert_true(std::any_of(duo.provider->store.begin(), duo.provider->store.end(), is_strike));
    assert_int_equal(duo.counted(), 0);
  }
}

// A payer that was away can't know that its channel has ended. It learns it, and opens another one.
void a_channel_that_ended_counts_for_nothing_and_is_no_strike(void**) {
  Duo duo;
  std::vector<AckMessage> acks;
  duo.world.on_send = [&](Node& from, PeerHandle, std::vector<uint8_t>& payload) {
    Message message = *decode(payload);
    if (const auto* ack = std::get_if<AckMessage>(&message)) acks.push_back(*ack);
    bool first = &from == duo.requester && std::holds_alternative<ChannelMessage>(message) && duo.world.ledger.channels.size() == 1;
    if (first) {
      duo.world.ledger.channels.begin()->second.effective_expiry = duo.world.ledger_now();
      duo.world.ledger.expire(duo.world.ledger_now());
    }
    return true;
  };
  duo.start();
  assert_true(duo.run(20, [&] { return has_ack(acks, AckStatus::closed); }));
  assert_false(has_ack(acks, AckStatus::bad_channel));
  assert_int_equal(duo.counted(), 0);
  assert_true(duo.run_to_end());
  assert_int_equal(duo.world.ledger.channels.size(), 2);
  assert_true(duo.earned() > 0);
  for (const auto& [where, value] : duo.provider->store) assert_true(where.first != k_table_bans);
  assert_int_equal(duo.world.violations.size(), 0);
}

// Attack 16.
void a_corrupt_piece_is_not_paid_and_the_provider_is_banned(void**) {
  Duo duo;
  duo.world.corrupt_blocks = true;
  duo.start();
  duo.run(20);
  assert_int_equal(duo.counted(), 0);
  assert_int_equal(duo.world.highest_pay.size(), 0);
  assert_true(duo.requester->speed->banned_for(duo.world.now, duo.provider->address) > 23 * 3600);
  assert_true(duo.disconnected("failed its hash"));
}

// Attacks 17 and 18.
void a_rate_above_the_bid_ends_the_connection_and_is_never_paid(void**) {
  Duo duo;
  duo.requester->max_rate = Rate::pico_per_byte(5000);
  duo.start();
  tamper<RateMessage>(duo.world, *duo.provider, [](RateMessage& rate) {
    rate.rate = Rate::pico_per_byte(5001);
    return true;
  });
  duo.run(10);
  assert_true(duo.disconnected("above our bid"));
  assert_int_equal(duo.world.highest_pay.size(), 0);
  assert_int_equal(duo.requester->speed->banned_for(duo.world.now, duo.provider->address), 0);
}

// The price is honest until the requester has paid for a few pieces; then it is raised.
void a_rate_raised_above_the_bid_under_way_is_never_paid(void**) {
  Settings settings;
  settings.pieces = 200;
  Duo duo(settings);
  duo.requester->max_rate = Rate::pico_per_byte(5000);
  duo.start();
  assert_true(duo.run(10, [&] { return duo.counted() >= 300; }));
  // Payments get lost, so that the provider stops at its window and nothing is on its way.
  tamper<PayMessage>(duo.world, *duo.requester, [](PayMessage&) { return false; });
  duo.run(2);
  RateMessage rate;
  rate.epoch = 2;
  rate.bid_seq = 1;
  rate.rate = Rate::pico_per_byte(5001);
  rate.window = settings.piece_size;
  rate.pay_timeout_s = 30;
  for (bool piece : duo.requester->have) rate.sent += piece ? settings.piece_size : 0;
  for (const auto& [piece, got] : duo.requester->partial)
    rate.sent += static_cast<uint64_t>(std::count(got.begin(), got.end(), true)) * 16'384;
  duo.world.inject(*duo.provider, duo.world.only_peer(*duo.provider), rate);
  duo.run(1);
  assert_true(duo.disconnected("above our bid"));
  uint64_t verified = duo.world.transfers[{1, 0}].bytes_paid;
  for (const auto& [id, paid] : duo.world.highest_pay) assert_true(paid <= price_of(Rate::pico_per_byte(1000), verified));
}

void a_rate_that_counts_other_bytes_ends_the_connection(void**) {
  Duo duo;
  duo.start();
  tamper<RateMessage>(duo.world, *duo.provider, [](RateMessage& rate) {
    rate.sent += 16'384;
    return true;
  });
  duo.run(10);
  assert_true(duo.disconnected("counts other bytes"));
  assert_int_equal(duo.world.highest_pay.size(), 0);
}

// Attack 19: somebody else's key, without its secret.
void a_false_proof_ends_the_connection_and_strikes_no_key(void**) {
  Duo duo;
  duo.start();
  tamper<ProveMessage>(duo.world, *duo.requester, [](ProveMessage& prove) {
    prove.signature.raw[5] ^= 1;
    return true;
  });
  duo.run(10);
  assert_true(duo.disconnected("proof"));
  assert_int_equal(duo.world.ledger.channels.size(), 0);
  duo.world.on_send = nullptr;
  assert_true(duo.run(120, [&] { return duo.requester->complete(); }));
}

// Attack 20.
void phantom_bids_do_not_lift_the_price(void**) {
  for (bool phantom : {false, true}) {
    Settings settings;
    settings.auction_slots = 2;
    settings.pieces = 400;
    World world(1, settings);
    Node& provider = world.add("provider", true);
    std::vector<uint64_t> max_rates = {5000, 7000, 9000};
    if (phantom) max_rates.push_back(1'000'000);
    for (uint64_t rate : max_rates) {
      Node& node = world.add("bidder" + std::to_string(rate), false, 1'000'000'000);
      node.max_rate = Rate::pico_per_byte(rate);
      world.ledger.fund(node.key, 2'000'000'000);
      world.connect(node, provider);
    }
    std::vector<RateMessage> rates;
    world.on_send = [&](Node& from, PeerHandle, std::vector<uint8_t>& payload) {
      Message message = *decode(payload);
      if (const auto* rate = std::get_if<RateMessage>(&message)) rates.push_back(*rate);
      // The phantom has nothing that stands behind its bid.
      bool backs = std::holds_alternative<FundsMessage>(message) || std::holds_alternative<ChannelMessage>(message);
      return from.max_rate != Rate::pico_per_byte(1'000'000) || !backs;
    };
    for (auto& node : world.nodes) world.start(*node);
    world.run(world.now + Duration::seconds(25));
    assert_true(rates.size() >= 2);
    assert_int_equal(rates.back().rate.in_pico_per_byte(), 5000);
    assert_true(world.violations.empty());
  }
}

// Attack 21.
void a_price_of_zero_opens_no_channel(void**) {
  Duo duo;
  duo.provider->options.payee.reserve = Rate();
  duo.start();
  assert_true(duo.run(60, [&] { return duo.requester->complete(); }));
  assert_int_equal(duo.world.ledger.channels.size(), 0);
}

// Attack 22: served for nothing until little is left of the torrent and all of the budget, and asked for the whole bid from then on.
void a_bid_at_the_end_is_capped_and_the_budget_holds(void**) {
  constexpr uint64_t k_budget = 30'000, k_max_pico = 24'000;
  Settings settings;
  settings.pieces = 30;
  settings.free_slots = 1;
  settings.auction_slots = 0;
  settings.block_time = Duration::seconds(2);  // minutes, in which it may bid again
  Duo duo(settings, k_budget);
  duo.requester->max_rate = Rate::pico_per_byte(k_max_pico);
  std::vector<Rate> bids;
  duo.world.on_send = [&](Node& from, PeerHandle, std::vector<uint8_t>& payload) {
    Message message = *decode(payload);
    const auto* sent = std::get_if<BidMessage>(&message);
    if (sent != nullptr && &from == duo.requester && !sent->rate.is_zero()) bids.push_back(sent->rate);
    if (const auto* asked = std::get_if<RateMessage>(&message); asked != nullptr && !asked->rate.is_zero()) {
      RateMessage greedy = *asked;
      greedy.rate = bids.back();
      payload = encode(greedy);
    }
    return true;
  };
  duo.start();
  assert_true(duo.run(600, [&] { return std::count(duo.requester->have.begin(), duo.requester->have.end(), true) >= 26; }));
  assert_int_equal(duo.world.liability(duo.requester->key), 0);
  assert_true(bids.front() < Rate::pico_per_byte(k_max_pico));
  duo.world.set.free_slots = 0;
  duo.world.set.auction_slots = 1;
  assert_true(duo.run(600, [&] { return duo.requester->complete(); }));
  assert_true(*std::max_element(bids.begin(), bids.end()) == Rate::pico_per_byte(k_max_pico));
  uint64_t bytes = duo.world.transfers[{1, 0}].bytes_paid;
  assert_true(bytes >= settings.piece_size);
  assert_true(duo.run_to_end());
  assert_in_range(duo.earned(), bids.front().in_pico_per_byte() * bytes / 1'000'000, k_max_pico * bytes / 1'000'000 + 1);
  assert_true(duo.requester->speed->payer().spent(duo.world.info_hash).in_micro() == duo.earned());
  assert_true(duo.world.violations.empty());
}

// The same from the other side: an auctioneer that names the whole bid as its price, over and over. It gets the budget at most.
void an_auctioneer_that_always_takes_the_whole_bid_gets_no_more_than_the_budget(void**) {
  constexpr uint64_t k_budget = 50'000;
  Settings settings;
  settings.pieces = 40;
  settings.block_time = Duration::seconds(2);  // minutes, in which it may bid again
  Duo duo(settings, k_budget);
  duo.world.ledger.fund(duo.requester->key, 10 * k_budget);
  Rate bid;
  duo.world.on_send = [&](Node& from, PeerHandle, std::vector<uint8_t>& payload) {
    Message message = *decode(payload);
    if (const auto* sent = std::get_if<BidMessage>(&message); sent != nullptr && &from == duo.requester) bid = sent->rate;
    if (const auto* asked = std::get_if<RateMessage>(&message); asked != nullptr && !asked->rate.is_zero()) {
      RateMessage greedy = *asked;
      greedy.rate = bid;
      payload = encode(greedy);
    }
    return true;
  };
  duo.start();
  assert_true(duo.run(900, [&] { return duo.requester->complete(); }));
  uint64_t paid = duo.world.liability(duo.requester->key);
  assert_in_range(paid, k_budget / 2, k_budget);
  assert_true(duo.requester->speed->payer().spent(duo.world.info_hash).in_micro() <= k_budget);
}

// Attack 23.
void a_flood_of_bids_is_ignored_and_an_honest_requester_makes_none(void**) {
  Settings settings;
  settings.pieces = 2000;
  settings.block_time = Duration::ms(30);
  Duo duo(settings, 1'000'000'000);
  duo.requester->max_rate = Rate::pico_per_byte(5000);
  Tap<BidMessage> bids(duo.world, *duo.requester);
  duo.start();
  duo.run(30);
  assert_int_equal(bids.seen.size(), 1);
  // Twenty bids in a second: one is left of the two that are accepted at once.
  PeerHandle peer = duo.world.only_peer(*duo.requester);
  for (uint32_t i = 0; i < 20; ++i) duo.world.inject(*duo.requester, peer, BidMessage{100 + i, 0, Rate::pico_per_byte(2000 + i)});
  duo.world.run(duo.world.now + Duration::ms(50));
  Rate accepted = duo.provider->speed->payee().backed_bid(duo.world.now, duo.world.only_peer(*duo.provider));
  assert_int_equal(accepted.in_pico_per_byte(), 2000);
  // The honest side bids at most once a minute, and once on the new connection that the forged bids made necessary.
  duo.run(600);
  assert_true(bids.seen.size() <= 12);
}

// Prices that are named and never paid are no market, whoever names them; and a provider has few to name.
void prices_that_nobody_pays_do_not_lower_the_bid(void**) {
  Settings settings;
  settings.auction_slots = 0;  // nothing is sold
  Duo duo(settings);
  duo.requester->max_rate = Rate::pico_per_byte(5000);
  Tap<BidMessage> bids(duo.world, *duo.requester);
  duo.start();
  duo.run(2);
  RateMessage rate;
  rate.bid_seq = 1;
  rate.window = settings.piece_size;
  rate.pay_timeout_s = 30;
  auto say = [&](uint32_t number, Duration apart) {
    for (uint32_t i = 0; i < number; ++i) {
      ++rate.epoch;
      rate.rate = Rate::pico_per_byte(1 + i % 2);
      duo.world.inject(*duo.provider, duo.world.only_peer(*duo.provider), rate);
      duo.world.run(duo.world.now + apart);
    }
  };
  say(16, Duration());
  duo.run(2);
  say(180, Duration::ms(1001));
  assert_true(duo.world.disconnects.empty());
  assert_false(duo.requester->speed->payer().market_rate().has_value());
  assert_int_equal(bids.seen.size(), 1);
  assert_int_equal(duo.requester->speed->payer().bid_of(duo.world.info_hash).in_pico_per_byte(), 5000);
  say(30, Duration::ms(100));
  duo.world.run(duo.world.now + settings.delay);
  assert_true(duo.disconnected("rates without end"));
}

// PROTOCOL.md: HELLO comes once.
void a_second_hello_ends_the_connection(void**) {
  Duo duo;
  duo.start();
  duo.run(1);
  duo.world.inject(*duo.requester, duo.world.only_peer(*duo.requester), HelloMessage());
  duo.run(1);
  assert_true(duo.disconnected("second hello"));
}

void garbage_ends_the_connection(void**) {
  Duo duo;
  duo.start();
  duo.run(1);
  duo.provider->speed->on_message(duo.world.now, duo.world.only_peer(*duo.provider), as_bytes("\x04short"));
  duo.world.drain(*duo.provider);
  assert_true(duo.disconnected("pay"));
}

void funds_that_the_ledger_did_not_sign_end_the_connection(void**) {
  Duo duo;
  duo.start();
  tamper<FundsMessage>(duo.world, *duo.requester, [](FundsMessage& funds) {
    funds.available = Amount::supply();
    return true;
  });
  duo.run(3);
  assert_true(duo.disconnected("did not sign"));
}

// A provider that makes up a RESUME gets nothing by it.
void a_resume_with_a_false_signature_ends_the_connection(void**) {
  Duo duo;
  duo.start();
  tamper<ResumeMessage>(duo.world, *duo.provider, [](ResumeMessage& resume) {
    resume.slot = 0;
    resume.seq = 7;
    resume.cum = Amount::micro(500);
    return true;
  });
  duo.run(5);
  assert_true(duo.disconnected("not ours"));
  assert_int_equal(duo.world.highest_pay.size(), 0);
}

// The answer to the check of one RESUME comes when its connection is gone and the next one has brought another: a provider could show a
// true signature first and make up an amount then.
void the_check_of_one_resume_does_not_vouch_for_another(void**) {
  Settings settings;
  settings.pieces = 60;
  settings.block_time = Duration::ms(200);
  Duo duo(settings);
  duo.start_and_restore_the_requester();
  // Both checks are slow, the second one slower.
  Duration checks[] = {Duration::seconds(3), Duration::seconds(10)};
  uint64_t shown[2] = {};
  unsigned resumes = 0;
  duo.world.on_send = [&](Node& from, PeerHandle, std::vector<uint8_t>& payload) {
    Result<Message> message = decode(payload);
    auto* resume = message ? std::get_if<ResumeMessage>(&*message) : nullptr;
    if (&from != duo.provider || resume == nullptr || resumes == 2) return true;
    if (resumes == 1) resume->cum = *resume->cum.plus(Amount::micro(500));
    if (resumes == 1) ++resume->seq;
    payload = encode(*resume);
    shown[resumes] = resume->cum.in_micro();
    duo.world.set.work_time = checks[resumes++];
    return true;
  };
  for (unsigned i = 1; i <= 2; ++i) {
    duo.world.links[0].reconnect_at = duo.world.now;
    assert_true(duo.run(5, [&] { return resumes == i; }));
    duo.world.violations.clear();  // of the world's own, that a provider shows what it does not hold
    duo.world.forget_promises();
    duo.world.run(duo.world.now + settings.delay + Duration::ms(1));
    duo.world.set.work_time = settings.work_time;
    if (i == 1) duo.world.cut(0, duo.world.now);
  }
  assert_true(shown[0] > 2000 && shown[1] == shown[0] + 500);
  auto known = [&] { return duo.requester->speed->payer().channels()[0].amount.in_micro(); };
  assert_true(known() < shown[0]);
  duo.run(5);  // the first check has been answered, the second not
  assert_false(duo.disconnected("not ours"));
  assert_true(known() < shown[0]);
  duo.run(6);
  assert_true(duo.disconnected("not ours"));
  assert_true(known() < shown[0]);
  // And the true one still counts.
  assert_true(duo.run_to_end());
  uint64_t full = uint64_t{settings.pieces} * settings.piece_size / 1000;
  assert_in_range(duo.earned(), full - 200, full + 1);
  assert_int_equal(duo.world.violations.size(), 0);
}

// A payer that takes and does not pay: one piece, a strike each time, then a ban that outlives a restart.
void who_never_pays_gets_three_pieces_and_a_ban(void**) {
  Duo duo;
  duo.start();
  tamper<PayMessage>(duo.world, *duo.requester, [](PayMessage&) { return false; });
  // It comes back after each choke, as somebody who wants to cheat would.
  for (int i = 0; i < 20 && duo.banned_for() == 0; ++i) {
    duo.run(45);
    duo.world.cut(0, duo.world.now + Duration::seconds(1));
  }
  assert_true(duo.banned_for() > 0);
  uint64_t got = duo.world.transfers[{1, 0}].bytes_paid;
  assert_in_range(got, duo.world.set.piece_size, 4 * duo.world.set.piece_size);
  assert_true(duo.world.violations.empty());
  duo.run(15);
  duo.world.crash(*duo.provider);
  duo.world.start(*duo.provider);
  assert_true(duo.banned_for() > 0);
}

// Somebody with a new name each time, who announces a channel (and pays over it, if `pays`) while nobody can tell whether it exists. The
// channels that the provider has then.
size_t visit(World& world, Node& provider, uint32_t number, const IpAddress& from, bool pays) {
  Node& visitor = world.add("visitor", false);
  store_be<uint32_t>(visitor.key.raw.data(), 0xee000000 + number);
  visitor.address = from;
  world.connect(visitor, provider);
  world.start(visitor);
  world.run(world.now + Duration::ms(100));
  PeerHandle at = world.only_peer(visitor);
  ChannelMessage channel;
  channel.capacity = Amount::micro(1'000'000);
  channel.expiry = world.ledger_now().plus_seconds(3600);
  channel.valid_until = world.ledger_now().plus_seconds(500);
  world.inject(visitor, at, channel);
  world.run(world.now + Duration::ms(100));
  if (pays) world.inject(visitor, at, PayMessage{0, 1, Amount::micro(1), Signature()});
  world.run(world.now + Duration::ms(100));
  size_t channels = provider.speed->payee().channels().size();
  world.crash(visitor);
  return channels;
}

void names_that_come_and_go_while_the_ledger_is_away_take_no_room(void**) {
  World world(1);
  Node& provider = world.add("provider", true);
  world.ledger.up = false;
  world.start(provider);
  auto channels = [&] { return provider.speed->payee().channels().size(); };
  uint32_t number = 0;
  for (; number < 5; ++number) {
    assert_int_equal(visit(world, provider, number, IpAddress::v4({10, 200, 0, 1}), false), 1);
    assert_int_equal(channels(), 0);
  }
  // A payment that waits may be money: it is kept, but not for all the names of one network. The first five are remembered for a while.
  for (uint32_t i = 0; i < Payee::k_network_accounts + 10; ++i)
    visit(world, provider, ++number, IpAddress::v4({10, 200, 0, static_cast<uint8_t>(i % 200)}), true);
  assert_int_equal(channels(), Payee::k_network_accounts - 5);
  visit(world, provider, ++number, IpAddress::v4({10, 201, 0, 1}), true);
  assert_int_equal(channels(), Payee::k_network_accounts - 4);
  assert_int_equal(world.violations.size(), 0);
}

// The whole connection is refused, also for what would cost nothing: that must end without a ledger, too, and over restarts.
void a_ban_ends_although_the_ledger_is_gone_for_good(void**) {
  Duo duo;
  duo.start();
  tamper<PayMessage>(duo.world, *duo.requester, [](PayMessage&) { return false; });
  for (int i = 0; i < 20 && duo.banned_for() == 0; ++i) {
    duo.run(45);
    duo.world.cut(0, duo.world.now + Duration::seconds(1));
  }
  duo.run(15);
  duo.world.ledger.up = false;
  duo.world.crash(*duo.provider);
  duo.world.start(*duo.provider);
  uint64_t left = duo.banned_for();
  assert_in_range(left, 3000, BanList::k_ban_s);
  duo.world.links[0].reconnect_at = duo.world.now;
  duo.run(1800);
  assert_in_range(duo.banned_for(), left - 1801, left - 1799);
  duo.run(static_cast<int64_t>(left) - 1800);
  assert_int_equal(duo.banned_for(), 0);
  assert_true(duo.run(60, [&] { return duo.world.links[0].up; }));
}

void payments_faster_than_blocks_are_a_protocol_error(void**) {
  Duo duo;
  duo.start();
  duo.run(5, [&] { return duo.counted() > 0; });
  PeerHandle peer = duo.world.only_peer(*duo.requester);
  for (uint32_t i = 0; i < 200; ++i) duo.world.inject(*duo.requester, peer, PayMessage{0, 1, Amount::micro(1), Signature()});
  duo.run(2);
  assert_true(duo.disconnected("more payments than served blocks"));
}

// Each RESUME names what is durable: a payer that pays and announces its channel every second would have the provider commit as often.
void a_payer_that_announces_without_end_does_not_wear_out_the_flash(void**) {
  Settings settings;
  settings.pieces = 4000;
  Duo duo(settings);
  std::optional<ChannelMessage> notice;
  uint64_t resumes = 0;
  duo.world.on_send = [&](Node& from, PeerHandle, std::vector<uint8_t>& payload) {
    Message message = *decode(payload);
    if (const auto* channel = std::get_if<ChannelMessage>(&message)) notice = *channel;
    if (&from == duo.provider && std::holds_alternative<ResumeMessage>(message)) ++resumes;
    return true;
  };
  duo.start();
  assert_true(duo.run(10, [&] { return (duo.counted() + duo.earned()) > 0; }));
  constexpr uint64_t k_seconds = 90;
  const uint64_t before = duo.provider->commits, paid = (duo.counted() + duo.earned());
  resumes = 0;
  for (uint64_t i = 0; i < k_seconds; ++i) {
    duo.world.inject(*duo.requester, duo.world.only_peer(*duo.requester), *notice);
    duo.run(1);
  }
  // One in ten seconds that are due, as many for RESUMEs, eight at once, and one for each of the few channels that are new.
  assert_true(duo.provider->commits - before <= k_seconds / 10 * 2 + 8 + 4);
  assert_true(resumes >= k_seconds / 10);
  assert_true((duo.counted() + duo.earned()) > paid + k_seconds * 1000);
  assert_true(duo.world.violations.empty());
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(a_payer_that_announces_without_end_does_not_wear_out_the_flash),
      cmocka_unit_test(a_payment_of_another_channel_or_ledger_is_a_bad_signature),
      cmocka_unit_test(an_older_payment_changes_nothing_and_is_no_strike),
      cmocka_unit_test(a_payment_above_the_capacity_does_not_count_and_serving_stops),
      cmocka_unit_test(identities_without_end_get_what_the_bucket_holds),
      cmocka_unit_test(a_winner_without_a_channel_loses_its_slot_and_the_price_falls),
      cmocka_unit_test(a_channel_notice_that_lies_counts_for_nothing_and_is_a_strike),
      cmocka_unit_test(a_channel_that_ended_counts_for_nothing_and_is_no_strike),
      cmocka_unit_test(a_corrupt_piece_is_not_paid_and_the_provider_is_banned),
      cmocka_unit_test(a_rate_above_the_bid_ends_the_connection_and_is_never_paid),
      cmocka_unit_test(a_rate_raised_above_the_bid_under_way_is_never_paid),
      cmocka_unit_test(a_rate_that_counts_other_bytes_ends_the_connection),
      cmocka_unit_test(a_false_proof_ends_the_connection_and_strikes_no_key),
      cmocka_unit_test(phantom_bids_do_not_lift_the_price),
      cmocka_unit_test(a_price_of_zero_opens_no_channel),
      cmocka_unit_test(a_bid_at_the_end_is_capped_and_the_budget_holds),
      cmocka_unit_test(an_auctioneer_that_always_takes_the_whole_bid_gets_no_more_than_the_budget),
      cmocka_unit_test(a_flood_of_bids_is_ignored_and_an_honest_requester_makes_none),
      cmocka_unit_test(prices_that_nobody_pays_do_not_lower_the_bid),
      cmocka_unit_test(a_second_hello_ends_the_connection),
      cmocka_unit_test(garbage_ends_the_connection),
      cmocka_unit_test(funds_that_the_ledger_did_not_sign_end_the_connection),
      cmocka_unit_test(a_resume_with_a_false_signature_ends_the_connection),
      cmocka_unit_test(the_check_of_one_resume_does_not_vouch_for_another),
      cmocka_unit_test(who_never_pays_gets_three_pieces_and_a_ban),
      cmocka_unit_test(names_that_come_and_go_while_the_ledger_is_away_take_no_room),
      cmocka_unit_test(a_ban_ends_although_the_ledger_is_gone_for_good),
      cmocka_unit_test(payments_faster_than_blocks_are_a_protocol_error),
  };
  return RUN_TESTS(tests);
}
