#include "hal/linux/datagram_sender.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/uio.h>

#include <algorithm>

#include "base/check.h"
#include "hal/linux/address.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

namespace millet::hal {

const char* send_way_name(SendWay way) {
  switch (way) {
    case SendWay::offload: return "offload";
    case SendWay::batch: return "batch";
    case SendWay::single: return "single";
  }
  return "unknown";
}

// What one system call is given; made once.
struct DatagramSender::Batch {
  // The address that it comes from, and the size of its datagrams.
  struct alignas(cmsghdr) Control {
    uint8_t bytes[CMSG_SPACE(sizeof(in6_pktinfo)) + CMSG_SPACE(sizeof(uint16_t))];
  };
  mmsghdr messages[k_messages_max];
  iovec parts[k_messages_max];
  Control controls[k_messages_max];
  SocketAddress names[k_messages_max];
  OutgoingRun* runs[k_messages_max];
  size_t counts[k_messages_max];  // datagrams of the message
};

namespace {

template <typename Value>
void add_control(msghdr& message, uint8_t* place, int level, int type, const Value& value) {
  if (message.msg_controllen == 0) message.msg_control = place;
  cmsghdr header = {};
  header.cmsg_level = level;
  header.cmsg_type = type;
  header.cmsg_len = CMSG_LEN(sizeof value);
  uint8_t* at = place + message.msg_controllen;
  std::memcpy(at, &header, sizeof header);
  std::memcpy(at + CMSG_LEN(0), &value, sizeof value);
  message.msg_controllen += CMSG_SPACE(sizeof value);
}

}  // namespace

DatagramSender::DatagramSender(int fd, bool v6, SendWay way) : fd_(fd), v6_(v6), way_(way), batch_(std::make_unique<Batch>()) {
  // The first run sets what it needs.
  fragmenting_ = true;
  OutgoingRun whole;
  whole.size = k_fragment_size_min + 1;
  set_fragmenting(whole);
}

DatagramSender::~DatagramSender() = default;

bool DatagramSender::send(std::span<OutgoingRun> runs, DatagramCounters& counters) {
  retried_ = false;
  for (;;) {
    while (!runs.empty() && runs.front().done == runs.front().count()) runs = runs.subspan(1);
    if (runs.empty()) return true;
    set_fragmenting(runs.front());
    int sent = transmit(fill(runs));
    ++counters.send_calls;
    if (sent > 0) {
      account(static_cast<size_t>(sent), counters);
      retried_ = false;
    } else if (on_error(errno, counters) == Next::blocked) {
      return false;
    }
  }
}

size_t DatagramSender::segments_at_once(const OutgoingRun& run) const {
  // The kernel does not fragment what it has cut into segments.
  if (way_ != SendWay::offload || (run.may_fragment && run.size > k_fragment_size_min)) return 1;
  return std::clamp<size_t>(k_message_max / run.size, 1, k_segments_max);
}

// Messages for as many of the runs as one call takes; those that need the other setting of Don't Fragment wait. Requires: the first is not
// done.
size_t DatagramSender::fill(std::span<OutgoingRun> runs) {
  Batch& batch = *batch_;
  size_t limit = way_ == SendWay::single ? 1 : k_messages_max;
  size_t used = 0;
  for (OutgoingRun& run : runs) {
    if (run.size > k_fragment_size_min && run.may_fragment != fragmenting_) break;
    size_t count = run.count();
    size_t at_once = segments_at_once(run);
    const SocketAddress* name = nullptr;
    for (size_t i = run.done; i < count && used < limit; i += at_once, ++used) {
      CHECK(run.size != 0 && run.size <= UINT16_MAX);
      batch.runs[used] = &run;
      batch.counts[used] = std::min(at_once, count - i);
      size_t begin = i * run.size;
      size_t size = std::min(batch.counts[used] * run.size, run.bytes.size() - begin);
      if (name == nullptr) {
        batch.names[used] = v6_ ? to_system_v6(run.to) : to_system(run.to);
        name = &batch.names[used];
      }
      batch.parts[used] = {const_cast<uint8_t*>(run.bytes.data() + begin), size};
      msghdr& message = batch.messages[used].msg_hdr;
      message = {};
      message.msg_name = const_cast<sockaddr_storage*>(&name->storage);
      message.msg_namelen = name->size;
      message.msg_iov = &batch.parts[used];
      message.msg_iovlen = 1;
      add_source(run, message, batch.controls[used].bytes);
      if (batch.counts[used] == 1) continue;
      add_control(message, batch.controls[used].bytes, IPPROTO_UDP, UDP_SEGMENT, static_cast<uint16_t>(run.size));
    }
    if (used == limit) break;
  }
  return used;
}

void DatagramSender::add_source(const OutgoingRun& run, msghdr& message, uint8_t* place) const {
  if (run.from.is_any() || run.from.is_v4() != run.to.address.is_v4()) return;
  if (v6_)
    add_control(message, place, IPPROTO_IPV6, IPV6_PKTINFO, to_packet_info_v6(run.from));
  else if (run.from.is_v4())
    add_control(message, place, IPPROTO_IP, IP_PKTINFO, to_packet_info(run.from));
}

// Runs that differ in it are rare (a packet that was lost, above the size that passes everywhere), so it is a setting and not a second
// socket.
void DatagramSender::set_fragmenting(const OutgoingRun& run) {
  if (run.size <= k_fragment_size_min || run.may_fragment == fragmenting_) return;
  fragmenting_ = run.may_fragment;
  // PROBE: Don't Fragment, and what the kernel believes about the path does not matter: the search is ours (RFC 8899).
  int v4 = fragmenting_ ? IP_PMTUDISC_DONT : IP_PMTUDISC_PROBE;
  int v6 = fragmenting_ ? IPV6_PMTUDISC_DONT : IPV6_PMTUDISC_PROBE;
  ::setsockopt(fd_, IPPROTO_IP, IP_MTU_DISCOVER, &v4, sizeof v4);
  if (v6_) ::setsockopt(fd_, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &v6, sizeof v6);
}

// Messages that went out; below 1: none, and errno says why.
int DatagramSender::transmit(size_t messages) {
  Batch& batch = *batch_;
  constexpr int k_flags = MSG_DONTWAIT | MSG_NOSIGNAL;
  if (messages == 1) return ::sendmsg(fd_, &batch.messages[0].msg_hdr, k_flags) < 0 ? -1 : 1;
  return ::sendmmsg(fd_, batch.messages, static_cast<unsigned>(messages), k_flags);
}

void DatagramSender::account(size_t messages, DatagramCounters& counters) {
  for (size_t i = 0; i < messages; ++i) {
    batch_->runs[i]->done += batch_->counts[i];
    counters.sent += batch_->counts[i];
    counters.sent_bytes += batch_->parts[i].iov_len;
  }
}

void DatagramSender::give_up(OutgoingRun& run, SendOutcome outcome, DatagramCounters& counters) {
  run.outcome = outcome;
  if (outcome == SendOutcome::too_big) counters.too_big += run.count() - run.done;
  if (outcome == SendOutcome::unreachable) ++counters.unreachable;
  run.done = run.count();
}

// The first message of the batch did not go out.
DatagramSender::Next DatagramSender::on_error(int number, DatagramCounters& counters) {
  OutgoingRun& run = *batch_->runs[0];
  switch (number) {
    case EINTR: return Next::again;
    case EAGAIN: return Next::blocked;
    case ENOBUFS:
    case ENOMEM:
      // A queue of our own machine is full, and nothing will tell when it is not: to the controller that is a loss like any other.
      account(1, counters);
      counters.send_drops += batch_->counts[0];
      return Next::go_on;
    case ENOSYS:
      if (way_ == SendWay::single) break;
      fall_back(SendWay::single, number);
      return Next::again;
    case EINVAL:
    case EIO:
    case EOPNOTSUPP:
      if (batch_->counts[0] > 1) return on_offload_refused(run, number, counters);
      break;
    default: break;
  }
  // The error may be that of an earlier datagram, to whomever: an ICMP message came for it. The second time it is ours.
  if (!retried_) {
    retried_ = true;
    return Next::again;
  }
  retried_ = false;
  give_up(run, number == EMSGSIZE ? SendOutcome::too_big : SendOutcome::unreachable, counters);
  return Next::go_on;
}

// Kernels before 6.13 also say EINVAL when a segment is too big for the link, which is no reason to fall back: one datagram on its own
// tells.
DatagramSender::Next DatagramSender::on_offload_refused(OutgoingRun& run, int number, DatagramCounters& counters) {
  msghdr& message = batch_->messages[0].msg_hdr;
  message.msg_control = nullptr;
  message.msg_controllen = 0;
  add_source(run, message, batch_->controls[0].bytes);
  batch_->counts[0] = 1;
  batch_->parts[0].iov_len = run.size;
  ++counters.send_calls;
  if (transmit(1) == 1) {
    account(1, counters);
    fall_back(SendWay::batch, number);
    return Next::go_on;
  }
  if (errno == EMSGSIZE) {
    give_up(run, SendOutcome::too_big, counters);
    return Next::go_on;
  }
  return on_error(errno, counters);
}

void DatagramSender::fall_back(SendWay way, int number) {
  way_ = way;
  fallback_reason_ = number;
}

}  // namespace millet::hal
