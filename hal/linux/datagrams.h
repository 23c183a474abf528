// The UDP socket, non-blocking, watched by the loop: sends by DatagramSender, receives by recvmmsg with datagrams of one source joined by
// the kernel (UDP_GRO). Bound to all addresses it asks which one a datagram came to (IP_PKTINFO). ICMP errors come from the socket's error
// queue (IP_RECVERR).
#pragma once

#include <uv.h>

#include <memory>
#include <optional>

#include "base/log.h"
#include "hal/datagrams.h"
#include "hal/linux/datagram_sender.h"

namespace millet::hal {

class LinuxDatagrams final : public Datagrams {
 public:
  // One turn of the loop reads no more: every other connection gets its turn in between. One read may go over it by one batch.
  static constexpr size_t k_turn_bytes_max = 256 * 1024;
  static constexpr size_t k_turn_messages_max = 64;
  static constexpr int k_turn_errors_max = 32;

  // `way`: this one instead of the cheapest. Requires: loop and log outlive it.
  LinuxDatagrams(uv_loop_t* loop, LogSink& log, std::optional<SendWay> way = std::nullopt);
  // Requires: close() was called and the loop has run since.
  ~LinuxDatagrams() override;
  LinuxDatagrams(const LinuxDatagrams&) = delete;

  void set_events(DatagramEvents* events) override { events_ = events; }
  Result<Endpoint> bind(const Endpoint& local, const DatagramOptions& options) override;
  bool send(std::span<OutgoingRun> runs) override;
  void close() override;
  DatagramCounters counters() const override { return counters_; }

  // How it sends now. Requires: open.
  SendWay way() const;
  std::string_view send_way() const override;
  // The socket, for tests. Requires: open.
  int fd() const;

 private:
  struct Socket;
  struct Inbox;

  static void on_ready(uv_poll_t* poll, int status, int events);
  void watch();
  void receive();
  int receive_batch();
  void deliver(int messages);
  void drain_errors();
  void report_fallback();

  uv_loop_t* loop_;
  LogSink& log_;
  std::optional<SendWay> forced_way_;
  DatagramEvents* events_ = nullptr;
  Socket* socket_ = nullptr;  // the loop owns it when it is closing
  std::unique_ptr<Inbox> inbox_;
  DatagramCounters counters_;
};

}  // namespace millet::hal
