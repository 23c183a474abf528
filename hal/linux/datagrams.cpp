#include "hal/linux/datagrams.h"

#include <errno.h>
// After the C library's own headers, whose structures it repeats.
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <linux/errqueue.h>

#include <algorithm>

#include "hal/linux/address.h"
#include "hal/linux/fd.h"

#ifndef UDP_GRO
#define UDP_GRO 104
#endif

namespace millet::hal {
namespace {

constexpr size_t k_messages = 16;            // of one read, at most
constexpr size_t k_message_size = 65'536;    // joined datagrams are no larger
constexpr int k_dscp_lower_effort = 1 << 2;  // RFC 8622: code point 000001, above the two bits of ECN

// The privileged form, where we may, passes the system's limit for ordinary programs.
void set_buffer(int fd, int forced, int plain, uint32_t size) {
  int value = static_cast<int>(size);
  if (::setsockopt(fd, SOL_SOCKET, forced, &value, sizeof value) != 0) set_option(fd, SOL_SOCKET, plain, value);
}

Result<Fd> bound_udp(const Endpoint& local) {
  std::string doing = "can't open UDP " + local.to_string();
  SocketAddress address = to_system(local);
  Fd fd(::socket(address.family(), SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.is_open()) return os_error(errno, doing);
  if (!local.address.is_v4()) set_option(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, local.address.is_any() ? 0 : 1);
  if (::bind(fd.get(), address.raw(), address.size) != 0) {
    int number = errno;
    if (number == EADDRINUSE) doing += ": another program has the port; stop it or choose another port (0 picks a free one)";
    if (number == EADDRNOTAVAIL) doing += ": this machine does not have the address";
    return os_error(number, doing);
  }
  return fd;
}

// musl's macro compares signed with unsigned, and casts to what the message is aligned for.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wcast-align"
#pragma GCC diagnostic ignored "-Wsign-compare"
cmsghdr* next_control(msghdr& message, cmsghdr* control) { return CMSG_NXTHDR(&message, control); }
#pragma GCC diagnostic pop

template <typename Value>
std::optional<Value> value_of(const cmsghdr& control, int level, int type) {
  if (control.cmsg_level != level || control.cmsg_type != type || control.cmsg_len != CMSG_LEN(sizeof(Value))) return std::nullopt;
  Value out;
  std::memcpy(&out, CMSG_DATA(&control), sizeof out);
  return out;
}

// What an old kernel lacks is done without: the calls may fail.
void tune(int fd, bool v6, bool all_addresses, const DatagramOptions& options) {
  set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, options.receive_buffer);
  set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, options.send_buffer);
  set_option(fd, SOL_SOCKET, SO_RXQ_OVFL, 1);
  set_option(fd, IPPROTO_UDP, UDP_GRO, 1);
  set_option(fd, IPPROTO_IP, IP_RECVERR, 1);
  if (v6) set_option(fd, IPPROTO_IPV6, IPV6_RECVERR, 1);
  // On an IPv6 socket it tells of IPv4 addresses, too.
  if (all_addresses) set_option(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_RECVPKTINFO : IP_PKTINFO, 1);
  if (!options.lower_effort) return;
  set_option(fd, IPPROTO_IP, IP_TOS, k_dscp_lower_effort);
  if (v6) set_option(fd, IPPROTO_IPV6, IPV6_TCLASS, k_dscp_lower_effort);
}

}  // namespace

struct LinuxDatagrams::Socket {
  Socket(LinuxDatagrams& to, Fd from, bool is_v6, SendWay way) : owner(&to), fd(std::move(from)), sender(fd.get(), is_v6, way) {}
  LinuxDatagrams* owner;
  Fd fd;
  DatagramSender sender;
  uv_poll_t poll;
  int watched = 0;       // UV_READABLE | UV_WRITABLE that the loop watches
  bool blocked = false;  // a send() left some
  bool told_fallback = false;
  uint32_t overflows = 0;  // the kernel's own counter, which goes round
};

// Made at the first bind and kept. The memory of a message is touched only as far as messages are large.
struct LinuxDatagrams::Inbox {
  struct alignas(cmsghdr) Control {
    uint8_t bytes[2 * CMSG_SPACE(sizeof(uint32_t)) + CMSG_SPACE(sizeof(in6_pktinfo))];
  };
  explicit Inbox(size_t messages_in) : count(messages_in), bytes(new uint8_t[messages_in * k_message_size]) {}
  const size_t count;
  std::unique_ptr<uint8_t[]> bytes;
  mmsghdr messages[k_messages];
  iovec parts[k_messages];
  Control controls[k_messages];
  SocketAddress names[k_messages];
  IncomingRun runs[k_messages];
};

