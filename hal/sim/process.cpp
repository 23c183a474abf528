#include "hal/sim/process.h"

#include <algorithm>

#include "hal/sim/machine.h"
#include "hal/sim/world.h"

namespace millet::sim {
namespace {

constexpr Duration k_resolve_cost = Duration::ms(20);
constexpr size_t k_resolved_max = 8;

}  // namespace

Process::Process(Machine& machine, Random random)
    : machine_(machine), world_(machine.world()), tcp_(world_.tcp()), udp_(world_.udp()),
      random_(random), owner_{machine.index(), nullptr}, socket_{machine.index(), nullptr, false, false, {}, {}},
      executor_(world_, machine.executor(), Random(random_.next())),
      files_(machine, executor_), system_{*this, *this, *this, *this, files_, executor_, *this, *this, CpuFeatures{}} {
  world_.add_target(*this);
}

Process::~Process() { end(true); }

void Process::end(bool power_lost) {
  if (ended_) return;
  ended_ = true;
  owner_.events = nullptr;
  timer_events_ = nullptr;
  udp_.close(socket_);
  executor_.stop();
  if (power_lost)
    tcp_.power_lost(owner_);
  else
    tcp_.process_ended(owner_);
  world_.remove_target(*this);
}

void Process::ask_to_shut_down() { world_.schedule(Duration(), *this, k_shut_down); }

Instant Process::now() { return machine_.monotonic(); }
WallTime Process::wall() { return machine_.wall(); }

void Process::fill(MutBytes out) {
  for (size_t i = 0; i < out.size(); i += 8) {
    uint8_t raw[8];
    store_be<uint64_t>(raw, random_.next());
    std::copy_n(raw, std::min<size_t>(8, out.size() - i), out.begin() + static_cast<ptrdiff_t>(i));
  }
}

void Process::set_events(hal::StreamEvents* events) { owner_.events = events; }

Result<Endpoint> Process::listen(hal::ListenerId id, const Endpoint& local) { return tcp_.listen(owner_, id, local); }

// Nothing in the simulator dials a local socket: the path is taken and stays quiet.
Status Process::listen_local(hal::ListenerId, const std::string&) { return ok; }

void Process::set_accepting(hal::ListenerId id, bool accepting) { tcp_.set_accepting(owner_, id, accepting); }

hal::StreamId Process::connect(const Endpoint& remote, const std::optional<IpAddress>& local) {
  return ended_ ? hal::StreamId{0} : tcp_.connect(owner_, remote, local);
}

size_t Process::send(hal::StreamId stream, std::span<const Bytes> parts) { return tcp_.send(owner_, stream, parts); }
void Process::set_reading(hal::StreamId stream, bool reading) { tcp_.set_reading(owner_, stream, reading); }
void Process::close(hal::StreamId stream) { tcp_.close(owner_, stream); }
Endpoint Process::local_endpoint(hal::StreamId stream) { return tcp_.local_endpoint(owner_, stream); }

void Process::set_events(hal::DatagramEvents* events) { socket_.events = events; }
Result<Endpoint> Process::bind(const Endpoint& local, const hal::DatagramOptions&) { return udp_.bind(socket_, local); }
bool Process::send(std::span<hal::OutgoingRun> runs) { return udp_.send(socket_, runs); }
void Process::close() { udp_.close(socket_); }

Result<std::vector<IpAddress>> Process::resolve(const std::string& name) {
  CHECK(executor_.in_job());
  executor_.charge(k_resolve_cost);
  if (Result<IpAddress> literal = IpAddress::parse(name)) return std::vector<IpAddress>{*literal};
  const std::vector<IpAddress>* found = world_.network().resolve(name);
  if (found == nullptr) return error(Errc::not_found, name + ": no such host");
  return std::vector<IpAddress>(found->begin(), found->begin() + static_cast<ptrdiff_t>(std::min(found->size(), k_resolved_max)));
}

void Process::set_events(hal::TimerEvents* events) { timer_events_ = events; }

void Process::arm(Instant when) {
  if (ended_ || when == armed_) return;
  armed_ = when;
  ++arming_;
  world_.schedule(machine_.to_world(when), *this, k_timer, arming_);
}

void Process::stop() {
  if (ended_) return;
  owner_.events = nullptr;
  socket_.events = nullptr;
  timer_events_ = nullptr;
  executor_.stop();
  // The program is on the call stack: it is destroyed by an event of its own.
  world_.schedule(Duration(), *this, k_stopped);
}

void Process::on_event(uint32_t kind, uint64_t a, uint64_t) {
  switch (static_cast<EventKind>(kind)) {
    case k_timer:
      if (a != arming_) return;
      armed_ = Instant::never();
      if (timer_events_ != nullptr) timer_events_->on_timer();
      return;
    case k_shut_down:
      if (timer_events_ != nullptr) timer_events_->on_shutdown();
      return;
    case k_stopped: machine_.end_process(); return;  // ends this object
  }
}

}  // namespace millet::sim
