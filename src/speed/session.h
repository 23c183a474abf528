// The handshake of one connection (PROTOCOL.md section 4): who the other side is, and whether it has proved it. Both roles share it.
#pragma once

#include <optional>

#include "speed/context.h"

namespace millet::speed {

struct PeerInfo {
  IpAddress address;
  InfoHash info_hash;
  PeerId own_peer_id;  // as sent and received in the handshake of BEP 3
  PeerId other_peer_id;
  bool opened_by_us = false;
  uint32_t piece_size = 0;  // of the torrent
  // Payload bytes of all `piece` messages on this connection so far: RATE.sent counts from its start, not from ours.
  uint64_t sent = 0;
  uint64_t received = 0;
  std::optional<PublicKey> other_key = {};  // that the peer named before on this connection; it stays
};

class Session {
 public:
  Session(Context& context, PeerHandle peer, const PeerInfo& info) : ctx_(context), peer_(peer), info_(info) {}
  Session(const Session&) = delete;

  // Sends HELLO.
  void start(uint32_t services);
  // Errors: protocol (the connection must end).
  Status on_hello(const HelloMessage& hello);
  Status on_prove(const ProveMessage& prove);
  // Answers with another ticket are those of an earlier session on this connection, and mean nothing for this one.
  void on_proof_signed(Ticket ticket, const Signature& signature);
  // Errors: denied if the proof is false (the connection must end).
  Status on_proof_verified(Ticket ticket, bool valid);

  // The proof would change an outcome now: it is verified as soon as it is here and the processor's budget allows.
  void require_proof(Instant now);
  // When to call require_proof() again because of the budget; never if there is nothing to wait for.
  Instant next_deadline(Instant now);

  PeerHandle peer() const { return peer_; }
  const PeerInfo& info() const { return info_; }
  // The other side speaks this version for the same ledger, and one has a use for the other.
  bool said_hello() const { return state_ != State::hello_sent; }
  bool matches() const { return state_ == State::known; }
  bool proof_required() const { return required_; }
  bool proven() const { return proof_ == Proof::verified; }
  bool provides() const { return matches() && (hello_.services & k_service_provider) != 0; }
  bool requests() const { return matches() && (hello_.services & k_service_requester) != 0; }
  const PublicKey& other_key() const { return hello_.key; }

 private:
  enum class State : uint8_t { hello_sent, known, legacy };
  enum class Proof : uint8_t { none, held, verifying, verified };
  ProofStatement statement(bool own) const;

  Context& ctx_;
  PeerHandle peer_;
  PeerInfo info_;
  uint32_t services_ = 0;
  Nonce nonce_{};
  HelloMessage hello_;
  Signature signature_;
  Ticket own_proof_ = 0;
  Ticket check_ = 0;  // of the other's proof
  State state_ = State::hello_sent;
  Proof proof_ = Proof::none;
  bool required_ = false;
};

}  // namespace millet::speed