LinuxDatagrams::LinuxDatagrams(uv_loop_t* loop, LogSink& log, std::optional<SendWay> way) : loop_(loop), log_(log), forced_way_(way) {}

LinuxDatagrams::~LinuxDatagrams() { CHECK(socket_ == nullptr); }

Result<Endpoint> LinuxDatagrams::bind(const Endpoint& local, const DatagramOptions& options) {
  CHECK(socket_ == nullptr);
  Result<Fd> fd = bound_udp(local);
  bool v6 = !local.address.is_v4();
  // A kernel without IPv6: the default, [::], means every address that there is.
  if (!fd && v6 && local.address.is_any() && fd.error().code != Errc::conflict && fd.error().code != Errc::denied) {
    Result<Fd> v4 = bound_udp({IpAddress(), local.port});
    if (v4) {
      fd = std::move(v4);
      v6 = false;
    }
  }
  if (!fd) return std::move(fd).error();
  SocketAddress address;
  if (::getsockname(fd->get(), address.raw(), &address.size) != 0) return os_error(errno, "can't open UDP " + local.to_string());
  tune(fd->get(), v6, local.address.is_any(), options);
  SendWay way = forced_way_ ? *forced_way_ : cheapest_send_way();
  socket_ = new Socket(*this, std::move(fd).value(), v6, way);
  CHECK(uv_poll_init(loop_, &socket_->poll, socket_->fd.get()) == 0);
  socket_->poll.data = socket_;
  if (inbox_ == nullptr) inbox_ = std::make_unique<Inbox>(std::clamp<size_t>(options.receive_messages, 1, k_messages));
  watch();
  LogLine(log_, LogLevel::debug, "udp_open").add("address", from_system(address).to_string()).add("send_way", send_way_name(way));
  return from_system(address);
}

void LinuxDatagrams::close() {
  if (socket_ == nullptr) return;
  uv_close(reinterpret_cast<uv_handle_t*>(&socket_->poll), [](uv_handle_t* handle) { delete static_cast<Socket*>(handle->data); });
  socket_->fd.reset();
  socket_ = nullptr;
}

SendWay LinuxDatagrams::way() const { return socket_->sender.way(); }

std::string_view LinuxDatagrams::send_way() const {
  return socket_ == nullptr ? std::string_view() : std::string_view(send_way_name(way()));
}
int LinuxDatagrams::fd() const { return socket_->fd.get(); }

void LinuxDatagrams::watch() {
  int events = UV_READABLE | (socket_->blocked ? UV_WRITABLE : 0);
  if (events == socket_->watched) return;
  socket_->watched = events;
  CHECK(uv_poll_start(&socket_->poll, events, on_ready) == 0);
}

bool LinuxDatagrams::send(std::span<OutgoingRun> runs) {
  CHECK(socket_ != nullptr);
  bool all = socket_->sender.send(runs, counters_);
  if (socket_->sender.fallback_reason() != 0 && !socket_->told_fallback) report_fallback();
  if (!all && !socket_->blocked) {
    socket_->blocked = true;
    watch();
  }
  return all;
}

void LinuxDatagrams::report_fallback() {
  socket_->told_fallback = true;
  LogLine(log_, LogLevel::info, "udp_send_way")
      .add("way", send_way_name(socket_->sender.way()))
      .add("reason", os_error(socket_->sender.fallback_reason(), "the system refused a faster way").reason);
}

void LinuxDatagrams::on_ready(uv_poll_t* poll, int status, int events) {
  Socket* socket = static_cast<Socket*>(poll->data);
  LinuxDatagrams& self = *socket->owner;
  if (status < 0) {
    // The error queue has something, and the loop stopped watching: what else there is shows in the next turn.
    socket->watched = 0;
    self.drain_errors();
    if (self.socket_ == socket) self.watch();
    return;
  }
  // The receiver may close it.
  if ((events & UV_READABLE) != 0 && self.events_ != nullptr) self.receive();
  if (self.socket_ != socket || (events & UV_WRITABLE) == 0 || !socket->blocked) return;
  socket->blocked = false;
  self.watch();
  if (self.events_ != nullptr) self.events_->on_datagrams_writable();
}

// ---- receiving ----

void LinuxDatagrams::receive() {
  const Socket* socket = socket_;
  uint64_t bytes_before = counters_.received_bytes;
  for (size_t messages = 0; messages < k_turn_messages_max;) {
    int got = receive_batch();
    if (got <= 0) return;
    deliver(got);
    messages += static_cast<size_t>(got);
    // Fewer than there was room for: the queue was empty. What came since, the next turn reads.
    bool closed = socket_ != socket || events_ == nullptr;
    if (closed || static_cast<size_t>(got) < inbox_->count || counters_.received_bytes - bytes_before >= k_turn_bytes_max) return;
  }
}

