#include "driver/http_client.h"

#include <algorithm>

#include "driver/source_address.h"

namespace millet {
namespace {

// Of several addresses of one name a silent one must leave time for the next.
constexpr Duration k_connect_timeout = Duration::seconds(5);

}  // namespace

struct HttpClient::Exchange {
  Exchange(HttpExchange from, Url to)
      : request(std::move(from)), url(std::move(to)), reader(http::Reader::Role::responses, request.reply_size_max) {}

  HttpExchange request;
  Url url;
  http::Reader reader;
  std::vector<uint8_t> message;  // the request as bytes
  size_t sent = 0;
  std::vector<IpAddress> addresses;  // not tried yet, the next one last
  hal::StreamId stream = 0;          // 0: none
  std::optional<LedgerTime> tls_not_after;
  Instant deadline = Instant::never();
  Instant connect_deadline = Instant::never();
};

size_t HttpClient::memory() const {
  size_t bytes = 0;
  for (const auto& [ticket, exchange] : running_)
    bytes += sizeof(Exchange) + exchange->message.capacity() + exchange->reader.body().capacity();
  return bytes;
}

// A name to addresses, on a worker. Knows the client by a ticket only: the exchange may be gone when it is done.
class HttpClient::ResolveJob final : public hal::Job {
 public:
  ResolveJob(HttpClient& client, hal::Resolver& resolver, Ticket ticket, std::string name)
      : client_(client), resolver_(resolver), ticket_(ticket), name_(std::move(name)) {}
  void run() override { addresses_ = resolver_.resolve(name_); }
  void done() override { client_.on_resolved(ticket_, std::move(addresses_)); }

