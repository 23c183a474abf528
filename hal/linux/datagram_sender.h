// Sends runs of datagrams in one of three ways, and falls back for good when the system refuses one:
//
//   offload   sendmmsg, each message a whole run, cut by the kernel or the network card (UDP_SEGMENT): one pass through the stack for 64 of
//             them
//   batch     sendmmsg, each message one datagram
//   single    sendmsg, one datagram
#pragma once

#include <sys/socket.h>

#include <memory>
#include <span>

#include "hal/datagrams.h"

namespace millet::hal {

enum class SendWay : uint8_t { offload, batch, single };
const char* send_way_name(SendWay way);

class DatagramSender {
 public:
  // Requires: the socket outlives it. `v6`: the socket is of that family.
  DatagramSender(int fd, bool v6, SendWay way);
  ~DatagramSender();
  DatagramSender(const DatagramSender&) = delete;

  // As Datagrams::send. False: the socket is full.
  bool send(std::span<OutgoingRun> runs, DatagramCounters& counters);
  SendWay way() const { return way_; }
  // Error number that made it fall back; 0: it did not.
  int fallback_reason() const { return fallback_reason_; }

 private:
  static constexpr size_t k_messages_max = 64;     // of one system call
  static constexpr size_t k_segments_max = 64;     // of one message: UDP_MAX_SEGMENTS of older kernels
  static constexpr size_t k_message_max = 65'000;  // bytes of one message: an IP packet's limit, less headers
  struct Batch;
  enum class Next : uint8_t { go_on, again, blocked };

  size_t segments_at_once(const OutgoingRun& run) const;
  size_t fill(std::span<OutgoingRun> runs);
  void add_source(const OutgoingRun& run, msghdr& message, uint8_t* place) const;
  void set_fragmenting(const OutgoingRun& run);
  int transmit(size_t messages);
  void account(size_t messages, DatagramCounters& counters);
  Next on_error(int number, DatagramCounters& counters);
  Next on_offload_refused(OutgoingRun& run, int number, DatagramCounters& counters);
  void give_up(OutgoingRun& run, SendOutcome outcome, DatagramCounters& counters);
  void fall_back(SendWay way, int number);

  int fd_;
  bool v6_;
  SendWay way_;
  bool fragmenting_ = false;
  bool retried_ = false;
  int fallback_reason_ = 0;
  std::unique_ptr<Batch> batch_;
};

// Tries what the kernel has on a socket of its own over loopback, and measures which way costs the least processor time.
SendWay cheapest_send_way();

}  // namespace millet::hal
