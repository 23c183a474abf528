#include "torrent/resume_state.h"

namespace millet {

void ResumeState::begin_sync() {
  CHECK(!syncing_active_);
  syncing_active_ = true;
  syncing_.swap(unsynced_);
}

void ResumeState::on_synced() {
  CHECK(syncing_active_);
  syncing_active_ = false;
  for (uint32_t piece : syncing_) {
    durable_.set(piece);
    leased_.clear(piece);
  }
  syncing_.clear();
}

void ResumeState::on_sync_failed() {
  CHECK(syncing_active_);
  syncing_active_ = false;
  unsynced_.insert(unsynced_.end(), syncing_.begin(), syncing_.end());
  syncing_.clear();
}

void ResumeState::drop_idle_leases() {
  leased_.clear_all();
  for (uint32_t piece : unsynced_) leased_.set(piece);
  for (uint32_t piece : syncing_) leased_.set(piece);
}

void ResumeState::fill(ResumeRecord& record) const {
  record.have = durable_;
  record.leased.clear();
  if (leased_.none()) return;
  for (uint32_t piece = 0; piece < leased_.size(); ++piece) {
    if (leased_.test(piece) && !durable_.test(piece)) record.leased.push_back(piece);
  }
}

}  // namespace millet
