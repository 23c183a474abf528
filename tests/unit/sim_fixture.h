// A program for tests of the simulator: it does nothing on its own, keeps what happened to it, and lends its System to the test.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "hal/sim/machine.h"
#include "hal/sim/tcp.h"
#include "hal/sim/world.h"

namespace millet::sim {

class Recorder final : public Program, public hal::StreamEvents, public hal::TimerEvents {
 public:
  explicit Recorder(hal::System& given) : system(given) {
    system.streams.set_events(this);
    system.loop.set_events(this);
  }
  void on_accepted(hal::ListenerId, hal::StreamId stream, const Endpoint& remote) override {
    accepted.push_back(stream);
    log.push_back("accepted " + remote.address.to_string());
  }
  void on_connected(hal::StreamId) override { log.push_back("connected"); }
  void on_received(hal::StreamId stream, Bytes bytes) override {
    received[stream].insert(received[stream].end(), bytes.begin(), bytes.end());
    last_received = system.clock.now();
  }
  void on_writable(hal::StreamId stream) override {
    ++writable;
    if (!outgoing.empty()) push(stream);
  }
  void on_closed(hal::StreamId, const Error& reason) override {
    closed_at = system.clock.now();
    log.push_back("closed " + std::string(errc_name(reason.code)) + " " + reason.reason);
  }
  void on_timer() override { log.push_back("timer"); }
  void on_shutdown() override {
    log.push_back("shutdown");
    system.loop.stop();
  }
  // Sends `outgoing` as far as the socket takes it; on_writable goes on.
  void push(hal::StreamId stream) {
    Bytes part(outgoing);
    size_t taken = system.streams.send(stream, std::span<const Bytes>(&part, 1));
    outgoing.erase(outgoing.begin(), outgoing.begin() + static_cast<ptrdiff_t>(taken));
  }
  size_t say(hal::StreamId stream, std::string_view text) {
    Bytes part = as_bytes(text);
    return system.streams.send(stream, std::span<const Bytes>(&part, 1));
  }
  std::string heard(hal::StreamId stream) { return std::string(as_text(received[stream])); }
  std::string last() const { return log.empty() ? "" : log.back(); }

  hal::System& system;
  std::vector<std::string> log;
  std::vector<hal::StreamId> accepted;
  std::map<hal::StreamId, std::vector<uint8_t>> received;
  std::vector<uint8_t> outgoing;
  uint64_t writable = 0;
  Instant last_received;
  Instant closed_at;
};

class RecorderFactory final : public ProgramFactory {
 public:
  std::unique_ptr<Program> start(Machine&, hal::System& system) override { return std::make_unique<Recorder>(system); }
};

inline IpAddress test_address(uint8_t last) { return IpAddress::v4({10, 0, 0, last}); }

// Machines 0..count-1 at 10.0.0.1..., each running a Recorder.
struct TestWorld {
  explicit TestWorld(uint64_t seed, const LinkOptions& link = {}, uint32_t count = 2, const NetworkOptions& network = {})
      : world(seed, network) {
    for (uint32_t i = 0; i < count; ++i) {
      MachineOptions options;
      options.name = "m" + std::to_string(i);
      options.addresses = {test_address(static_cast<uint8_t>(i + 1))};
      options.link = link;
      world.add_machine(options).set_factory(factory);
      world.machine(i).start();
    }
  }
  Recorder& program(uint32_t index) { return *static_cast<Recorder*>(world.machine(index).program()); }
  hal::System& system(uint32_t index) { return program(index).system; }
  // Machine 1 listens on port 1000, machine 0 dials; the stream of machine 0 after a second.
  hal::StreamId connect() {
    if (!system(1).streams.listen(1, {IpAddress(), 1000})) return 0;
    hal::StreamId stream = system(0).streams.connect({test_address(2), 1000}, std::nullopt);
    world.run_for(Duration::seconds(1));
    return stream;
  }

  RecorderFactory factory;
  World world;
};

}  // namespace millet::sim
