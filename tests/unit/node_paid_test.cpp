// node: slots sold at auction and pieces paid for, between whole nodes and the real ledger.
#include "ledger/common/evidence.h"
#include "unit/node_market.h"
#include "unit/test.h"

using namespace millet;
using namespace millet::testing;

static void a_single_bidder_pays_the_reserve_for_every_byte(void**) {
  Market market;
  Payload payload = make_payload(1, k_piece, {3'000'000});
  Machine& seed = market.seed_of(payload, 0);
  Machine& buyer = market.buyer(payload, seed, 100, 50);
  assert_true(market.completes(buyer, payload));
  market.world.run(Duration::seconds(5));
  TorrentStatus bought = buyer.status(payload.hash);
  TorrentStatus sold = seed.status(payload.hash);
  assert_true(bought.bytes_paid_down > payload.size * 3 / 4);
  assert_int_equal(bought.bytes_paid_down + bought.bytes_free_down, payload.size);
  // 1 BTT per GB.
  uint64_t price = price_of(Rate::pico_per_byte(1000), bought.bytes_paid_down).in_micro();
  assert_int_equal(bought.spent.in_micro(), price);
  assert_int_equal(sold.earned.in_micro(), price);
  assert_int_equal(sold.bytes_paid_up, bought.bytes_paid_down);
  std::vector<AuctionRound> rounds = seed.node->auctions();
  assert_true(!rounds.empty());
  assert_true(rounds.front().price == Rate::pico_per_byte(1000) && rounds.front().losing_bid == -1 && rounds.front().bids[0].won);
  // What was bid and paid is still to be seen.
  std::vector<OwnBid> own = buyer.node->own_bids();
  assert_int_equal(own.size(), 1);
  assert_true(own[0].state == "ended" && own[0].remote == seed.endpoint && own[0].info_hash == payload.hash);
  assert_true(own[0].price == Rate::pico_per_byte(1000) && own[0].bid >= own[0].price);
  assert_true(market.all_channels_end({&seed, &buyer}));
  assert_int_equal(market.balance(seed), price);
  assert_int_equal(market.balance(buyer), 100 * k_btt - price);
}

