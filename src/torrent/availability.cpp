#include "torrent/availability.h"

#include <utility>

namespace millet {

Availability::Availability(uint32_t pieces, Random& random)
    : random_(random), counts_(pieces, 0), positions_(pieces, k_absent), begin_(3, 0) {}

void Availability::add_peer(const Bitfield& pieces) {
  CHECK(pieces.size() == counts_.size());
  if (pieces.all()) {
    ++seeds_;
    return;
  }
  for (uint32_t piece = 0; piece < pieces.size(); ++piece) {
    if (pieces.test(piece)) raise(piece);
  }
}

void Availability::remove_peer(const Bitfield& pieces) {
  CHECK(pieces.size() == counts_.size());
  if (pieces.all()) {
    CHECK(seeds_ > 0);
    --seeds_;
    return;
  }
  for (uint32_t piece = 0; piece < pieces.size(); ++piece) {
    if (pieces.test(piece)) lower(piece);
  }
}

void Availability::peer_has(uint32_t piece, const Bitfield& pieces) {
  if (!pieces.all()) {
    raise(piece);
    return;
  }
  // The last piece makes it a seed: the others were counted one by one until now.
  for (uint32_t other = 0; other < pieces.size(); ++other) {
    if (other != piece) lower(other);
  }
  ++seeds_;
}

void Availability::want(uint32_t piece) {
  CHECK(!is_wanted(piece));
  uint32_t bucket = counts_[piece];
  make_bucket(bucket);
  // It enters behind the last bucket and goes down through every bucket's edge.
  positions_[piece] = static_cast<uint32_t>(order_.size());
  order_.push_back(piece);
  for (uint32_t above = static_cast<uint32_t>(begin_.size()) - 1; above > bucket; --above) {
    swap_places(piece, order_[begin_[above]]);
    ++begin_[above];
  }
  shuffle_within(piece, bucket);
}

void Availability::unwant(uint32_t piece) {
  CHECK(is_wanted(piece));
  for (uint32_t above = counts_[piece] + 1u; above < begin_.size(); ++above) {
    --begin_[above];
    swap_places(piece, order_[begin_[above]]);
  }
  CHECK(order_.back() == piece);
  order_.pop_back();
  positions_[piece] = k_absent;
}

void Availability::raise(uint32_t piece) {
  CHECK(counts_[piece] < UINT16_MAX);
  uint32_t to = ++counts_[piece];
  if (!is_wanted(piece)) return;
  make_bucket(to);
  --begin_[to];
  swap_places(piece, order_[begin_[to]]);
  shuffle_within(piece, to);
}

void Availability::lower(uint32_t piece) {
  CHECK(counts_[piece] > 0);
  uint32_t from = counts_[piece]--;
  if (!is_wanted(piece)) return;
  swap_places(piece, order_[begin_[from]]);
  ++begin_[from];
  shuffle_within(piece, from - 1);
}

void Availability::swap_places(uint32_t a, uint32_t b) {
  std::swap(order_[positions_[a]], order_[positions_[b]]);
  std::swap(positions_[a], positions_[b]);
}

void Availability::shuffle_within(uint32_t piece, uint32_t bucket) {
  uint32_t size = begin_[bucket + 1] - begin_[bucket];
  uint32_t place = static_cast<uint32_t>(random_.below(size));
  swap_places(piece, order_[begin_[bucket] + place]);
}

void Availability::make_bucket(uint32_t bucket) {
  while (begin_.size() < bucket + 2u) begin_.push_back(static_cast<uint32_t>(order_.size()));
}

Bitfield Availability::rare(const Bitfield& have) const {
  const uint32_t size = static_cast<uint32_t>(counts_.size());
  Bitfield out(size);
  uint64_t sum = 0, missing = 0;
  for (uint32_t piece = 0; piece < size; ++piece) {
    if (have.test(piece)) continue;
    sum += count(piece);
    ++missing;
  }
  for (uint32_t piece = 0; piece < size && sum > 0; ++piece) {
    if (!have.test(piece) && 2 * missing * count(piece) <= sum) out.set(piece);
  }
  return out;
}

}  // namespace millet
