#include "torrent/picker.h"

#include "base/heap_sort.h"

#include <algorithm>

namespace millet {

Picker::Picker(const PieceLayout& layout, const Bitfield& have, Random& random)
    : layout_(layout), availability_(layout.piece_count(), random) {
  CHECK(have.size() == layout.piece_count());
  std::vector<uint32_t> missing;
  missing.reserve(have.size() - have.count());
  for (uint32_t piece = 0; piece < have.size(); ++piece) {
    if (!have.test(piece)) missing.push_back(piece);
  }
  for (uint32_t piece : missing) availability_.want(piece);
  unfinished_ = static_cast<uint32_t>(missing.size());
}

void Picker::plan(uint32_t piece, std::vector<uint32_t>& out) {
  availability_.unwant(piece);
  ahead_bytes_ += layout_.piece_size(piece);
  lease_bytes_ += layout_.piece_size(piece);
  ++leasing_;
  out.push_back(piece);
}

void Picker::plan_lease(std::vector<uint32_t>& out, bool fill) {
  // Half of the lead is left: a commit takes far less time than that much data.
  if (ahead_bytes_ >= (fill ? k_lease_ahead : k_lease_ahead / 2 + 1) || lease_is_full()) return;
  std::vector<uint32_t> chosen;
  uint64_t bytes = 0;
  availability_.visit_rarest([&](uint32_t piece) {
    chosen.push_back(piece);
    bytes += layout_.piece_size(piece);
    return ahead_bytes_ + bytes < k_lease_ahead && lease_bytes_ + bytes < k_lease_max;
  });
  for (uint32_t piece : chosen) plan(piece, out);
}

void Picker::plan_lease_for(const Bitfield& has, std::vector<uint32_t>& out) {
  if (lease_is_full()) return;
  std::vector<uint32_t> chosen;
  uint64_t bytes = 0;
  availability_.visit_rarest([&](uint32_t piece) {
    if (!has.test(piece)) return true;
    chosen.push_back(piece);
    bytes += layout_.piece_size(piece);
    return bytes < k_lease_for_source;
  });
  for (uint32_t piece : chosen) plan(piece, out);
}

void Picker::leased(uint32_t piece) {
  CHECK(leasing_ > 0 && !availability_.is_wanted(piece));
  --leasing_;
  ready_.push_back(piece);
  ++changes_;
}

Picker::Begun* Picker::find(uint32_t piece) {
  for (Begun& begun : begun_) {
    if (begun.piece == piece) return &begun;
  }
  return nullptr;
}

bool Picker::may_share(const Begun& begun, const Ask& ask) const {
  if (begun.free == 0 || begun.alone || !ask.has->test(begun.piece)) return false;
  // A source that works alone takes only what is left behind.
  return ask.mode == Mode::shared || (begun.owner == 0 && begun.requested == 0);
}

void Picker::pick(const Ask& ask, std::vector<BlockIndex>& out) {
  CHECK(ask.source != 0 && ask.has != nullptr);
  size_t out_max = out.size() + ask.blocks_max;
  for (Begun& begun : begun_) {
    if (out.size() == out_max) return;
    if (begun.owner != ask.source || begun.free == 0) continue;
    if (ask.mode == Mode::alone) {
      // A piece that also waits for others would make whoever is paid by the piece wait for them, and they perhaps for it.
      if (!asks_only(begun, ask.source)) continue;
      begun.alone = true;
    }
    take_free(begun, ask, out_max, out);
  }
  // What others left behind comes before new pieces; a source under suspicion would only mix its blocks into it.
  for (Begun& begun : begun_) {
    if (out.size() == out_max) return;
    if (ask.mode == Mode::shared && begun.owner == 0 && may_share(begun, ask)) take_free(begun, ask, out_max, out);
  }
  for (size_t i = 0; i < ready_.size() && out.size() < out_max;) {
    if (ask.has->test(ready_[i])) {
      take_free(begin_piece(i, ask), ask, out_max, out);
    } else {
      ++i;
    }
  }
  for (Begun& begun : begun_) {
    if (out.size() == out_max) break;
    if (may_share(begun, ask)) take_free(begun, ask, out_max, out);
  }
  update_endgame();
  if (endgame_ && ask.mode == Mode::shared) take_duplicates(ask, out_max, out);
}

std::vector<Picker::Stake> Picker::stakes(const Bitfield& has) const {
  std::vector<Stake> out;
  for (const Begun& begun : begun_) {
    if (begun.alone || begun.requested == 0 || !has.test(begun.piece)) continue;
    Stake stake{begun.piece, begun.free + begun.requested, {}};
    for (const Block& block : begun.blocks) {
      if (block.state == BlockState::requested)
        stake.sources.insert(stake.sources.end(), block.who.begin(), block.who.begin() + block.requesters);
    }
    heap_sort(stake.sources);
    stake.sources.erase(std::unique(stake.sources.begin(), stake.sources.end()), stake.sources.end());
    out.push_back(std::move(stake));
  }
  return out;
}

void Picker::take_over(SourceId source, uint32_t piece, std::vector<std::pair<SourceId, BlockIndex>>& cancelled) {
  Begun* begun = find(piece);
  CHECK(begun != nullptr && !begun->alone);
  for (uint32_t i = 0; i < begun->blocks.size(); ++i) {
    Block& block = begun->blocks[i];
    while (block.state == BlockState::requested) {
      SourceId loser = block.who[0];
      cancelled.push_back({loser, {piece, i}});
      release_block(*begun, block, loser);
    }
  }
  begun->owner = source;
  begun->alone = true;
  ++changes_;
}

Picker::Begun& Picker::begin_piece(size_t ready_index, const Ask& ask) {
  Begun begun;
  begun.piece = ready_[ready_index];
  begun.free = layout_.block_count(begun.piece);
  begun.owner = ask.source;
  begun.alone = ask.mode == Mode::alone;
  begun.blocks.resize(begun.free);
  ready_.erase(ready_.begin() + static_cast<std::ptrdiff_t>(ready_index));
  ahead_bytes_ -= layout_.piece_size(begun.piece);
  begun_.push_back(std::move(begun));
  return begun_.back();
}

void Picker::take_free(Begun& begun, const Ask& ask, size_t out_max, std::vector<BlockIndex>& out) {
  if (begun.owner == 0) {
    begun.owner = ask.source;
    begun.alone = ask.mode == Mode::alone || begun.retried;
  }
  for (uint32_t i = 0; i < begun.blocks.size() && out.size() < out_max && begun.free > 0; ++i) {
    Block& block = begun.blocks[i];
    if (block.state != BlockState::free) continue;
    block.state = BlockState::requested;
    block.requesters = 1;
    block.who[0] = ask.source;
    --begun.free;
    ++begun.requested;
    out.push_back({begun.piece, i});
  }
}

void Picker::take_duplicates(const Ask& ask, size_t out_max, std::vector<BlockIndex>& out) {
  for (Begun& begun : begun_) {
    if (begun.alone || begun.requested == 0 || !ask.has->test(begun.piece)) continue;
    for (uint32_t i = 0; i < begun.blocks.size() && out.size() < out_max; ++i) {
      Block& block = begun.blocks[i];
      if (block.state != BlockState::requested || block.requesters == k_requesters_max || block.who[0] == ask.source) continue;
      block.who[block.requesters++] = ask.source;
      out.push_back({begun.piece, i});
    }
  }
}

void Picker::update_endgame() {
  bool all_begun = availability_.wanted_count() == 0 && leasing_ == 0 && ready_.empty();
  endgame_ = all_begun && std::all_of(begun_.begin(), begun_.end(), [](const Begun& begun) { return begun.free == 0; });
}

void Picker::release_block(Begun& begun, Block& block, SourceId source) {
  if (block.state != BlockState::requested) return;
  for (uint8_t i = 0; i < block.requesters; ++i) {
    if (block.who[i] != source) continue;
    block.who[i] = block.who[block.requesters - 1];
    --block.requesters;
    ++changes_;
    break;
  }
  if (block.requesters > 0) return;
  block.state = BlockState::free;
  --begun.requested;
  ++begun.free;
  endgame_ = false;
}

void Picker::release(SourceId source, BlockIndex index) {
  Begun* begun = find(index.piece);
  if (begun == nullptr || index.block >= begun->blocks.size()) return;
  release_block(*begun, begun->blocks[index.block], source);
  // Nobody keeps a piece that it is not asked for: it may be choking us for a long time.
  if (begun->owner == source && !is_asked(*begun, source)) {
    begun->owner = 0;
    begun->alone = false;
    ++changes_;
  }
}

bool Picker::is_asked(const Begun& begun, SourceId source) const {
  for (const Block& block : begun.blocks) {
    if (block.state != BlockState::requested) continue;
    for (uint8_t i = 0; i < block.requesters; ++i) {
      if (block.who[i] == source) return true;
    }
  }
  return false;
}

bool Picker::asks_only(const Begun& begun, SourceId source) const {
  for (const Block& block : begun.blocks) {
    if (block.state == BlockState::requested && (block.requesters != 1 || block.who[0] != source)) return false;
  }
  return true;
}

void Picker::release_all(SourceId source) {
  for (Begun& begun : begun_) {
    for (Block& block : begun.blocks) release_block(begun, block, source);
    if (begun.owner != source) continue;
    begun.owner = 0;
    begun.alone = false;
    ++changes_;
  }
}

Picker::Arrival Picker::on_block(SourceId source, BlockIndex index, std::vector<SourceId>& others) {
  Begun* begun = find(index.piece);
  if (begun == nullptr || index.block >= begun->blocks.size()) return Arrival::duplicate;
  Block& block = begun->blocks[index.block];
  // Also a block whose request was given up in the meantime is taken: it is the data that we want.
  if (block.state == BlockState::free) {
    --begun->free;
  } else if (block.state == BlockState::requested) {
    // Late, from somebody who lost the piece: who has taken it over is on its way with it, and may be paid for it.
    if (begun->alone && block.who[0] != source) return Arrival::duplicate;
    --begun->requested;
    for (uint8_t i = 0; i < block.requesters; ++i) {
      if (block.who[i] != source) others.push_back(block.who[i]);
    }
  } else {
    return Arrival::duplicate;
  }
  block.state = BlockState::writing;
  block.requesters = 0;
  block.who[0] = source;
  return Arrival::wanted;
}

bool Picker::on_written(BlockIndex index) {
  Begun* begun = find(index.piece);
  CHECK(begun != nullptr && begun->blocks[index.block].state == BlockState::writing);
  begun->blocks[index.block].state = BlockState::written;
  return ++begun->written == begun->blocks.size();
}

void Picker::on_write_failed(BlockIndex index) {
  Begun* begun = find(index.piece);
  CHECK(begun != nullptr && begun->blocks[index.block].state == BlockState::writing);
  begun->blocks[index.block].state = BlockState::free;
  ++begun->free;
  ++changes_;
  endgame_ = false;
}

SourceId Picker::source_of(BlockIndex index) const {
  for (const Begun& begun : begun_) {
    if (begun.piece == index.piece) return begun.blocks[index.block].who[0];
  }
  return 0;
}

std::vector<SourceId> Picker::on_hashed(uint32_t piece, bool good) {
  Begun* begun = find(piece);
  CHECK(begun != nullptr && begun->written == begun->blocks.size());
  std::vector<SourceId> sources;
  for (const Block& block : begun->blocks) sources.push_back(block.who[0]);
  heap_sort(sources);
  sources.erase(std::unique(sources.begin(), sources.end()), sources.end());
  ++changes_;
  if (good) {
    lease_bytes_ -= layout_.piece_size(piece);
    --unfinished_;
    begun_.erase(begun_.begin() + (begun - begun_.data()));
    return sources;
  }
  begun->blocks.assign(begun->blocks.size(), Block{});
  begun->free = static_cast<uint32_t>(begun->blocks.size());
  begun->written = 0;
  begun->owner = 0;
  begun->alone = false;
  begun->retried = true;
  endgame_ = false;
  return sources;
}

uint64_t Picker::unverified_bytes() const {
  uint64_t bytes = 0;
  for (const Begun& begun : begun_) {
    for (uint32_t i = 0; i < begun.blocks.size(); ++i) {
      const Block& block = begun.blocks[i];
      if (block.state == BlockState::writing || block.state == BlockState::written) bytes += layout_.block_size(begun.piece, i);
    }
  }
  return bytes;
}

}  // namespace millet
