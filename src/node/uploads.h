// Serving: requests come in, and next_send() names the next block when the peer's socket has room. What was not named yet can still be
// taken back by a choke, the rate limit or a cancel.
#pragma once

#include "node/core.h"
#include "node/payments.h"

namespace millet {

class Uploads {
 public:
  // BEP 3: everybody requests 16 KiB, and a request above 128 KiB is an attack; in between it is refused.
  static constexpr uint32_t k_request_length_max = k_block_size;
  static constexpr uint32_t k_request_length_absurd = 128 * 1024;

  Uploads(Core& core, Payments& payments) : core_(core), payments_(payments) {}

  // Errors: protocol for what only an attacker sends, or too much of what is refused.
  Status on_request(Instant now, Peer& peer, const wire::BlockRange& range);
  Status on_cancel(Instant now, Peer& peer, const wire::BlockRange& range);
  // Chokes the peer: its requests are gone, and rejected one by one where it understands that (BEP 6).
  static void choke(Core& core, Peer& peer);
  static void unchoke(Core& core, Peer& peer);
  void on_gone(Peer& peer) { core_.upload_gate.leave(peer.handle); }

  bool next_send(Instant now, Peer& peer, SendItem& item, bool with_block);
  // Connections whose turn has come under the upload limit.
  void on_granted(Instant now);

 private:
  bool may_send(Instant now, Peer& peer);
  void add_block(Instant now, Peer& peer, SendItem& item);

  Core& core_;
  Payments& payments_;
  std::vector<uint8_t> bytes_;  // of the last item
};

}  // namespace millet
