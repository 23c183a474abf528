#include "sim/wiretap.h"

namespace millet::simtest {

void Wiretap::on_open(hal::StreamId stream, uint32_t machine, const Endpoint&, const Endpoint& remote) {
  Flow& flow = flows_[stream];
  flow.side.stream = stream;
  flow.side.machine = machine;
  flow.side.remote = remote;
  flow.side.dialled = stream % 2 == 0;
  flow.side.opened = world_.now();
}

void Wiretap::on_sent(hal::StreamId stream, Bytes bytes) {
  auto found = flows_.find(stream);
  if (found != flows_.end()) feed(found->second, true, bytes);
}

void Wiretap::on_received(hal::StreamId stream, Bytes bytes) {
  auto found = flows_.find(stream);
  if (found != flows_.end()) feed(found->second, false, bytes);
}

void Wiretap::on_end(hal::StreamId stream) {
  auto found = flows_.find(stream);
  if (found == flows_.end()) return;
  bool peers = found->second.out.phase == Phase::messages || found->second.in.phase == Phase::messages;
  for (WireListener* listener : listeners_) {
    if (peers) listener->on_end(found->second.side);
  }
  flows_.erase(found);
}

void Wiretap::feed(Flow& flow, bool outgoing, Bytes bytes) {
  Direction& direction = outgoing ? flow.out : flow.in;
  if (bytes.empty() || direction.phase == Phase::other) return;
  // A peer connection starts with 19 "BitTorrent protocol"; trackers and the ledger speak HTTP.
  if (direction.phase == Phase::unknown) direction.phase = bytes[0] == 19 ? Phase::handshake : Phase::other;
  if (direction.phase == Phase::other) return;
  direction.reader.feed(bytes);
  if (direction.phase == Phase::handshake) {
    wire::Handshake handshake;
    Result<bool> got = direction.reader.next_handshake(handshake);
    if (!got) report_garbage(flow.side, outgoing, got.error().reason);
    if (!got) direction.phase = Phase::other;
    if (!got || !*got) return;
    flow.side.info_hash = handshake.info_hash;
    direction.phase = Phase::messages;
  }
  for (;;) {
    wire::Message message;
    Result<bool> got = direction.reader.next(message);
    if (!got) {
      report_garbage(flow.side, outgoing, got.error().reason);
      direction.phase = Phase::other;
      return;
    }
    if (!*got) return;
    take(flow, outgoing, message);
  }
}

void Wiretap::take(Flow& flow, bool outgoing, const wire::Message& message) {
  PeerSide& side = flow.side;
  const wire::Extended* extended = std::get_if<wire::Extended>(&message);
  if (extended != nullptr && extended->extended_id == 0) {
    Result<wire::ExtensionHandshake> handshake = wire::decode_extension_handshake(extended->payload);
    if (!handshake) return report_garbage(side, outgoing, handshake.error().reason);
    if (handshake->btt_speed) (outgoing ? side.own_speed_id : side.other_speed_id) = *handshake->btt_speed;
  } else if (extended != nullptr) {
    // A message carries the id that its receiver chose.
    uint8_t expected = outgoing ? side.other_speed_id : side.own_speed_id;
    if (expected == 0 || extended->extended_id != expected) return;
    Result<speed::Message> decoded = speed::decode(extended->payload);
    if (!decoded) return report_garbage(side, outgoing, decoded.error().reason);
    if (const speed::HelloMessage* hello = std::get_if<speed::HelloMessage>(&*decoded))
      (outgoing ? side.own_hello : side.other_hello) = *hello;
    for (WireListener* listener : listeners_) {
      if (outgoing)
        listener->on_speed_sent(side, *decoded);
      else
        listener->on_speed_received(side, *decoded);
    }
    return;
  }
  for (WireListener* listener : listeners_) {
    if (outgoing)
      listener->on_sent(side, message);
    else
      listener->on_received(side, message);
  }
}

void Wiretap::report_garbage(PeerSide& side, bool sent, const std::string& what) {
  for (WireListener* listener : listeners_) listener->on_garbage(side, sent, what);
}

}  // namespace millet::simtest
