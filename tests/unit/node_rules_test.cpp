// node: the rules of src/speed/PROTOCOL.md as they show on the wire between whole nodes, or to somebody who tests them by hand.
#include "unit/node_sale.h"
#include "unit/speed_attacker.h"

using namespace millet;
using namespace millet::testing;
using speed::AckMessage;
using speed::BidMessage;
using speed::RateMessage;
using speed::StopMessage;

namespace {

Rate pico(uint64_t value) { return Rate::pico_per_byte(value); }

struct Stall {
  Market market;
  Payload payload = make_payload(1, k_piece, {3'000'000});
  Machine* seed;
  uint32_t checks = 0;  // of signatures, by the seller

  Stall() : seed(&market.seed_of(payload, 0)) {
    market.world.run(Duration::seconds(5));
    seed->on_act = [this](const Action& action) { checks += std::holds_alternative<VerifyBytes>(action); };
  }
  std::unique_ptr<Attacker> attacker(uint32_t number) {
    auto out = std::make_unique<Attacker>(market, *seed, payload, number);
    market.fund(out->claimed_key, 100 * k_btt);
    return out;
  }
  void run(int64_t ms) { market.world.run(Duration::ms(ms)); }
};

}  // namespace

// Section 1: whoever does not know the extension is told an id, and nothing else.
static void no_key_reaches_a_peer_without_the_extension(void**) {
  Stall stall;
  RawPeer* peer = stall.market.world.dial_raw(*stall.seed, "10.9.0.1");
  wire::Handshake handshake;
  handshake.info_hash = stall.payload.hash;
  handshake.peer_id.raw.fill('p');
  handshake.extended = handshake.fast = true;
  std::vector<uint8_t> out;
  wire::encode(handshake, out);
  wire::encode(wire::Extended{0, as_bytes("d1:md6:ut_pexi1eee")}, out);
  wire::encode(wire::Interested{}, out);
  wire::encode(wire::Request{{0, 0, 16'384}}, out);
  stall.market.world.send_raw(*peer, out);
  stall.run(20'000);
  std::string_view got = as_text(peer->received);
  assert_true(got.find("9:btt_speedi1e") != std::string_view::npos);
  for (Bytes secret :
       {stall.seed->identity.key.bytes(), stall.market.ledger.id().bytes(), stall.market.ledger.ledger_key().public_key().bytes()})
    assert_true(got.find(as_text(secret)) == std::string_view::npos);
  // And no allowed-fast (message 17): what is sold is not given away.
  size_t at = wire::k_handshake_size;
  while (at + 4 < got.size()) {
    uint32_t size = load_be<uint32_t>(peer->received.data() + at);
    assert_true(size == 0 ||
                (peer->received[at + 4] != wire::AllowedFast::k_id && (peer->received[at + 4] != 20 || peer->received[at + 5] == 0)));
    at += 4 + size;
  }
}

// Section 4: a signature is checked when its answer matters.
static void a_proof_that_changes_nothing_is_not_checked(void**) {
  Stall stall;
  auto silent = stall.attacker(1);
  silent->bids = false;
  silent->connect("10.9.0.1");
  auto cheap = stall.attacker(2);
  cheap->bid.rate = pico(999);  // below the reserve
  cheap->connect("10.9.0.2");
  stall.run(15'000);
  assert_true(!silent->closed() && !cheap->closed() && stall.checks == 0);
  cheap->say(BidMessage{2, 0, pico(1000)});
  stall.run(1000);
  assert_int_equal(stall.checks, 2);  // the proof, then the funds
}

// Section 5: FUNDS backs a bid for ten minutes of the ledger's time.
static void funds_back_a_bid_for_ten_minutes(void**) {
  for (uint64_t age_s : {590, 610}) {
    Stall stall;
    auto attacker = stall.attacker(1);
    attacker->shows_funds = attacker->accepts = false;
    attacker->on_message = [&, done = false](const speed::Message& message) mutable {
      if (!std::holds_alternative<speed::HelloMessage>(message) || std::exchange(done, true)) return;
      FundStatement statement{stall.market.ledger.id(), attacker->claimed_key, Amount::micro(100 * k_btt),
                              LedgerTime::from_seconds(stall.market.ledger_time().in_seconds() - age_s)};
      attacker->say(speed::FundsMessage{statement.available, statement.time, stall.market.ledger.ledger_key().sign(preimage(statement))});
    };
    attacker->connect("10.9.0.1");
    stall.run(8000);
    AuctionRound round = stall.seed->node->auctions().back();
    assert_int_equal(round.bids.size(), 1);
    assert_int_equal(round.bids[0].backed, age_s < 600);
  }
}

// Sections 5 and 6: the first bid on an idle node does not wait for the round; every bid is answered by the next one.
static void bids_are_answered_by_the_next_round(void**) {
  Sale sale(6'000'000, 30'000);
  sale.start();
  Machine& second = sale.market.buyer(sale.payload, *sale.seed, 100, 40);
  assert_true(sale.market.completes(*sale.buyer, sale.payload, Duration::minutes(20)));
  uint32_t bids = 0;
  const auto& heard = sale.tap.heard;
  for (size_t i = 0; i < heard.size(); ++i) {
    const auto* bid = std::get_if<BidMessage>(&heard[i].message);
    if (bid == nullptr || bid->rate.is_zero()) continue;
    Instant by = heard[i].at + (++bids == 1 ? Duration::seconds(1) : Duration::ms(10'200));
    if (sale.market.world.now < by) continue;
    bool answered = false;
    for (size_t k = i + 1; k < heard.size() && heard[k].at <= by && !answered; ++k) {
      const auto* rate = std::get_if<RateMessage>(&heard[k].message);
      const auto* later = std::get_if<BidMessage>(&heard[k].message);
      answered = (rate != nullptr && heard[k].to == heard[i].from && rate->bid_seq >= bid->bid_seq) ||
                 (later != nullptr && heard[k].from == heard[i].from);
    }
    assert_true(answered);
  }
  assert_true(bids >= 4);
  assert_true(second.status(sale.payload.hash).bytes_paid_down > 0);
}

// Sections 6 and 7: what a peer gets changes from free to paid by choke, RATE, ACCEPT, unchoke; requests name one piece after the other,
// each block once; blocks come in the order of the requests.
static void a_price_comes_between_choke_and_unchoke_and_blocks_in_order(void**) {
  Sale sale(4'000'000, 200'000);
  struct Asked {
    uint32_t piece, begin;
    bool operator==(const Asked&) const = default;
  };
  std::deque<Asked> open;
  std::set<std::pair<uint32_t, uint32_t>> ever;
  bool unchoked = false, paid = false;
  uint32_t paid_blocks = 0, prices_under_way = 0;
  size_t rates_seen = 0;
  std::optional<uint32_t> piece;
  std::set<uint32_t> left;
  sale.tap.on_frame = [&](Machine& from, Machine& to, uint8_t id, Bytes body) {
    if (&to == sale.seed && id == wire::Request::k_id && paid) {
      Asked asked{load_be<uint32_t>(body.data()), load_be<uint32_t>(body.data() + 4)};
      CHECK(ever.insert({asked.piece, asked.begin}).second);  // no block is asked for twice
      CHECK(!left.contains(asked.piece));                     // one piece after the other
      if (piece && asked.piece != *piece) left.insert(*piece);
      piece = asked.piece;
      open.push_back(asked);
    }
    if (&from != sale.seed) return;
    CHECK(id != wire::AllowedFast::k_id);
    if (id == wire::Choke::k_id) {
      unchoked = paid = false;
      open.clear();
      ever.clear();
      left.clear();
      piece.reset();
    }
    if (id == wire::Unchoke::k_id) {
      auto rate = sale.tap.last<RateMessage>(*sale.seed, to);
      unchoked = true;
      paid = rate && !rate->rate.is_zero() && sale.tap.all<RateMessage>(*sale.seed, to).size() > rates_seen;
      rates_seen = sale.tap.all<RateMessage>(*sale.seed, to).size();
      auto accept = sale.tap.last<speed::AcceptMessage>(to, *sale.seed);
      CHECK(!paid || (accept && accept->epoch == rate->epoch));
    }
    if (id == wire::PieceSlice::k_id && paid) {
      CHECK(!open.empty() && (open.front() == Asked{load_be<uint32_t>(body.data()), load_be<uint32_t>(body.data() + 4)}));
      open.pop_front();
      ++paid_blocks;
    }
  };
  sale.tap.change = [&](Machine& from, Machine&, speed::Message& message) {
    const auto* rate = std::get_if<RateMessage>(&message);
    if (rate != nullptr && &from == sale.seed && !rate->rate.is_zero() && unchoked && !paid) ++prices_under_way;
    return true;
  };
  sale.start();
  assert_true(sale.market.completes(*sale.buyer, sale.payload));
  assert_int_equal(prices_under_way, 0);  // never a price for whoever is unchoked for nothing
  assert_true(paid_blocks > 200);
}

// Section 6: who loses its slot gets the rest of the piece that it has begun.
static void a_loser_gets_the_rest_of_its_piece(void**) {
  Market market;
  SpeedTap tap(market.world);
  Payload payload = make_payload(1, k_piece, {8 * 1024 * 1024});
  Machine& seed = market.add();
  seed.config.upload_rate = 40'000;
  seed.config.upload_slots = 3;  // one is sold
  seed.put(payload);
  seed.start();
  seed.add(payload, {}, true);
  market.world.run(Duration::seconds(3));
  Machine& loser = market.buyer(payload, seed, 1000, 500, 5);
  uint64_t bytes = 0;
  std::vector<uint64_t> at_choke;
  bool paid = false;
  tap.on_frame = [&](Machine& from, Machine& to, uint8_t id, Bytes body) {
    if (&from != &seed || &to != &loser) return;
    if (id == wire::Unchoke::k_id) {
      auto rate = tap.last<RateMessage>(seed, loser);
      paid = rate && !rate->rate.is_zero();
    }
    if (id == wire::PieceSlice::k_id && paid) bytes += body.size() - 8;
    if (id == wire::Choke::k_id && paid) {
      at_choke.push_back(bytes);
      paid = false;
    }
  };
  assert_true(market.world.run_until(Duration::seconds(60), [&] { return bytes > 5 * k_piece; }));
  market.buyer(payload, seed, 1000, 500, 50);
  assert_true(market.world.run_until(Duration::seconds(60), [&] { return !at_choke.empty(); }));
  assert_int_equal(at_choke[0] % k_piece, 0);
}

// Section 10: what is counted is durable ten seconds later, without a commit for each payment.
static void what_is_counted_is_durable_ten_seconds_later(void**) {
  Sale sale(6'000'000, 150'000);
  sale.start();
  sale.run(3);
  uint32_t before = sale.seed->commits;
  sale.run(30);
  uint32_t commits = sale.seed->commits - before;
  size_t acks = 0;
  uint64_t promised = 0;
  std::deque<std::pair<Instant, uint64_t>> counted;
  for (const SpeedTap::Heard& one : sale.tap.heard) {
    const auto* ack = std::get_if<AckMessage>(&one.message);
    if (ack == nullptr || one.from != sale.seed) continue;
    ++acks;
    counted.push_back({one.at, ack->counted.in_micro()});
    promised = std::max(promised, ack->durable.in_micro());
    while (one.at - counted.front().first > Duration::seconds(11)) {
      assert_true(counted.front().second <= promised);
      counted.pop_front();
    }
  }
  assert_true(acks > 50 && promised > 0);
  assert_in_range(commits, 2, 12);
}

// Section 11: a relay can pass on a proof, but not pay. So who has not paid on this connection is struck by its address, not by its key.
static void who_has_not_paid_here_is_struck_by_address_only(void**) {
  Stall stall;
  auto attacker = stall.attacker(1);
  for (int i = 0; i < 6 && Market::count(*stall.seed, "banned=1") == 0; ++i) {
    auto liar = std::make_unique<Attacker>(stall.market, *stall.seed, stall.payload, 1);  // the same key
    std::optional<ChannelTerms> terms;
    liar->on_message = [&](const speed::Message& message) {
      const auto* rate = std::get_if<RateMessage>(&message);
      if (rate != nullptr && !rate->rate.is_zero() && !terms) {
        terms = liar->open_channel(100'000);
        // And a payment with a bad signature.
        liar->say(speed::PayMessage{0, 1, Amount::micro(1), Signature()});
      }
    };
    if (!liar->connect("10.9.0.66")) break;
    stall.market.world.run_until(Duration::seconds(30), [&] { return liar->closed(); });
    stall.run(1000);
  }
  assert_int_equal(Market::count(*stall.seed, "banned=1"), 1);
  assert_true(stall.market.world.dial_raw(*stall.seed, "10.9.0.66") == nullptr);
  // The key is welcome from where it really lives.
  attacker->bid.bid_seq = 1;
  assert_true(attacker->connect("10.9.0.1"));
  assert_true(stall.market.world.run_until(Duration::seconds(30), [&] { return attacker->rate && !attacker->rate->rate.is_zero(); }));
}

// Rare pieces on whole nodes: the seller that alone has half of the torrent is bid more for it than one of many that have the other half;
// never above the maximum.
static void who_has_rare_pieces_is_bid_more(void**) {
  Market market;
  SpeedTap tap(market.world);
  Payload payload = make_payload(1, k_piece, {64 * k_piece, 64 * k_piece});
  Machine& whole = market.seed_of(payload, 4000);
  // Seven that have the first half only, and nowhere to get the other from.
  std::vector<Machine*> halves;
  for (int i = 0; i < 7; ++i) {
    Machine& half = market.add();
    half.config.upload_slots = 4;
    half.config.upload_rate = 4000;
    half.put(payload);
    half.disk.erase(half.config.data + "/data/file1");
    half.start();
    half.add(payload);
    halves.push_back(&half);
  }
  market.world.run(Duration::seconds(10));
  for (Machine* half : halves) assert_int_equal(half->status(payload.hash).pieces_done, 64);
  Machine& buyer = market.add(1000);
  buyer.config.budget = Amount::micro(1 * k_btt);
  buyer.config.max_rate = pico(1'000'000'000);
  buyer.start();
  market.world.run(Duration::seconds(1));
  std::vector<Endpoint> peers{whole.endpoint};
  for (Machine* half : halves) peers.push_back(half->endpoint);
  buyer.add(payload, peers);
  market.world.run(Duration::seconds(80));
  std::map<const Machine*, uint64_t> bids;
  for (const OwnBid& own : buyer.node->own_bids()) {
    if (own.bid.is_zero()) continue;
    bids[market.world.find(own.remote)] = own.bid.in_pico_per_byte();
    assert_true(own.bid <= pico(1'000'000'000));
    if (own.remote == whole.endpoint) assert_in_range(own.basis.rare_quarters, 1, 4);
  }
  assert_true(bids.contains(&whole) && bids.size() >= 2);
  for (Machine* half : halves) {
    if (bids.contains(half)) assert_true(bids[half] < bids[&whole]);
  }
}

int main() {
  CHECK(crypto_init().has_value());
  const CMUnitTest tests[] = {
      cmocka_unit_test(no_key_reaches_a_peer_without_the_extension),
      cmocka_unit_test(a_proof_that_changes_nothing_is_not_checked),
      cmocka_unit_test(funds_back_a_bid_for_ten_minutes),
      cmocka_unit_test(bids_are_answered_by_the_next_round),
      cmocka_unit_test(a_price_comes_between_choke_and_unchoke_and_blocks_in_order),
      cmocka_unit_test(a_loser_gets_the_rest_of_its_piece),
      cmocka_unit_test(what_is_counted_is_durable_ten_seconds_later),
      cmocka_unit_test(who_has_not_paid_here_is_struck_by_address_only),
      cmocka_unit_test(who_has_rare_pieces_is_bid_more),
  };
  return RUN_TESTS(tests);
}
