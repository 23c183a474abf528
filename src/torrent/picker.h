// Which block to request from whom, for one torrent that is not complete. Rarest piece first with ties broken at random, pieces that are
// begun before new ones, and at the end the same block from two peers (endgame). Who has which piece is told by the caller's bitfields;
// how many requests a peer may have open is the caller's matter too.
//
// A piece goes through these states. A block may be requested, and so written, only while its piece is leased: the caller makes the lease
// durable first, and so knows after a crash which pieces may be half written (resume_state.h).
//
//   wanted -> leasing -> leased -> begun -> hashing -> done
//     plan_lease()  leased()  pick()   all blocks written   on_hashed(good)
//                              ^--------- on_hashed(bad): all its blocks again
//
// A piece that is begun has an owner as long as the source that began it is there: others take its blocks only when there is nothing else
// to do, so that most pieces come from one source and a bad one names its culprit.
#pragma once

#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/bitfield.h"
#include "base/random.h"
#include "torrent/availability.h"
#include "torrent/layout.h"

namespace millet {

// Who delivers blocks: one peer connection. 0 is nobody.
using SourceId = uint32_t;

struct BlockIndex {
  uint32_t piece = 0;
  uint32_t block = 0;
  bool operator==(const BlockIndex&) const = default;
};

class Picker {
 public:
  // Leased ahead of what is begun, so that one commit covers many pieces.
  static constexpr uint64_t k_lease_ahead = 16u << 20;
  // Leased and not done in all: what is hashed again after a crash.
  static constexpr uint64_t k_lease_max = 64u << 20;
  // Leased for one source that has nothing of what is leased already.
  static constexpr uint64_t k_lease_for_source = 1u << 20;
  // The same block is asked from this many sources in the endgame.
  static constexpr uint8_t k_requesters_max = 2;

  // Both must outlive it. Wants every piece that is not in `have`.
  Picker(const PieceLayout& layout, const Bitfield& have, Random& random);

  // Peers come and go here; the picker itself asks for what it wants.
  Availability& availability() { return availability_; }
  const Availability& availability() const { return availability_; }

  // ---- lease ----
  // Appends the pieces to lease now: none while enough are ahead. `fill`: as many as may be, because a commit is made anyway.
  void plan_lease(std::vector<uint32_t>& out, bool fill = false);
  // For a source that pick() had nothing for.
  void plan_lease_for(const Bitfield& has, std::vector<uint32_t>& out);
  // The lease of a planned piece is durable. Requires: planned, not leased.
  void leased(uint32_t piece);

  // ---- requests ----
  // shared: any block that is free. alone: whole pieces that nobody else works on, no duplicates: for paid sources, which are asked
  // strictly in order, and for a source under suspicion, so that its next bad piece is its own.
  enum class Mode : uint8_t { shared, alone };
  struct Ask {
    SourceId source = 0;
    const Bitfield* has = nullptr;
    Mode mode = Mode::shared;
    uint32_t blocks_max = 0;
  };
  // Appends blocks to request from the source now, in order, and counts them as requested.
  void pick(const Ask& ask, std::vector<BlockIndex>& out);
  // A begun piece that others are asked for, and what is missing of it.
  struct Stake {
    uint32_t piece = 0;
    uint32_t missing = 0;           // blocks
    std::vector<SourceId> sources;  // that were asked, each once, ascending
  };
  // Those that a source could take over which works alone and has nothing else to do: pieces that nobody works on alone.
  std::vector<Stake> stakes(const Bitfield& has) const;
  // The source is asked for all that is missing of the piece, alone; `cancelled` gets the requests that others lose by it. Requires: a
  // piece of stakes().
  void take_over(SourceId source, uint32_t piece, std::vector<std::pair<SourceId, BlockIndex>>& cancelled);
  // Grows whenever pick() may give something that it did not give before: ask again only then.
  uint64_t changes() const { return changes_; }
  // The request will not be answered (rejected, choked, timed out). Unknown ones are ignored.
  void release(SourceId source, BlockIndex block);
  // All requests of a source that left or went silent; its pieces have no owner then.
  void release_all(SourceId source);

  // ---- blocks ----
  enum class Arrival : uint8_t { wanted, duplicate };
  // A requested block came. `wanted`: write it; `others` get the sources that were asked for it too, to be cancelled.
  Arrival on_block(SourceId source, BlockIndex block, std::vector<SourceId>& others);
  // True: that was the piece's last block, hash it. Requires: `wanted` came for it.
  bool on_written(BlockIndex block);
  // The block is to be requested again. Requires: as on_written.
  void on_write_failed(BlockIndex block);
  // Who delivered a block. Requires: on_written gave true for its piece, and on_hashed was not called.
  SourceId source_of(BlockIndex block) const;
  // Returns the sources of the piece's blocks, each once, in order. Requires: on_written gave true for it.
  std::vector<SourceId> on_hashed(uint32_t piece, bool good);

  // ---- what is there ----
  bool done() const { return unfinished_ == 0; }
  uint32_t unfinished() const { return unfinished_; }
  // Every missing piece is leased and all of its blocks are requested.
  bool in_endgame() const { return endgame_; }
  uint32_t begun_count() const { return static_cast<uint32_t>(begun_.size()); }
  // Bytes that came and are not yet part of a verified piece.
  uint64_t unverified_bytes() const;

 private:
  enum class BlockState : uint8_t { free, requested, writing, written };
  struct Block {
    BlockState state = BlockState::free;
    uint8_t requesters = 0;
    std::array<SourceId, k_requesters_max> who{};  // requested: those asked; else who[0] delivered it
  };
  struct Begun {
    uint32_t piece = 0;
    uint32_t free = 0;  // blocks in each state
    uint32_t written = 0;
    uint32_t requested = 0;
    SourceId owner = 0;
    bool alone = false;    // nobody but the owner
    bool retried = false;  // failed its hash once: the next time all blocks are to come from one source
    std::vector<Block> blocks;
  };

  Begun* find(uint32_t piece);
  Begun& begin_piece(size_t ready_index, const Ask& ask);
  void take_free(Begun& begun, const Ask& ask, size_t out_max, std::vector<BlockIndex>& out);
  void take_duplicates(const Ask& ask, size_t out_max, std::vector<BlockIndex>& out);
  void release_block(Begun& begun, Block& block, SourceId source);
  bool may_share(const Begun& begun, const Ask& ask) const;
  // The source has an open request in the piece; nobody else has one.
  bool is_asked(const Begun& begun, SourceId source) const;
  bool asks_only(const Begun& begun, SourceId source) const;
  void plan(uint32_t piece, std::vector<uint32_t>& out);
  bool lease_is_full() const { return lease_bytes_ >= k_lease_max; }
  void update_endgame();

  const PieceLayout& layout_;
  Availability availability_;    // wants the pieces in state `wanted`
  std::vector<uint32_t> ready_;  // leased, not begun, rarest first when they were planned
  std::vector<Begun> begun_;     // oldest first
  uint64_t ahead_bytes_ = 0;     // leasing and leased
  uint64_t lease_bytes_ = 0;     // leasing to hashing
  uint32_t leasing_ = 0;         // pieces
  uint32_t unfinished_ = 0;      // pieces not done
  uint64_t changes_ = 1;
  bool endgame_ = false;
};

}  // namespace millet
