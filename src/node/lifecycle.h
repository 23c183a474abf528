// A torrent from being added to being removed: looking at its files, checking what must be checked, serving and downloading, and standing
// still with a reason that a person can act on.
#pragma once

#include "node/announcing.h"
#include "node/connections.h"
#include "node/downloads.h"
#include "node/torrent_store.h"
#include "node/verification.h"

namespace millet {

class Lifecycle {
 public:
  struct Parts {
    Core& core;
    TorrentStore& store;
    Verification& verification;
    Downloads& downloads;
    Announcing& announcing;
    Connections& connections;
  };
  explicit Lifecycle(const Parts& parts) : parts_(parts), core_(parts.core) {}

  // ---- commands (node.h has their errors) ----
  Result<InfoHash> add(Instant now, const AddTorrent& request);
  Status remove(Instant now, const InfoHash& hash, bool delete_data);
  Status verify(Instant now, const InfoHash& hash);
  Status pause(Instant now, const InfoHash& hash);
  Status resume(Instant now, const InfoHash& hash);

  Status set(const InfoHash& hash, const TorrentSettings& settings);

  // From the store, at start.
  void adopt(Instant now, std::unique_ptr<Torrent> torrent);
  void on_files_checked(Instant now, Ticket ticket, const Result<FileStates>& files);
  void on_piece_checked(Instant now, Ticket ticket, const Result<Sha1Digest>& digest);
  // The last missing piece is here.
  void on_complete(Instant now, Torrent& torrent);
  // The payload can't be used: the torrent stops until somebody acts. `reason` names the file.
  void fail(Instant now, Torrent& torrent, const std::string& reason);
  // Nothing new is begun and no peer stays connected; what is being written goes on.
  void stop(Instant now, Torrent& torrent, const char* reason);
  // Its last write or sync has ended: a torrent that waited for that may start.
  void on_idle(Torrent& torrent);
  // Looks again whether the files of one that stands still are there, when that is due.
  void on_timer(Instant now, Torrent& torrent);

 private:
  Result<Torrent*> find(const InfoHash& hash);
  // Errors: no_room.
  Status check_room(const Torrent& torrent) const;
  void start(Instant now, Torrent& torrent);
  void look(Torrent& torrent);
  void plan(Instant now, Torrent& torrent, const FileStates& files);
  void look_later(Instant now, Torrent& torrent);
  void on_looked_again(Instant now, Torrent& torrent, const Result<FileStates>& files);
  void wait_for_files(Instant now, Torrent& torrent, const TorrentFile& file);
  void adopt_check(Torrent& torrent);
  void finish_check(Instant now, Torrent& torrent);
  void activate(Instant now, Torrent& torrent);
  void report_damage(Instant now, Torrent& torrent);
  bool check_is_over(Instant now, Torrent& torrent);

  Parts parts_;
  Core& core_;
};

}  // namespace millet
