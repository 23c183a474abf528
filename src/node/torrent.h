// One torrent of the node. Plain data that the parts of the node share; each says which of it is its own.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/amount.h"
#include "base/bitfield.h"
#include "node/io.h"
#include "swarm/announce.h"
#include "swarm/peer_list.h"
#include "swarm/rate_meter.h"
#include "torrent/layout.h"
#include "torrent/picker.h"
#include "torrent/resume_state.h"
#include "torrent/verify_plan.h"

namespace millet {

// What a torrent is doing. `have` may be served in checking and active.
//
//   stopped --start--> looking --files known--> checking --all hashed--> active
//      ^------------------ pause, error, remove -------------'
enum class TorrentPhase : uint8_t { stopped, looking, checking, active };

struct Torrent {
  Torrent(const std::vector<std::vector<std::string>>& tiers, Random& random) : peer_list(random), announcer(tiers, random) {}

  TorrentHandle handle = 0;
  InfoHash info_hash;
  std::string name;
  std::string root;
  std::vector<TorrentFile> files;
  PieceLayout layout;
  std::vector<uint8_t> piece_hashes;
  bool is_private = false;

  // settings
  bool paused = false;           // by the user
  bool seed = false;             // the payload was here before us: what is missing is an error, not a download
  std::optional<Amount> budget;  // nothing: as the node's configuration says
  std::optional<Rate> max_rate;
  std::optional<Rate> reserve;
  std::optional<bool> speed_enabled;
  std::vector<Endpoint> user_peers;

  // lifecycle
  TorrentPhase phase = TorrentPhase::stopped;
  std::string error;                   // why it stands still, or does not download; empty if all is well
  bool missing = false;                // it stands still because files are not there, and goes on when they are
  Instant look_at = Instant::never();  // while it stands still with an error: whether its files are there
  Bitfield have;                       // verified
  bool known = false;                  // `have` is what is on the disk
  bool changed = false;                // the resume record in the store is out of date

  // verification
  Ticket files_ticket = 0;  // CheckFiles under way
  VerifyWalk walk;
  Bitfield vouched;  // while checking: what needed no check
  uint32_t bad_in_check = 0;
  std::optional<uint32_t> first_bad;  // piece
  bool recheck = false;               // the user asked for it

  // persistence
  bool has_record = false;  // the store has a resume record of it
  ResumeState resume;
  FileStates files_committed;  // as the store has them
  FileStates files_now;        // as last seen
  TransferCounters counters;
  TransferCounters counters_committed;
  uint64_t earned_before = 0;          // micro-BTT, before this process
  Ticket sync_ticket = 0;              // SyncTorrent under way
  Instant sync_at = Instant::never();  // the next one is due

  // downloads; `picker` is there while it downloads
  std::unique_ptr<Picker> picker;
  struct Lease {
    uint64_t sequence;  // of the commit that makes it durable
    std::vector<uint32_t> pieces;
  };
  std::vector<Lease> leases;            // oldest first
  bool disk_trouble = false;            // writing failed: nothing is asked until it is tried again
  Instant retry_at = Instant::never();  // writing failed for lack of room: try again
  uint64_t picker_epoch = 0;            // which picker an answer belongs to
  uint32_t writes_open = 0;
  RateMeter down;

  // uploads
  RateMeter up;

  // connections
  std::vector<PeerHandle> peers;  // that are open, ascending
  PeerList peer_list;

  // announcing
  Announcer announcer;
  uint64_t uploaded_base = 0;  // counters when it said "started"
  uint64_t downloaded_base = 0;
  uint32_t key = 0;

  bool is_complete() const { return have.all(); }
  bool is_serving() const { return phase == TorrentPhase::checking || phase == TorrentPhase::active; }
  bool is_downloading() const { return picker != nullptr; }
  Sha1Digest piece_hash(uint32_t piece) const {
    return Sha1Digest::from_bytes(Bytes(piece_hashes).subspan(size_t{piece} * Sha1Digest::k_size, Sha1Digest::k_size));
  }
  uint64_t bytes_done() const {
    if (have.none()) return 0;
    uint64_t bytes = uint64_t{have.count()} * layout.nominal_piece_size();
    uint32_t last = layout.piece_count() - 1;
    return have.test(last) ? bytes - (layout.nominal_piece_size() - layout.piece_size(last)) : bytes;
  }
};

}  // namespace millet
