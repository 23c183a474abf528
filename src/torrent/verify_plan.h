// What of a torrent's payload must be hashed before it counts: nothing that the resume record vouches for, only pieces that may have been
// half written by a crash, and files that changed since. And the walk over those pieces, with a bound on how many are being hashed.
#pragma once

#include <cstdint>
#include <vector>

#include "base/bitfield.h"
#include "torrent/layout.h"
#include "torrent/resume_record.h"

namespace millet {

struct ResumePlan {
  Bitfield have;                        // can be served at once
  Bitfield check;                       // to be hashed; shares no piece with `have`
  std::vector<uint32_t> changed_files;  // differ from the record in size or modification time, or are missing
};

// `record`: nothing if the torrent is new; then every piece whose bytes exist is checked. A piece with bytes outside the files as they are
// now is neither: it is missing. Requires: recorded (if there is a record) and present have layout.file_count() entries.
ResumePlan plan_resume(const PieceLayout& layout, const ResumeRecord* record, const FileStates& recorded, const FileStates& present);

// Every piece whose bytes exist: for a check that the user asked for.
Bitfield existing_pieces(const PieceLayout& layout, const FileStates& present);

// Hands out the pieces to hash in ascending order.
class VerifyWalk {
 public:
  explicit VerifyWalk(Bitfield check = {}) : check_(std::move(check)) {}
  // The next piece; false if none is left to start.
  bool next(uint32_t& piece);
  void on_checked() { ++checked_; }
  bool done() const { return checked_ == check_.count(); }
  uint32_t checked() const { return checked_; }
  uint32_t total() const { return check_.count(); }

 private:
  Bitfield check_;
  uint32_t at_ = 0;
  uint32_t checked_ = 0;
};

}  // namespace millet
