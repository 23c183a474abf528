// A program of an attacker: speaks the peer wire and BitTorrent Speed with a node by hand, with a key of its own or with somebody else's.
// By itself it does what a buyer does up to the first piece, and never pays; a test changes what it likes.
#pragma once

#include "codec/extension.h"
#include "speed/messages.h"
#include "unit/node_market.h"

namespace millet::testing {

class Attacker {
 public:
  Attacker(Market& market, Machine& victim, const Payload& payload, uint32_t number)
      : market_(market), victim_(victim), payload_(payload), key_(ledger_world::numbered_key(1'000'000 + number)),
        claimed_key(key_.public_key()) {
    peer_id_.raw.fill('x');
    store_be<uint32_t>(peer_id_.raw.data() + 8, number);
    bid.bid_seq = 1;
    bid.rate = Rate::pico_per_byte(5000);
  }
  Attacker(const Attacker&) = delete;
  ~Attacker() { leave(); }

  // False: the node refuses the connection.
  bool connect(const std::string& from) {
    raw_ = market_.world.dial_raw(victim_, from.c_str());
    if (raw_ == nullptr) return false;
    raw_->on_bytes = [this] { read(); };
    wire::Handshake handshake;
    handshake.info_hash = payload_.hash;
    handshake.peer_id = peer_id_;
    handshake.extended = handshake.fast = true;
    send(handshake);
    return true;
  }
  void leave() {
    if (raw_ == nullptr) return;
    raw_->on_bytes = nullptr;
    if (!raw_->closed) market_.world.close_raw(*raw_);
    raw_ = nullptr;
  }
  bool closed() const { return raw_ == nullptr || raw_->closed; }

  // ---- what it says ----
  template <typename M>
  void send(const M& message) {
    std::vector<uint8_t> out;
    wire::encode(message, out);
    market_.world.send_raw(*raw_, std::move(out));
  }
  void send_extension_handshake(const std::string& bencoded) { send(wire::Extended{0, as_bytes(bencoded)}); }
  void say(const speed::Message& message) { say_payload(speed::encode(message)); }
  void say_payload(Bytes payload) {
    if (victim_speed_id != 0) send(wire::Extended{victim_speed_id, payload});
  }
  void say_hello() {
    speed::HelloMessage hello;
    hello.ledger = market_.ledger.id();
    hello.key = claimed_key;
    hello.nonce.fill(0x42);
    hello.services = speed::k_service_requester;
    say(hello);
  }
  // What the ledger says about this account, now.
  speed::FundsMessage funds() {
    FundStatement statement{market_.ledger.id(), claimed_key, market_.ledger.balance(claimed_key).available, market_.ledger_time()};
    return {statement.available, statement.time, market_.ledger.ledger_key().sign(preimage(statement))};
  }
  // Opens a channel to the node at the ledger, and tells of it.
  ChannelTerms open_channel(uint64_t micro, uint64_t life_s = 3600) {
    market_.ledger.now_s = market_.ledger_time().in_seconds();
    OpenOperation open = market_.ledger.open(key_, victim_.identity.key, micro, life_s);
    CHECK(market_.ledger.code(open) == LedgerCode::done);
    say(notice(open.statement));
    return open.statement;
  }
  static speed::ChannelMessage notice(const ChannelTerms& terms, uint8_t slot = 0) {
    return {slot, terms.capacity, terms.expiry, terms.nonce, terms.valid_until};
  }
  speed::PayMessage payment(const ChannelTerms& terms, uint64_t seq, uint64_t micro) const {
    PayStatement statement{market_.ledger.id(), channel_id(terms), seq, Amount::micro(micro)};
    return {0, seq, statement.cum, key_.sign(preimage(statement))};
  }
  // Asks for a whole piece.
  void request(uint32_t piece) {
    for (uint32_t begin = 0; begin < piece_size; begin += wire::k_block_size_max)
      send(wire::Request{{piece, begin, std::min(wire::k_block_size_max, piece_size - begin)}});
  }

