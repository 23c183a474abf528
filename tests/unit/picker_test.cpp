// torrent: rarest first, leases, pieces that are begun, endgame, blame.
#include <algorithm>
#include <map>
#include <set>

#include "torrent/picker.h"
#include "unit/test.h"

using namespace millet;

namespace {

constexpr uint32_t k_piece = 4 * k_block_size;

PieceLayout layout_of(uint32_t pieces, uint32_t piece_size = k_piece) {
  return *PieceLayout::make(piece_size, {uint64_t{pieces} * piece_size - 100});
}

Bitfield bits(uint32_t size, std::initializer_list<uint32_t> set) {
  Bitfield out(size);
  for (uint32_t i : set) out.set(i);
  return out;
}

Bitfield all_bits(uint32_t size) {
  Bitfield out(size);
  out.set_all();
  return out;
}

void lease_all(Picker& picker) {
  std::vector<uint32_t> pieces;
  picker.plan_lease(pieces);
  for (uint32_t piece : pieces) picker.leased(piece);
}

std::vector<BlockIndex> pick(Picker& picker, SourceId source, const Bitfield& has, uint32_t max, Picker::Mode mode = Picker::Mode::shared) {
  std::vector<BlockIndex> out;
  picker.pick({source, &has, mode, max}, out);
  return out;
}

// Delivers and writes a block; true if the piece is complete.
bool deliver(Picker& picker, SourceId source, BlockIndex block) {
  std::vector<SourceId> others;
  if (picker.on_block(source, block, others) != Picker::Arrival::wanted) return false;
  return picker.on_written(block);
}

}  // namespace

static void availability_orders_by_count_after_any_changes(void**) {
  constexpr uint32_t k_pieces = 60;
  Random random(3);
  Availability availability(k_pieces, random);
  std::map<uint32_t, Bitfield> peers;
  uint32_t next_peer = 0;
  for (int step = 0; step < 4000; ++step) {
    uint64_t kind = random.below(5);
    if (kind == 0) {
      Bitfield has(k_pieces);
      uint64_t density = random.below(4);
      for (uint32_t i = 0; i < k_pieces; ++i) {
        if (random.below(3) < density) has.set(i);
      }
      availability.add_peer(has);
      peers[next_peer++] = has;
    } else if (kind == 1 && !peers.empty()) {
      availability.remove_peer(peers.begin()->second);
      peers.erase(peers.begin());
    } else if (kind == 2 && !peers.empty()) {
      Bitfield& has = peers.rbegin()->second;
      uint32_t piece = static_cast<uint32_t>(random.below(k_pieces));
      if (!has.test(piece)) {
        has.set(piece);
        availability.peer_has(piece, has);
      }
    } else {
      uint32_t piece = static_cast<uint32_t>(random.below(k_pieces));
      availability.is_wanted(piece) ? availability.unwant(piece) : availability.want(piece);
    }
    uint32_t last = 0;
    std::set<uint32_t> seen;
    availability.visit_rarest([&](uint32_t piece) {
      assert_true(availability.is_wanted(piece));
      assert_true(availability.count(piece) >= std::max(last, 1u));
      last = availability.count(piece);
      assert_true(seen.insert(piece).second);
      return true;
    });
    uint32_t expected = 0;
    for (uint32_t piece = 0; piece < k_pieces; ++piece) {
      uint32_t count = 0;
      for (auto& [id, has] : peers) count += has.test(piece);
      assert_int_equal(availability.count(piece), count);
      expected += availability.is_wanted(piece) && count > 0;
    }
    assert_int_equal(seen.size(), expected);
  }
}

static void rarest_piece_is_leased_and_picked_first(void**) {
  Random random(1);
  PieceLayout layout = layout_of(8);
  Picker picker(layout, Bitfield(8), random);
  Bitfield common = bits(8, {0, 1, 2, 3, 4, 6, 7});
  Bitfield rare = bits(8, {0, 5});
  picker.availability().add_peer(common);
  picker.availability().add_peer(common);
  picker.availability().add_peer(rare);
  std::vector<uint32_t> leases;
  picker.plan_lease(leases);
  assert_int_equal(leases.size(), 8);
  assert_int_equal(leases[0], 5);
  assert_int_equal(leases[7], 0);
}

