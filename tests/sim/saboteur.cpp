#include "sim/saboteur.h"

#include "codec/peer_wire.h"
#include "crypto/hash.h"
#include "ledger/common/operation.h"
#include "swarm/peer_session.h"

namespace millet::simtest {
namespace {

constexpr size_t k_kept_payments_max = 64;

}  // namespace

void Saboteur::set_events(hal::StreamEvents* events) {
  events_ = events;
  inner_.set_events(events == nullptr ? nullptr : this);
}

void Saboteur::on_accepted(hal::ListenerId listener, hal::StreamId stream, const Endpoint& remote) {
  events_->on_accepted(listener, stream, remote);
}

void Saboteur::on_writable(hal::StreamId stream) {
  auto flow = flows_.find(stream);
  if (flow != flows_.end() && !flush(stream, flow->second)) return;
  events_->on_writable(stream);
}

void Saboteur::on_closed(hal::StreamId stream, const Error& reason) {
  flows_.erase(stream);
  events_->on_closed(stream, reason);
}

void Saboteur::on_received(hal::StreamId stream, Bytes bytes) {
  Flow& flow = flows_[stream];
  if (mischief_.overdraws != 0 && !flow.deaf) listen_for_hello(flow, bytes);
  events_->on_received(stream, bytes);
}

void Saboteur::listen_for_hello(Flow& flow, Bytes bytes) {
  flow.heard.feed(bytes);
  if (!flow.greeted) {
    wire::Handshake handshake;
    Result<bool> got = flow.heard.next_handshake(handshake);
    flow.deaf = !got;
    if (!got || !*got) return;
    flow.greeted = true;
  }
  for (;;) {
    wire::Message message;
    Result<bool> got = flow.heard.next(message);
    flow.deaf = !got;
    if (!got || !*got) return;
    const auto* extended = std::get_if<wire::Extended>(&message);
    if (extended == nullptr || extended->extended_id != PeerSession::k_speed_id) continue;
    Result<speed::Message> decoded = speed::decode(extended->payload);
    if (!decoded || !std::holds_alternative<speed::HelloMessage>(*decoded)) continue;
    flow.hello = std::get<speed::HelloMessage>(*decoded);
    flow.deaf = true;
    return;
  }
}

void Saboteur::close(hal::StreamId stream) {
  flows_.erase(stream);
  inner_.close(stream);
}

size_t Saboteur::send(hal::StreamId stream, std::span<const Bytes> parts) {
  Flow& flow = flows_[stream];
  size_t size = 0;
  for (Bytes part : parts) {
    if (flow.phase == Phase::unknown && !part.empty()) flow.phase = part[0] == 19 ? Phase::handshake : Phase::other;
    size += part.size();
  }
  if (flow.phase == Phase::other) return swallows(flow, parts) ? size : inner_.send(stream, parts);
  if (!flush(stream, flow)) return 0;
  for (Bytes part : parts) flow.said.insert(flow.said.end(), part.begin(), part.end());
  take_messages(flow);
  flush(stream, flow);
  return size;
}

// Who never closes a channel tells the ledger nothing but questions.
bool Saboteur::swallows(Flow& flow, std::span<const Bytes> parts) {
  constexpr std::string_view k_operation = "POST /v1/op";
  if (mischief_.never_says == 0) return false;
  for (Bytes part : parts) {
    if (as_text(part).substr(0, k_operation.size()) == k_operation) flow.swallowed = true;
  }
  return flow.swallowed;
}

bool Saboteur::flush(hal::StreamId stream, Flow& flow) {
  if (flow.out.empty()) return true;
  Bytes bytes(flow.out);
  size_t taken = inner_.send(stream, std::span(&bytes, 1));
  flow.out.erase(flow.out.begin(), flow.out.begin() + static_cast<ptrdiff_t>(taken));
  return flow.out.empty();
}

void Saboteur::take_messages(Flow& flow) {
  size_t at = 0;
  if (flow.phase == Phase::handshake) {
    if (flow.said.size() < wire::k_handshake_size) return;
    at = wire::k_handshake_size;
    flow.out.insert(flow.out.end(), flow.said.begin(), flow.said.begin() + static_cast<ptrdiff_t>(at));
    flow.phase = Phase::messages;
  }
  while (flow.said.size() - at >= 4) {
    size_t size = 4 + size_t{load_be<uint32_t>(flow.said.data() + at)};
    if (flow.said.size() - at < size) break;
    take(flow, std::span(flow.said).subspan(at, size));
    at += size;
  }
  flow.said.erase(flow.said.begin(), flow.said.begin() + static_cast<ptrdiff_t>(at));
}

// One whole message with its length.
void Saboteur::take(Flow& flow, std::span<uint8_t> message) {
  constexpr size_t k_extended_header = 6;
  uint8_t id = message.size() > 4 ? message[4] : 0;
  if (id == wire::PieceSlice::k_id && message.size() > 4 + wire::k_piece_header_size && chance(mischief_.corrupts)) {
    message[4 + wire::k_piece_header_size + random_.below(message.size() - 4 - wire::k_piece_header_size)] ^= 1;
  }
  bool speed = id == wire::Extended::k_id && message.size() > k_extended_header && message[5] == PeerSession::k_speed_id;
  Result<speed::Message> decoded = speed ? speed::decode(message.subspan(k_extended_header)) : Result<speed::Message>(speed::Message());
  if (decoded && !std::holds_alternative<std::monostate>(*decoded))
    take_speed(flow, message, *decoded);
  else
    flow.out.insert(flow.out.end(), message.begin(), message.end());
  if (chance(mischief_.floods)) say_too_much(flow);
}

void Saboteur::take_speed(Flow& flow, Bytes message, speed::Message decoded) {
  if (const auto* pay = std::get_if<speed::PayMessage>(&decoded)) return take_pay(flow, *pay);
  if (std::holds_alternative<speed::FundsMessage>(decoded) && chance(mischief_.phantoms)) return;
  if (std::holds_alternative<speed::CloseMessage>(decoded) && chance(mischief_.never_says)) return;
  bool changed = false;
  if (auto* bid = std::get_if<speed::BidMessage>(&decoded); bid != nullptr && chance(mischief_.phantoms)) {
    bid->rate = Rate::pico_per_byte(bid->rate.in_pico_per_byte() * 16 % (uint64_t{1} << 46));
    changed = true;
  }
  if (auto* channel = std::get_if<speed::ChannelMessage>(&decoded)) {
    if (chance(mischief_.misnames)) {
      channel->capacity = Amount::micro(channel->capacity.in_micro() * 2);
      changed = true;
    }
    flow.channels[channel->slot] = *channel;
  }
  if (auto* rate = std::get_if<speed::RateMessage>(&decoded); rate != nullptr && chance(mischief_.raises)) {
    if (random_.below(4) == 0)
      rate->sent += 16'384;
    else
      rate->rate = Rate::pico_per_byte(rate->rate.in_pico_per_byte() * 2 + 30'000);
    changed = true;
  }
  if (auto* ack = std::get_if<speed::AckMessage>(&decoded); ack != nullptr && chance(mischief_.lies)) {
    ack->durable = ack->counted = Amount::micro(random_.below(2) == 0 ? 0 : ack->counted.in_micro() * 2);
    changed = true;
  }
  if (auto* resume = std::get_if<speed::ResumeMessage>(&decoded); resume != nullptr && chance(mischief_.lies)) {
    resume->cum = Amount::micro(resume->cum.in_micro() / 2 + random_.below(100'000));
    changed = true;
  }
  if (changed) return say(flow, decoded);
  flow.out.insert(flow.out.end(), message.begin(), message.end());
}

void Saboteur::take_pay(Flow& flow, speed::PayMessage pay) {
  const speed::PayMessage real = pay;
  if (chance(mischief_.defaults)) return;
  if (!flow.pays.empty() && chance(mischief_.withholds)) {
    say(flow, flow.pays[random_.below(flow.pays.size())]);
    return;
  }
  if (chance(mischief_.forges)) {
    if (random_.below(2) == 0)
      pay.signature.raw[random_.below(pay.signature.raw.size())] ^= 4;
    else
      pay.cum = Amount::micro(pay.cum.in_micro() + 1 + random_.below(1'000));
  }
  auto channel = flow.channels.find(pay.slot);
  if (channel != flow.channels.end() && flow.hello && chance(mischief_.overdraws)) {
    const speed::ChannelMessage& known = channel->second;
    ChannelTerms terms{flow.hello->ledger, key_.public_key(), flow.hello->key,  known.capacity,
                       known.expiry,       known.nonce,       known.valid_until};
    pay.cum = Amount::micro(known.capacity.in_micro() + 1 + random_.below(10'000));
    pay.signature = key_.sign(preimage(PayStatement{terms.ledger, channel_id(terms), pay.seq, pay.cum}));
  }
  say(flow, pay);
  if (chance(mischief_.replays) && !flow.pays.empty()) say(flow, flow.pays[random_.below(flow.pays.size())]);
  if (chance(mischief_.replays)) say(flow, pay);
  if (chance(mischief_.replays) && !elsewhere_.empty()) {
    speed::PayMessage other = elsewhere_[random_.below(elsewhere_.size())];
    other.slot = pay.slot;
    other.seq = std::max(other.seq, pay.seq + 1);
    say(flow, other);
  }
  for (std::vector<speed::PayMessage>* kept : {&flow.pays, &elsewhere_}) {
    if (kept->size() >= k_kept_payments_max) kept->erase(kept->begin());
    kept->push_back(real);
  }
}

void Saboteur::say(Flow& flow, const speed::Message& message) {
  std::vector<uint8_t> payload = speed::encode(message);
  wire::encode(wire::Extended{PeerSession::k_speed_id, payload}, flow.out);
}

// More than any peer has to say, of what costs the other side something.
void Saboteur::say_too_much(Flow& flow) {
  uint64_t count = 1 + random_.below(20);
  for (uint64_t i = 0; i < count; ++i) {
    uint32_t number = static_cast<uint32_t>(random_.below(64));
    switch (random_.below(8)) {
      case 0: wire::encode(wire::KeepAlive{}, flow.out); break;
      case 1: wire::encode(wire::Interested{}, flow.out); break;
      case 2: wire::encode(wire::Have{number}, flow.out); break;
      case 3: wire::encode(wire::Cancel{{number, 0, wire::k_block_size_max}}, flow.out); break;
      case 4: wire::encode(wire::Request{{number, 0, wire::k_block_size_max}}, flow.out); break;
      case 5: say(flow, speed::BidMessage{number + 2, 0, Rate::pico_per_byte(1'000'000'000)}); break;
      case 6: say(flow, speed::HoldMessage{number}); break;
      case 7: say(flow, speed::FundsMessage{Amount::micro(1'000'000'000), LedgerTime::from_seconds(number), Signature()}); break;
    }
  }
}

}  // namespace millet::simtest
