// HTTP exchanges with trackers and the ledger, with the ledger over TLS where its URL says so: resolve, connect, send, read the reply to
// its end; one connection each. At most k_exchanges_max at once and k_exchanges_per_host_max with one host, so that dead trackers hold up
// neither each other nor the ledger; the others wait in line, and their time starts when they do.
//
// All calls and events on the loop's thread. Every exchange that is not cancelled is answered once, never before start() returns.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/fifo.h"
#include "base/time.h"
#include "codec/http.h"
#include "driver/tls_streams.h"
#include "node/io.h"

namespace millet {

class HttpEvents {
 public:
  virtual ~HttpEvents() = default;
  virtual void on_http_done(Ticket ticket, const Result<HttpReply>& reply) = 0;
};

class HttpClient final : private hal::StreamEvents {
 public:
  static constexpr size_t k_exchanges_max = 64;
  static constexpr size_t k_exchanges_per_host_max = 4;

  // `listen`: where our connections come from (source_address.h). Requires: system and events outlive it.
  HttpClient(hal::System& system, const IpAddress& listen, HttpEvents& events);
  ~HttpClient() override;
  HttpClient(const HttpClient&) = delete;

  void start(Instant now, HttpExchange request);
  // No answer follows. Nothing happens if it is done.
  void cancel(Instant now, Ticket ticket);

  // Streams: true if the stream belongs to an exchange.
  bool on_connected(Instant now, hal::StreamId stream);
  bool on_received(Instant now, hal::StreamId stream, Bytes bytes);
  bool on_writable(Instant now, hal::StreamId stream);
  bool on_closed(Instant now, hal::StreamId stream, const Error& reason);

  Instant next_deadline() const;
  void on_timer(Instant now);

  const TlsCounters& tls() const { return tls_.counters(); }
  size_t under_way() const { return running_.size(); }
  // Bytes of requests and replies under way.
  size_t memory() const;
  size_t waiting() const { return waiting_.size(); }

 private:
  struct Exchange;
  class ResolveJob;

  // From tls_, which sees every event of our streams first.
  void on_accepted(hal::ListenerId, hal::StreamId, const Endpoint&) override {}
  void on_connected(hal::StreamId stream) override;
  void on_received(hal::StreamId stream, Bytes bytes) override;
  void on_writable(hal::StreamId stream) override;
  void on_closed(hal::StreamId stream, const Error& reason) override;

  void start_waiting(Instant now);
  void run(Instant now, std::unique_ptr<Exchange> exchange);
  void on_resolved(Ticket ticket, Result<std::vector<IpAddress>> addresses);
  void connect_next(Instant now, Exchange& exchange);
  void send_some(Exchange& exchange);
  // Ends an exchange and answers it; starts the next that waits.
  void finish(Instant now, Exchange& exchange, const Result<HttpReply>& reply);
  void finish_whole(Instant now, Exchange& exchange);
  // Frees its stream and its place.
  void remove(Exchange& exchange);
  Exchange* find(hal::StreamId stream);

  hal::System& system_;
  const IpAddress listen_;
  HttpEvents& events_;
  TlsStreams tls_;
  struct Refused {
    Ticket ticket;
    Error reason;
    Instant at;
  };
  std::vector<Refused> refused_;  // answered by the next on_timer()
  Fifo<std::unique_ptr<Exchange>> waiting_;
  std::map<Ticket, std::unique_ptr<Exchange>> running_;
  std::map<hal::StreamId, Ticket> streams_;
  std::map<std::string, size_t> hosts_;  // exchanges under way, by Url::authority()
};

}  // namespace millet
