// Hashing what is on the disk, for torrents in the phase `checking`: one torrent after the other, a few pieces at a time, so that a disk
// reads in one place. Pieces that are good count at once.
#pragma once

#include <map>

#include "node/core.h"

namespace millet {

class Verification {
 public:
  // Enough for four hashing threads and the next reads behind them.
  static constexpr uint32_t k_in_flight_max = 8;

  explicit Verification(Core& core) : core_(core) {}

  // Starts what can be started.
  void pump();
  struct Outcome {
    Torrent* torrent = nullptr;    // nothing: it was stopped meanwhile
    std::optional<Error> failure;  // the disk could not be read
    std::optional<uint32_t> good;  // this piece is there
  };
  Outcome on_hashed(Ticket ticket, const Result<Sha1Digest>& digest);
  // The torrent left the phase; answers for it are dropped.
  void forget(const Torrent& torrent);

 private:
  struct Job {
    TorrentHandle torrent;
    uint32_t piece;
  };
  Core& core_;
  std::map<Ticket, Job> jobs_;
  uint32_t in_flight_ = 0;
};

}  // namespace millet
