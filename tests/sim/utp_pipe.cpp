// The uTP engine over real sockets of this machine, without node and disk: what it costs by itself.
//
//   utp_pipe [MIB [STREAMS]]         two processes over loopback; prints MB/s and CPU seconds of each
//   utp_pipe send ADDRESS BYTES      a pattern to another implementation that listens, then FIN
//   utp_pipe receive PORT            from another implementation, until its FIN; prints how many bytes, and a checksum of them
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <map>
#include <vector>

#include "base/log.h"
#include "hal/linux/system.h"
#include "swarm/utp.h"

using namespace millet;

namespace {

double cpu_seconds() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

struct NoLog : LogSink {
  LogLevel level() const override { return LogLevel::error; }
  void write(LogLevel, std::string_view) override {}
};

class Pipe : private hal::DatagramEvents, private hal::TimerEvents {
 public:
  static constexpr size_t k_slab = 256 * 1024;
  static constexpr size_t k_runs = 32;

  Pipe(hal::LinuxSystem& machine, uint64_t total)
      : system_(machine.system()), utp_({}, system_.random, 1), total_(total), slab_(k_slab), planned_(k_runs) {
    system_.datagrams.set_events(this);
    system_.loop.set_events(this);
  }
  Endpoint bind(const Endpoint& local) { return *system_.datagrams.bind(local, {}); }
  // Sends to whoever connects.
  void serve() { serving_ = true; }
  void fetch(const Endpoint& from, unsigned streams) {
    Instant now = system_.clock.now();
    for (unsigned i = 0; i < streams; ++i) {
      UtpId id = *utp_.connect(now, from);
      left_[id] = 1;  // a byte that makes the other end accept
    }
    wanted_ = streams * total_;
    turn(now);
  }
  void send_to(const Endpoint& to) {
    Instant now = system_.clock.now();
    left_[*utp_.connect(now, to)] = total_;
    closes_ = true;
    turn(now);
  }
  uint64_t received() const { return received_; }
  uint32_t checksum() const { return checksum_; }
  const char* end() const { return end_; }
  const Utp& engine() const { return utp_; }
  hal::DatagramCounters counters() const { return system_.datagrams.counters(); }

 private:
  void on_datagrams(std::span<const hal::IncomingRun> runs) override {
    Instant now = system_.clock.now();
    for (const hal::IncomingRun& run : runs) {
      for (size_t at = 0; at < run.bytes.size(); at += run.size) {
        utp_.on_datagram(now, run.from, run.bytes.subspan(at, std::min(run.size, run.bytes.size() - at)));
        take(now);
      }
    }
    turn(now);
  }
  void on_datagrams_writable() override {
    blocked_ = false;
    turn(system_.clock.now());
  }
  void on_unreachable(const Endpoint&) override {}
  void on_path_mtu(const Endpoint&, uint32_t) override {}
  void on_timer() override {
    Instant now = system_.clock.now();
    if (utp_.next_deadline() <= now) utp_.on_timer(now);
    turn(now);
  }
  void on_shutdown() override { system_.loop.stop(); }

  void take(Instant now) {
    UtpEvent event;
    while (utp_.poll(now, event)) {
      switch (event.kind) {
        case UtpEvent::Kind::accepted: left_[event.stream] = serving_ ? total_ : 0; [[fallthrough]];
        case UtpEvent::Kind::connected:
        case UtpEvent::Kind::writable: offer(now, event.stream); break;
        case UtpEvent::Kind::received:
          received_ += event.bytes.size();
          if (!serving_ && wanted_ == 0) {
            for (uint8_t byte : event.bytes) checksum_ = checksum_ * 31 + byte;
          }
          break;
        case UtpEvent::Kind::closed:
          left_.erase(event.stream);
          end_ = event.what;
          if (!serving_) linger_until_ = now + Duration::seconds(1);
          break;
      }
    }
  }
  void offer(Instant now, UtpId stream) {
    uint64_t& left = left_[stream];
    uint64_t bytes = std::min((utp_.room(stream) + 16383) / 16384 * 16384, left);
    if (bytes != 0) {
      left -= bytes;
      utp_.offer(now, stream, bytes);
    }
    if (left == 0 && closes_) {
      utp_.close(now, stream);
      closes_ = false;
    }
  }
  bool send() {
    size_t used = 0;
    runs_.clear();
    while (runs_.size() < k_runs) {
      UtpRun& run = planned_[runs_.size()];
      if (used + UtpRun::k_size_max > k_slab || !utp_.plan(system_.clock.now(), run)) break;
      MutBytes place(slab_.data() + used, run.size());
      for (size_t i = 0; run.has_payload && i < run.count; ++i)
        memcpy(place.data() + i * run.packet_size + k_utp_header_size, payload_ + run.segments[i].offset % 4096, run.segments[i].size);
      utp_.commit(system_.clock.now(), run, place);
      runs_.push_back({run.to, place, run.packet_size, run.may_fragment, 0, hal::SendOutcome::sent});
      used += place.size();
    }
    if (runs_.empty()) return false;
    blocked_ = !system_.datagrams.send(runs_);
    return true;
  }
  void turn(Instant now) {
    take(now);
    bool more = true;
    for (int i = 0; i < 4 && more && !blocked_; ++i) {
      more = send();
      take(now);
    }
    if (now >= linger_until_) {
      system_.loop.arm(Instant::never());
      system_.loop.stop();
      return;
    }
    system_.loop.arm(more && !blocked_ ? now : earlier(utp_.next_deadline(), linger_until_));
    if (wanted_ != 0 && received_ >= wanted_) system_.loop.stop();
  }

