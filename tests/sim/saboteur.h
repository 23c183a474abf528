// What a peer says that breaks the rules on purpose: it stands between a whole, honest program and its sockets and changes, drops, repeats
// and adds messages of its peer connections (TCP, unencrypted). So a cheat gets as far as an honest node gets, and then cheats.
#pragma once

#include <map>
#include <vector>

#include "base/random.h"
#include "codec/peer_wire.h"
#include "crypto/sign.h"
#include "hal/streams.h"
#include "speed/messages.h"

namespace millet::simtest {

// How often each kind of message is tampered with, in percent. Nothing: an honest peer.
struct Mischief {
  // As a requester.
  uint32_t forges = 0;     // PAY: a flipped bit of its signature, or more than was signed
  uint32_t replays = 0;    // PAY: an older one of this or of another channel after it
  uint32_t withholds = 0;  // PAY: an older one in its place
  uint32_t defaults = 0;   // PAY: nothing
  uint32_t overdraws = 0;  // PAY: above the channel's capacity, well signed
  uint32_t phantoms = 0;   // BID: sixteenfold, and no FUNDS
  uint32_t misnames = 0;   // CHANNEL: of another capacity
  // As a provider.
  uint32_t corrupts = 0;    // piece: a wrong byte
  uint32_t raises = 0;      // RATE: above the bid, or of other bytes
  uint32_t lies = 0;        // ACK and RESUME: other amounts
  uint32_t never_says = 0;  // CLOSE: nothing; and no operation to the ledger, ever
  // As either.
  uint32_t floods = 0;  // any message: several more behind it
  bool any() const { return !(*this == Mischief()); }
  bool operator==(const Mischief&) const = default;
};

class Saboteur final : public hal::Streams, private hal::StreamEvents {
 public:
  // Requires: `inner` and `key` outlive it.
  Saboteur(const Mischief& mischief, hal::Streams& inner, const SigningKey& key, Random random)
      : mischief_(mischief), inner_(inner), key_(key), random_(random) {}

  void set_events(hal::StreamEvents* events) override;
  Result<Endpoint> listen(hal::ListenerId id, const Endpoint& local) override { return inner_.listen(id, local); }
  Status listen_local(hal::ListenerId id, const std::string& path) override { return inner_.listen_local(id, path); }
  void set_accepting(hal::ListenerId id, bool accepting) override { inner_.set_accepting(id, accepting); }
  hal::StreamId connect(const Endpoint& remote, const std::optional<IpAddress>& local) override { return inner_.connect(remote, local); }
  size_t send(hal::StreamId stream, std::span<const Bytes> parts) override;
  void set_reading(hal::StreamId stream, bool reading) override { inner_.set_reading(stream, reading); }
  void close(hal::StreamId stream) override;
  Endpoint local_endpoint(hal::StreamId stream) override { return inner_.local_endpoint(stream); }
  bool is_over_uplink(hal::StreamId stream) override { return inner_.is_over_uplink(stream); }
  bool set_background(hal::StreamId stream) override { return inner_.set_background(stream); }
  std::string_view background_way() const override { return inner_.background_way(); }
  std::optional<hal::StreamProgress> progress(hal::StreamId stream) override { return inner_.progress(stream); }

 private:
  enum class Phase : uint8_t { unknown, handshake, messages, other };
  // One connection: what the program has said, as far as it is not yet a whole message, and what goes out for it.
  struct Flow {
    Phase phase = Phase::unknown;
    std::vector<uint8_t> said;
    std::vector<uint8_t> out;
    std::vector<speed::PayMessage> pays;                // sent so far
    std::map<uint8_t, speed::ChannelMessage> channels;  // by slot
    std::optional<speed::HelloMessage> hello;           // of the other side
    wire::Reader heard;                                 // until that
    bool greeted = false;
    bool deaf = false;
    bool swallowed = false;
  };
  void on_accepted(hal::ListenerId listener, hal::StreamId stream, const Endpoint& remote) override;
  void on_connected(hal::StreamId stream) override { events_->on_connected(stream); }
  void on_received(hal::StreamId stream, Bytes bytes) override;
  void on_writable(hal::StreamId stream) override;
  void on_closed(hal::StreamId stream, const Error& reason) override;

  bool chance(uint32_t percent) { return percent != 0 && random_.below(100) < percent; }
  void take_messages(Flow& flow);
  void take(Flow& flow, std::span<uint8_t> message);
  void take_speed(Flow& flow, Bytes message, speed::Message decoded);
  void take_pay(Flow& flow, speed::PayMessage pay);
  void say(Flow& flow, const speed::Message& message);
  void say_too_much(Flow& flow);
  void listen_for_hello(Flow& flow, Bytes bytes);
  bool swallows(Flow& flow, std::span<const Bytes> parts);
  bool flush(hal::StreamId stream, Flow& flow);

  Mischief mischief_;
  hal::Streams& inner_;
  const SigningKey& key_;
  Random random_;
  hal::StreamEvents* events_ = nullptr;
  std::map<hal::StreamId, Flow> flows_;
  std::vector<speed::PayMessage> elsewhere_;  // payments of other connections
};

}  // namespace millet::simtest