static void the_highest_bids_win_at_the_losing_bid(void**) {
  Market market;
  Payload payload = make_payload(2, k_piece, {6'000'000});
  Machine& seed = market.seed_of(payload, 200'000);
  // Bids are the budget over what is left: 500, 400 and 300 BTT for 6 MB.
  Machine& a = market.buyer(payload, seed, 1000, 500);
  Machine& b = market.buyer(payload, seed, 1000, 400);
  Machine& c = market.buyer(payload, seed, 1000, 300);
  market.world.run(Duration::seconds(25));
  AuctionRound round = seed.node->auctions().back();
  assert_int_equal(round.slots, 2);
  assert_int_equal(round.bids.size(), 3);
  assert_true(round.bids[0].payer == a.identity.key && round.bids[0].won);
  assert_true(round.bids[1].payer == b.identity.key && round.bids[1].won);
  assert_true(round.bids[2].payer == c.identity.key && !round.bids[2].won);
  assert_int_equal(round.losing_bid, 2);
  assert_true(round.price == round.bids[2].rate);
  assert_true(market.completes(a, payload) && market.completes(b, payload) && market.completes(c, payload));
  // Who lost at first wins when another has finished.
  assert_true(c.status(payload.hash).bytes_paid_down > 0);
  assert_true(market.all_channels_end({&seed, &a, &b, &c}));
  uint64_t sum = market.balance(seed) + market.balance(a) + market.balance(b) + market.balance(c);
  assert_int_equal(sum, market.funded);
  for (Machine* machine : {&a, &b, &c}) assert_true(market.balance(*machine) >= 500 * k_btt);
}

// Whoever still downloads sells what it has, too; to a partner that gives it data the slot costs less, never less than the reserve.
static void own_bids_say_what_they_are_based_on(void**) {
  Market market;
  Payload payload = make_payload(15, k_piece, {6'000'000});
  Machine& seed = market.seed_of(payload, 200'000);
  Machine& buyer = market.buyer(payload, seed, 100, 50, 3);
  market.world.run(Duration::seconds(20));
  std::vector<OwnBid> own = buyer.node->own_bids();
  assert_int_equal(own.size(), 1);
  assert_string_equal(own[0].state.c_str(), "won");
  assert_string_equal(own[0].basis.limited_by.c_str(), "max_rate");
  assert_true(own[0].bid == Rate::pico_per_byte(3000) && own[0].basis.max_rate == own[0].bid && own[0].basis.formula > own[0].bid);
  assert_true(!own[0].basis.budget_left.is_zero() && own[0].basis.bytes_left <= payload.size && own[0].basis.rare_quarters == 0);
  assert_true(market.completes(buyer, payload));
  market.world.run(Duration::seconds(30));
  auto earned = [&] {
    std::vector<HistoryDay> days = seed.node->history();
    return days.size() == 1 && days[0].info_hash == payload.hash && days[0].bytes_sold > 0 ? days[0].earned.in_micro() : 0;
  };
  uint64_t before = earned();
  assert_true(before > 0 && before == seed.status(payload.hash).earned.in_micro());
  assert_int_equal(buyer.node->history().at(0).spent.in_micro(), before);
  seed.crash();
  seed.start();
  market.world.run(Duration::seconds(2));
  assert_int_equal(earned(), before);
}

static void a_download_sells_its_slots_too(void**) {
  Market market;
  Payload payload = make_payload(12, k_piece, {6'000'000});
  Machine& seed = market.world.add();  // without BitTorrent Speed
  seed.config.upload_rate = 60'000;
  seed.put(payload);
  seed.start();
  seed.add(payload, {}, true);
  market.world.run(Duration::seconds(3));
  Machine& middle = market.add();
  middle.config.upload_slots = 4;
  middle.start();
  market.world.run(Duration::seconds(1));
  middle.add(payload, {seed.endpoint});
  market.world.run(Duration::seconds(30));
  assert_true(middle.status(payload.hash).state == TorrentState::downloading);
  Machine& buyer = market.buyer(payload, middle, 100, 50);
  bool sold = market.world.run_until(Duration::seconds(50), [&] { return buyer.status(payload.hash).bytes_paid_down > 500'000; });
  assert_true(sold && middle.status(payload.hash).state == TorrentState::downloading);
  assert_true(market.completes(middle, payload) && market.completes(buyer, payload));
  market.world.run(Duration::seconds(5));
  assert_int_equal(middle.status(payload.hash).earned.in_micro(),
                   price_of(Rate::pico_per_byte(1000), buyer.status(payload.hash).bytes_paid_down).in_micro());
  assert_true(market.all_channels_end({&middle, &buyer}));
  assert_int_equal(market.balance(middle) + market.balance(buyer), market.funded);
}

// Two that download the same, bid, and sell: each pays the other, and the money that moves is what moves at the ledger.
static void two_downloads_buy_from_each_other(void**) {
  Market market;
  Payload payload = make_payload(13, k_piece, {4'000'000});
  Machine& seed = market.world.add();
  seed.config.upload_rate = 80'000;
  seed.put(payload);
  seed.start();
  seed.add(payload, {}, true);
  market.world.run(Duration::seconds(3));
  std::vector<Machine*> pair;
  for (int i = 0; i < 2; ++i) {
    Machine& machine = market.add(100);
    machine.config.budget = Amount::micro(20 * k_btt);
    machine.config.max_rate = Rate::pico_per_byte(5'000'000);
    machine.config.upload_slots = 4;
    machine.start();
    market.world.run(Duration::seconds(1));
    machine.add(payload, {seed.endpoint});
    pair.push_back(&machine);
  }
  pair[1]->command(&Node::remove_torrent, payload.hash, false);
  pair[1]->add(payload, {seed.endpoint, pair[0]->endpoint});
  assert_true(market.completes(*pair[0], payload) && market.completes(*pair[1], payload));
  market.world.run(Duration::seconds(5));
  TorrentStatus a = pair[0]->status(payload.hash), b = pair[1]->status(payload.hash);
  assert_true(a.bytes_paid_down > 0 && b.bytes_paid_down > 0);
  assert_int_equal(a.earned.in_micro(), b.spent.in_micro());
  assert_int_equal(b.earned.in_micro(), a.spent.in_micro());
  assert_false(pair[0]->log.has("speed_strike") || pair[1]->log.has("speed_strike"));
  assert_true(market.all_channels_end({pair[0], pair[1]}));
  assert_int_equal(market.balance(*pair[0]), 100 * k_btt + a.earned.in_micro() - a.spent.in_micro());
  assert_int_equal(market.balance(*pair[1]), 100 * k_btt + b.earned.in_micro() - b.spent.in_micro());
}

static void a_torrent_sells_at_its_own_reserve(void**) {
  Market market;
  Payload payload = make_payload(14, k_piece, {2'000'000});
  Machine& seed = market.seed_of(payload, 0);
  TorrentSettings settings;
  settings.reserve = Rate::pico_per_byte(3000);
  seed.command(&Node::set_torrent, payload.hash, settings);
  market.world.run(Duration::seconds(15));
  seed.crash();
  seed.start();  // it is kept
  market.world.run(Duration::seconds(3));
  assert_true(seed.status(payload.hash).reserve == Rate::pico_per_byte(3000));
  Machine& buyer = market.buyer(payload, seed, 100, 50);
  assert_true(market.completes(buyer, payload));
  market.world.run(Duration::seconds(5));
  TorrentStatus bought = buyer.status(payload.hash);
  assert_true(bought.bytes_paid_down > 0);
  assert_int_equal(bought.spent.in_micro(), price_of(Rate::pico_per_byte(3000), bought.bytes_paid_down).in_micro());
}

// White paper: peers without Speed notice nothing of it. They get at least what they would get from a node without Speed that has only the
// slots, and the share of the link, that are not auctioned.
static void peers_without_speed_get_what_the_unsold_slots_give(void**) {
  constexpr uint32_t k_slots = 6, k_sold = 4, k_plain = 4, k_bidders = 5;
  constexpr uint64_t k_rate = 240'000;
  auto bytes_of_plain_peers = [&](bool speed, uint64_t number) {
    Market market(number);
    Payload payload = make_payload(16, k_piece, {40'000'000});
    Machine& seed = market.add();
    seed.config.speed_enabled = speed;
    seed.config.upload_slots = speed ? k_slots : k_slots - k_sold;
    seed.config.upload_rate = speed ? k_rate : k_rate / k_slots * (k_slots - k_sold);
    seed.put(payload);
    seed.start();
    seed.add(payload, {}, true);
    market.world.run(Duration::seconds(3));
    std::vector<Machine*> plain;
    for (uint32_t i = 0; i < k_plain + k_bidders; ++i) {
      bool bids = i % 2 == 1 || i >= 2 * k_plain;
      if (bids) {
        market.buyer(payload, seed, 1000, 500 + i, 100'000);
        continue;
      }
      Machine& peer = market.world.add();
      peer.start();
      market.world.run(Duration::seconds(1));
      peer.add(payload, {seed.endpoint});
      plain.push_back(&peer);
    }
    market.world.run(Duration::minutes(4));
    uint64_t sum = 0;
    for (Machine* peer : plain) sum += peer->status(payload.hash).downloaded;
    uint64_t paid = seed.status(payload.hash).bytes_paid_up;
    CHECK(plain.size() == k_plain && (paid > 10'000'000) == speed);
    return sum;
  };
  for (uint64_t number = 1; number <= 3; ++number) {
    uint64_t with = bytes_of_plain_peers(true, number);
    uint64_t without = bytes_of_plain_peers(false, number);
    print_message("seed %d: %d KB from a node with Speed, %d KB without\n", static_cast<int>(number), static_cast<int>(with / 1000),
                  static_cast<int>(without / 1000));
    assert_true(with >= without);
  }
}

static void slots_are_never_more_than_configured(void**) {
  Market market;
  Payload payload = make_payload(3, k_piece, {4'000'000});
  Machine& seed = market.seed_of(payload, 150'000);
  std::vector<Machine*> leechers;
  for (int i = 0; i < 5; ++i) {
    Machine& leecher = market.world.add();
    leecher.start();
    leecher.add(payload, {seed.endpoint});
    leechers.push_back(&leecher);
  }
  market.world.run(Duration::seconds(12));
  for (int i = 0; i < 3; ++i) leechers.push_back(&market.buyer(payload, seed, 100, 50));
  Instant end = market.world.now + Duration::minutes(2);
  bool sold = false;
  while (market.world.now < end) {
    market.world.run(Duration::ms(50));
    uint32_t unchoked = 0;
    for (const PeerStatus& peer : seed.node->peers(market.world.now, std::nullopt)) {
      unchoked += !peer.choked_by_us;
      sold = sold || peer.slot == "auction";
    }
    assert_true(unchoked <= seed.config.upload_slots);
  }
  assert_true(sold);
  for (Machine* leecher : leechers) assert_true(market.completes(*leecher, payload));
}

static void without_a_budget_nothing_is_bid_or_paid(void**) {
  Market market;
  Payload payload = make_payload(4, k_piece, {1'000'000});
  Machine& seed = market.seed_of(payload, 0);
  Machine& leecher = market.buyer(payload, seed, 100, 0);
  assert_true(market.completes(leecher, payload));
  assert_true(leecher.status(payload.hash).spent.is_zero() && seed.node->auctions().empty());
  assert_int_equal(market.balance(leecher), 100 * k_btt);
}

// Who starts with an empty account, or without a ledger, is told so; what it claims is bid within seconds.
static void a_torrent_that_cannot_bid_says_why(void**) {
  Market market;
  Payload payload = make_payload(17, k_piece, {5'000'000});
  Machine& seed = market.seed_of(payload, 20'000);
  market.ledger_up = false;
  Machine& buyer = market.buyer(payload, seed, 0, 5);
  auto reason = [&] {
    std::vector<NoBid> all = buyer.node->no_bids();
    return all.size() == 1 && all[0].info_hash == payload.hash ? all[0].reason : std::string();
  };
  market.world.run(Duration::seconds(30));
  assert_true(reason().starts_with("the ledger is unreachable"));
  market.ledger_up = true;
  market.world.run(Duration::minutes(2));
  assert_string_equal(reason().c_str(), "no funds: millet wallet claim");
  assert_int_equal(Market::count(buyer, "event=speed_no_funds"), 1);
  market.fund(buyer.identity.key, 10 * k_btt);
  assert_true(market.world.run_until(Duration::seconds(20), [&] { return !buyer.node->own_bids().empty(); }));
  assert_true(reason().empty());
  buyer.config.speed_enabled = false;
  buyer.reconfigure();
  assert_true(reason().starts_with("switched off"));
}

static void a_changed_budget_bids_at_once(void**) {
  Market market;
  Payload payload = make_payload(5, k_piece, {5'000'000});
  Machine& seed = market.seed_of(payload, 100'000);
  market.buyer(payload, seed, 1000, 400);
  market.buyer(payload, seed, 1000, 300);
  Machine& c = market.buyer(payload, seed, 1000, 1);
  market.world.run(Duration::seconds(15));
  auto wins = [&] {
    AuctionRound round = seed.node->auctions().back();
    for (const AuctionBid& bid : round.bids) {
      if (bid.payer == c.identity.key) return bid.won;
    }
    return false;
  };
  assert_false(wins());
  c.command(&Node::set_torrent, payload.hash, TorrentSettings{Amount::micro(900 * k_btt), {}, {}, {}});
  assert_true(market.world.run_until(Duration::seconds(12), wins));
}

// A winner that takes the extension back (BEP 10: id 0) can't be asked for money: it has to wait for a slot like everybody else.
static void a_sold_slot_ends_with_the_extension(void**) {
  Market market;
  Payload payload = make_payload(11, k_piece, {20'000'000});
  Machine& seed = market.seed_of(payload, 200'000);
  Machine& buyer = market.buyer(payload, seed, 100, 50);
  auto slot = [&] {
    std::vector<PeerStatus> peers = seed.node->peers(market.world.now, std::nullopt);
    return peers.empty() ? PeerStatus() : peers[0];
  };
  assert_true(market.world.run_until(Duration::seconds(30), [&] { return slot().slot == "auction" && !slot().choked_by_us; }));
  buyer.command(&Node::set_torrent, payload.hash, TorrentSettings{{}, {}, false, {}});
  market.world.run(Duration::seconds(1));
  for (int i = 0; i < 60; ++i) {
    assert_true(slot().slot != "auction");
    market.world.run(Duration::seconds(1));
  }
  assert_true(seed.status(payload.hash).bytes_free_up > 0);  // by the ordinary choker
  // The same if the provider takes it back.
  buyer.command(&Node::set_torrent, payload.hash, TorrentSettings{{}, {}, true, {}});
  assert_true(market.world.run_until(Duration::minutes(2), [&] { return slot().slot == "auction"; }));
  seed.command(&Node::set_torrent, payload.hash, TorrentSettings{{}, {}, false, {}});
  market.world.run(Duration::seconds(1));
  assert_true(slot().slot != "auction");
}

// Both sides have dialled each other, and one of the two connections comes through when the other is in the middle of a sale: blocks that
// were lost with that one would be owed for ever, and cost the payer a strike.
static void a_second_connection_does_not_break_a_sale(void**) {
  bool seen[2] = {};
  for (uint64_t number = 1; number <= 12; ++number) {
    Market market(number);
    Payload payload = make_payload(20, k_piece, {3'000'000});
    Machine& seed = market.seed_of(payload, 200'000);
    Machine& buyer = market.add(100);
    buyer.config.budget = Amount::micro(50 * k_btt);
    buyer.config.max_rate = Rate::pico_per_byte(1'000'000'000);
    buyer.start();
    market.world.run(Duration::seconds(1));
    const Machine* late = number % 2 == 0 ? &seed : &buyer;
    market.world.delays = [late](const Machine& from) {
      return World::Delays{&from == late ? Duration::seconds(8) : Duration::ms(100), Duration::ms(100)};
    };
    seed.command(&Node::remove_torrent, payload.hash, false);
    if (late == &seed) seed.add(payload, {buyer.endpoint}, true);
    buyer.add(payload, {seed.endpoint});
    if (late == &buyer) seed.add(payload, {buyer.endpoint}, true);
    market.world.run(Duration::ms(7900));
    uint64_t before = buyer.status(payload.hash).bytes_paid_down;
    assert_true(before > 0 && before < payload.size);
    assert_true(market.completes(buyer, payload));
    auto refused = [](const Machine& machine) { return machine.log.has("connected to this peer already"); };
    assert_true(refused(seed) || refused(buyer));
    assert_false(seed.log.has("speed_written_off"));
    assert_false(seed.log.has("speed_strike"));
    assert_true(buyer.status(payload.hash).bytes_paid_down > payload.size * 3 / 4);
    seen[(late->identity.peer_id == seed.identity.peer_id) == (seed.identity.peer_id > buyer.identity.peer_id)] = true;
  }
  assert_true(seen[0] && seen[1]);  // the late one was begun by the larger peer id, and by the smaller
}

static void a_killed_side_goes_on_paying(void**) {
  Random moments(5);
  for (uint64_t number = 1; number <= 12; ++number) {
    Market market(number);
    Payload payload = make_payload(6, k_piece, {4'000'000});
    Machine& seed = market.seed_of(payload, 300'000);
    Machine& buyer = market.buyer(payload, seed, 100, 50);
    for (int kill = 0; kill < 3 && buyer.status(payload.hash).state != TorrentState::seeding; ++kill) {
      market.world.run(Duration::ms(static_cast<int64_t>(500 + moments.below(5000))));
      Machine& victim = (number + static_cast<uint64_t>(kill)) % 2 == 0 ? seed : buyer;
      victim.crash();
      market.world.run(Duration::ms(static_cast<int64_t>(moments.below(3000))));
      victim.start();
      market.world.run(Duration::ms(100));
    }
    assert_true(market.completes(buyer, payload));
    assert_true(market.all_channels_end({&seed, &buyer}, Duration::hours(30)));
    assert_int_equal(market.balance(seed) + market.balance(buyer), market.funded);
    TorrentStatus bought = buyer.status(payload.hash);
    assert_true(bought.bytes_paid_down > 0);
    // Never more than it bid, which is never more than the budget.
    assert_true(market.balance(buyer) >= 50 * k_btt);
    // Blocks that died with a connection cost a strike, which payments take back; nothing else does, and nobody is banned.
    for (const std::string& line : seed.log.lines) {
      if (line.find("event=speed_strike") == std::string::npos) continue;
      assert_true(line.find("why=old_debt") != std::string::npos && line.find("banned=0") != std::string::npos);
    }
    assert_false(buyer.log.has("banned"));
  }
}

static void a_ledger_that_goes_away_strikes_nobody(void**) {
  Market market;
  Payload payload = make_payload(7, k_piece, {4'000'000});
  Machine& seed = market.seed_of(payload, 200'000);
  Machine& buyer = market.buyer(payload, seed, 100, 50);
  market.world.run(Duration::seconds(5));
  market.ledger_up = false;
  market.world.run(Duration::minutes(5));
  market.ledger_up = true;
  assert_true(market.completes(buyer, payload));
  assert_true(market.all_channels_end({&seed, &buyer}));
  assert_int_equal(market.balance(seed) + market.balance(buyer), market.funded);
  assert_false(seed.log.has("event=speed_strike"));
}

static void corrupt_pieces_are_not_paid(void**) {
  Market market;
  Payload payload = make_payload(8, k_piece, {3'000'000});
  Machine& bad = market.seed_of(payload, 0);
  bad.tamper = [](const BlockRef&, std::vector<uint8_t>& bytes) { bytes[7] ^= 1; };
  Machine& good = market.seed_of(payload, 0);
  Machine& buyer = market.add(100);
  buyer.config.budget = Amount::micro(50 * k_btt);
  buyer.start();
  market.world.run(Duration::seconds(1));
  buyer.add(payload, {bad.endpoint, good.endpoint});
  assert_true(market.completes(buyer, payload));
  market.world.run(Duration::seconds(10));
  assert_true(bad.node->stats(market.world.now).earned.is_zero());
  assert_false(good.node->stats(market.world.now).earned.is_zero());
  assert_true(buyer.log.has("event=speed_ban") && !bad.node->peers(market.world.now, std::nullopt).size());
}

// A seller and a node that gives for nothing have parts in one piece: the seller sends some of its blocks and stops, the other sends the
// rest. One of them sends garbage.
struct Mixed {
  enum class End { withdraws, leaves };
  static constexpr uint64_t k_reserve = 1000;  // pBTT per byte

  Market market;
  Payload payload = make_payload(16, k_piece, {96 * k_piece});
  Machine& seller = market.seed_of(payload, 16'000);
  Machine& giver = market.add();
  Machine& buyer = market.add(100);
  std::optional<uint32_t> piece;
  uint32_t sold = 0;  // blocks of it
  bool stopped = false;
  bool too_late = false;  // the block under way is one of it that is not sent

  Mixed(uint32_t blocks, bool seller_lies, End end) {
    giver.config.speed_enabled = false;
    giver.config.upload_rate = 60'000;
    giver.put(payload);
    giver.start();
    giver.add(payload, {}, true);
    buyer.config.budget = Amount::micro(50 * k_btt);
    buyer.start();
    market.world.run(Duration::seconds(3));
    seller.tamper = [this, blocks, seller_lies, end](const BlockRef& block, std::vector<uint8_t>& bytes) {
      if (!piece && block.begin == 0 && seller.status(payload.hash).bytes_paid_up > 2 * k_piece) piece = block.piece;
      too_late = piece == block.piece && sold == blocks && !(stopped && end == End::leaves);
      if (piece != block.piece || sold == blocks) return;
      if (seller_lies) bytes[7] ^= 1;
      if (++sold < blocks) return;
      market.world.at(market.world.now, [this, end] {
        stopped = true;
        if (end == End::leaves) return seller.crash();
        seller.config.speed_enabled = false;
        seller.reconfigure();
      });
    };
    market.world.on_wire = [this](const World::Wire& wire, std::vector<uint8_t>& bytes) {
      if (wire.from == &seller && too_late && bytes.size() > k_block_size) bytes.clear();
    };
    giver.tamper = [this, blocks, lied = false, seller_lies](const BlockRef& block, std::vector<uint8_t>& bytes) mutable {
      if (seller_lies || lied || sold < blocks || piece != block.piece) return;
      lied = true;
      bytes[7] ^= 1;
    };
    buyer.add(payload, {seller.endpoint, giver.endpoint});
    CHECK(market.world.run_until(Duration::minutes(2), [&] { return sold == blocks; }));
    if (end == End::leaves) {
      market.world.run(Duration::seconds(20));
      seller.start();
    }
    CHECK(market.completes(buyer, payload));
    market.world.run(Duration::minutes(2));
  }
  // What came for money, but for these bytes, is paid.
  bool pays_all_but(uint64_t bytes) {
    TorrentStatus bought = buyer.status(payload.hash);
    return bought.spent == price_of(Rate::pico_per_byte(k_reserve), bought.bytes_paid_down - bytes);
  }
};

// A piece with garbage in it is made whole by another's block, and fails; it verifies with other bytes later.
static void garbage_among_good_blocks_is_not_paid(void**) {
  for (Mixed::End end : {Mixed::End::withdraws, Mixed::End::leaves}) {
    Mixed mixed(3, true, end);
    assert_int_equal(Market::count(mixed.buyer, "event=bad_piece"), 1);
    assert_true(mixed.buyer.log.has("sources=2"));
    assert_int_equal(Market::count(mixed.buyer, "event=speed_ban"), 1);
    assert_true(mixed.pays_all_but(3 * k_block_size));
    assert_true(mixed.seller.node->peers(mixed.market.world.now, std::nullopt).empty());
  }
}

static void good_blocks_of_a_failed_piece_are_paid(void**) {
  for (Mixed::End end : {Mixed::End::withdraws, Mixed::End::leaves}) {
    Mixed mixed(3, false, end);
    assert_int_equal(Market::count(mixed.buyer, "event=bad_piece"), 1);
    assert_true(mixed.buyer.log.has("sources=2"));
    assert_false(mixed.buyer.log.has("event=speed_ban"));
    assert_true(mixed.pays_all_but(0));
  }
}

// It is gone before the hash of its piece is done, and comes back for its money.
static void who_leaves_before_its_piece_fails_is_banned_and_not_paid(void**) {
  Mixed mixed(4, true, Mixed::End::leaves);
  assert_int_equal(Market::count(mixed.buyer, "event=bad_piece"), 1);
  assert_true(mixed.buyer.log.has("sources=1"));
  assert_int_equal(Market::count(mixed.buyer, "event=speed_ban"), 1);
  assert_true(mixed.pays_all_but(4 * k_block_size));
  assert_true(mixed.seller.node->peers(mixed.market.world.now, std::nullopt).empty());
}

static void a_clean_stop_and_start_goes_on(void**) {
  Market market;
  Payload payload = make_payload(9, k_piece, {4'000'000});
  Machine& seed = market.seed_of(payload, 300'000);
  Machine& buyer = market.buyer(payload, seed, 100, 50);
  for (Machine* machine : {&buyer, &seed}) {
    market.world.run(Duration::seconds(4));
    machine->node->shut_down(market.world.now);
    machine->drain();
    assert_true(market.world.run_until(Duration::seconds(10), [&] { return machine->stopped; }));
    machine->crash();
    machine->start();
  }
  assert_true(market.completes(buyer, payload));
  assert_true(market.all_channels_end({&seed, &buyer}, Duration::hours(30)));
  assert_int_equal(market.balance(seed) + market.balance(buyer), market.funded);
}

// Two nodes talk to one ledger that shows each of them another log. The handshake of BitTorrent Speed brings it to light, on both sides.
static void a_ledger_with_two_logs_gets_no_new_channels(void**) {
  Market market;
  assert_true(market.other_ledger.id() == market.ledger.id());
  Payload payload = make_payload(10, k_piece, {3'000'000});
  Machine& seed = market.add();
  seed.config.ledger_url = market.world.ledger_url + std::string(Market::k_other_path);
  seed.put(payload);
  seed.start();
  seed.add(payload, {}, true);
  market.other_ledger.now_s = static_cast<uint64_t>(market.world.wall().in_seconds());
  market.other_ledger.funded(77, 5);
  Machine& buyer = market.add(100);
  buyer.config.budget = Amount::micro(50 * k_btt);
  buyer.config.max_rate = Rate::pico_per_byte(1'000'000'000);
  buyer.start();
  market.world.run(Duration::minutes(2));
  for (Machine* machine : {&seed, &buyer}) assert_string_equal(machine->node->stats(market.world.now).ledger.c_str(), "reachable");
  buyer.add(payload, {seed.endpoint});
  assert_true(market.completes(buyer, payload));  // for nothing
  market.world.run(Duration::seconds(10));
  for (Machine* machine : {&seed, &buyer}) {
    assert_true(machine->node->stats(market.world.now).ledger.starts_with("not trusted: "));
    assert_int_equal(machine->evidence.size(), 1);
    auto evidence = decode_evidence(machine->evidence[0]);
    assert_true(evidence.has_value() && judge_evidence(*evidence).has_value());
    assert_true(machine->node->channels().empty());
  }
  assert_int_equal(market.balance(buyer), 100 * k_btt);
  market.world.run(Duration::seconds(1));
  buyer.crash();
  buyer.start();  // it is not forgotten
  market.world.run(Duration::seconds(5));
  assert_true(buyer.node->stats(market.world.now).ledger.starts_with("not trusted: "));
}

int main() {
  CHECK(crypto_init().has_value());
  const CMUnitTest tests[] = {
      cmocka_unit_test(a_single_bidder_pays_the_reserve_for_every_byte),
      cmocka_unit_test(the_highest_bids_win_at_the_losing_bid),
      cmocka_unit_test(own_bids_say_what_they_are_based_on),
      cmocka_unit_test(peers_without_speed_get_what_the_unsold_slots_give),
      cmocka_unit_test(a_download_sells_its_slots_too),
      cmocka_unit_test(two_downloads_buy_from_each_other),
      cmocka_unit_test(a_torrent_sells_at_its_own_reserve),
      cmocka_unit_test(slots_are_never_more_than_configured),
      cmocka_unit_test(without_a_budget_nothing_is_bid_or_paid),
      cmocka_unit_test(a_torrent_that_cannot_bid_says_why),
      cmocka_unit_test(a_changed_budget_bids_at_once),
      cmocka_unit_test(a_sold_slot_ends_with_the_extension),
      cmocka_unit_test(a_second_connection_does_not_break_a_sale),
      cmocka_unit_test(a_killed_side_goes_on_paying),
      cmocka_unit_test(a_ledger_that_goes_away_strikes_nobody),
      cmocka_unit_test(corrupt_pieces_are_not_paid),
      cmocka_unit_test(garbage_among_good_blocks_is_not_paid),
      cmocka_unit_test(good_blocks_of_a_failed_piece_are_paid),
      cmocka_unit_test(who_leaves_before_its_piece_fails_is_banned_and_not_paid),
      cmocka_unit_test(a_clean_stop_and_start_goes_on),
      cmocka_unit_test(a_ledger_with_two_logs_gets_no_new_channels),
  };
  return RUN_TESTS(tests);
}
