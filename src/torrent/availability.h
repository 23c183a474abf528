// How many connected peers have each piece, and the pieces that we want ordered from the rarest: what "rarest first" asks. Every change of
// one piece costs constant time: the order is an array of buckets, one per count, and a piece moves by swapping at a bucket's edge.
//
//   order_   | count 0 ...| count 1 ........ | count 2 ...| ...        pieces inside a bucket stand in random order
//            ^begin_[0]   ^begin_[1]         ^begin_[2]                so ties break at random
//
// A peer with every piece changes no order, so it is only counted.
#pragma once

#include <cstdint>
#include <vector>

#include "base/bitfield.h"
#include "base/random.h"

namespace millet {

class Availability {
 public:
  // Wants nothing, knows no peer. `random` must outlive it.
  Availability(uint32_t pieces, Random& random);

  // A peer came with these pieces / left with them / told of one more. Requires: pieces.size() as constructed; what left had come.
  void add_peer(const Bitfield& pieces);
  void remove_peer(const Bitfield& pieces);
  // `pieces`: the peer's, with the new one set already.
  void peer_has(uint32_t piece, const Bitfield& pieces);

  // Peers that have the piece.
  uint32_t count(uint32_t piece) const { return seeds_ + counts_[piece]; }

  // Puts a piece into the order or takes it out. Requires: it is not in it / it is.
  void want(uint32_t piece);
  void unwant(uint32_t piece);
  bool is_wanted(uint32_t piece) const { return positions_[piece] != k_absent; }
  uint32_t wanted_count() const { return static_cast<uint32_t>(order_.size()); }

  // Of the pieces that are not in `have`: those that at most half as many peers have as have one of them on average. Also those that have been
  // asked for: a short download has asked for everything at once.
  Bitfield rare(const Bitfield& have) const;
  // The wanted pieces that somebody has, rarest first; visit(piece) gives false to stop. It must not change the order.
  template <typename Visit>
  void visit_rarest(Visit&& visit) const {
    for (size_t i = seeds_ > 0 ? 0 : begin_[1]; i < order_.size(); ++i) {
      if (!visit(order_[i])) return;
    }
  }

 private:
  static constexpr uint32_t k_absent = UINT32_MAX;
  void raise(uint32_t piece);
  void lower(uint32_t piece);
  void swap_places(uint32_t a, uint32_t b);
  void shuffle_within(uint32_t piece, uint32_t bucket);
  // Buckets 0 to `bucket` exist after this, and one empty one behind them.
  void make_bucket(uint32_t bucket);

  Random& random_;
  std::vector<uint16_t> counts_;     // peers that have the piece, without those that have all
  std::vector<uint32_t> positions_;  // of each piece in order_; k_absent: not wanted
  std::vector<uint32_t> order_;
  std::vector<uint32_t> begin_;  // begin_[c]: where the pieces with count c start; the last entry is order_.size()
  uint32_t seeds_ = 0;
};

}  // namespace millet
