// Reads every peer connection of a simulated world, over TCP and over uTP, from outside: what each side sent and what each side got,
// message by message. Over TCP "sent" is when a program hands bytes to its socket, over uTP when a packet leaves for the first time. The
// programs know nothing of it, so what it sees is what really happened, whatever a node believes.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "codec/extension.h"
#include "codec/peer_wire.h"
#include "hal/sim/tcp.h"
#include "hal/sim/world.h"
#include "sim/utp_tap.h"
#include "speed/messages.h"

namespace millet::simtest {

// One side of one peer connection.
struct PeerSide {
  hal::StreamId stream = 0;
  uint32_t machine = 0;
  Endpoint remote;
  bool dialled = false;
  Instant opened;
  InfoHash info_hash;
  // What each side announced; `own` is this side's.
  std::optional<speed::HelloMessage> own_hello;
  std::optional<speed::HelloMessage> other_hello;
  uint8_t own_speed_id = 0;
  uint8_t other_speed_id = 0;
};

// Messages of one side, in the order in which its program sent and got them. A block's data comes in slices (wire::PieceSlice); the first
// has offset 0. Extended messages of BitTorrent Speed come decoded instead.
class WireListener {
 public:
  virtual ~WireListener() = default;
  virtual void on_sent(PeerSide& side, const wire::Message& message) = 0;
  virtual void on_received(PeerSide& side, const wire::Message& message) = 0;
  virtual void on_speed_sent(PeerSide& side, const speed::Message& message) = 0;
  virtual void on_speed_received(PeerSide& side, const speed::Message& message) = 0;
  virtual void on_end(PeerSide& side) = 0;
  // What no honest program sends.
  virtual void on_garbage(PeerSide& side, bool sent, const std::string& what) = 0;
};

class Wiretap final : public sim::Tap {
 public:
  explicit Wiretap(sim::World& world) : world_(world), utp_(*this) {
    world_.tcp().set_tap(this);
    world_.udp().set_tap(&utp_);
  }
  ~Wiretap() override {
    world_.tcp().set_tap(nullptr);
    world_.udp().set_tap(nullptr);
  }
  const UtpTap& utp() const { return utp_; }
  // Each is told of everything, in the order of joining. Requires: outlives this.
  void add(WireListener& listener) { listeners_.push_back(&listener); }

  void on_open(hal::StreamId stream, uint32_t machine, const Endpoint& local, const Endpoint& remote) override;
  void on_sent(hal::StreamId stream, Bytes bytes) override;
  void on_received(hal::StreamId stream, Bytes bytes) override;
  void on_end(hal::StreamId stream) override;

 private:
  enum class Phase : uint8_t { unknown, handshake, messages, other };
  struct Direction {
    Phase phase = Phase::unknown;
    wire::Reader reader;
  };
  struct Flow {
    PeerSide side;
    Direction out;
    Direction in;
  };
  void feed(Flow& flow, bool outgoing, Bytes bytes);
  void take(Flow& flow, bool outgoing, const wire::Message& message);
  void report_garbage(PeerSide& side, bool sent, const std::string& what);

  sim::World& world_;
  UtpTap utp_;
  std::vector<WireListener*> listeners_;
  std::map<hal::StreamId, Flow> flows_;
};

}  // namespace millet::simtest