int LinuxDatagrams::receive_batch() {
  Inbox& inbox = *inbox_;
  for (size_t i = 0; i < inbox.count; ++i) {
    inbox.parts[i] = {inbox.bytes.get() + i * k_message_size, k_message_size};
    msghdr& message = inbox.messages[i].msg_hdr;
    message = {};
    message.msg_name = &inbox.names[i].storage;
    message.msg_namelen = sizeof inbox.names[i].storage;
    message.msg_iov = &inbox.parts[i];
    message.msg_iovlen = 1;
    message.msg_control = inbox.controls[i].bytes;
    message.msg_controllen = sizeof inbox.controls[i].bytes;
  }
  // Errors of earlier datagrams may come first, one for each call; the error queue says more about them.
  constexpr int k_tries = 3;
  for (int i = 0; i < k_tries; ++i) {
    ++counters_.receive_calls;
    int got = ::recvmmsg(socket_->fd.get(), inbox.messages, static_cast<unsigned>(inbox.count), MSG_DONTWAIT, nullptr);
    if (got >= 0) return got;
    if (errno == EAGAIN) return 0;
  }
  return 0;
}

void LinuxDatagrams::deliver(int messages) {
  Inbox& inbox = *inbox_;
  uint32_t overflows = socket_->overflows;
  for (int i = 0; i < messages; ++i) {
    msghdr& message = inbox.messages[i].msg_hdr;
    IncomingRun& run = inbox.runs[i];
    run.bytes = Bytes(static_cast<const uint8_t*>(inbox.parts[i].iov_base), inbox.messages[i].msg_len);
    run.size = std::max<size_t>(run.bytes.size(), 1);
    run.local = IpAddress();
    for (cmsghdr* control = CMSG_FIRSTHDR(&message); control != nullptr; control = next_control(message, control)) {
      if (auto segment = value_of<uint32_t>(*control, IPPROTO_UDP, UDP_GRO); segment && *segment != 0)
        run.size = std::min<size_t>(*segment, run.size);
      if (auto value = value_of<uint32_t>(*control, SOL_SOCKET, SO_RXQ_OVFL)) overflows = *value;
      if (auto v4 = value_of<in_pktinfo>(*control, IPPROTO_IP, IP_PKTINFO)) run.local = from_packet_info(*v4);
      if (auto v6 = value_of<in6_pktinfo>(*control, IPPROTO_IPV6, IPV6_PKTINFO)) run.local = from_packet_info(*v6);
    }
    // What was sent to many is answered, if at all, from the address that the system chooses.
    if (run.local.is_unusable()) run.local = IpAddress();
    run.from = from_system(inbox.names[i]);
    counters_.received += run.bytes.empty() ? 1 : (run.bytes.size() + run.size - 1) / run.size;
    counters_.received_bytes += run.bytes.size();
  }
  counters_.receive_overflows += static_cast<uint32_t>(overflows - socket_->overflows);
  socket_->overflows = overflows;
  events_->on_datagrams(std::span(inbox.runs, static_cast<size_t>(messages)));
}

// ---- errors that ICMP reports ----

void LinuxDatagrams::drain_errors() {
  const Socket* socket = socket_;
  for (int i = 0; i < k_turn_errors_max && socket_ == socket; ++i) {
    SocketAddress to;
    alignas(cmsghdr) uint8_t control_bytes[512];  // the error and the address that sent it
    msghdr message = {};
    message.msg_name = &to.storage;
    message.msg_namelen = sizeof to.storage;
    message.msg_control = control_bytes;
    message.msg_controllen = sizeof control_bytes;
    if (::recvmsg(socket_->fd.get(), &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) return;
    for (cmsghdr* control = CMSG_FIRSTHDR(&message); control != nullptr; control = next_control(message, control)) {
      bool is_error = (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_RECVERR) ||
                      (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_RECVERR);
      if (!is_error || control->cmsg_len < CMSG_LEN(sizeof(sock_extended_err))) continue;
      sock_extended_err what = {};
      std::memcpy(&what, CMSG_DATA(control), sizeof what);
      if (what.ee_origin != SO_EE_ORIGIN_ICMP && what.ee_origin != SO_EE_ORIGIN_ICMP6) continue;
      if (what.ee_errno != EMSGSIZE) ++counters_.unreachable;
      if (events_ == nullptr || socket_ != socket) continue;
      if (what.ee_errno == EMSGSIZE) {
        events_->on_path_mtu(from_system(to), what.ee_info);
      } else {
        events_->on_unreachable(from_system(to));
      }
    }
  }
}

}  // namespace millet::hal
