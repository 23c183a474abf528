#include "hal/linux/payload_way.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <vector>

#include "hal/linux/address.h"
#include "hal/linux/clock.h"
#include "hal/linux/fd.h"
#include "hal/linux/page_cache.h"

namespace millet::hal {
namespace {

constexpr size_t k_block_size = 16 * 1024;
constexpr size_t k_head_size = 13;  // of the message that a block is sent in
constexpr size_t k_blocks = 8;      // of one trial; what is in flight fits the socket's buffers
constexpr int k_payload_trials = 6;         // the cheapest counts, so that an interrupt in one does not decide
constexpr int k_buffer = 1 << 20;

// A connection over loopback, and a file whose pages are in memory.
struct Bench {
  Fd sender;
  Fd receiver;
  Fd file;
  std::vector<uint8_t> buffer = std::vector<uint8_t>(k_blocks * (k_head_size + k_block_size));

  bool open() {
    Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    SocketAddress at = to_system({IpAddress::v4({127, 0, 0, 1}), 0});
    ::setsockopt(listener.get(), SOL_SOCKET, SO_RCVBUF, &k_buffer, sizeof k_buffer);
    if (!listener.is_open() || ::bind(listener.get(), at.raw(), at.size) != 0 || ::listen(listener.get(), 1) != 0) return false;
    if (::getsockname(listener.get(), at.raw(), &at.size) != 0) return false;
    sender = Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    int on = 1;
    ::setsockopt(sender.get(), SOL_SOCKET, SO_SNDBUF, &k_buffer, sizeof k_buffer);
    ::setsockopt(sender.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (!sender.is_open() || ::connect(sender.get(), at.raw(), at.size) != 0) return false;
    SocketAddress from;
    // Whoever else dialled the port in between is not what is measured.
    SocketAddress own;
    receiver = Fd(::accept4(listener.get(), from.raw(), &from.size, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!receiver.is_open() || ::getsockname(sender.get(), own.raw(), &own.size) != 0 || !(from_system(own) == from_system(from)))
      return false;
    file = Fd(::memfd_create("millet", MFD_CLOEXEC));
    return file.is_open() && ::write(file.get(), buffer.data(), k_blocks * k_block_size) == static_cast<ssize_t>(k_blocks * k_block_size);
  }
  bool drain() {
    for (size_t left = k_blocks * (k_head_size + k_block_size); left != 0;) {
      ssize_t got = ::recv(receiver.get(), buffer.data(), std::min(left, buffer.size()), MSG_DONTWAIT);
      if (got <= 0) return false;
      left -= static_cast<size_t>(got);
    }
    return true;
  }
  bool copy() {
    iovec parts[k_blocks];
    for (size_t i = 0; i < k_blocks; ++i) parts[i] = {buffer.data() + i * (k_head_size + k_block_size) + k_head_size, k_block_size};
    return ::preadv(file.get(), parts, k_blocks, 0) == static_cast<ssize_t>(k_blocks * k_block_size) &&
           ::send(sender.get(), buffer.data(), buffer.size(), MSG_DONTWAIT | MSG_NOSIGNAL) == static_cast<ssize_t>(buffer.size());
  }
  bool sendfile() {
    for (size_t i = 0; i < k_blocks; ++i) {
      off_t at = static_cast<off_t>(i * k_block_size);
      std::optional<bool> cached = is_in_page_cache(file.get(), static_cast<uint64_t>(at), k_block_size);
      if (!cached || !*cached) return false;
      if (::send(sender.get(), buffer.data(), k_head_size, MSG_DONTWAIT | MSG_NOSIGNAL | MSG_MORE) != k_head_size) return false;
      if (::sendfile(sender.get(), file.get(), &at, k_block_size) != static_cast<ssize_t>(k_block_size)) return false;
    }
    return true;
  }
};

}  // namespace

int64_t payload_cost_ns(PayloadWay way) {
  Bench bench;
  if (!bench.open()) return -1;
  int64_t best = -1;
  for (int i = 0; i < k_payload_trials; ++i) {
    int64_t before = thread_time_ns();
    bool sent = way == PayloadWay::copy ? bench.copy() : bench.sendfile();
    int64_t cost = thread_time_ns() - before;
    if (!sent || !bench.drain()) return -1;
    // The first one also pays for what the connection has never needed before.
    if (i != 0 && (best < 0 || cost < best)) best = cost;
  }
  return best * static_cast<int64_t>((1 << 20) / (k_blocks * k_block_size));
}

PayloadWay cheapest_payload_way() {
  int64_t without = payload_cost_ns(PayloadWay::sendfile);
  if (without < 0) return PayloadWay::copy;
  int64_t copied = payload_cost_ns(PayloadWay::copy);
  return copied < 0 || without < copied ? PayloadWay::sendfile : PayloadWay::copy;
}

}  // namespace millet::hal
