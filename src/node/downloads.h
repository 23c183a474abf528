// Fetching what is missing: which blocks are asked from whom, writing them, hashing whole pieces, and the commits that make a restart
// cheap (torrent/resume_state.h). A block is written only while its piece has a durable lease; a piece is announced only after its hash
// matched on the disk; it enters the resume record only after a sync.
#pragma once

#include <map>

#include "base/fifo.h"
#include "node/core.h"
#include "node/payments.h"
#include "node/persistence.h"
#include "node/torrent_store.h"

namespace millet {

class Downloads {
 public:
  // Between two syncs of a torrent: bounds what is hashed again after a crash, and how often flash is written.
  static constexpr Duration k_sync_every = Duration::seconds(10);
  // After a write failed for lack of room.
  static constexpr Duration k_retry_every = Duration::seconds(60);
  // Of a peer that alone sent a bad piece.
  static constexpr Duration k_bad_piece_ban = Duration::hours(24);
  // Addresses that had a part in a bad piece: who comes back is still suspected.
  static constexpr size_t k_suspects_max = 32;
  // Runs of blocks that are kept for evidence, 100 bytes each. The oldest makes room: then it is neither paid nor held against its sender.
  static constexpr size_t k_evidence_max = 64;
  // A snubbed peer keeps one request open: its answer ends the snub.
  static constexpr uint64_t k_far_slower = 4;  // times: then a piece is better paid for than waited for
  static constexpr uint32_t k_requests_when_snubbed = 1;

  // A peer that rejected a request, of what it has and while it unchokes us, had no room: transmission does it under load.
  static constexpr Duration k_rejected_pause = Duration::seconds(1);

  Downloads(Core& core, TorrentStore& store, Persistence& persistence, Payments& payments)
      : core_(core), store_(store), persistence_(persistence), payments_(payments) {}

  // The torrent becomes active and lacks pieces.
  void begin(Torrent& torrent);
  // It stops downloading for good or because its files are to be looked at again; what is being written goes on.
  void end(Torrent& torrent);
  // Paused with its pieces: nobody is asked for anything.
  void release_peers(Torrent& torrent);

  // ---- peers; each belongs to an open connection ----
  void on_pieces(Peer& peer);  // told what it has
  void on_have(Peer& peer, uint32_t piece);
  void on_unchoked(Instant now, Peer& peer);
  void on_choked(Instant now, Peer& peer);
  // Errors: protocol if it rejects without end while it unchokes us.
  Status on_reject(Instant now, Peer& peer, const wire::BlockRange& range);
  // Errors: protocol if nobody asked for it, too often.
  Status on_block(Instant now, Peer& peer, const wire::BlockRange& range, std::vector<uint8_t> data);
  void on_gone(Torrent& torrent, Peer& peer);
  // A request of the peer is overdue.
  void on_overdue(Instant now, Peer& peer);
  // A block's worth of memory for each request, a quarter of the budget in all.
  // Asked for, or being written.
  uint32_t blocks_open() const;
  uint32_t blocks_open_max() const { return core_.plan().blocks_open; }
  // The time for what was rejected has come, or not yet.
  void on_timer(Instant now, Peer& peer);
  // Asks the peer for more, if it may be asked.
  void fill(Instant now, Peer& peer);
  // All peers of a torrent.
  void fill_all(Instant now, Torrent& torrent);
  // Connections whose turn has come under the download limit.
  void on_granted(Instant now);

  // ---- work ----
  void on_block_written(Instant now, Ticket ticket, const Status& status);
  void on_piece_hashed(Instant now, Ticket ticket, const Result<Sha1Digest>& digest);
  void on_synced(Instant now, Ticket ticket, const Result<FileStates>& files);
  // Commits up to Persistence::durable() are durable.
  void on_durable();
  void on_timer(Instant now, Torrent& torrent);

  // What was verified becomes durable now and not in a few seconds. No-op if it is.
  void sync(Torrent& torrent);
  // The node ends: everything that was verified becomes durable, and no lease stays. True: it is so already.
  bool settle(Torrent& torrent);

 private:
  struct Write {
    TorrentHandle torrent;
    BlockIndex block;
    uint64_t epoch;
  };
  struct Hash {
    TorrentHandle torrent;
    uint32_t piece;
    uint64_t epoch;
  };
  // What one source sent for money, of a piece that failed its hash with several sources, or that came without being written. When the
  // piece has verified, the right bytes tell whether these were right.
  struct Evidence {
    InfoHash torrent;
    uint32_t piece;
    SourceId source;
    uint32_t begin;
    uint32_t length;
    uint64_t epoch;
    Ticket ticket;                     // not 0: being hashed; what came, if `digest` is not known yet, else the right bytes
    std::optional<Sha1Digest> digest;  // of what came
  };
  bool keep(const Evidence& evidence);
  bool gather(Torrent& torrent, uint32_t piece);
  bool compare(const Torrent& torrent, uint32_t piece);
  bool is_open(const InfoHash& torrent, uint32_t piece) const;
  void on_gathered(Instant now, size_t index, const Result<Sha1Digest>& digest);
  void on_compared(Instant now, size_t index, const Result<Sha1Digest>& digest);
  void condemn(Instant now, SourceId source, const InfoHash& torrent, uint32_t piece);
  void piece_hashed(Instant now, Torrent& torrent, uint32_t piece, bool good);
  bool may_ask(const Torrent& torrent, const Peer& peer) const;
  // Requests and blocks that are not on the disk yet, of the whole node.
  void update_interest(Peer& peer);
  void request(Instant now, Torrent& torrent, Peer& peer, uint32_t room);
  bool take_over(Instant now, Torrent& torrent, Peer& peer);
  void cancel(Peer& peer, const wire::BlockRange& range);
  void lease(Torrent& torrent, const std::vector<uint32_t>& pieces);
  void take_back(Torrent& torrent, Peer& peer);
  void suspect(Peer& peer);
  bool is_suspect(const IpAddress& address) const;
  void piece_verified(Instant now, Torrent& torrent, uint32_t piece, const std::vector<SourceId>& sources);
  void piece_bad(Instant now, Torrent& torrent, uint32_t piece, const std::vector<SourceId>& sources);
  void write_failed(Instant now, Torrent& torrent, const Error& reason);
  void plan_sync(Instant now, Torrent& torrent);
  wire::BlockRange range_of(const Torrent& torrent, BlockIndex block) const;

  Core& core_;
  TorrentStore& store_;
  Persistence& persistence_;
  Payments& payments_;
  std::map<Ticket, Write> writes_;
  std::map<Ticket, Hash> hashes_;
  std::vector<Evidence> evidence_;  // oldest first
  uint64_t epochs_ = 0;
  Fifo<IpAddress> suspects_;  // oldest first
};

}  // namespace millet
