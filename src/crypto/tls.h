// TLS 1.2 and later by mbedTLS (2.28 and 3.6) over memory buffers: bytes of the network in and out, no socket, no clock, no certificate
// authority. A server's certificate is self-signed by a P-256 key and carries a statement of its owner in an extension; who believes what
// is the caller's matter, who is told the hash of the server's public key (as HPKP and curl's --pinnedpubkey take it) and the extension.
//
//   TlsContext    a server's key and certificate, or a client; shared by its connections, which it must outlive
//   TlsConnection one connection
//
// Sessions are resumed by tickets (RFC 5077) that only the context that made them can read: nothing is kept for a client that is away.
// A connection may be used from any thread, by one at a time; the `random` of a context from several at once.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "crypto/hash.h"

namespace millet {

// What a server shows of itself.
struct TlsPeer {
  Hash32 public_key_hash{};        // SHA-256 of the SubjectPublicKeyInfo
  std::vector<uint8_t> statement;  // the extension's content; empty if the certificate has none
};

// What a client needs to resume: a secret.
struct TlsSession {
  std::vector<uint8_t> bytes;
  TlsPeer peer;  // resumed sessions are not told it again
};

// A P-256 key that is not used yet.
class TlsKey {
 public:
  // Errors: io (mbedTLS).
  static Result<TlsKey> generate(SecureRandom& random);
  TlsKey(TlsKey&& other) noexcept;
  ~TlsKey();
  const Hash32& public_key_hash() const { return hash_; }

 private:
  friend class TlsContext;
  struct State;
  explicit TlsKey(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
  Hash32 hash_{};
};

class TlsContext {
 public:
  static constexpr size_t k_statement_size_max = 1024;

  // A server. Requires: statement.size() <= k_statement_size_max; `random` outlives it. Errors: io (mbedTLS).
  static Result<std::unique_ptr<TlsContext>> server(TlsKey key, Bytes statement, SecureRandom& random);
  static Result<std::unique_ptr<TlsContext>> client(SecureRandom& random);
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;

  bool is_server() const;
  // A server's certificate in DER.
  Bytes certificate() const;

 private:
  friend class TlsConnection;
  struct State;
  explicit TlsContext(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

class TlsConnection {
 public:
  // `resume`: of an earlier connection to the same server, for a client. Requires: context outlives it. Errors: io (memory).
  static Result<std::unique_ptr<TlsConnection>> make(TlsContext& context, const TlsSession* resume = nullptr);
  ~TlsConnection();
  TlsConnection(const TlsConnection&) = delete;

  // Takes what came from the network and appends what the other side said to `plain`. A client begins with no bytes.
  // Errors: protocol; the connection is lost then, and out() has the alert that says why.
  Status receive(Bytes bytes, std::vector<uint8_t>& plain);
  // Appends the bytes to out(), encrypted. Requires: is_open(). Errors: io.
  Status send(Bytes plain);
  // Says that nothing follows. Requires: is_open().
  void close();
  // What the network is to get; the caller takes it away.
  std::vector<uint8_t>& out();

  // The handshake is done.
  bool is_open() const;
  // The other side said that nothing follows: an end of the stream without it cuts something off.
  bool has_ended() const;
  // The handshake took up an earlier session.
  bool is_resumed() const;
  const char* version() const;  // "TLSv1.2"
  // Of a client. Requires: is_open().
  const TlsPeer& peer() const;
  // For the next connection; nothing if the server gives no ticket. Of a client. Requires: is_open().
  std::optional<TlsSession> session() const;

 private:
  struct State;
  explicit TlsConnection(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// The statement in a certificate (DER): what peer() does to the certificate that the server sent. Errors: bad_input.
Result<TlsPeer> read_certificate(Bytes der);

}  // namespace millet