static void ties_break_at_random(void**) {
  std::set<uint32_t> first;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    Random random(seed);
    PieceLayout layout = layout_of(16);
    Picker picker(layout, Bitfield(16), random);
    picker.availability().add_peer(all_bits(16));
    std::vector<uint32_t> leases;
    picker.plan_lease(leases);
    first.insert(leases[0]);
  }
  assert_true(first.size() > 8);
}

static void nothing_is_picked_before_its_lease_is_durable(void**) {
  Random random(1);
  PieceLayout layout = layout_of(4);
  Bitfield has = all_bits(4);
  Picker picker(layout, Bitfield(4), random);
  picker.availability().add_peer(has);
  assert_int_equal(pick(picker, 1, has, 10).size(), 0);
  std::vector<uint32_t> leases;
  picker.plan_lease(leases);
  assert_int_equal(pick(picker, 1, has, 10).size(), 0);
  uint64_t before = picker.changes();
  picker.leased(leases[2]);
  assert_true(picker.changes() > before);
  std::vector<BlockIndex> blocks = pick(picker, 1, has, 10);
  assert_int_equal(blocks.size(), 4);
  for (BlockIndex block : blocks) assert_int_equal(block.piece, leases[2]);
}

static void leases_are_bounded(void**) {
  Random random(1);
  PieceLayout layout = layout_of(4000, 256 * 1024);
  Bitfield has = all_bits(4000);
  Picker picker(layout, Bitfield(4000), random);
  picker.availability().add_peer(has);
  uint64_t leased = 0;
  for (int round = 0; round < 100; ++round) {
    std::vector<uint32_t> leases;
    picker.plan_lease(leases);
    assert_true(leases.size() * 256 * 1024 <= Picker::k_lease_ahead);
    leased += leases.size();
    for (uint32_t piece : leases) picker.leased(piece);
    pick(picker, 1, has, 100000);
  }
  assert_int_equal(leased * 256 * 1024, Picker::k_lease_max);
}

static void a_source_without_leased_pieces_gets_its_own_lease(void**) {
  Random random(1);
  PieceLayout layout = layout_of(4000);
  Picker picker(layout, Bitfield(4000), random);
  Bitfield seed = all_bits(4000);
  picker.availability().add_peer(seed);
  lease_all(picker);
  Bitfield one(4000);
  for (uint32_t piece = 0; piece < 4000; ++piece) {
    if (picker.availability().is_wanted(piece)) {
      one.set(piece);
      break;
    }
  }
  picker.availability().add_peer(one);
  assert_int_equal(pick(picker, 2, one, 4).size(), 0);
  std::vector<uint32_t> leases;
  picker.plan_lease_for(one, leases);
  assert_int_equal(leases.size(), 1);
  picker.leased(leases[0]);
  assert_int_equal(pick(picker, 2, one, 4).size(), 4);
}

static void each_source_keeps_to_its_own_piece(void**) {
  Random random(1);
  PieceLayout layout = layout_of(4);
  Bitfield has = all_bits(4);
  Picker picker(layout, Bitfield(4), random);
  picker.availability().add_peer(has);
  lease_all(picker);
  std::vector<BlockIndex> a = pick(picker, 1, has, 2);
  std::vector<BlockIndex> b = pick(picker, 2, has, 2);
  std::vector<BlockIndex> a2 = pick(picker, 1, has, 2);
  assert_true(a[0].piece != b[0].piece);
  assert_true(a2[0].piece == a[0].piece && a2[0].block == 2);
}

