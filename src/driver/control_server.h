// The control socket: lines of JSON in, lines out. What a request means is the handler's matter (control/); here are the bounds: how many
// clients, how much they may send before a line ends, how long they may be idle. Who may connect is decided by the socket file's mode.
#pragma once

#include <map>
#include <string>

#include "base/time.h"
#include "hal/streams.h"

namespace millet {

class RequestHandler {
 public:
  virtual ~RequestHandler() = default;
  // The reply to one line, both without the newline.
  virtual std::string handle(Instant now, std::string_view request) = 0;
};

class ControlServer {
 public:
  static constexpr size_t k_clients_max = 8;                        // a person, a live view, scripts
  static constexpr size_t k_buffered_bytes_max = 16 * 1024 * 1024;  // of all clients: one large .torrent and several small requests
  static constexpr Duration k_idle_max = Duration::seconds(60);

  // `request_bytes_max`: of one line. Requires: both outlive it.
  ControlServer(hal::Streams& streams, RequestHandler& handler, size_t request_bytes_max)
      : streams_(streams), handler_(handler), request_bytes_max_(request_bytes_max) {}
  ControlServer(const ControlServer&) = delete;

  void on_accepted(Instant now, hal::StreamId stream);
  // True if the stream is a client's.
  bool on_received(Instant now, hal::StreamId stream, Bytes bytes);
  bool on_writable(Instant now, hal::StreamId stream);
  bool on_closed(hal::StreamId stream);

  Instant next_deadline() const;
  void on_timer(Instant now);

 private:
  struct Client {
    std::string in;       // of a line that is not complete
    size_t searched = 0;  // bytes of it without an end of line
    std::string out;      // of a reply that the socket has not taken; nothing is read meanwhile
    Instant deadline;
  };
  void handle_lines(Instant now, hal::StreamId stream, Client& client);
  void refuse(hal::StreamId stream, Client& client, std::string_view code, std::string_view message);
  void refuse_long(hal::StreamId stream, Client& client);
  void flush(Instant now, hal::StreamId stream, Client& client);
  void drop(hal::StreamId stream);

  hal::Streams& streams_;
  RequestHandler& handler_;
  const size_t request_bytes_max_;
  std::map<hal::StreamId, Client> clients_;
  size_t buffered_ = 0;  // bytes of all `in`
};

}  // namespace millet
