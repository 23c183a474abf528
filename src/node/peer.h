// One connection of the node. Plain data that the parts of the node share; each says which of it is its own.
#pragma once

#include <memory>
#include <optional>

#include "base/endpoint.h"
#include "node/io.h"
#include "swarm/choker.h"
#include "swarm/download_queue.h"
#include "swarm/peer_session.h"
#include "swarm/rate_meter.h"
#include "swarm/upload_queue.h"

namespace millet {

struct Peer {
  PeerHandle handle = 0;
  TorrentHandle torrent = 0;  // 0: the handshake has not said it yet
  Endpoint remote;
  IpAddress local;
  Transport transport = Transport::tcp;  // while it is up
  bool incoming = false;
  bool is_up = false;                    // incoming, or our dial came through
  std::unique_ptr<PeerSession> session;  // while it is up
  std::optional<Endpoint> listed;        // as the torrent's list of peers knows it

  // Both sides are complete: it goes when the payments between us are done, at the latest then. Never: it is of use.
  Instant leave_by = Instant::never();

  // Why it is to be closed; done when the input that caused it is over (connections.h).
  std::optional<Error> doom;
  Duration ban;  // of its address, from then on; zero: none

  // uploads
  UploadQueue requests;
  RateMeter up;
  uint64_t uploaded = 0;
  bool pulling = false;  // the driver asks next_send() until it gives nothing

  // downloads
  DownloadQueue asked;
  RateMeter down;
  uint64_t downloaded = 0;
  bool counted = false;                  // its pieces are in the picker's availability
  uint32_t wanted = 0;                   // pieces that it has and we lack
  uint64_t picked_at = 0;                // Picker::changes() when it had nothing more for this peer
  Instant ask_again = Instant::never();  // after a request was rejected
  bool snubbed = false;                  // leaves requests unanswered
  bool suspect = false;                  // gave blocks of a bad piece, together with others

  bool speaks_speed = false;  // both extension handshakes name btt_speed: payments.h knows it
  bool sold = false;          // it has had blocks for money

  // choking
  SlotKind slot = SlotKind::none;
  Instant waiting_since;

  bool is_open() const { return session != nullptr && session->is_greeted() && !doom; }
};

}  // namespace millet
