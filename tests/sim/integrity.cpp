#include "sim/integrity.h"

#include <algorithm>

namespace millet::simtest {

void IntegrityChecker::on_sent(PeerSide& side, const wire::Message& message) {
  const auto* slice = std::get_if<wire::PieceSlice>(&message);
  if (slice == nullptr || side.info_hash != payload_.info_hash || dishonest_.contains(side.machine)) return;
  uint64_t at = uint64_t{slice->range.piece} * payload_.piece_size + slice->range.begin + slice->offset;
  bool inside = at + slice->data.size() <= payload_.all.size();
  bool right = inside && std::equal(slice->data.begin(), slice->data.end(), payload_.all.begin() + static_cast<ptrdiff_t>(at));
  if (right) return;
  report_.breach("machine " + std::to_string(side.machine) + " sent wrong bytes of piece " + std::to_string(slice->range.piece));
}

}  // namespace millet::simtest