 private:
  HttpClient& client_;
  hal::Resolver& resolver_;
  Ticket ticket_;
  std::string name_;
  Result<std::vector<IpAddress>> addresses_ = std::vector<IpAddress>();
};

HttpClient::HttpClient(hal::System& system, const IpAddress& listen, HttpEvents& events)
    : system_(system), listen_(listen), events_(events), tls_(system, *this) {}
HttpClient::~HttpClient() = default;

void HttpClient::start(Instant now, HttpExchange request) {
  Result<Url> url = Url::parse(request.url, request.ledger ? Url::Schemes::http_and_https : Url::Schemes::http);
  if (!url) {
    refused_.push_back({request.ticket, std::move(url).error(), now});
    return;
  }
  waiting_.push_back(std::make_unique<Exchange>(std::move(request), std::move(url).value()));
  start_waiting(now);
}

void HttpClient::start_waiting(Instant now) {
  for (size_t i = 0; i < waiting_.size() && running_.size() < k_exchanges_max;) {
    auto host = hosts_.find(waiting_[i]->url.authority());
    if (host != hosts_.end() && host->second >= k_exchanges_per_host_max) {
      ++i;
      continue;
    }
    std::unique_ptr<Exchange> next = std::move(waiting_[i]);
    waiting_.erase(waiting_.begin() + i);
    run(now, std::move(next));
  }
}

void HttpClient::run(Instant now, std::unique_ptr<Exchange> owned) {
  Exchange& exchange = *owned;
  Ticket ticket = exchange.request.ticket;
  CHECK(running_.emplace(ticket, std::move(owned)).second);
  ++hosts_[exchange.url.authority()];
  exchange.deadline = now + Duration::ms(exchange.request.timeout_ms);
  http::Request message;
  if (!exchange.request.body.empty()) {
    message.method = "POST";
    message.content_type = exchange.request.content_type;
    message.body = exchange.request.body;
  }
  http::encode(message, exchange.url, exchange.message);
  Result<IpAddress> literal = IpAddress::parse(exchange.url.host);
  if (literal) {
    exchange.addresses = {*literal};
    connect_next(now, exchange);
    return;
  }
  auto job = std::make_unique<ResolveJob>(*this, system_.resolver, ticket, exchange.url.host);
  system_.executor.submit(hal::Queue::resolve, std::move(job));
}

void HttpClient::on_resolved(Ticket ticket, Result<std::vector<IpAddress>> addresses) {
  auto found = running_.find(ticket);
  if (found == running_.end()) return;
  Exchange& exchange = *found->second;
  Instant now = system_.clock.now();
  if (!addresses) {
    finish(now, exchange, std::move(addresses).error());
    return;
  }
  exchange.addresses = std::move(addresses).value();
  std::reverse(exchange.addresses.begin(), exchange.addresses.end());
  connect_next(now, exchange);
}

void HttpClient::connect_next(Instant now, Exchange& exchange) {
  CHECK(!exchange.addresses.empty());
  IpAddress address = exchange.addresses.back();
  exchange.addresses.pop_back();
  const Endpoint remote{address, exchange.url.port};
  const std::optional<IpAddress> local = source_address(listen_, address);
  if (exchange.url.tls) {
    Result<hal::StreamId> stream = tls_.connect_ledger(remote, local, *exchange.request.ledger);
    if (!stream) {
      refused_.push_back({exchange.request.ticket, std::move(stream).error(), now});
      return remove(exchange);
    }
    exchange.stream = *stream;
  } else {
    exchange.stream = system_.streams.connect(remote, local);
  }
  streams_[exchange.stream] = exchange.request.ticket;
  exchange.connect_deadline = exchange.addresses.empty() ? Instant::never() : now + k_connect_timeout;
}

void HttpClient::cancel(Instant now, Ticket ticket) {
  std::erase_if(refused_, [&](const Refused& refused) { return refused.ticket == ticket; });
  waiting_.erase_if([&](const std::unique_ptr<Exchange>& exchange) { return exchange->request.ticket == ticket; });
  auto found = running_.find(ticket);
  if (found == running_.end()) return;
  remove(*found->second);
  start_waiting(now);
}

HttpClient::Exchange* HttpClient::find(hal::StreamId stream) {
  auto found = streams_.find(stream);
  return found == streams_.end() ? nullptr : running_.at(found->second).get();
}

bool HttpClient::on_connected(Instant, hal::StreamId stream) {
  if (find(stream) == nullptr) return false;
  tls_.on_connected(stream);
  return true;
}

bool HttpClient::on_received(Instant, hal::StreamId stream, Bytes bytes) {
  if (find(stream) == nullptr) return false;
  tls_.on_received(stream, bytes);
  return true;
}

bool HttpClient::on_writable(Instant, hal::StreamId stream) {
  if (find(stream) == nullptr) return false;
  tls_.on_writable(stream);
  return true;
}

bool HttpClient::on_closed(Instant, hal::StreamId stream, const Error& reason) {
  if (find(stream) == nullptr) return false;
  tls_.on_closed(stream, reason);
  return true;
}

void HttpClient::on_connected(hal::StreamId stream) {
  Exchange* exchange = find(stream);
  if (exchange == nullptr) return;
  if (exchange->url.tls) exchange->tls_not_after = tls_.not_after(stream);
  exchange->connect_deadline = Instant::never();
  exchange->addresses.clear();
  send_some(*exchange);
}

void HttpClient::on_writable(hal::StreamId stream) {
  Exchange* exchange = find(stream);
  if (exchange != nullptr) send_some(*exchange);
}

void HttpClient::send_some(Exchange& exchange) {
  Bytes rest = Bytes(exchange.message).subspan(exchange.sent);
  if (!rest.empty()) exchange.sent += tls_.send(exchange.stream, std::span(&rest, 1));
}

void HttpClient::on_received(hal::StreamId stream, Bytes bytes) {
  Exchange* exchange = find(stream);
  if (exchange == nullptr) return;
  Instant now = system_.clock.now();
  Result<size_t> taken = exchange->reader.feed(bytes);
  if (!taken) {
    finish(now, *exchange, std::move(taken).error().in(exchange->url.authority()));
  } else if (exchange->reader.is_complete()) {
    finish_whole(now, *exchange);
  }
}

void HttpClient::on_closed(hal::StreamId stream, const Error& reason) {
  Exchange* exchange = find(stream);
  if (exchange == nullptr) return;
  Instant now = system_.clock.now();
  streams_.erase(stream);
  exchange->stream = 0;
  // Nothing has been sent yet: the next address may be better.
  if (exchange->sent == 0 && !exchange->addresses.empty()) return connect_next(now, *exchange);
  if (exchange->sent == 0) return finish(now, *exchange, Error(reason).in(exchange->url.authority()));
  Status ended = exchange->reader.end();
  if (ended && exchange->reader.is_complete()) return finish_whole(now, *exchange);
  Error why = !ended ? std::move(ended).error() : error(Errc::unavailable, "the connection ended before the reply");
  finish(now, *exchange, std::move(why).in(exchange->url.authority()));
}

void HttpClient::finish_whole(Instant now, Exchange& exchange) {
  finish(now, exchange, HttpReply{exchange.reader.status(), exchange.reader.take_body(), exchange.tls_not_after});
}

void HttpClient::finish(Instant now, Exchange& exchange, const Result<HttpReply>& reply) {
  Ticket ticket = exchange.request.ticket;
  remove(exchange);
  start_waiting(now);
  events_.on_http_done(ticket, reply);
}

void HttpClient::remove(Exchange& exchange) {
  if (exchange.stream != 0) {
    streams_.erase(exchange.stream);
    tls_.close(exchange.stream);
  }
  auto host = hosts_.find(exchange.url.authority());
  CHECK(host != hosts_.end());
  if (--host->second == 0) hosts_.erase(host);
  running_.erase(exchange.request.ticket);
}

Instant HttpClient::next_deadline() const {
  Instant next = Instant::never();
  for (const Refused& refused : refused_) next = earlier(next, refused.at);
  for (const auto& [ticket, exchange] : running_) next = earlier(next, earlier(exchange->deadline, exchange->connect_deadline));
  return next;
}

void HttpClient::on_timer(Instant now) {
  std::vector<Refused> refused = std::move(refused_);
  refused_.clear();
  for (Refused& entry : refused) events_.on_http_done(entry.ticket, std::move(entry.reason));
  std::vector<Ticket> late;
  for (const auto& [ticket, exchange] : running_) {
    if (exchange->deadline <= now || exchange->connect_deadline <= now) late.push_back(ticket);
  }
  for (Ticket ticket : late) {
    auto found = running_.find(ticket);
    if (found == running_.end()) continue;  // the answer to another cancelled it
    Exchange& exchange = *found->second;
    if (exchange.deadline <= now) {
      uint32_t seconds = (exchange.request.timeout_ms + 999) / 1000;
      finish(now, exchange,
             error(Errc::timed_out, exchange.url.authority() + ": no whole reply within " + std::to_string(seconds) + " seconds"));
      continue;
    }
    streams_.erase(exchange.stream);
    tls_.close(exchange.stream);
    exchange.stream = 0;
    connect_next(now, exchange);
  }
}

}  // namespace millet