  hal::System& system_;
  Utp utp_;
  uint64_t total_;
  std::vector<uint8_t> slab_;
  std::vector<UtpRun> planned_;
  std::vector<hal::OutgoingRun> runs_;
  std::map<UtpId, uint64_t> left_;
  uint8_t payload_[8192] = {};
  uint64_t received_ = 0;
  uint64_t wanted_ = 0;
  uint32_t checksum_ = 0;
  const char* end_ = "";
  Instant linger_until_ = Instant::never();
  bool closes_ = false;
  bool serving_ = false;
  bool blocked_ = false;
};

}  // namespace

int main(int argc, char** argv) {
  NoLog log;
  if (argc > 2 && (std::string_view(argv[1]) == "send" || std::string_view(argv[1]) == "receive")) {
    bool sends = std::string_view(argv[1]) == "send";
    hal::LinuxSystem machine(log);
    Pipe pipe(machine, sends && argc > 3 ? strtoull(argv[3], nullptr, 10) : 0);
    pipe.bind({IpAddress::v4({127, 0, 0, 1}), static_cast<uint16_t>(sends ? 0 : atoi(argv[2]))});
    if (sends) pipe.send_to(*Endpoint::parse(argv[2]));
    machine.run();
    printf("%llu bytes, checksum %08x, %s, again %llu\n",
           static_cast<unsigned long long>(sends ? pipe.engine().counters().payload_out : pipe.received()), pipe.checksum(), pipe.end(),
           static_cast<unsigned long long>(pipe.engine().counters().payload_again));
    return 0;
  }
  uint64_t total = (argc > 1 ? strtoull(argv[1], nullptr, 10) : 1024) << 20;
  unsigned streams = argc > 2 ? static_cast<unsigned>(atoi(argv[2])) : 1;
  int ready[2];
  if (pipe(ready) != 0) return 1;
  pid_t server = fork();
  if (server == 0) {
    hal::LinuxSystem machine(log);
    Pipe pipe(machine, total / streams);
    uint16_t port = pipe.bind({IpAddress::v4({127, 0, 0, 1}), 0}).port;
    pipe.serve();
    if (write(ready[1], &port, sizeof(port)) != sizeof(port)) _exit(1);
    machine.run();
    hal::DatagramCounters counters = pipe.counters();
    printf("sender:   %.2f CPU s, %.0f packets a call, %.1f %% again, %llu overflows\n", cpu_seconds(),
           static_cast<double>(counters.sent) / static_cast<double>(counters.send_calls),
           100.0 * static_cast<double>(pipe.engine().counters().payload_again) / static_cast<double>(total),
           static_cast<unsigned long long>(counters.receive_overflows));
    fflush(stdout);
    _exit(0);
  }
  uint16_t port = 0;
  if (read(ready[0], &port, sizeof(port)) != sizeof(port)) return 1;
  {
    hal::LinuxSystem machine(log);
    Pipe pipe(machine, total / streams);
    pipe.bind({IpAddress::v4({127, 0, 0, 2}), 0});
    Instant start = machine.system().clock.now();
    pipe.fetch({IpAddress::v4({127, 0, 0, 1}), port}, streams);
    machine.run();
    double seconds = static_cast<double>((machine.system().clock.now() - start).in_us()) / 1e6;
    printf("%.0f MB/s\nreceiver: %.2f CPU s, %llu overflows\n", static_cast<double>(pipe.received()) / 1e6 / seconds, cpu_seconds(),
           static_cast<unsigned long long>(pipe.counters().receive_overflows));
  }
  fflush(stdout);
  kill(server, SIGTERM);
  waitpid(server, nullptr, 0);
  return 0;
}
