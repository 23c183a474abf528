#include "apps/ledger_session.h"

#include <errno.h>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstring>

#include "codec/http.h"

namespace millet {
namespace {

constexpr uint64_t k_query_valid_s = 300;  // by the ledger's clock; a bound on replays
constexpr LedgerCallId k_call = 1;         // one at a time

// A connected socket that closes itself.
class Connection {
 public:
  static Result<Connection> open(const Url& url) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    int failed = getaddrinfo(url.host.c_str(), std::to_string(url.port).c_str(), &hints, &found);
    if (failed != 0) return error(Errc::unavailable, "the name " + url.host + " can't be resolved: " + gai_strerror(failed));
    Error last = error(Errc::unavailable, "no address");
    for (addrinfo* at = found; at != nullptr; at = at->ai_next) {
      Connection connection(socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol));
      if (connection.fd_ < 0) continue;
      timeval limit{LedgerSession::k_timeout_s, 0};
      setsockopt(connection.fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
      setsockopt(connection.fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
      if (connect(connection.fd_, at->ai_addr, at->ai_addrlen) == 0) {
        freeaddrinfo(found);
        return connection;
      }
      last = error(Errc::unavailable, url.authority() + ": " + std::strerror(errno));
    }
    freeaddrinfo(found);
    return last;
  }
  Connection(Connection&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  Connection& operator=(Connection&&) = delete;
  ~Connection() {
    if (fd_ >= 0) close(fd_);
  }

  Status send_all(Bytes bytes) {
    while (!bytes.empty()) {
      ssize_t count = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return error(Errc::unavailable, std::strerror(errno));
      bytes = bytes.subspan(static_cast<size_t>(count));
    }
    return ok;
  }
  // 0 bytes: the other side has closed.
  Result<size_t> receive(MutBytes out) {
    for (;;) {
      ssize_t count = recv(fd_, out.data(), out.size(), 0);
      if (count >= 0) return static_cast<size_t>(count);
      if (errno == EINTR) continue;
      return error(Errc::unavailable, errno == EAGAIN ? "no answer within 20 seconds" : std::strerror(errno));
    }
  }

 private:
  explicit Connection(int fd) : fd_(fd) {}
  int fd_;
};

// What carries an exchange: the socket, with TLS where the URL says so.
class Channel {
 public:
  explicit Channel(Connection connection) : connection_(std::move(connection)) {}
  // Until it is known who is there.
  Status shake_hands(TlsContext& context, const TlsSession* resume) {
    TRY_ASSIGN(tls_, TlsConnection::make(context, resume));
    TRY(tls_->receive({}, plain_));
    TRY(flush());
    while (!tls_->is_open()) TRY(receive_some());
    return ok;
  }
  TlsConnection& tls() { return *tls_; }

  Status send_all(Bytes bytes) {
    if (tls_ == nullptr) return connection_.send_all(bytes);
    TRY(tls_->send(bytes));
    return flush();
  }
  // Some bytes; none: the other side has closed.
  Result<std::vector<uint8_t>> receive() {
    while (plain_.empty() && !ended_) TRY(receive_some());
    return std::exchange(plain_, {});
  }

 private:
  Status flush() { return connection_.send_all(std::exchange(tls_->out(), {})); }
  Status receive_some() {
    uint8_t buffer[8192];
    TRY_ASSIGN(size_t size, connection_.receive(buffer));
    Bytes bytes(buffer, size);
    if (tls_ == nullptr) {
      plain_.assign(bytes.begin(), bytes.end());
      ended_ = bytes.empty();
      return ok;
    }
    if (bytes.empty()) return error(Errc::unavailable, "the connection was cut off");
    Status taken = tls_->receive(bytes, plain_);
    TRY(flush());
    ended_ = tls_->has_ended();
    return taken;
  }

