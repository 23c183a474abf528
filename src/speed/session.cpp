#include "speed/session.h"

namespace millet::speed {

void Session::start(uint32_t services) {
  services_ = services;
  ctx_.random.fill(nonce_);
  HelloMessage hello;
  hello.ledger = ctx_.id.ledger;
  hello.key = ctx_.id.key;
  hello.nonce = nonce_;
  hello.services = services;
  hello.tree_head = ctx_.tree_head;
  ctx_.send(peer_, hello);
}

ProofStatement Session::statement(bool own) const {
  ProofStatement s;
  s.ledger = ctx_.id.ledger;
  s.role = info_.opened_by_us == own ? 1 : 2;
  s.signer = own ? ctx_.id.key : hello_.key;
  s.other = own ? hello_.key : ctx_.id.key;
  s.signer_nonce = own ? nonce_ : hello_.nonce;
  s.other_nonce = own ? hello_.nonce : nonce_;
  s.info_hash = info_.info_hash;
  s.signer_peer = own ? info_.own_peer_id : info_.other_peer_id;
  s.other_peer = own ? info_.other_peer_id : info_.own_peer_id;
  return s;
}

Status Session::on_hello(const HelloMessage& hello) {
  if (state_ != State::hello_sent) return error(Errc::protocol, "second hello on one connection");
  if (hello.key == ctx_.id.key) return error(Errc::protocol, "hello with our own key");
  if (info_.other_key && *info_.other_key != hello.key) return error(Errc::protocol, "hello with another key on one connection");
  hello_ = hello;
  bool useful = ((services_ & k_service_provider) != 0 && (hello.services & k_service_requester) != 0) ||
                ((services_ & k_service_requester) != 0 && (hello.services & k_service_provider) != 0);
  if (hello.version != k_version || hello.ledger != ctx_.id.ledger || !useful) {
    state_ = State::legacy;
    return ok;
  }
  state_ = State::known;
  own_proof_ = ctx_.sign(Work::prove_sign, peer_, ChannelId(), preimage(statement(true)));
  return ok;
}

void Session::on_proof_signed(Ticket ticket, const Signature& signature) {
  if (ticket == own_proof_) ctx_.send(peer_, ProveMessage{signature});
}

Status Session::on_prove(const ProveMessage& prove) {
  if (state_ == State::legacy) return ok;
  if (state_ != State::known || proof_ != Proof::none) return error(Errc::protocol, "prove without hello, or a second one");
  signature_ = prove.signature;
  proof_ = Proof::held;
  return ok;
}

void Session::require_proof(Instant now) {
  required_ = true;
  if (proof_ != Proof::held || !ctx_.verifications.take(now, 1)) return;
  proof_ = Proof::verifying;
  check_ = ctx_.verify(Work::prove_verify, peer_, ChannelId(), hello_.key, preimage(statement(false)), signature_);
}

Instant Session::next_deadline(Instant now) {
  if (!required_ || proof_ != Proof::held) return Instant::never();
  return ctx_.verifications.ready_at(now, 1);
}

Status Session::on_proof_verified(Ticket ticket, bool valid) {
  if (proof_ != Proof::verifying || ticket != check_) return ok;
  if (!valid) return error(Errc::denied, "the proof of the peer's key is false");
  proof_ = Proof::verified;
  return ok;
}

}  // namespace millet::speed
