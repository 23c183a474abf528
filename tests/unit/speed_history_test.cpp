// What BitTorrent Speed remembers and learns: the history of earnings, the market rate, what a bid was based on, the window that a clean
// history earns, and what is claimed when a node ends.
#include "speed/history.h"

#include "speed/market.h"
#include "unit/speed_duo.h"
#include "unit/test.h"

using namespace millet;
using namespace millet::speed;
using namespace millet::speed::world;

namespace {

Instant at(int64_t seconds) { return Instant::from_us(0) + Duration::seconds(seconds); }
Rate pico(uint64_t value) { return Rate::pico_per_byte(value); }
LedgerTime day(uint32_t number) { return LedgerTime::from_seconds(uint64_t{number} * 86'400 + 3600); }
InfoHash hash(uint32_t number) {
  InfoHash out;
  store_be<uint32_t>(out.raw.data(), number + 1);
  return out;
}

// ---- history ----

struct Total {
  uint64_t earned = 0, spent = 0, sold = 0, bought = 0, lost = 0, returned = 0;
};
Total total(const std::vector<HistoryEntry>& entries) {
  Total out;
  for (const HistoryEntry& e : entries) {
    out.earned += e.earned.in_micro();
    out.spent += e.spent.in_micro();
    out.sold += e.bytes_sold;
    out.bought += e.bytes_bought;
    out.lost += e.lost.in_micro();
    out.returned += e.returned.in_micro();
  }
  return out;
}

using Store = std::map<std::string, std::vector<uint8_t>>;
void save(History& history, Store& store) {
  StoreBatch batch;
  history.collect(batch);
  for (const StoreChange& change : batch) {
    std::string key(change.key.begin(), change.key.end());
    if (change.value)
      store[key] = *change.value;
    else
      store.erase(key);
  }
}
bool load(const Store& store, History& history) {
  for (const auto& [key, value] : store) {
    if (!history.restore(as_bytes(key), value)) return false;
  }
  return true;
}

void history_folds_what_is_old_and_the_sum_stays(void**) {
  History history;
  Store store;
  Random random(4);
  Total expected;
  size_t most = 0;
  for (uint32_t d = 20'000; d < 20'900; ++d) {
    for (uint64_t i = 0; i < 1 + random.below(60); ++i) {
      uint64_t amount = random.below(1000), bytes = random.below(100'000);
      InfoHash torrent = hash(static_cast<uint32_t>(random.below(50)));
      if (random.below(2) == 0) {
        history.on_earned(day(d), torrent, Amount::micro(amount), bytes);
        expected.earned += amount;
        expected.sold += bytes;
      } else {
        history.on_spent(day(d), torrent, Amount::micro(amount), bytes);
        expected.spent += amount;
        expected.bought += bytes;
      }
      history.on_lost(day(d), torrent, Amount::micro(amount / 9));
      history.on_returned(day(d), torrent, Amount::micro(amount / 7));
      expected.lost += amount / 9;
      expected.returned += amount / 7;
    }
    save(history, store);
    most = std::max(most, store.size());
    if (d % 97 == 0) {  // a restart
      history = History();
      assert_true(load(store, history));
    }
  }
  std::vector<HistoryEntry> entries = history.entries();
  Total sum = total(entries);
  assert_int_equal(sum.earned, expected.earned);
  assert_int_equal(sum.spent, expected.spent);
  assert_int_equal(sum.sold, expected.sold);
  assert_int_equal(sum.bought, expected.bought);
  assert_int_equal(sum.lost, expected.lost);
  assert_int_equal(sum.returned, expected.returned);
  assert_true(most <= History::k_days_by_torrent * (History::k_torrents_per_day_max + 1) + History::k_days_max);
  assert_int_equal(store.size(), entries.size());
  assert_int_equal(entries.front().day, 20'899);
  assert_int_equal(entries.back().day, 0);
  for (size_t i = 0; i < entries.size(); ++i) {
    if (i > 0) assert_true(entries[i].day <= entries[i - 1].day);
    if (entries[i].day + History::k_days_by_torrent <= 20'899) assert_true(entries[i].torrent.is_zero());
    if (entries[i].day != 0) assert_true(entries[i].day + History::k_days_max > 20'899);
  }
}

void many_torrents_of_a_day_share_an_entry(void**) {
  History history;
  for (uint32_t i = 0; i < 1000; ++i) history.on_earned(day(20'000), hash(i), Amount::micro(1), 1);
  std::vector<HistoryEntry> entries = history.entries();
  assert_int_equal(entries.size(), History::k_torrents_per_day_max + 1);
  assert_true(entries.back().torrent.is_zero());
  assert_int_equal(entries.back().earned.in_micro(), 1000 - History::k_torrents_per_day_max);
  // A clock that is set back, or not known, adds no days.
  history.on_earned(day(10), hash(5), Amount::micro(1), 1);
  assert_int_equal(history.entries().size(), entries.size());
  // Damaged records are refused.
  Store store;
  save(history, store);
  std::string key = store.begin()->first;
  std::vector<uint8_t> value = store.begin()->second;
  History other;
  value.pop_back();
  assert_false(other.restore(as_bytes(key), value).has_value());
  key.pop_back();
  assert_false(other.restore(as_bytes(key), store.begin()->second).has_value());
}

Total history_of(const Node& node) { return total(node.speed->history()); }

void the_history_adds_up_and_survives_a_kill(void**) {
  Settings settings;
  settings.pieces = 60;
  Duo duo(settings);
  duo.start();
  assert_true(duo.run(60, [&] { return duo.counted() > 1500; }));
  duo.run(11);  // a commit
  duo.world.crash(*duo.provider);
  duo.world.start(*duo.provider);
  duo.world.links[0].reconnect_at = duo.world.now;
  Total after = history_of(*duo.provider);
  assert_true(after.earned > 1000 && after.sold > 1'000'000);
  assert_true(duo.run_to_end());
  assert_int_equal(duo.world.violations.size(), 0);
  assert_int_equal(history_of(*duo.provider).earned, duo.earned());
  assert_int_equal(history_of(*duo.requester).spent, duo.requester->speed->payer().spent(duo.world.info_hash).in_micro());
  assert_int_equal(history_of(*duo.requester).spent, duo.earned());
}

// The ledger is away while the channel is open: it expires before it is claimed. What the provider noted as earned is lost, what the
// requester noted as spent comes back, whether it remembers who it was for (then it is owed for another day) or was started anew.
void what_expires_unclaimed_is_noted_as_lost_and_as_returned(void**) {
  for (bool anew : {false, true}) {
    Duo duo;
    duo.start();
    assert_true(duo.run(60, [&] { return duo.counted() > 1000; }));
    duo.world.ledger.up = false;
    duo.run(70);  // the rest of the torrent, and commits
    duo.world.cut(0, Instant::never());
    if (anew) {
      duo.world.crash(*duo.requester);
      duo.world.start(*duo.requester);
    }
    duo.run(2 * 3600);
    uint64_t earned = history_of(*duo.provider).earned;
    assert_true(earned > 1000);
    assert_int_equal(history_of(*duo.provider).lost, 0);
    duo.world.ledger.up = true;
    duo.run(300);
    assert_true(duo.provider->speed->payee().channels().empty());
    assert_int_equal(history_of(*duo.provider).earned, earned);
    assert_int_equal(history_of(*duo.provider).lost, earned);
    assert_int_equal(duo.earned(), 0);
    assert_true(duo.requester->speed->payer().channels().empty());
    if (!anew) assert_int_equal(history_of(*duo.requester).returned, 0);
    duo.world.crash(*duo.provider);
    duo.run(25 * 3600);
    assert_int_equal(history_of(*duo.requester).spent, earned);
    assert_int_equal(history_of(*duo.requester).returned, earned);
    assert_int_equal(duo.world.violations.size(), 0);
  }
}

// A lost answer is no loss: what was paid out is asked for.
void a_lost_answer_to_a_close_is_no_loss(void**) {
  Duo duo;
  duo.start();
  assert_true(duo.run(60, [&] { return duo.counted() > 1000; }));
  duo.world.ledger_loses_replies = true;
  assert_true(duo.run_to_end());
  duo.run(300);
  assert_true(duo.provider->speed->payee().channels().empty());
  assert_int_equal(history_of(*duo.provider).earned, duo.earned());
  assert_int_equal(history_of(*duo.provider).lost, 0);
  assert_int_equal(duo.world.violations.size(), 0);
}

void days_of_an_older_version_are_read(void**) {
  std::vector<uint8_t> key;
  ByteWriter(key).u32(20'000).bytes(hash(1).bytes());
  History history;
  assert_true(history.restore(key, encode_record(HistoryRecord{Amount::micro(5), Amount::micro(6), 7, 8})).has_value());
  Total sum = total(history.entries());
  assert_true(sum.earned == 5 && sum.spent == 6 && sum.sold == 7 && sum.bought == 8 && sum.lost == 0 && sum.returned == 0);
}

// ---- market rate and bids ----

// Providers by number, as the payer has them by key.
struct Sellers {
  struct Seller {
    MarketRate::Sales sales;
  };
  MarketRate market;
  std::map<int, Seller> all;
  void sell(int64_t second, int seller, uint64_t price, int pieces = 1) {
    for (int i = 0; i < pieces; ++i) market.sold(at(second), all[seller].sales, pico(price), all);
  }
  uint64_t average() const { return market.estimate()->in_pico_per_byte(); }
};

void the_market_rate_needs_five_sellers_and_caps_the_bid(void**) {
  Sellers sellers;
  for (int seller : {1, 2, 3, 4}) sellers.sell(0, seller, 1000, 100);
  assert_false(sellers.market.cap(at(0)).has_value());
  sellers.sell(0, 5, 1000);
  assert_int_equal(sellers.average(), 1000);
  assert_int_equal(sellers.market.cap(at(0))->in_pico_per_byte(), 1250);
  // The newest price of a seller is its only one.
  for (int i = 0; i < 100; ++i) sellers.sell(1, 1, i % 2 == 0 ? 900 : 800);
  assert_in_range(sellers.average(), 900, 1000);
  // Who has not sold for an hour is none of them.
  sellers.sell(3700, 6, 3000);
  assert_false(sellers.market.cap(at(3700)).has_value());
  // The largest prices wrap nowhere.
  for (int seller = 1; seller <= 9; ++seller) sellers.sell(3700, seller, Rate::k_max, 64);
  assert_int_equal(sellers.average(), Rate::k_max);
}

void who_sells_for_next_to_nothing_does_not_set_the_market_rate(void**) {
  Sellers sellers;
  sellers.sell(0, 1, 5000, 64);
  for (int seller = 2; seller <= 40; ++seller) sellers.sell(1, seller, 1, 64);
  assert_in_range(sellers.average(), 4990, 5000);
  // Nor does it keep the cap from rising when nobody else sells.
  for (int minute = 1; minute <= 10; ++minute) sellers.sell(60 * minute, 2, 1);
  assert_true(*sellers.market.cap(at(600)) > pico(40'000));
  // Half the price for as much: the bid still reaches who asks the whole.
  Sellers halves;
  for (int seller = 1; seller <= 6; ++seller) halves.sell(0, seller, seller % 2 == 0 ? 5000 : 2500, 64);
  assert_true(*halves.market.cap(at(0)) >= pico(5000));
}

void without_a_sale_the_cap_rises(void**) {
  Sellers sellers;
  for (int seller = 1; seller <= 5; ++seller) sellers.sell(0, seller, 1000);
  const MarketRate& market = sellers.market;
  assert_int_equal(market.cap(at(59))->in_pico_per_byte(), 1250);
  assert_int_equal(market.cap(at(60))->in_pico_per_byte(), 1562);
  assert_true(*market.cap(at(3600)) > pico(100'000'000));
  assert_true(*market.cap(at(30'000'000)) <= pico(Rate::k_max));
  sellers.sell(3600, 1, 1000);
  assert_int_equal(market.cap(at(3600))->in_pico_per_byte(), 1250);
}

void a_bid_says_what_limited_it(void**) {
  BidderSettings settings;
  settings.max_rate = pico(5000);
  BidBasis basis = basis_for(settings, Amount::micro(2'000'000), 1'000'000'000, std::nullopt);
  assert_string_equal(basis.limited_by, "formula");
  assert_int_equal(basis.bid.in_pico_per_byte(), 2000);
  basis = basis_for(settings, Amount::micro(8'000'000), 1'000'000'000, std::nullopt);
  assert_string_equal(basis.limited_by, "max_rate");
  assert_int_equal(basis.formula.in_pico_per_byte(), 8000);
  assert_int_equal(basis.bid.in_pico_per_byte(), 5000);
  basis = basis_for(settings, Amount::micro(8'000'000), 1'000'000'000, pico(1500));
  assert_string_equal(basis.limited_by, "market");
  assert_int_equal(basis.bid.in_pico_per_byte(), 1500);
  assert_string_equal(basis_for(settings, Amount::micro(8'000'000), 0, pico(1500)).limited_by, "nothing_left");
  // What is kept is what the bid in force was computed from.
  Bidder bidder(settings);
  assert_true(bidder.update(at(0), Amount::micro(2'000'000), 1'000'000'000));
  assert_false(bidder.update(at(1), Amount::micro(2'050'000), 1'000'000'000));
  assert_int_equal(bidder.basis().budget_left.in_micro(), 2'000'000);
}

void rare_pieces_raise_the_bid_within_the_maximum(void**) {
  Settings settings;
  settings.auction_slots = 0;  // nothing is sold: the bids alone
  settings.pieces = 100;
  Duo duo(settings, 100'000);
  duo.requester->max_rate = pico(30'000);
  Tap<BidMessage> bids(duo.world, *duo.requester);
  duo.start();
  duo.run(5);
  assert_int_equal(bids.seen.size(), 1);
  uint64_t base = bids.seen[0].rate.in_pico_per_byte();
  Payer& payer = duo.requester->speed->payer();
  PeerHandle peer = duo.world.only_peer(*duo.requester);
  // Not the last bid of a minute: the user's own change goes out at once.
  payer.set_rarity(duo.world.now, peer, 2);
  duo.world.drain(*duo.requester);
  duo.run(50);
  assert_int_equal(bids.seen.size(), 1);
  duo.run(20);
  assert_int_equal(bids.seen.size(), 2);
  assert_int_equal(bids.seen[1].rate.in_pico_per_byte(), base + base / 4 * 2);
  // And not above the maximum.
  payer.set_rarity(duo.world.now, peer, 4);
  duo.world.drain(*duo.requester);
  duo.run(140);
  assert_int_equal(bids.seen.size(), 3);
  assert_int_equal(bids.seen.back().rate.in_pico_per_byte(), std::min<uint64_t>(base + base / 4 * 4, 30'000));
  assert_int_equal(payer.bids()[0].rarity, 4);
  assert_int_equal(duo.world.violations.size(), 0);
}

// ---- exposure ----

void a_clean_history_earns_a_wider_window_and_loses_it(void**) {
  Settings settings;
  settings.pieces = 400;
  settings.block_time = Duration::ms(50);
  Duo duo(settings, 10'000'000);
  duo.provider->options.payee.window_pieces = 8;
  std::vector<uint32_t> windows;
  bool pays = true;
  duo.world.on_send = [&](Node& from, PeerHandle, std::vector<uint8_t>& payload) {
    Result<Message> message = decode(payload);
    if (!message) return true;
    if (const auto* rate = std::get_if<RateMessage>(&*message); rate != nullptr && &from == duo.provider) {
      if (windows.empty() || windows.back() != rate->window) windows.push_back(rate->window / settings.piece_size);
    }
    return pays || !std::holds_alternative<PayMessage>(*message);
  };
  duo.start();
  assert_true(duo.run(60, [&] { return !windows.empty() && windows.back() == 8; }));
  windows.erase(std::unique(windows.begin(), windows.end()), windows.end());
  assert_true(windows == (std::vector<uint32_t>{1, 2, 4, 8}));
  // It stops paying: choked after 30 s, with at most what it was trusted with.
  pays = false;
  duo.run(45);
  assert_int_equal(duo.world.violations.size(), 0);
  assert_false(duo.provider->speed->payee().holds_slot(duo.world.only_peer(*duo.provider)));
  pays = true;
  windows.clear();
  duo.world.cut(0, duo.world.now + Duration::seconds(1));
  assert_true(duo.run(300, [&] { return !windows.empty() && windows.back() == 2; }));
  windows.erase(std::unique(windows.begin(), windows.end()), windows.end());
  assert_int_equal(windows.front(), 1);
  assert_true(duo.run_to_end());
  assert_int_equal(duo.world.violations.size(), 0);
}

void by_default_nobody_has_more_than_one_piece_unpaid(void**) {
  Settings settings;
  settings.pieces = 100;
  Duo duo(settings);
  Tap<RateMessage> rates(duo.world, *duo.provider);
  duo.start();
  assert_true(duo.run_to_end());
  for (const RateMessage& rate : rates.seen) assert_true(rate.window <= settings.piece_size);
}

// A payer's record of version 1, byte for byte: half of a known payer's block is unpaid.
const char* const k_first_debt_record =
    "01"  // version
    "00000000000003e7"
    "000f423f"  // settled: 999.999999 micro-BTT
    "0000000000000008"
    "0002ee00"          // open: 8.192 micro-BTT,
    "0000000000002000"  // for 8192 bytes
    "00000000000003e8"  // paid
    "0000000000001000"  // pieces paid, in 256ths: 16 make a payer known
    "00"                // nothing of it is taken from the bucket
    "01"
    "0a020001000000000000000000000000";  // 10.2.0.1

struct Restored {
  std::vector<uint32_t> windows;  // in pieces, without repetitions
  AccountRecord account;          // at the end
  uint64_t earned;
};

// What a provider makes of such a record of its only payer.
Restored sells_after(const std::vector<uint8_t>& record) {
  Settings settings;
  settings.pieces = 40;
  Duo duo(settings);
  duo.provider->options.payee.window_pieces = 8;
  Tap<RateMessage> rates(duo.world, *duo.provider);
  const auto where =
      std::make_pair(std::string(k_table_payee_debts), std::vector<uint8_t>(duo.requester->key.raw.begin(), duo.requester->key.raw.end()));
  duo.provider->store[where] = record;
  duo.start();
  assert_true(duo.run_to_end());
  assert_int_equal(duo.world.violations.size(), 0);
  Result<AccountRecord> account = decode_record<AccountRecord>(duo.provider->store[where]);
  assert_true(account.has_value());
  Restored out{{}, *account, duo.earned()};
  for (const RateMessage& rate : rates.seen) out.windows.push_back(rate.window / settings.piece_size);
  out.windows.erase(std::unique(out.windows.begin(), out.windows.end()), out.windows.end());
  return out;
}

// Before streaks were counted the record of a payer had none: it keeps its debt and is known, and earns a wider window from the first
// piece.
void a_debt_of_the_first_version_is_read_with_no_streak(void**) {
  std::vector<uint8_t> first(1 + k_fields_size<DebtRecord>);
  assert_true(from_hex(k_first_debt_record, first).has_value());
  Result<DebtRecord> read = decode_record<DebtRecord>(first);
  assert_true(read.has_value() && read->settled_micro == 999 && read->settled_rest == 999'999 && read->paid == Amount::micro(1000));
  assert_true(read->open_micro == 8 && read->open_rest == 192'000 && read->open_bytes == 8192 && read->paid_pieces == 16 * 256);
  assert_true(read->charged == 0 && read->network_is_v4 == 1 && read->network[0] == 10 && read->network[3] == 1);
  const Restored restored = sells_after(first);
  std::vector<uint8_t> second(1 + k_fields_size<AccountRecord>);  // the same, and a streak
  std::copy(first.begin(), first.end(), second.begin());
  second[0] = AccountRecord::k_version;
  const Restored without = sells_after(second);
  assert_true(restored.account == without.account && restored.windows == without.windows && restored.earned == without.earned);
  assert_true(restored.windows == (std::vector<uint32_t>{1, 2, 4}));
  const DebtRecord& last = restored.account.debt;
  assert_int_equal(last.paid.in_micro(), 1000 + restored.earned);
  assert_int_equal(last.paid_pieces, 256 * (16 + 40));
  assert_int_equal(restored.account.streak, 256 * 40);
  // Whoever had a streak, and nothing unpaid, keeps it.
  std::fill_n(second.begin() + 13, 20, uint8_t{0});
  store_be<uint64_t>(second.data() + first.size(), 256 * 64);
  assert_true(sells_after(second).windows == (std::vector<uint32_t>{1, 8}));
}

// ---- the end ----

void a_shutdown_claims_what_was_earned(void**) {
  Settings settings;
  settings.pieces = 200;
  Duo duo(settings);
  duo.start();
  assert_true(duo.run(60, [&] { return duo.counted() > 2000; }));
  assert_int_equal(duo.world.ledger.claims, 0);
  duo.provider->speed->shut_down(duo.world.now);
  duo.world.drain(*duo.provider);
  assert_false(duo.provider->speed->is_quiet());
  assert_true(duo.run(5, [&] { return duo.provider->speed->is_quiet(); }));
  assert_int_equal(duo.world.ledger.claims, 1);
  assert_int_equal(duo.earned(), duo.counted());
  // The channel goes on after a restart.
  duo.world.crash(*duo.provider);
  duo.world.start(*duo.provider);
  duo.world.links[0].reconnect_at = duo.world.now;
  assert_true(duo.run_to_end());
  assert_int_equal(duo.world.ledger.channels.size(), 1);
  assert_int_equal(duo.world.violations.size(), 0);
}

void a_shutdown_does_not_wait_for_a_ledger_that_is_away(void**) {
  Settings settings;
  settings.pieces = 200;
  Duo duo(settings);
  duo.start();
  assert_true(duo.run(60, [&] { return duo.counted() > 2000; }));
  duo.world.ledger.up = false;
  duo.provider->speed->shut_down(duo.world.now);
  duo.world.drain(*duo.provider);
  Instant from = duo.world.now;
  assert_true(duo.run(10, [&] { return duo.provider->speed->is_quiet(); }));
  assert_true(duo.world.now - from <= Payee::k_last_claims + Duration::ms(100));
  assert_int_equal(duo.world.violations.size(), 0);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(history_folds_what_is_old_and_the_sum_stays),
      cmocka_unit_test(many_torrents_of_a_day_share_an_entry),
      cmocka_unit_test(the_history_adds_up_and_survives_a_kill),
      cmocka_unit_test(the_market_rate_needs_five_sellers_and_caps_the_bid),
      cmocka_unit_test(who_sells_for_next_to_nothing_does_not_set_the_market_rate),
      cmocka_unit_test(what_expires_unclaimed_is_noted_as_lost_and_as_returned),
      cmocka_unit_test(a_lost_answer_to_a_close_is_no_loss),
      cmocka_unit_test(days_of_an_older_version_are_read),
      cmocka_unit_test(without_a_sale_the_cap_rises),
      cmocka_unit_test(a_bid_says_what_limited_it),
      cmocka_unit_test(rare_pieces_raise_the_bid_within_the_maximum),
      cmocka_unit_test(a_clean_history_earns_a_wider_window_and_loses_it),
      cmocka_unit_test(by_default_nobody_has_more_than_one_piece_unpaid),
      cmocka_unit_test(a_debt_of_the_first_version_is_read_with_no_streak),
      cmocka_unit_test(a_shutdown_claims_what_was_earned),
      cmocka_unit_test(a_shutdown_does_not_wait_for_a_ledger_that_is_away),
  };
  return RUN_TESTS(tests);
}
