// Which pieces of a torrent are leased, verified and durable while it downloads: the bookkeeping behind its resume record. The rule that
// makes a restart after a crash cheap: a piece is written only after a record with its lease is durable, and it counts in `have` of a
// record only after its hash matched and its data was synced. So after a crash only leased pieces can be half written.
//
//   lease(p) -> record() committed -> p may be written -> verified(p) -> begin_sync() ... on_synced() -> record() has p
#pragma once

#include <cstdint>
#include <vector>

#include "base/bitfield.h"
#include "torrent/resume_record.h"

namespace millet {

class ResumeState {
 public:
  // `have`: verified and on the disk.
  explicit ResumeState(Bitfield have = {}) : durable_(std::move(have)), leased_(durable_.size()) {}

  void lease(uint32_t piece) { leased_.set(piece); }
  // The piece's hash matched. Requires: leased.
  void verified(uint32_t piece) { unsynced_.push_back(piece); }
  // Pieces that a sync would make part of the next record.
  bool needs_sync() const { return !unsynced_.empty(); }
  bool is_syncing() const { return syncing_active_; }
  // Everything verified until now is part of the sync. Requires: not syncing.
  void begin_sync();
  void on_synced();
  void on_sync_failed();
  // The piece is on the disk since before: nobody is writing it.
  void found(uint32_t piece) { durable_.set(piece); }
  // Nothing is being written any more: no piece can be half written, so none stays leased but those not synced yet.
  void drop_idle_leases();

  bool has_leases() const { return !leased_.none(); }
  const Bitfield& durable() const { return durable_; }
  // The record's `have` and `leased`.
  void fill(ResumeRecord& record) const;

 private:
  Bitfield durable_;
  Bitfield leased_;
  std::vector<uint32_t> unsynced_;
  std::vector<uint32_t> syncing_;
  bool syncing_active_ = false;
};

}  // namespace millet
