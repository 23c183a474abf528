#include <netinet/in.h>

#include <vector>

#include "hal/linux/address.h"
#include "hal/linux/clock.h"
#include "hal/linux/datagram_sender.h"
#include "hal/linux/fd.h"

namespace millet::hal {
namespace {

constexpr size_t k_trial_count = 32;  // datagrams: a window's worth on a fast uplink
constexpr size_t k_trial_size = 1400;
constexpr int k_datagram_trials = 4;  // of each way; the cheapest counts, so that an interrupt in one does not decide

// A socket on loopback that nobody reads: what comes is dropped as soon as its small buffer is full.
Result<Endpoint> open_sink(Fd& fd) {
  SocketAddress address = to_system({IpAddress::v4({127, 0, 0, 1}), 0});
  fd = Fd(::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  int small = 1;
  if (!fd.is_open() || ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small) != 0 ||
      ::bind(fd.get(), address.raw(), address.size) != 0 || ::getsockname(fd.get(), address.raw(), &address.size) != 0) {
    return error(Errc::unavailable, "no loopback");
  }
  return from_system(address);
}

// Nanoseconds of the cheapest trial; -1: this way does not work here.
int64_t measure(SendWay way, const Endpoint& sink, Bytes payload) {
  Fd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.is_open()) return -1;
  DatagramSender sender(fd.get(), false, way);
  DatagramCounters counters;
  int64_t best = -1;
  for (int i = 0; i < k_datagram_trials; ++i) {
    OutgoingRun run;
    run.to = sink;
    run.bytes = payload;
    run.size = k_trial_size;
    int64_t before = thread_time_ns();
    bool all = sender.send(std::span(&run, 1), counters);
    int64_t cost = thread_time_ns() - before;
    if (sender.way() != way || !all || run.outcome != SendOutcome::sent) return -1;
    if (best < 0 || cost < best) best = cost;
  }
  return best;
}

}  // namespace

SendWay cheapest_send_way() {
  Fd fd;
  Result<Endpoint> sink = open_sink(fd);
  // Without loopback nothing can be measured: the best way is tried, and left when it is refused.
  if (!sink) return SendWay::offload;
  std::vector<uint8_t> payload(k_trial_count * k_trial_size);
  SendWay cheapest = SendWay::single;
  int64_t least = measure(SendWay::single, *sink, payload);
  for (SendWay way : {SendWay::batch, SendWay::offload}) {
    int64_t cost = measure(way, *sink, payload);
    if (cost < 0 || (least >= 0 && cost > least)) continue;
    least = cost;
    cheapest = way;
  }
  return cheapest;
}

}  // namespace millet::hal
