// A program that only costs others something: it opens connections to every peer that it is told of, again and again, and then says
// nothing, or rubbish, or a handshake and more requests than anybody answers.
#pragma once

#include <set>
#include <vector>

#include "base/ids.h"
#include "base/random.h"
#include "hal/sim/machine.h"

namespace millet::simtest {

class Flooder final : public sim::Program, public hal::StreamEvents, public hal::TimerEvents {
 public:
  static constexpr size_t k_connections_max = 16;
  static constexpr Duration k_interval = Duration::ms(500);  // one more connection

  Flooder(hal::System& system, const InfoHash& info_hash, std::vector<Endpoint> targets, Random random);

  void on_accepted(hal::ListenerId, hal::StreamId, const Endpoint&) override {}
  void on_connected(hal::StreamId stream) override;
  void on_received(hal::StreamId, Bytes) override {}
  void on_writable(hal::StreamId) override {}
  void on_closed(hal::StreamId stream, const Error&) override { open_.erase(stream); }
  void on_timer() override;
  void on_shutdown() override { system_.loop.stop(); }

 private:
  hal::System& system_;
  InfoHash info_hash_;
  std::vector<Endpoint> targets_;
  Random random_;
  std::set<hal::StreamId> open_;
};

class FlooderFactory final : public sim::ProgramFactory {
 public:
  FlooderFactory(const InfoHash& info_hash, std::vector<Endpoint> targets) : info_hash_(info_hash), targets_(std::move(targets)) {}
  std::unique_ptr<sim::Program> start(sim::Machine& machine, hal::System& system) override;

 private:
  InfoHash info_hash_;
  std::vector<Endpoint> targets_;
};

}  // namespace millet::simtest
