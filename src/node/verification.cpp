#include "node/verification.h"

namespace millet {

void Verification::pump() {
  for (Torrent& torrent : core_.torrents) {
    if (torrent.phase != TorrentPhase::checking) continue;
    uint32_t piece = 0;
    while (in_flight_ < k_in_flight_max && torrent.walk.next(piece)) {
      Ticket ticket = core_.new_ticket(TicketKind::verify);
      jobs_[ticket] = {torrent.handle, piece};
      ++in_flight_;
      core_.act(HashPiece{ticket, torrent.handle, piece});
    }
    if (in_flight_ == k_in_flight_max) return;
  }
}

Verification::Outcome Verification::on_hashed(Ticket ticket, const Result<Sha1Digest>& digest) {
  CHECK(in_flight_ > 0);
  --in_flight_;
  Outcome out;
  auto job = jobs_.find(ticket);
  if (job == jobs_.end()) return out;
  uint32_t piece = job->second.piece;
  out.torrent = core_.torrents.find(job->second.torrent);
  jobs_.erase(job);
  CHECK(out.torrent != nullptr && out.torrent->phase == TorrentPhase::checking);
  Torrent& torrent = *out.torrent;
  if (!digest) {
    out.failure = digest.error();
    return out;
  }
  torrent.walk.on_checked();
  if (*digest == torrent.piece_hash(piece)) {
    out.good = piece;
    return out;
  }
  ++torrent.bad_in_check;
  if (!torrent.first_bad) torrent.first_bad = piece;
  return out;
}

void Verification::forget(const Torrent& torrent) {
  std::erase_if(jobs_, [&](const auto& job) { return job.second.torrent == torrent.handle; });
}

}  // namespace millet
