// HTTP connections of a server, one request at a time on each: bounds on how many, how large and how slow. What a request means is the
// owner's matter. A client that sends the next request early is read no further until it has its reply; one that sends many is answered
// once.
//
// All calls and events on the loop's thread.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/endpoint.h"
#include "base/time.h"
#include "codec/http.h"
#include "hal/streams.h"

namespace millet {

class HttpServerEvents {
 public:
  virtual ~HttpServerEvents() = default;
  // Answered by reply(), now or later. The views hold during the call only.
  virtual void on_http_request(hal::StreamId stream, std::string_view method, std::string_view target, Bytes body) = 0;
  // A request whose body or head is too large; it was not read. Answered by reply(); the connection ends then.
  virtual void on_http_oversized(hal::StreamId stream) = 0;
};

class HttpServer {
 public:
  static constexpr size_t k_connections_max = 1024;
  static constexpr size_t k_connections_per_address_max = 64;       // a household behind one address or IPv6 /64, not the whole server
  static constexpr size_t k_connections_per_network_max = 256;      // of one /24 or /48: a quarter of all
  static constexpr Duration k_request_max = Duration::seconds(10);  // from its first byte to its last: slow senders hold a place no longer
  static constexpr Duration k_idle_max = Duration::seconds(60);     // between requests
  static constexpr Duration k_reply_max = Duration::seconds(20);    // until the client has taken its reply

  // Requires: both outlive it.
  HttpServer(hal::Streams& streams, HttpServerEvents& events, size_t body_size_max)
      : streams_(streams), events_(events), body_size_max_(body_size_max) {}
  HttpServer(const HttpServer&) = delete;

  // The connection is closed at once if there are too many of its address. If there are too many of its network or in all, one of those
  // gives its place that send no whole request or don't take their reply: of the network with most connections, there of the address with
  // most, the one without progress for longest. Clients that are silent or deaf, however many, keep nobody out.
  void on_accepted(Instant now, hal::StreamId stream, const Endpoint& remote);
  void on_received(Instant now, hal::StreamId stream, Bytes bytes);
  void on_writable(Instant now, hal::StreamId stream);
  void on_closed(hal::StreamId stream);

  // Of the request that is being answered: a header, and who sent it. Requires: on_http_request() has come and reply() has not, and the
  // connection is there. The view holds until the next call.
  std::optional<std::string_view> request_header(hal::StreamId stream, std::string_view name) const;
  const IpAddress& remote(hal::StreamId stream) const;

  // The answer to the connection's request; nothing happens if the connection is gone.
  struct Answer {
    int status = 200;
    std::string_view content_type = "application/octet-stream";
    std::string_view headers;  // more of them, each ending with CR LF
    Bytes body;
  };
  void reply(Instant now, hal::StreamId stream, const Answer& answer);
  void reply(Instant now, hal::StreamId stream, int status, Bytes body) {
    reply(now, stream, {status, "application/octet-stream", {}, body});
  }
  // Ends the connection without an answer.
  void drop(hal::StreamId stream);
  // Takes no more connections and requests; what has been asked is answered.
  void stop();
  size_t connections() const { return connections_.size(); }
  // Connections that were closed because there were too many.
  uint64_t refused() const { return refused_; }
  // Connections that gave their place.
  uint64_t evicted() const { return evicted_; }

  // Nothing is due before it; there may be nothing to do then.
  Instant next_deadline() const { return earliest_; }
  void on_timer(Instant now);

 private:
  enum class State : uint8_t { reading, answering, writing };
  using Counts = std::map<IpAddress, size_t>;
  struct Connection {
    explicit Connection(size_t body_size_max) : reader(http::Reader::Role::requests, body_size_max) {}
    http::Reader reader;
    IpAddress address;
    Counts::iterator of_sender;
    Counts::iterator of_network;
    State state = State::reading;
    bool close_after = false;
    bool pumping = false;
    std::vector<uint8_t> early;  // bytes that no request has taken
    std::vector<uint8_t> out;
    size_t sent = 0;
    Instant waiting_since;  // accepted, or took something of an answer last
    Instant deadline;
  };
  // Closes a connection; if `network` is given, one of it. False: all of them are being answered.
  bool make_room(const Counts::iterator* network);
  static bool gives_way_before(const Connection& a, const Connection& b);
  static void count_down(Counts& counts, Counts::iterator place);
  void pump(Instant now, hal::StreamId stream);
  void feed(Instant now, hal::StreamId stream, Connection& connection, Bytes bytes);
  void refuse(Instant now, hal::StreamId stream, Connection& connection, const Error& reason);
  void set_deadline(Connection& connection, Instant deadline);
  void flush(Instant now, hal::StreamId stream, Connection& connection);

  hal::Streams& streams_;
  HttpServerEvents& events_;
  const size_t body_size_max_;
  std::map<hal::StreamId, Connection> connections_;
  Counts senders_;
  Counts networks_;
  // No deadline is before this; found anew when it has come, so that a request costs the same whatever the number of connections.
  Instant earliest_ = Instant::never();
  uint64_t refused_ = 0;
  uint64_t evicted_ = 0;
  bool stopping_ = false;
};

}  // namespace millet
