// Streams with TLS: stands between the machine's streams and whoever serves or asks over them, who sees plain bytes. What came over other
// listeners and connections goes by untouched.
//
//   machine's Streams  --events-->  TlsStreams  --events-->  HttpServer, HttpClient
//                      <--calls---              <--calls---
//
// Handshakes (milliseconds on a server, a tenth of a second on a router) are work of the executor, records are not. A connection has no
// memory of TLS before its first byte. There are no timeouts here: whoever is told of a connection has them, and they run from its
// beginning, handshake included.
//
// All calls and events on the loop's thread. It is destroyed when no job runs any more.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "hal/system.h"
#include "ledger/common/tls_key.h"

namespace millet {

// Counted since the start.
struct TlsCounters {
  uint64_t handshakes = 0;  // that ended well
  uint64_t resumed = 0;     // of them, by clients
  uint64_t handshake_failures = 0;
  uint64_t plain = 0;   // connections to a port of TLS that spoke HTTP
  uint64_t broken = 0;  // connections that ended by a bad record
};

class TlsStreams final : public hal::Streams, public hal::StreamEvents {
 public:
  static constexpr size_t k_send_size_max = 16 * 1024;  // of plain bytes that wait encrypted: one record
  static constexpr size_t k_sessions_max = 4;           // ledgers whose sessions are kept for the next connection

  // Requires: both outlive it.
  TlsStreams(hal::System& system, hal::StreamEvents& above);
  ~TlsStreams() override;
  TlsStreams(const TlsStreams&) = delete;

  // Connections that this listener accepts from now on speak TLS with this key; those that are there keep theirs.
  void serve(hal::ListenerId listener, std::unique_ptr<TlsContext> context);
  // Keys that connections still use.
  size_t contexts() const { return contexts_.size(); }

  // As connect(), to a ledger: on_connected comes when the handshake is done and the pin holds. Errors: io.
  Result<hal::StreamId> connect_ledger(const Endpoint& remote, const std::optional<IpAddress>& local, const LedgerPin& pin);
  // Until when the certificate counts. Requires: on_connected has come for a connection by connect_ledger().
  LedgerTime not_after(hal::StreamId stream) const;

  const TlsCounters& counters() const { return counters_; }

  // ---- hal::Streams, for whoever is above ----
  void set_events(hal::StreamEvents*) override {}
  Result<Endpoint> listen(hal::ListenerId id, const Endpoint& local) override { return below_.listen(id, local); }
  Status listen_local(hal::ListenerId id, const std::string& path) override { return below_.listen_local(id, path); }
  void set_accepting(hal::ListenerId id, bool accepting) override { below_.set_accepting(id, accepting); }
  hal::StreamId connect(const Endpoint& remote, const std::optional<IpAddress>& local) override { return below_.connect(remote, local); }
  // Bytes that are not taken must be offered again, the same: they may be encrypted already.
  size_t send(hal::StreamId stream, std::span<const Bytes> parts) override;
  void set_reading(hal::StreamId stream, bool reading) override;
  void close(hal::StreamId stream) override;
  Endpoint local_endpoint(hal::StreamId stream) override { return below_.local_endpoint(stream); }

  // ---- hal::StreamEvents, from below ----
  void on_accepted(hal::ListenerId listener, hal::StreamId stream, const Endpoint& remote) override;
  void on_connected(hal::StreamId stream) override;
  void on_received(hal::StreamId stream, Bytes bytes) override;
  void on_writable(hal::StreamId stream) override;
  void on_closed(hal::StreamId stream, const Error& reason) override;

 private:
  class HandshakeJob;
  struct Link {
    TlsContext* context = nullptr;
    std::unique_ptr<TlsConnection> tls;  // none before the first byte, and while a job has it
    std::optional<LedgerPin> pin;        // of a client
    LedgerTime not_after;
    bool open = false;
    bool busy = false;     // a job has the connection
    bool dead = false;     // closed while a job had it
    bool reading = true;   // as the one above wants it
    bool starved = false;  // the one above waits for on_writable
    size_t owed = 0;       // plain bytes that are encrypted and not yet counted as taken
    size_t sent = 0;       // of tls->out()
  };

  Link* find(hal::StreamId stream);
  void shake_hands(hal::StreamId stream, Link& link, Bytes bytes);
  void on_handshake(hal::StreamId stream, std::unique_ptr<TlsConnection> tls, const Status& status, LedgerTime not_after, Bytes plain);
  // Hands out() down; true if all of it is gone.
  bool flush(hal::StreamId stream, Link& link);
  void refuse_plain(hal::StreamId stream);
  // Ends a connection from our side and tells the one above.
  void fail(hal::StreamId stream, const Error& reason);
  void forget(hal::StreamId stream);
  // Frees keys that were replaced and that nobody uses any more.
  void retire();
  void keep_session(const Link& link);

  hal::System& system_;
  hal::Streams& below_;
  hal::StreamEvents& above_;
  std::vector<std::unique_ptr<TlsContext>> contexts_;
  std::unique_ptr<TlsContext> client_;  // made by the first connection
  std::map<hal::ListenerId, TlsContext*> serving_;
  std::map<hal::StreamId, Link> links_;
  std::map<PublicKey, TlsSession> sessions_;
  TlsCounters counters_;
};

}  // namespace millet
