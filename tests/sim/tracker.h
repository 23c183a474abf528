// An HTTP tracker as a program of the simulator (BEP 3, BEP 23), written without the node's own tracker code. It forgets its peers when it
// crashes, as small trackers do.
#pragma once

#include <map>
#include <string>

#include "base/ids.h"
#include "hal/sim/machine.h"

namespace millet::simtest {

struct TrackerOptions {
  uint16_t port = 6969;
  int64_t interval_s = 60;
  Duration peer_life = Duration::seconds(180);
};

class Tracker final : public sim::Program, public hal::StreamEvents, public hal::TimerEvents {
 public:
  Tracker(const TrackerOptions& options, hal::System& system);

  // What announces are told from now on.
  void set_interval(int64_t seconds) { options_.interval_s = seconds; }

  void on_accepted(hal::ListenerId, hal::StreamId stream, const Endpoint& remote) override;
  void on_connected(hal::StreamId) override {}
  void on_received(hal::StreamId stream, Bytes bytes) override;
  void on_writable(hal::StreamId stream) override { push(stream); }
  void on_closed(hal::StreamId stream, const Error&) override { clients_.erase(stream); }
  void on_timer() override {}
  void on_shutdown() override { system_.loop.stop(); }

 private:
  struct Client {
    IpAddress address;
    std::string request;
    std::vector<uint8_t> reply;
  };
  struct Peer {
    Instant seen;
    bool complete = false;
  };
  void answer(Client& client, std::string_view target);
  void push(hal::StreamId stream);

  TrackerOptions options_;
  hal::System& system_;
  std::map<hal::StreamId, Client> clients_;
  std::map<InfoHash, std::map<Endpoint, Peer>> swarms_;
};

class TrackerFactory final : public sim::ProgramFactory {
 public:
  explicit TrackerFactory(const TrackerOptions& options) : options_(options) {}
  std::unique_ptr<sim::Program> start(sim::Machine&, hal::System& system) override { return std::make_unique<Tracker>(options_, system); }

 private:
  TrackerOptions options_;
};

}  // namespace millet::simtest