static void pieces_left_behind_come_before_new_ones(void**) {
  Random random(1);
  PieceLayout layout = layout_of(4);
  Bitfield has = all_bits(4);
  Picker picker(layout, Bitfield(4), random);
  picker.availability().add_peer(has);
  lease_all(picker);
  std::vector<BlockIndex> a = pick(picker, 1, has, 4);
  assert_false(deliver(picker, 1, a[0]));
  picker.release_all(1);
  std::vector<BlockIndex> b = pick(picker, 2, has, 4);
  assert_int_equal(b.size(), 4);
  for (int i = 0; i < 3; ++i) assert_true(b[static_cast<size_t>(i)].piece == a[0].piece);
  assert_true(b[3].piece != a[0].piece);
}

static void endgame_asks_two_sources_and_names_whom_to_cancel(void**) {
  Random random(1);
  PieceLayout layout = layout_of(1);
  Bitfield has = all_bits(1);
  Picker picker(layout, Bitfield(1), random);
  for (int i = 0; i < 3; ++i) picker.availability().add_peer(has);
  lease_all(picker);
  std::vector<BlockIndex> a = pick(picker, 1, has, 2);
  assert_false(picker.in_endgame());
  assert_int_equal(pick(picker, 2, has, 10).size(), 4);  // the two that are free, then the two of the first source
  assert_true(picker.in_endgame());
  assert_int_equal(pick(picker, 3, has, 10).size(), 2);  // only those with one requester
  std::vector<SourceId> others;
  assert_true(picker.on_block(2, a[0], others) == Picker::Arrival::wanted);
  assert_int_equal(others.size(), 1);
  assert_int_equal(others[0], 1);
  assert_true(picker.on_block(1, a[0], others) == Picker::Arrival::duplicate);
}

static void alone_shares_nothing_and_duplicates_nothing(void**) {
  Random random(1);
  PieceLayout layout = layout_of(2);
  Bitfield has = all_bits(2);
  Picker picker(layout, Bitfield(2), random);
  picker.availability().add_peer(has);
  lease_all(picker);
  std::vector<BlockIndex> paid = pick(picker, 1, has, 2, Picker::Mode::alone);
  std::vector<BlockIndex> free = pick(picker, 2, has, 100);
  assert_int_equal(free.size(), 4);
  for (BlockIndex block : free) assert_true(block.piece != paid[0].piece);
  assert_int_equal(pick(picker, 1, has, 100, Picker::Mode::alone).size(), 2);
  assert_int_equal(pick(picker, 1, has, 100, Picker::Mode::alone).size(), 0);
  assert_int_equal(pick(picker, 2, has, 100).size(), 0);
  // A silent provider gives its piece back.
  picker.release_all(1);
  assert_int_equal(pick(picker, 2, has, 100).size(), 4);
}

static void alone_takes_nothing_of_a_piece_that_waits_for_others(void**) {
  Random random(5);
  PieceLayout layout = layout_of(1);
  Bitfield have(1);
  Picker picker(layout, have, random);
  Bitfield has = all_bits(1);
  picker.availability().add_peer(has);
  lease_all(picker);
  std::vector<BlockIndex> own = pick(picker, 1, has, 2);
  std::vector<BlockIndex> shared = pick(picker, 2, has, 1);
  assert_int_equal(own.size(), 2);
  assert_int_equal(shared.size(), 1);
  // Source 1 is paid from now on: the piece hangs on source 2, so it gets nothing of it until that has answered.
  for (BlockIndex block : own) deliver(picker, 1, block);
  assert_int_equal(pick(picker, 1, has, 8, Picker::Mode::alone).size(), 0);
  deliver(picker, 2, shared[0]);
  assert_int_equal(pick(picker, 1, has, 8, Picker::Mode::alone).size(), 1);
}

