// swarm: queues of requests, rates and limits, the choker, the list of peers.
#include <map>
#include <set>

#include "swarm/choker.h"
#include "swarm/download_queue.h"
#include "swarm/peer_list.h"
#include "swarm/rate_gate.h"
#include "swarm/rate_meter.h"
#include "swarm/upload_queue.h"
#include "unit/test.h"

using namespace millet;

namespace {

Instant at_ms(int64_t ms) { return Instant::from_us(50'000'000'000 + ms * 1000); }
Instant at(int64_t seconds) { return at_ms(seconds * 1000); }
wire::BlockRange range(uint32_t i) { return {i / 4, i % 4 * k_block_size, k_block_size}; }
Endpoint peer_at(uint32_t i) {
  return {IpAddress::v4({10, static_cast<uint8_t>(i >> 16), static_cast<uint8_t>(i >> 8), static_cast<uint8_t>(i)}), 6881};
}

}  // namespace

static void upload_queue_serves_in_order_and_is_bounded(void**) {
  UploadQueue queue;
  for (uint32_t i = 0; i < UploadQueue::k_requests_max; ++i) assert_true(queue.push(range(i)));
  assert_false(queue.push(range(9999)));
  assert_true(queue.cancel(range(7)));
  assert_false(queue.cancel(range(7)));
  for (uint32_t i = 0; i < UploadQueue::k_requests_max; ++i) {
    if (i == 7) continue;
    assert_true(queue.front() == range(i));
    queue.pop();
    assert_true(queue.push(range(i)));  // goes round the ring
    assert_true(queue.at(queue.size() - 1) == range(i));
  }
  queue.clear();
  assert_true(queue.empty());
  assert_true(queue.push(range(1)) && queue.front() == range(1));
}

static void rate_meter_follows_and_forgets(void**) {
  RateMeter meter;
  for (int ms = 0; ms < 30'000; ms += 10) meter.add(at_ms(ms), 10'000);
  assert_in_range(meter.rate(at(30)), 980'000, 1'000'000);
  assert_true(meter.rate(at(40)) < 150'000);
  assert_int_equal(meter.rate(at(30) + Duration::minutes(2)), 0);
  assert_int_equal(meter.total(), 30'000'000);
}

static void rate_gate_keeps_its_rate_and_is_fair(void**) {
  RateGate gate(1'000'000);
  std::map<uint32_t, uint64_t> moved;
  std::vector<uint32_t> may = {1, 2, 3, 4, 5};
  Instant now = at(0);
  int wakes = 0;
  while (now < at(20)) {
    for (uint32_t connection : may) {
      while (gate.take(now, connection, 16384)) moved[connection] += 16384;
    }
    assert_true(gate.next_deadline() > now && !gate.next_deadline().is_never());
    now = gate.next_deadline();
    ++wakes;
    may.clear();
    gate.grant(now, may);
  }
  uint64_t total = 0;
  for (auto& [connection, bytes] : moved) total += bytes;
  assert_in_range(total, 19'800'000, 20'400'000);
  for (auto& [connection, bytes] : moved) assert_in_range(bytes, 3'900'000, 4'200'000);
  assert_true(wakes < 20 * 65);
}

// One connection takes whatever it is given and asks again at once; three pause for 30 ms after every 256 KiB, as a payer's window makes
// them.
static void rate_gate_leaves_nothing_to_the_greedy(void**) {
  constexpr uint64_t k_window = 256 * 1024;
  RateGate gate(8'000'000);
  std::map<uint32_t, uint64_t> moved;
  std::map<uint32_t, Instant> paused_until;
  auto use = [&](Instant now, uint32_t connection) {
    while (now >= paused_until[connection] && gate.take(now, connection, 16384)) {
      moved[connection] += 16384;
      if (connection != 1 && moved[connection] % k_window == 0) paused_until[connection] = now + Duration::ms(30);
    }
  };
  for (Instant now = at(0); now < at(20); now = now + Duration::ms(1)) {
    std::vector<uint32_t> granted;
    gate.grant(now, granted);
    for (uint32_t connection : granted) use(now, connection);
    for (uint32_t connection : {1, 2, 3, 4}) use(now, connection);
  }
  uint64_t total = 0;
  for (auto& [connection, bytes] : moved) total += bytes;
  assert_in_range(total, 159'000'000, 161'000'000);
  for (uint32_t connection : {2, 3, 4}) assert_true(moved[connection] >= 30'000'000);  // of a fair share of 40'000'000
}

static void rate_gate_goes_on_when_the_limit_is_lifted(void**) {
  RateGate gate(16384);
  std::vector<uint32_t> granted;
  for (int i = 0; i < 4; ++i) assert_true(gate.take(at(0), 1, 16384));
  for (uint32_t connection : {1, 2, 3}) assert_false(gate.take(at(0), connection, 16384));
  gate.set_rate(at(0), 0);
  gate.grant(at(0), granted);
  assert_true(granted == std::vector<uint32_t>({1, 2, 3}));
  assert_true(gate.next_deadline().is_never());
}

// What was granted and not used is there again for the others, also when its connection has gone.
static void rate_gate_takes_back_what_is_not_used(void**) {
  RateGate gate(1'638'400);
  std::vector<uint32_t> granted;
  while (gate.take(at(0), 1, 16384)) {
  }
  assert_false(gate.take(at(0), 2, 16384));
  Instant now = gate.next_deadline() + Duration::ms(40);  // six blocks
  gate.grant(now, granted);
  assert_true(granted == std::vector<uint32_t>({1, 2}));
  gate.leave(1);
  int blocks = 0;
  while (gate.take(now, 2, 16384)) ++blocks;
  assert_int_equal(blocks, 6);
}

static void rate_gate_forgets_who_left(void**) {
  RateGate gate(16384);
  for (int i = 0; i < 4; ++i) assert_true(gate.take(at(0), 1, 16384));
  assert_false(gate.take(at(0), 1, 16384));
  assert_false(gate.take(at(0), 2, 16384));
  gate.leave(1);
  std::vector<uint32_t> granted;
  gate.grant(gate.next_deadline(), granted);
  assert_true(granted == std::vector<uint32_t>({2}));
  assert_true(gate.next_deadline().is_never());
  RateGate unlimited(0);
  for (int i = 0; i < 10000; ++i) assert_true(unlimited.take(at(0), 1, 16384));
}

static void download_queue_follows_the_rate(void**) {
  DownloadQueue queue;
  assert_int_equal(queue.room(at(0), 0), DownloadQueue::k_requests_min);
  uint32_t next = 0;
  // The window grows with each block at the start.
  for (int i = 0; i < 100; ++i) {
    for (uint32_t room = queue.room(at(0), 0); room > 0; --room) queue.add(at(0), range(next++));
    assert_true(queue.on_block(at(0), wire::BlockRange(queue.at(0))) == DownloadQueue::Answer::asked);
  }
  assert_int_equal(queue.size() + queue.room(at(0), 0), 104);
  // Then the rate decides: two seconds of 1 MiB/s are 128 blocks.
  assert_int_equal(queue.size() + queue.room(at(5), 1 << 20), 128 + DownloadQueue::k_requests_min);
  assert_int_equal(queue.room(at(5), 0), 0);
  queue.set_limit(110);
  assert_int_equal(queue.size() + queue.room(at(5), 100 << 20), 110);
}

static void download_queue_tells_late_from_unasked(void**) {
  DownloadQueue queue;
  queue.add(at(0), range(0));
  queue.add(at(1), range(1));
  assert_true(queue.overdue_at() == at(60));
  assert_true(queue.take_back(range(0)));
  assert_false(queue.take_back(range(0)));
  assert_true(queue.overdue_at() == at(61));
  assert_true(queue.on_block(at(2), range(0)) == DownloadQueue::Answer::late);
  assert_true(queue.on_block(at(2), range(0)) == DownloadQueue::Answer::unasked);
  assert_true(queue.on_block(at(2), range(5)) == DownloadQueue::Answer::unasked);
  assert_true(queue.on_reject(range(1)));
  assert_false(queue.on_reject(range(1)));
  assert_true(queue.overdue_at().is_never());
  queue.add(at(3), range(2));
  queue.take_back_all();
  assert_true(queue.empty() && queue.on_block(at(4), range(2)) == DownloadQueue::Answer::late);
}

namespace {

std::map<uint32_t, SlotKind> decide(Choker& choker, Instant now, uint32_t slots, bool full, std::vector<ChokeCandidate>& candidates) {
  std::vector<ChokeDecision> decisions;
  choker.decide(now, slots, full, candidates, decisions);
  std::map<uint32_t, SlotKind> out;
  for (size_t i = 0; i < candidates.size(); ++i) {
    assert_int_equal(decisions[i].peer, candidates[i].peer);
    if (candidates[i].slot != SlotKind::none && decisions[i].slot == SlotKind::none) candidates[i].waiting_since = now;
    candidates[i].slot = decisions[i].slot;
    out[decisions[i].peer] = decisions[i].slot;
  }
  return out;
}

std::vector<ChokeCandidate> candidates_of(uint32_t count) {
  std::vector<ChokeCandidate> out(count);
  for (uint32_t i = 0; i < count; ++i) {
    out[i].peer = i + 1;
    out[i].address = peer_at(i).address;
    out[i].rate = 1000 * i;
    out[i].waiting_since = at(0);
  }
  return out;
}

uint32_t count_of(const std::map<uint32_t, SlotKind>& decided, SlotKind kind) {
  uint32_t n = 0;
  for (auto& [peer, slot] : decided) n += slot == kind;
  return n;
}

}  // namespace

static void the_fastest_get_regular_slots(void**) {
  Choker choker;
  std::vector<ChokeCandidate> candidates = candidates_of(8);
  auto decided = decide(choker, at(0), 4, true, candidates);
  for (uint32_t peer : {6u, 7u, 8u}) assert_true(decided[peer] == SlotKind::regular);
  assert_int_equal(count_of(decided, SlotKind::optimistic), 1);
  assert_int_equal(count_of(decided, SlotKind::none), 4);
}

static void fewer_peers_than_slots_all_get_one(void**) {
  Choker choker;
  std::vector<ChokeCandidate> candidates = candidates_of(4);
  auto decided = decide(choker, at(0), 4, true, candidates);
  assert_int_equal(count_of(decided, SlotKind::none), 0);
  std::vector<ChokeCandidate> one = candidates_of(1);
  assert_true(decide(choker, at(0), 1, true, one)[1] != SlotKind::none);
  assert_true(decide(choker, at(0), 0, true, one)[1] == SlotKind::none);
}

static void the_optimistic_slot_visits_everybody(void**) {
  Choker choker;
  std::vector<ChokeCandidate> candidates = candidates_of(10);
  for (ChokeCandidate& candidate : candidates) candidate.rate = candidate.peer <= 2 ? 1'000'000 : 0;
  std::map<uint32_t, int> turns;
  uint32_t holder = 0;
  for (int round = 0; round < 24 * 3; ++round) {
    auto decided = decide(choker, at(10 * round), 3, true, candidates);
    assert_int_equal(count_of(decided, SlotKind::regular), 2);
    for (auto& [peer, slot] : decided) {
      if (slot != SlotKind::optimistic) continue;
      if (peer != holder) ++turns[peer];
      holder = peer;
    }
  }
  assert_int_equal(turns.size(), 8);
  for (auto& [peer, count] : turns) assert_int_equal(count, 3);
}

static void peers_of_one_address_take_turns_too(void**) {
  Choker choker;
  std::vector<ChokeCandidate> candidates = candidates_of(4);
  for (ChokeCandidate& candidate : candidates) {
    candidate.rate = 0;
    candidate.address = peer_at(1).address;
  }
  std::set<uint32_t> holders;
  for (int round = 0; round < 12; ++round) {
    for (auto& [peer, slot] : decide(choker, at(10 * round), 1, true, candidates)) {
      if (slot == SlotKind::optimistic) holders.insert(peer);
    }
  }
  assert_int_equal(holders.size(), 4);
}

static void auction_slots_stay_and_losing_bidders_get_no_regular_slot(void**) {
  Choker choker;
  std::vector<ChokeCandidate> candidates = candidates_of(6);
  candidates[0].slot = candidates[1].slot = SlotKind::auction;
  candidates[5].bidding = candidates[4].bidding = true;
  auto decided = decide(choker, at(0), 4, true, candidates);
  assert_true(decided[1] == SlotKind::auction && decided[2] == SlotKind::auction);
  assert_true(decided[4] == SlotKind::regular);  // the fastest without a bid
  assert_int_equal(count_of(decided, SlotKind::none), 2);
}

static void losing_bidders_use_free_slots_that_nobody_else_wants(void**) {
  Choker choker;
  std::vector<ChokeCandidate> candidates = candidates_of(4);
  candidates[0].slot = SlotKind::auction;
  for (ChokeCandidate& candidate : candidates) candidate.bidding = true;
  auto decided = decide(choker, at(0), 4, true, candidates);
  assert_int_equal(count_of(decided, SlotKind::regular), 2);
  assert_int_equal(count_of(decided, SlotKind::optimistic), 1);
  // They give way at the next round to whoever does not bid, however slow; the optimistic slot is not theirs for good.
  for (ChokeCandidate& candidate : candidates) candidate.slot = decided[candidate.peer];
  std::vector<ChokeCandidate> more = candidates_of(6);
  for (size_t i = 4; i < 6; ++i) {
    more[i].rate = 0;
    candidates.push_back(more[i]);
  }
  decided = decide(choker, at(10), 4, true, candidates);
  assert_true(decided[5] == SlotKind::regular && decided[6] == SlotKind::regular);
  assert_int_equal(count_of(decided, SlotKind::none), 2);
}

static void between_equals_that_wait_the_higher_bid_has_the_optimistic_slot(void**) {
  Choker choker;
  std::vector<ChokeCandidate> candidates = candidates_of(3);
  for (ChokeCandidate& candidate : candidates) {
    candidate.bidding = true;
    candidate.bid = candidate.peer == 2 ? 500 : 100;
  }
  auto decided = decide(choker, at(0), 1, true, candidates);
  assert_true(decided[2] == SlotKind::optimistic);
  candidates = candidates_of(3);
  for (ChokeCandidate& candidate : candidates) candidate.bidding = true;
  candidates[2].waiting_since = at(-9);
  candidates[1].bid = 500;
  Choker other;
  decided = decide(other, at(0), 1, true, candidates);
  assert_true(decided[2] == SlotKind::optimistic);  // within a round they wait equally long
  candidates = candidates_of(3);
  candidates[2].waiting_since = at(-10);
  candidates[1].bid = 500;
  Choker third;
  decided = decide(third, at(0), 1, true, candidates);
  assert_true(decided[3] == SlotKind::optimistic);
}

// White paper: the optimistic slot is not auctioned. However high the bids are, whoever has waited longest by a round or more has it.
static void no_bid_overtakes_who_has_waited_a_round_longer(void**) {
  Random random(3);
  for (int run = 0; run < 500; ++run) {
    std::vector<ChokeCandidate> candidates = candidates_of(static_cast<uint32_t>(2 + random.below(7)));
    Instant oldest = Instant::never();
    for (ChokeCandidate& candidate : candidates) {
      candidate.rate = 0;
      candidate.waiting_since = at(-static_cast<int64_t>(random.below(60)));
      candidate.bidding = random.below(2) == 0;
      candidate.bid = candidate.bidding ? 1 + random.below(1000) : 0;
      oldest = earlier(oldest, candidate.waiting_since);
    }
    Choker choker;
    auto decided = decide(choker, at(0), 1, true, candidates);
    uint64_t best = 0;
    for (const ChokeCandidate& candidate : candidates) {
      if (candidate.waiting_since - oldest < Choker::k_round) best = std::max(best, candidate.bid);
    }
    for (const ChokeCandidate& candidate : candidates) {
      if (decided[candidate.peer] != SlotKind::optimistic) continue;
      assert_true(candidate.waiting_since - oldest < Choker::k_round);
      assert_int_equal(candidate.bid, best);
    }
    assert_int_equal(count_of(decided, SlotKind::optimistic), 1);
  }
}

static void a_bidder_has_one_optimistic_turn_in_ten_minutes(void**) {
  Choker choker;
  std::vector<ChokeCandidate> candidates = candidates_of(1);
  candidates[0].bidding = true;
  int rounds_with_slot = 0;
  for (int round = 0; round < 50; ++round) {
    rounds_with_slot += decide(choker, at(10 * round), 1, true, candidates)[1] == SlotKind::optimistic;
  }
  assert_int_equal(rounds_with_slot, 3);
}

static void a_free_slot_is_filled_at_once_and_nothing_else_changes(void**) {
  Choker choker;
  std::vector<ChokeCandidate> candidates = candidates_of(6);
  decide(choker, at(0), 4, true, candidates);
  candidates[0].rate = 1'000'000;
  candidates.erase(candidates.begin() + 5);  // the fastest leaves
  auto before = candidates;
  auto decided = decide(choker, at(3), 4, false, candidates);
  assert_true(decided[1] != SlotKind::none);
  for (const ChokeCandidate& candidate : before) {
    if (candidate.slot != SlotKind::none) assert_true(decided[candidate.peer] == candidate.slot);
  }
  assert_int_equal(count_of(decided, SlotKind::none), 1);
}

static void sold_slots_come_out_of_the_regular_ones_at_once(void**) {
  Choker choker;
  std::vector<ChokeCandidate> candidates = candidates_of(6);
  decide(choker, at(0), 4, true, candidates);
  std::vector<ChokeCandidate> sold = candidates_of(8);
  sold.erase(sold.begin(), sold.begin() + 6);
  for (ChokeCandidate& candidate : sold) candidate.slot = SlotKind::auction;
  candidates.insert(candidates.end(), sold.begin(), sold.end());
  auto decided = decide(choker, at(3), 4, false, candidates);
  assert_int_equal(count_of(decided, SlotKind::auction), 2);
  assert_int_equal(count_of(decided, SlotKind::optimistic), 1);
  assert_int_equal(count_of(decided, SlotKind::regular), 1);
  assert_true(decided[6] == SlotKind::regular);  // the fastest of those that had one
}

static void snubbed_peers_get_no_regular_slot(void**) {
  Choker choker;
  std::vector<ChokeCandidate> candidates = candidates_of(2);
  candidates[1].snubbed = true;
  candidates[0].snubbed = true;
  auto decided = decide(choker, at(0), 4, true, candidates);
  assert_int_equal(count_of(decided, SlotKind::optimistic), 1);
  assert_int_equal(count_of(decided, SlotKind::regular), 0);
}

static void failed_peers_are_retried_later_and_later(void**) {
  Random random(1);
  PeerList list(random);
  list.add(at(0), peer_at(1), PeerSource::tracker);
  list.add(at(0), peer_at(1), PeerSource::tracker);
  assert_int_equal(list.size(), 1);
  Instant now = at(0);
  Duration last;
  int tries = 0;
  while (list.size() > 0) {
    assert_true(list.next(now).has_value());
    assert_false(list.next(now).has_value());
    list.on_closed(now, peer_at(1), PeerList::Ending::failed);
    ++tries;
    if (list.size() == 0) break;
    Duration pause = list.next_deadline() - now;
    assert_true(pause > last);
    last = pause;
    now = list.next_deadline();
  }
  assert_int_equal(tries, PeerList::k_failures_max);
}

static void peers_of_the_user_are_never_forgotten(void**) {
  Random random(1);
  PeerList list(random);
  list.add(at(0), peer_at(1), PeerSource::user);
  Instant now = at(0);
  for (int i = 0; i < 100; ++i) {
    assert_true(list.next(now).has_value());
    list.on_closed(now, peer_at(1), PeerList::Ending::failed);
    assert_true(list.next_deadline() - now <= PeerList::k_retry_user_max + PeerList::k_retry_user_max / 4);
    now = list.next_deadline();
  }
}

static void the_list_of_peers_is_bounded(void**) {
  Random random(1);
  PeerList list(random);
  for (uint32_t i = 0; i < 2000; ++i) list.add(at(0), peer_at(i), PeerSource::tracker);
  assert_int_equal(list.size(), PeerList::k_peers_max);
  Endpoint tried = *list.next(at(0));
  list.on_closed(at(0), tried, PeerList::Ending::failed);
  list.add(at(0), peer_at(5000), PeerSource::tracker);  // takes the place of the one that failed
  std::set<Endpoint> all;
  while (auto endpoint = list.next(at(1000))) all.insert(*endpoint);
  assert_true(all.count(peer_at(5000)) == 1 && all.count(tried) == 0);
  list.add(at(0), Endpoint{IpAddress::v4({224, 0, 0, 1}), 1}, PeerSource::tracker);
  list.add(at(0), Endpoint{IpAddress::v4({10, 0, 0, 1}), 0}, PeerSource::tracker);
  assert_int_equal(list.size(), PeerList::k_peers_max);
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(upload_queue_serves_in_order_and_is_bounded),
      cmocka_unit_test(rate_meter_follows_and_forgets),
      cmocka_unit_test(rate_gate_keeps_its_rate_and_is_fair),
      cmocka_unit_test(rate_gate_leaves_nothing_to_the_greedy),
      cmocka_unit_test(rate_gate_goes_on_when_the_limit_is_lifted),
      cmocka_unit_test(rate_gate_takes_back_what_is_not_used),
      cmocka_unit_test(rate_gate_forgets_who_left),
      cmocka_unit_test(download_queue_follows_the_rate),
      cmocka_unit_test(download_queue_tells_late_from_unasked),
      cmocka_unit_test(the_fastest_get_regular_slots),
      cmocka_unit_test(fewer_peers_than_slots_all_get_one),
      cmocka_unit_test(the_optimistic_slot_visits_everybody),
      cmocka_unit_test(peers_of_one_address_take_turns_too),
      cmocka_unit_test(auction_slots_stay_and_losing_bidders_get_no_regular_slot),
      cmocka_unit_test(losing_bidders_use_free_slots_that_nobody_else_wants),
      cmocka_unit_test(between_equals_that_wait_the_higher_bid_has_the_optimistic_slot),
      cmocka_unit_test(no_bid_overtakes_who_has_waited_a_round_longer),
      cmocka_unit_test(a_bidder_has_one_optimistic_turn_in_ten_minutes),
      cmocka_unit_test(a_free_slot_is_filled_at_once_and_nothing_else_changes),
      cmocka_unit_test(sold_slots_come_out_of_the_regular_ones_at_once),
      cmocka_unit_test(snubbed_peers_get_no_regular_slot),
      cmocka_unit_test(failed_peers_are_retried_later_and_later),
      cmocka_unit_test(peers_of_the_user_are_never_forgotten),
      cmocka_unit_test(the_list_of_peers_is_bounded),
  };
  return RUN_TESTS(tests);
}
