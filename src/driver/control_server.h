// The control socket: lines of JSON in, lines out. What a request means is the handler's matter (control/); here are the bounds: how many
// clients, how much they may send before a line ends, how long they may be idle. Who may connect is decided by the socket file's mode.
#pragma once

#include <algorithm>
#include <map>
#include <string>

#include "base/time.h"
#include "crypto/secret.h"
#include "hal/streams.h"

namespace millet {

class RequestHandler {
 public:
  static constexpr uint64_t k_awaits_outcome = UINT64_MAX;  // no commit

  virtual ~RequestHandler() = default;
  // The reply to one line, both without the newline.
  virtual std::string handle(Instant now, std::string_view request) = 0;
  // The commit that must be durable before the reply that handle() has just given goes out; 0: none. k_awaits_outcome: it waits for
  // ControlServer::on_outcome(), one at a time.
  virtual uint64_t awaited() const { return 0; }
  // What goes out instead of it when that commit fails; both without the newline.
  virtual std::string not_saved(std::string_view reply, const Error& reason) {
    static_cast<void>(reason);
    return std::string(reply);
  }
  // What goes out instead of it when the outcome is an error.
  virtual std::string failed(std::string_view reply, const Error& reason) { return not_saved(reply, reason); }
};

class ControlServer {
 public:
  static constexpr size_t k_clients_max = 8;  // a person, a live view, scripts
  static constexpr Duration k_idle_max = Duration::seconds(60);

  struct Limits {
    size_t request_bytes;   // of one line
    size_t buffered_bytes;  // of all clients: a large .torrent and several small requests
  };
  // Requires: both outlive it.
  ControlServer(hal::Streams& streams, RequestHandler& handler, const Limits& limits)
      : streams_(streams), handler_(handler), limits_{std::min(limits.request_bytes, limits.buffered_bytes), limits.buffered_bytes} {}
  ControlServer(const ControlServer&) = delete;

  void on_accepted(Instant now, hal::StreamId stream);
  // True if the stream is a client's.
  bool on_received(Instant now, hal::StreamId stream, Bytes bytes);
  bool on_writable(Instant now, hal::StreamId stream);
  bool on_closed(hal::StreamId stream);

  // A commit of the node is durable: replies that waited for it go out. Or it failed: whoever waits is told so.
  void on_durable(Instant now, uint64_t sequence);
  void on_commit_failed(Instant now, const Error& reason);

  // What a request has begun is over: whoever waits for it is told, if it is still there.
  void on_outcome(Instant now, const Status& outcome);

  // A reply waits for its commit.
  bool is_waiting() const {
    return std::any_of(clients_.begin(), clients_.end(), [](const auto& entry) { return awaits_commit(entry.second); });
  }

  // Bytes of requests that are not complete.
  size_t buffered() const { return buffered_; }
  Instant next_deadline() const;
  void on_timer(Instant now);

 private:
  struct Client {
    Secret in;            // of a line that is not complete
    size_t searched = 0;  // bytes of it without an end of line
    std::string out;      // of a reply that the socket has not taken; nothing is read meanwhile
    uint64_t awaits = 0;  // `out` is held until this commit is durable, or for an outcome
    Instant deadline;
  };
  static bool awaits_commit(const Client& client) { return client.awaits != 0 && client.awaits != RequestHandler::k_awaits_outcome; }
  template <typename Waits, typename LastWord>
  void release(Instant now, Waits waits, LastWord last_word);
  void go_on(Instant now, hal::StreamId stream, Client& client);
  void handle_lines(Instant now, hal::StreamId stream, Client& client);
  void refuse(hal::StreamId stream, Client& client, std::string_view code, std::string_view message);
  void refuse_long(hal::StreamId stream, Client& client);
  void flush(Instant now, hal::StreamId stream, Client& client);
  void drop(hal::StreamId stream);

  hal::Streams& streams_;
  RequestHandler& handler_;
  const Limits limits_;
  std::map<hal::StreamId, Client> clients_;
  size_t buffered_ = 0;  // bytes of all `in`
};

}  // namespace millet