  Connection connection_;
  std::unique_ptr<TlsConnection> tls_;
  std::vector<uint8_t> plain_;
  bool ended_ = false;
};

}  // namespace

Result<LedgerSession::Answer> LedgerSession::exchange(const LedgerClient::PostBody& post) {
  Url url = url_;
  url.target = (url.target == "/" ? "" : url.target) + post.path;
  TRY_ASSIGN(Connection connection, Connection::open(url));
  std::unique_ptr<TlsContext> context;
  Channel channel(std::move(connection));
  Answer answer;
  if (url.tls) {
    TRY_ASSIGN(context, TlsContext::client(random_));
    Status open = channel.shake_hands(*context, tls_session_ ? &*tls_session_ : nullptr);
    if (!open) return std::move(open).error().in(url.authority());
    Result<LedgerTime> checked = check_tls_peer(channel.tls().peer(), {ledger_key_, client_.ledger(), time_});
    if (!checked) return std::move(checked).error().in(url.authority());
    answer.tls_not_after = *checked;
    tls_session_ = channel.tls().session();
  }
  std::vector<uint8_t> request;
  http::encode(http::Request{"POST", "application/octet-stream", post.body}, url, request);
  TRY(channel.send_all(request));
  http::Reader reader(http::Reader::Role::responses, k_reply_size_max);
  while (!reader.is_complete()) {
    TRY_ASSIGN(std::vector<uint8_t> bytes, channel.receive());
    if (bytes.empty()) {
      TRY(reader.end());
      break;
    }
    TRY(reader.feed(bytes));
  }
  answer.body = reader.take_body();
  return answer;
}

Result<Reply> LedgerSession::turn() {
  LedgerClient::Output out;
  while (client_.poll(out)) {
    if (auto* sign = std::get_if<LedgerClient::SignBytes>(&out)) {
      client_.on_signed(sign->ticket, key_.sign(sign->message));
    } else if (auto* check = std::get_if<LedgerClient::VerifyBytes>(&out)) {
      client_.on_verified(check->ticket, verify(check->key, check->message, check->signature));
    } else if (auto* post = std::get_if<LedgerClient::PostBody>(&out)) {
      Result<Answer> answer = exchange(*post);
      if (answer)
        client_.on_reply(post->ticket, std::move(answer->body), answer->tls_not_after);
      else
        client_.on_reply(post->ticket, std::move(answer).error());
    } else if (auto* answer = std::get_if<LedgerClient::LedgerAnswer>(&out)) {
      if (answer->reply) time_ = answer->reply->head.time;
      return std::move(answer->reply);
    }
  }
  return error(Errc::io, "the exchange with the ledger ended without an answer");
}

Error LedgerSession::refusal(LedgerCode code) {
  bool later = code == LedgerCode::busy || code == LedgerCode::unavailable;
  return error(later ? Errc::unavailable : Errc::denied, std::string("the ledger refuses: ") + ledger_code_reason(code));
}

Result<LedgerSession> LedgerSession::open(const Options& options, SigningKey key, SecureRandom& random) {
  TRY_ASSIGN(Url url, Url::parse(options.url, Url::Schemes::http_and_https));
  LedgerSession session(std::move(url), options, std::move(key), random);
  TRY(session.refresh());
  return session;
}

Status LedgerSession::refresh() {
  client_.query_params(k_call);
  TRY_ASSIGN(Reply reply, turn());
  const LedgerParams* params = reply.queries.size() == 1 ? std::get_if<LedgerParams>(&reply.queries[0].body) : nullptr;
  LedgerCode code = reply.queries.size() == 1 ? static_cast<LedgerCode>(reply.queries[0].code) : LedgerCode::done;
  if (code != LedgerCode::done) return refusal(code);
  if (params == nullptr) return error(Errc::denied, "the ledger does not say its rules");
  params_ = *params;
  return ok;
}

Result<Reply> LedgerSession::ask_for_reply(const Query& query) {
  client_.query(k_call, {query}, time_.plus_seconds(k_query_valid_s));
  return turn();
}

// How much there is: the account may have changed since, but that is what to go on with.
Error LedgerSession::explain_insufficient(Error refused) {
  Result<Balance> found = ask<Balance>(BalanceQuery{});
  if (!found) return refused;
  refused.reason += ": " + found->available.to_btt() + " BTT are available";
  if (!found->in_channels.is_zero()) refused.reason += ", " + found->in_channels.to_btt() + " BTT more are in open channels";
  return refused;
}

Result<OperationResult> LedgerSession::submit(const Operation& operation) {
  Error last = error(Errc::unavailable, "not tried");
  for (int attempt = 0; attempt < k_attempts; ++attempt) {
    if (attempt > 0) sleep(1u << attempt);
    client_.submit(k_call, {operation});
    Result<Reply> reply = turn();
    if (reply && reply->operations.size() == 1) {
      const OperationResult& result = reply->operations[0];
      if (result.ledger_code() == LedgerCode::done) return result;
      last = refusal(result.ledger_code());
      if (result.ledger_code() == LedgerCode::insufficient) return explain_insufficient(std::move(last));
    } else {
      last = reply ? error(Errc::bad_input, "the ledger's reply has not one result") : reply.error();
    }
    if (last.code != Errc::unavailable) return last;
  }
  return std::move(last).in(
      "the operation may or may not have been executed; it is executed at most once (the same 'wallet send' within 8 minutes sends it "
      "again)");
}

}  // namespace millet