  // ---- what it does by itself ----
  std::string greeting = "d1:md9:btt_speedi3eee";
  bool says_hello_again = false;  // after each HELLO of the node
  bool bids = true;
  bool shows_funds = true;
  bool accepts = true;
  uint32_t piece_size = k_piece;
  uint32_t wants = 0;  // the piece that it takes
  speed::BidMessage bid;
  std::optional<Signature> false_proof;
  std::function<void(const speed::Message&)> on_message;  // after its own answer
  std::function<void()> on_piece;                         // it has got a piece's worth for money

  // ---- what came of it ----
  uint8_t victim_speed_id = 0;
  uint8_t last_id = 0;  // under which the node speaks
  std::vector<speed::Message> heard;
  std::optional<speed::RateMessage> rate;  // in force
  uint64_t bytes_paid = 0;                 // sent to it at a price
  uint64_t bytes_free = 0;
  uint32_t unchokes = 0;

  template <typename M>
  const M* last() const {
    for (auto at = heard.rbegin(); at != heard.rend(); ++at) {
      if (const M* found = std::get_if<M>(&*at)) return found;
    }
    return nullptr;
  }
  const SigningKey& key() const { return key_; }

 private:
  void read() {
    reader_.feed(raw_->received);
    std::vector<uint8_t> consumed = std::move(raw_->received);  // what the reader's views point to
    raw_->received.clear();
    if (!shaken_) {
      wire::Handshake handshake;
      if (!*reader_.next_handshake(handshake)) return;
      shaken_ = true;
      victim_peer_id_ = handshake.peer_id;
      send_extension_handshake(greeting);
      send(wire::HaveNone{});
      send(wire::Interested{});
    }
    wire::Message message;
    while (raw_ != nullptr && *reader_.next(message)) take(message);
  }
  void take(const wire::Message& message) {
    if (const auto* slice = std::get_if<wire::PieceSlice>(&message)) {
      (rate && !rate->rate.is_zero() ? bytes_paid : bytes_free) += slice->data.size();
      if (slice->is_last() && bytes_paid >= piece_size && on_piece) std::exchange(on_piece, nullptr)();
    } else if (std::holds_alternative<wire::Choke>(message)) {
      rate.reset();
    } else if (std::holds_alternative<wire::Unchoke>(message)) {
      ++unchokes;
      if (rate && !rate->rate.is_zero()) request(wants);
    } else if (const auto* extended = std::get_if<wire::Extended>(&message)) {
      if (extended->extended_id == 0) {
        auto handshake = wire::decode_extension_handshake(extended->payload);
        bool first = victim_speed_id == 0;
        if (handshake && handshake->btt_speed) victim_speed_id = *handshake->btt_speed;
        if (first && victim_speed_id != 0) say_hello();
      } else {
        last_id = extended->extended_id;
        take_speed(*speed::decode(extended->payload));
      }
    }
  }
  void take_speed(const speed::Message& message) {
    heard.push_back(message);
    if (const auto* hello = std::get_if<speed::HelloMessage>(&message)) {
      if (greeted_ && !says_hello_again) return;
      if (std::exchange(greeted_, true) && says_hello_again) say_hello();
      prove(*hello);
      if (bids && shows_funds) say(funds());
      if (bids) say(bid);
    } else if (const auto* asked = std::get_if<speed::RateMessage>(&message)) {
      rate = *asked;
      if (accepts && !asked->rate.is_zero()) say(speed::AcceptMessage{asked->epoch});
    }
    if (on_message) on_message(message);
  }
  void prove(const speed::HelloMessage& hello) {
    speed::ProofStatement statement;
    statement.ledger = market_.ledger.id();
    statement.role = 1;
    statement.signer = claimed_key;
    statement.other = hello.key;
    statement.signer_nonce.fill(0x42);
    statement.other_nonce = hello.nonce;
    statement.info_hash = payload_.hash;
    statement.signer_peer = peer_id_;
    statement.other_peer = victim_peer_id_;
    say(speed::ProveMessage{false_proof ? *false_proof : key_.sign(preimage(statement))});
  }

  Market& market_;
  Machine& victim_;
  const Payload& payload_;
  SigningKey key_;
  PeerId peer_id_;
  PeerId victim_peer_id_;
  wire::Reader reader_;
  RawPeer* raw_ = nullptr;
  bool shaken_ = false;
  bool greeted_ = false;

 public:
  PublicKey claimed_key;  // that it says is its own
};

}  // namespace millet::testing
