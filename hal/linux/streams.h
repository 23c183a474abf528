// Sockets, non-blocking, watched by the loop. One system call for each read and each send; nothing is queued here.
#pragma once

#include <uv.h>

#include <memory>
#include <vector>

#include "base/log.h"
#include "hal/linux/fd.h"
#include "hal/linux/neighbours.h"
#include "hal/streams.h"

namespace millet::hal {

class LinuxStreams final : public Streams {
 public:
  // Requires: loop and log outlive it.
  LinuxStreams(uv_loop_t* loop, LogSink& log);
  // Requires: close_all() was called and the loop has run since.
  ~LinuxStreams() override;
  LinuxStreams(const LinuxStreams&) = delete;

  void set_events(StreamEvents* events) override { events_ = events; }
  Result<Endpoint> listen(ListenerId id, const Endpoint& local) override;
  Status listen_local(ListenerId id, const std::string& path) override;
  void set_accepting(ListenerId id, bool accepting) override;
  StreamId connect(const Endpoint& remote, const std::optional<IpAddress>& local) override;
  size_t send(StreamId stream, std::span<const Bytes> parts) override;
  void set_reading(StreamId stream, bool reading) override;
  void close(StreamId stream) override;
  Endpoint local_endpoint(StreamId stream) override;
  PayloadWay payload_way() override;
  size_t send_file(StreamId stream, Bytes head, int descriptor, uint64_t offset, size_t length, bool& ended) override;
  bool is_over_uplink(StreamId stream) override;
  bool set_background(StreamId stream) override;
  std::string_view background_way() const override;
  std::optional<StreamProgress> progress(StreamId stream) override;

  // Closes every connection and listener, without events; removes the files of local sockets.
  void close_all();

 private:
  struct Stream;
  struct Listener;

  static void on_stream_ready(uv_poll_t* poll, int status, int events);
  static void on_listener_ready(uv_poll_t* poll, int status, int events);
  static void on_retry(uv_timer_t* timer);
  static void on_idle(uv_idle_t* idle);

  Stream* find(StreamId id);
  // A stream for a socket, which it takes. Without has_poll the system would not watch it: to be closed.
  Stream& add(Fd fd);
  void watch(Stream& stream);
  void fail_later(Stream& stream, Error reason);
  void closed(Stream& stream, Error reason);
  void broken(Stream& stream, Error reason);
  void receive(Stream& stream);
  void hand_over(const Stream& stream, size_t size);
  void connected(Stream& stream);
  void accept_some(Listener& listener);
  void out_of_descriptors(int number);
  void resume_accepting();
  void watch(Listener& listener);
  Listener& add_listener(ListenerId id, Fd fd);
  void close_listeners();

  uv_loop_t* loop_;
  LogSink& log_;
  StreamEvents* events_ = nullptr;
  // By the lower half of a StreamId; the upper half counts the uses of the place.
  std::vector<std::unique_ptr<Stream>> streams_;
  std::vector<uint32_t> uses_;
  std::vector<uint32_t> free_;
  std::vector<StreamId> failing_;  // on_closed follows in the next turn
  std::vector<std::unique_ptr<Listener>> listeners_;
  std::unique_ptr<uint8_t[]> received_;  // one buffer for all: its bytes are valid during on_received only
  uv_timer_t retry_;
  uv_idle_t idle_;
  uint64_t next_warning_ms_ = 0;
  std::optional<PayloadWay> payload_way_;
  Neighbours neighbours_;
  enum class Background : uint8_t { unknown, there, missing };
  Background background_ = Background::unknown;
  bool starved_ = false;  // accepting waits for descriptors
  bool closed_ = false;
};

}  // namespace millet::hal
