#include "sim/flooder.h"

#include "codec/peer_wire.h"
#include "hal/sim/world.h"

namespace millet::simtest {

Flooder::Flooder(hal::System& system, const InfoHash& info_hash, std::vector<Endpoint> targets, Random random)
    : system_(system), info_hash_(info_hash), targets_(std::move(targets)), random_(random) {
  system_.streams.set_events(this);
  system_.loop.set_events(this);
  system_.loop.arm(system_.clock.now() + k_interval);
}

void Flooder::on_timer() {
  system_.loop.arm(system_.clock.now() + k_interval);
  if (targets_.empty()) return;
  if (open_.size() >= k_connections_max) {
    hal::StreamId oldest = *open_.begin();
    open_.erase(oldest);
    system_.streams.close(oldest);
  }
  open_.insert(system_.streams.connect(targets_[random_.below(targets_.size())], std::nullopt));
}

void Flooder::on_connected(hal::StreamId stream) {
  std::vector<uint8_t> bytes;
  uint64_t kind = random_.below(4);
  if (kind == 0) return;  // says nothing, for ever
  if (kind == 1) {
    bytes.resize(1 + random_.below(200));
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random_.next() >> 56);
    bytes[0] = 18;  // no handshake
  } else {
    wire::Handshake handshake;
    handshake.info_hash = info_hash_;
    handshake.extended = kind == 2;
    handshake.fast = kind == 2;
    for (uint8_t& byte : handshake.peer_id.raw) byte = static_cast<uint8_t>(random_.next() >> 56);
    wire::encode(handshake, bytes);
    if (kind == 2) wire::encode(wire::HaveNone{}, bytes);
    wire::encode(wire::Interested{}, bytes);
    for (uint32_t i = 0; i < 200; ++i) {
      wire::encode(wire::Request{{static_cast<uint32_t>(random_.below(16)), 0, wire::k_block_size_max}}, bytes);
    }
  }
  Bytes all(bytes);
  system_.streams.send(stream, std::span(&all, 1));
}

std::unique_ptr<sim::Program> FlooderFactory::start(sim::Machine& machine, hal::System& system) {
  Random random = machine.world().random("flooder", machine.index());
  return std::make_unique<Flooder>(system, info_hash_, targets_, random);
}

}  // namespace millet::simtest
