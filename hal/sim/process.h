// One run of a program on a machine, as its operating system: the hal::System that the program gets. It dies with the process; what stays
// (disk, stores, clock) is the machine's.
#pragma once

#include <map>

#include "hal/sim/event.h"
#include "hal/sim/executor.h"
#include "hal/sim/files.h"
#include "hal/sim/tcp.h"
#include "hal/sim/udp.h"
#include "hal/system.h"

namespace millet::sim {

class Machine;

class Process final : public hal::Clock,
                      public hal::Streams,
                      public hal::Datagrams,
                      public hal::Resolver,
                      public hal::Loop,
                      public SecureRandom,
                      public EventTarget {
 public:
  Process(Machine& machine, Random random);
  ~Process() override;

  hal::System& system() { return system_; }
  SimFiles& files() { return files_; }
  void ask_to_shut_down();
  // No call does anything any more and no event comes: the program may be destroyed.
  void end(bool power_lost);

  // hal::Clock
  Instant now() override;
  WallTime wall() override;
  // SecureRandom
  void fill(MutBytes out) override;
  // hal::Streams
  void set_events(hal::StreamEvents* events) override;
  Result<Endpoint> listen(hal::ListenerId id, const Endpoint& local) override;
  Status listen_local(hal::ListenerId id, const std::string& path) override;
  void set_accepting(hal::ListenerId id, bool accepting) override;
  hal::StreamId connect(const Endpoint& remote, const std::optional<IpAddress>& local) override;
  size_t send(hal::StreamId stream, std::span<const Bytes> parts) override;
  void set_reading(hal::StreamId stream, bool reading) override;
  void close(hal::StreamId stream) override;
  Endpoint local_endpoint(hal::StreamId stream) override;
  // hal::Datagrams
  void set_events(hal::DatagramEvents* events) override;
  Result<Endpoint> bind(const Endpoint& local, const hal::DatagramOptions& options) override;
  bool send(std::span<hal::OutgoingRun> runs) override;
  void close() override;
  hal::DatagramCounters counters() const override { return socket_.counters; }
  // hal::Resolver
  Result<std::vector<IpAddress>> resolve(const std::string& name) override;
  // hal::Loop
  void set_events(hal::TimerEvents* events) override;
  void arm(Instant when) override;
  void stop() override;

  void on_event(uint32_t kind, uint64_t a, uint64_t b) override;

 private:
  enum EventKind : uint32_t { k_timer, k_shut_down, k_stopped };

  Machine& machine_;
  World& world_;
  Tcp& tcp_;
  Udp& udp_;
  Random random_;
  Tcp::Owner owner_;
  Udp::Owner socket_;
  Executor executor_;
  SimFiles files_;
  hal::TimerEvents* timer_events_ = nullptr;
  Instant armed_ = Instant::never();
  uint64_t arming_ = 0;
  bool ended_ = false;
  hal::System system_;
};

}  // namespace millet::sim
