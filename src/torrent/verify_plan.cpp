#include "torrent/verify_plan.h"

#include <algorithm>

namespace millet {
namespace {

bool exists(const PieceLayout& layout, const FileStates& present, uint32_t piece) {
  ExtentWalk walk = layout.extents(piece, 0, layout.piece_size(piece));
  FileExtent extent;
  while (walk.next(extent)) {
    const std::optional<FileState>& file = present[extent.file];
    if (!file || file->size < extent.offset + extent.length) return false;
  }
  return true;
}

// True if a leased piece has bytes in the file: then its modification time may be our own doing. `leased` is ascending.
bool touched_by_lease(const std::vector<uint32_t>& leased, PieceLayout::PieceRange pieces) {
  auto found = std::lower_bound(leased.begin(), leased.end(), pieces.first);
  return found != leased.end() && *found <= pieces.last;
}

}  // namespace

Bitfield existing_pieces(const PieceLayout& layout, const FileStates& present) {
  Bitfield out(layout.piece_count());
  for (uint32_t piece = 0; piece < layout.piece_count(); ++piece) {
    if (exists(layout, present, piece)) out.set(piece);
  }
  return out;
}

ResumePlan plan_resume(const PieceLayout& layout, const ResumeRecord* record, const FileStates& recorded, const FileStates& present) {
  CHECK(present.size() == layout.file_count());
  ResumePlan plan;
  plan.have = Bitfield(layout.piece_count());
  plan.check = Bitfield(layout.piece_count());
  if (record == nullptr) {
    plan.check = existing_pieces(layout, present);
    return plan;
  }
  CHECK(recorded.size() == layout.file_count());
  plan.have = record->have;
  auto doubt = [&](uint32_t piece) {
    plan.have.clear(piece);
    if (exists(layout, present, piece)) plan.check.set(piece);
  };
  for (uint32_t piece : record->leased) doubt(piece);
  for (uint32_t file = 0; file < layout.file_count(); ++file) {
    PieceLayout::PieceRange pieces = layout.pieces_of_file(file);
    if (pieces.empty() || present[file] == recorded[file]) continue;
    if (present[file].has_value() && touched_by_lease(record->leased, pieces)) continue;
    plan.changed_files.push_back(file);
    for (uint32_t piece = pieces.first; piece <= pieces.last; ++piece) doubt(piece);
  }
  return plan;
}

bool VerifyWalk::next(uint32_t& piece) {
  while (at_ < check_.size() && !check_.test(at_)) ++at_;
  if (at_ >= check_.size()) return false;
  piece = at_++;
  return true;
}

}  // namespace millet
