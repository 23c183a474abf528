#include "driver/uplink_gate.h"

#include <algorithm>

namespace millet {

bool UplinkGate::add(PeerHandle peer, hal::StreamId stream) {
  if (!streams_.is_over_uplink(stream) || streams_.set_background(stream)) return false;
  connections_[peer].stream = stream;
  return true;
}

void UplinkGate::remove(PeerHandle peer) {
  if (connections_.erase(peer) == 0) return;
  line_.erase_if([&](PeerHandle waiting) { return waiting == peer; });
  std::erase(active_, peer);
}

std::optional<UplinkGate::Turn> UplinkGate::next(Instant now) {
  if (line_.empty()) return std::nullopt;
  uint64_t room = uplink_.room(now);
  if (room == 0) return std::nullopt;
  PeerHandle peer = line_.front();
  line_.pop_front();
  return Turn{peer, room};
}

void UplinkGate::on_sent(Instant now, PeerHandle peer, uint64_t bytes) {
  auto found = connections_.find(peer);
  CHECK(found != connections_.end());
  Connection& connection = found->second;
  uplink_.take(now, connection.flow, bytes);
  if (!connection.is_active) active_.push_back(peer);
  connection.is_active = true;
  look_at_ = earlier(look_at_, now + TcpUplink::k_look);
}

void UplinkGate::on_timer(Instant now, const std::optional<UplinkUse>& utp) {
  if (now < look_at_) return;
  if (utp) uplink_.add_utp(now, *utp);
  std::erase_if(active_, [&](PeerHandle peer) {
    Connection& connection = connections_.find(peer)->second;
    std::optional<hal::StreamProgress> progress = streams_.progress(connection.stream);
    if (progress) {
      uplink_.add(now, connection.flow,
                  {progress->acknowledged, progress->retransmitted, progress->round_trip_us, progress->round_trip_least_us});
    }
    connection.is_active = progress && connection.flow.acknowledged < connection.flow.sent;
    return !connection.is_active;
  });
  uplink_.on_look(now, !line_.empty());
  look_at_ = active_.empty() && line_.empty() ? Instant::never() : now + TcpUplink::k_look;
}

}  // namespace millet