static void alone_takes_a_piece_over_from_slow_sources(void**) {
  Random random(5);
  PieceLayout layout = layout_of(2);
  Bitfield have(2);
  Picker picker(layout, have, random);
  Bitfield has = all_bits(2);
  picker.availability().add_peer(has);
  lease_all(picker);
  std::vector<BlockIndex> slow = pick(picker, 1, has, 4);
  std::vector<BlockIndex> slower = pick(picker, 2, has, 2);
  assert_true(!deliver(picker, 1, slow[0]));
  assert_int_equal(pick(picker, 3, has, 8, Picker::Mode::alone).size(), 0);
  std::vector<Picker::Stake> stakes = picker.stakes(has);
  assert_int_equal(stakes.size(), 2);
  assert_int_equal(stakes[0].missing, 3);
  assert_true(stakes[0].sources == std::vector<SourceId>{1});
  assert_int_equal(picker.stakes(Bitfield(2)).size(), 0);
  std::vector<std::pair<SourceId, BlockIndex>> cancelled;
  picker.take_over(3, slow[0].piece, cancelled);
  assert_int_equal(cancelled.size(), 3);
  for (size_t i = 0; i < 3; ++i) assert_true(cancelled[i].first == 1 && cancelled[i].second == slow[i + 1]);
  std::vector<BlockIndex> own = pick(picker, 3, has, 8, Picker::Mode::alone);
  assert_true(own == std::vector<BlockIndex>(slow.begin() + 1, slow.end()));
  // What comes late from the loser is no use, and the loser gets nothing of the piece.
  std::vector<SourceId> others;
  assert_true(picker.on_block(1, slow[1], others) == Picker::Arrival::duplicate && others.empty());
  for (BlockIndex block : pick(picker, 1, has, 8)) assert_true(block.piece == slower[0].piece);
  assert_int_equal(picker.stakes(has).size(), 1);
  assert_false(deliver(picker, 3, own[0]));
  assert_false(deliver(picker, 3, own[1]));
  assert_true(deliver(picker, 3, own[2]));
  assert_true(picker.on_hashed(slow[0].piece, true) == (std::vector<SourceId>{1, 3}));
}

static void a_lone_piece_whose_requests_are_rejected_is_free_for_others(void**) {
  Random random(5);
  PieceLayout layout = layout_of(1);
  Bitfield have(1);
  Picker picker(layout, have, random);
  Bitfield has = all_bits(1);
  picker.availability().add_peer(has);
  lease_all(picker);
  std::vector<BlockIndex> own = pick(picker, 1, has, 8, Picker::Mode::alone);
  assert_int_equal(own.size(), 4);
  assert_int_equal(pick(picker, 2, has, 8).size(), 0);
  // Choked: every request is rejected (BEP 6), and the source may stay silent for a long time.
  for (BlockIndex block : own) picker.release(1, block);
  assert_int_equal(pick(picker, 2, has, 8, Picker::Mode::alone).size(), 4);
}

static void a_bad_piece_is_fetched_again_from_one_source(void**) {
  Random random(1);
  PieceLayout layout = layout_of(1);
  Bitfield has = all_bits(1);
  Picker picker(layout, Bitfield(1), random);
  picker.availability().add_peer(has);
  picker.availability().add_peer(has);
  lease_all(picker);
  std::vector<BlockIndex> a = pick(picker, 1, has, 2);
  std::vector<BlockIndex> b = pick(picker, 2, has, 2);
  deliver(picker, 1, a[0]);
  deliver(picker, 1, a[1]);
  deliver(picker, 2, b[0]);
  assert_true(deliver(picker, 2, b[1]));
  std::vector<SourceId> sources = picker.on_hashed(0, false);
  assert_int_equal(sources.size(), 2);
  assert_int_equal(picker.unfinished(), 1);
  a = pick(picker, 1, has, 1);
  assert_int_equal(a.size(), 1);
  assert_int_equal(pick(picker, 2, has, 4).size(), 0);
  a = pick(picker, 1, has, 4);
  deliver(picker, 1, {0, 0});
  deliver(picker, 1, a[0]);
  deliver(picker, 1, a[1]);
  assert_true(deliver(picker, 1, a[2]));
  sources = picker.on_hashed(0, true);
  assert_int_equal(sources.size(), 1);
  assert_true(picker.done());
}

