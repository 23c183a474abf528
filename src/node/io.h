// What a Node asks of the world and what comes back: the whole boundary between deciding (node and everything left of it) and doing
// (driver).
//
//   driver -> Node    inputs: a connection was accepted, bytes came, a block was written, a commit is durable, a reply arrived, time passed
//   Node -> driver    Action: polled with poll_action() after every input until it gives none
//   Node -> driver    SendItem: pulled with next_send() per connection, only while its socket takes bytes
//
// Sending is pulled, not pushed: what a peer gets is decided when its socket has room, so a choke, a rate limit or an exhausted exposure
// window takes effect at once and nothing waits in a queue of ours. The node names a block, not its bytes; the driver reads it in the
// cheapest way that the device has.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/endpoint.h"
#include "base/ids.h"
#include "base/result.h"
#include "ledger/common/tls_key.h"
#include "store/store.h"
#include "torrent/layout.h"
#include "torrent/resume_record.h"

namespace millet {

// One peer connection; given by the node, never used again.
using PeerHandle = uint32_t;
// One torrent of this node; given by the node, never used again.
using TorrentHandle = uint32_t;
// One request for work; given by the node, answered once.
using Ticket = uint64_t;

// What carries a connection.
enum class Transport : uint8_t { tcp, utp };

// A run of bytes within one piece. Everywhere: length <= k_block_size and begin + length <= size of the piece.
struct BlockRef {
  TorrentHandle torrent = 0;
  uint32_t piece = 0;
  uint32_t begin = 0;
  uint32_t length = 0;
};

// The next thing that one connection sends. `bytes` come first (messages, or the header of the block), valid until the next call on the
// node; then the block, if there is one. The item goes out whole: what the socket does not take now is the driver's to finish.
struct SendItem {
  Bytes bytes;
  std::optional<BlockRef> block;
};

// ---- actions ----

// Opens a connection to a peer; on_connected or on_closed answers.
struct ConnectPeer {
  PeerHandle peer;
  Endpoint remote;
};
// The node has dropped the connection; nothing about it comes back.
struct ClosePeer {
  PeerHandle peer;
};
// There is something to send: pull next_send(peer) when the socket takes bytes.
struct PullPeer {
  PeerHandle peer;
};
// Stops or resumes reading from a connection (a full write queue, a flood).
struct SetReading {
  PeerHandle peer;
  bool reading;
};

struct TorrentFile {
  std::string path;  // relative, '/' between components; checked by the metainfo parser
  uint64_t size;
};
// Declares a torrent's files to the driver before anything below names the torrent. Files are opened lazily.
struct OpenTorrent {
  TorrentHandle torrent;
  std::string root;  // folder of the payload
  std::vector<TorrentFile> files;
  uint32_t piece_size;
};
struct CloseTorrent {
  TorrentHandle torrent;
  bool delete_files;
};
// Size and modification time of each file. on_files_checked answers, in the order of OpenTorrent::files; a missing file is nothing.
struct CheckFiles {
  Ticket ticket;
  TorrentHandle torrent;
};
// SHA-1 of a whole piece as it is on disk, or of some bytes of it. on_piece_hashed answers.
struct HashPiece {
  Ticket ticket;
  TorrentHandle torrent;
  uint32_t piece;
  uint32_t begin = 0;
  uint32_t length = 0;  // 0: the whole piece
};
// Writes a downloaded block. on_block_written answers. The data is handed over.
struct WriteBlock {
  Ticket ticket;
  BlockRef block;
  std::vector<uint8_t> data;
};
// Makes everything written to the torrent durable, creates its empty files where they are missing, and reports the files' states.
// on_files_checked answers.
struct SyncTorrent {
  Ticket ticket;
  TorrentHandle torrent;
};
// Applies the changes to the node's store in one transaction. Commits are done in order; on_durable(sequence) answers.
struct Commit {
  uint64_t sequence;
  StoreBatch changes;
};
// A signature by the node's key / a check of one, on a worker. on_signed / on_verified answers.
struct SignBytes {
  Ticket ticket;
  std::vector<uint8_t> message;
};
struct VerifyBytes {
  Ticket ticket;
  PublicKey key;
  std::vector<uint8_t> message;
  Signature signature;
};
// One HTTP exchange with a tracker or the ledger: resolve, connect, send, read the body to the end. on_http_done answers.
struct HttpExchange {
  Ticket ticket;
  std::string url;                                             // http://host[:port]/path?query; https only with `ledger`
  std::vector<uint8_t> body;                                   // empty: GET, else POST
  uint32_t reply_size_max;                                     // of the body; more is an error
  uint32_t timeout_ms;                                         // for all of it
  std::optional<LedgerPin> ledger = std::nullopt;              // who must answer, for https
  std::string_view content_type = "application/octet-stream";  // of the body; a constant
};
struct CancelHttp {
  Ticket ticket;  // no answer follows
};
// Evidence against the ledger, for people: a file in the state folder. Nothing answers.
struct KeepEvidence {
  std::vector<uint8_t> bytes;  // ledger/common/evidence.h
};
// Everything that must be durable is: the program may end (answers Node::shut_down).
struct ShutDownDone {};

using Action = std::variant<ConnectPeer, ClosePeer, PullPeer, SetReading, OpenTorrent, CloseTorrent, CheckFiles, HashPiece, WriteBlock,
                            SyncTorrent, Commit, SignBytes, VerifyBytes, HttpExchange, CancelHttp, KeepEvidence, ShutDownDone>;

// ---- answers ----

struct HttpReply {
  int status = 0;  // 200, 404, ...
  std::vector<uint8_t> body;
  std::optional<LedgerTime> tls_not_after = std::nullopt;  // of https: until when the server's certificate counts
};

}  // namespace millet