static void a_failed_write_is_requested_again(void**) {
  Random random(1);
  PieceLayout layout = layout_of(1);
  Bitfield has = all_bits(1);
  Picker picker(layout, Bitfield(1), random);
  picker.availability().add_peer(has);
  lease_all(picker);
  std::vector<BlockIndex> a = pick(picker, 1, has, 4);
  std::vector<SourceId> others;
  picker.on_block(1, a[0], others);
  assert_int_equal(picker.unverified_bytes(), k_block_size);
  picker.on_write_failed(a[0]);
  assert_int_equal(picker.unverified_bytes(), 0);
  std::vector<BlockIndex> again = pick(picker, 1, has, 4);
  assert_int_equal(again.size(), 1);
  assert_true(again[0] == a[0]);
}

// Sources that come, go, lie and reject at random: every block is asked until it is there, and the torrent ends complete.
static void random_sources_always_complete_the_torrent(void**) {
  for (uint64_t seed = 0; seed < 30; ++seed) {
    Random random(seed);
    constexpr uint32_t k_pieces = 40;
    PieceLayout layout = layout_of(k_pieces);
    Picker picker(layout, bits(k_pieces, {3, 9}), random);
    std::map<SourceId, Bitfield> peers;
    std::map<SourceId, std::vector<BlockIndex>> open;
    SourceId next = 1;
    int steps = 0;
    while (!picker.done()) {
      assert_true(++steps < 200000);
      if (peers.size() < 4) {
        Bitfield has = random.below(2) == 0 ? all_bits(k_pieces) : Bitfield(k_pieces);
        for (uint32_t i = 0; i < k_pieces; ++i) {
          if (random.below(2) == 0) has.set(i);
        }
        picker.availability().add_peer(has);
        peers[next++] = has;
      }
      SourceId source = std::next(peers.begin(), static_cast<std::ptrdiff_t>(random.below(peers.size())))->first;
      lease_all(picker);
      uint64_t kind = random.below(20);
      if (kind == 0) {
        picker.release_all(source);
        picker.availability().remove_peer(peers[source]);
        peers.erase(source);
        open.erase(source);
      } else if (kind < 6) {
        Picker::Mode mode = random.below(3) == 0 ? Picker::Mode::alone : Picker::Mode::shared;
        for (BlockIndex block : pick(picker, source, peers[source], static_cast<uint32_t>(1 + random.below(6)), mode)) {
          for (BlockIndex mine : open[source]) assert_false(mine == block);
          open[source].push_back(block);
        }
      } else if (!open[source].empty()) {
        BlockIndex block = open[source].front();
        open[source].erase(open[source].begin());
        if (kind == 6) {
          picker.release(source, block);
          continue;
        }
        std::vector<SourceId> others;
        if (picker.on_block(source, block, others) == Picker::Arrival::duplicate) continue;
        for (SourceId other : others) std::erase(open[other], block);
        if (picker.on_written(block)) picker.on_hashed(block.piece, random.below(5) != 0);
      }
    }
    assert_int_equal(picker.unverified_bytes(), 0);
  }
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(availability_orders_by_count_after_any_changes),
      cmocka_unit_test(rarest_piece_is_leased_and_picked_first),
      cmocka_unit_test(ties_break_at_random),
      cmocka_unit_test(nothing_is_picked_before_its_lease_is_durable),
      cmocka_unit_test(leases_are_bounded),
      cmocka_unit_test(a_source_without_leased_pieces_gets_its_own_lease),
      cmocka_unit_test(each_source_keeps_to_its_own_piece),
      cmocka_unit_test(pieces_left_behind_come_before_new_ones),
      cmocka_unit_test(endgame_asks_two_sources_and_names_whom_to_cancel),
      cmocka_unit_test(alone_shares_nothing_and_duplicates_nothing),
      cmocka_unit_test(alone_takes_nothing_of_a_piece_that_waits_for_others),
      cmocka_unit_test(alone_takes_a_piece_over_from_slow_sources),
      cmocka_unit_test(a_lone_piece_whose_requests_are_rejected_is_free_for_others),
      cmocka_unit_test(a_bad_piece_is_fetched_again_from_one_source),
      cmocka_unit_test(a_failed_write_is_requested_again),
      cmocka_unit_test(random_sources_always_complete_the_torrent),
  };
  return RUN_TESTS(tests);
}
