#include "driver/tls_streams.h"

#include <algorithm>
#include <utility>

namespace millet {
namespace {

constexpr uint8_t k_handshake_record = 0x16;  // RFC 5246 6.2.1: how every client of TLS begins
constexpr std::string_view k_plain_answer =
    "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 40\r\nConnection: close\r\n\r\n"
    "This port speaks TLS: use https://, too.";

}  // namespace

// One turn of a handshake; a client's end of it includes the question whom it talks to.
class TlsStreams::HandshakeJob final : public hal::Job {
 public:
  HandshakeJob(TlsStreams& streams, hal::StreamId stream, std::unique_ptr<TlsConnection> tls, Bytes bytes, std::optional<LedgerPin> pin)
      : streams_(streams), stream_(stream), tls_(std::move(tls)), bytes_(bytes.begin(), bytes.end()), pin_(std::move(pin)) {}
  void run() override {
    status_ = tls_->receive(bytes_, plain_);
    if (!status_ || !tls_->is_open() || !pin_) return;
    Result<LedgerTime> checked = check_tls_peer(tls_->peer(), *pin_);
    if (checked)
      not_after_ = *checked;
    else
      status_ = std::move(checked).error();
  }
  void done() override { streams_.on_handshake(stream_, std::move(tls_), status_, not_after_, plain_); }

 private:
  TlsStreams& streams_;
  const hal::StreamId stream_;
  std::unique_ptr<TlsConnection> tls_;
  const std::vector<uint8_t> bytes_;
  const std::optional<LedgerPin> pin_;
  std::vector<uint8_t> plain_;
  Status status_ = ok;
  LedgerTime not_after_;
};

TlsStreams::TlsStreams(hal::System& system, hal::StreamEvents& above) : system_(system), below_(system.streams), above_(above) {}
TlsStreams::~TlsStreams() = default;

void TlsStreams::serve(hal::ListenerId listener, std::unique_ptr<TlsContext> context) {
  serving_[listener] = context.get();
  contexts_.push_back(std::move(context));
  retire();
}

void TlsStreams::retire() {
  std::erase_if(contexts_, [&](const std::unique_ptr<TlsContext>& context) {
    for (const auto& [listener, serving] : serving_) {
      if (serving == context.get()) return false;
    }
    return std::none_of(links_.begin(), links_.end(), [&](const auto& entry) { return entry.second.context == context.get(); });
  });
}

TlsStreams::Link* TlsStreams::find(hal::StreamId stream) {
  auto found = links_.find(stream);
  return found == links_.end() || found->second.dead ? nullptr : &found->second;
}

Result<hal::StreamId> TlsStreams::connect_ledger(const Endpoint& remote, const std::optional<IpAddress>& local, const LedgerPin& pin) {
  if (client_ == nullptr) {
    TRY_ASSIGN(client_, TlsContext::client(system_.random));
  }
  hal::StreamId stream = below_.connect(remote, local);
  Link& link = links_[stream];
  link.context = client_.get();
  link.pin = pin;
  return stream;
}

LedgerTime TlsStreams::not_after(hal::StreamId stream) const { return links_.at(stream).not_after; }

void TlsStreams::on_accepted(hal::ListenerId listener, hal::StreamId stream, const Endpoint& remote) {
  auto serving = serving_.find(listener);
  if (serving != serving_.end()) links_[stream].context = serving->second;
  above_.on_accepted(listener, stream, remote);
}

void TlsStreams::on_connected(hal::StreamId stream) {
  Link* link = find(stream);
  if (link == nullptr) return above_.on_connected(stream);
  shake_hands(stream, *link, {});
}

void TlsStreams::on_received(hal::StreamId stream, Bytes bytes) {
  Link* link = find(stream);
  if (link == nullptr) {
    if (links_.find(stream) == links_.end()) above_.on_received(stream, bytes);
    return;
  }
  CHECK(!link->busy);  // nothing is read meanwhile
  if (link->tls == nullptr && !bytes.empty() && bytes[0] >= 'A' && bytes[0] <= 'Z' && bytes[0] != k_handshake_record) {
    return refuse_plain(stream);
  }
  if (!link->open) return shake_hands(stream, *link, bytes);
  std::vector<uint8_t> plain;
  Status status = link->tls->receive(bytes, plain);
  bool ended = link->tls->has_ended();
  flush(stream, *link);
  if (!plain.empty()) above_.on_received(stream, plain);
  if (find(stream) == nullptr) return;
  if (!status) {
    ++counters_.broken;
    fail(stream, status.error());
  } else if (ended) {
    fail(stream, error(Errc::unavailable, "closed by the peer"));
  }
}

void TlsStreams::shake_hands(hal::StreamId stream, Link& link, Bytes bytes) {
  if (link.tls == nullptr) {
    auto session = link.pin ? sessions_.find(link.pin->key) : sessions_.end();
    Result<std::unique_ptr<TlsConnection>> made =
        TlsConnection::make(*link.context, session == sessions_.end() ? nullptr : &session->second);
    if (!made) return fail(stream, made.error());
    link.tls = std::move(made).value();
  }
  link.busy = true;
  below_.set_reading(stream, false);
  system_.executor.submit(hal::Queue::compute, std::make_unique<HandshakeJob>(*this, stream, std::move(link.tls), bytes, link.pin));
}

void TlsStreams::on_handshake(hal::StreamId stream, std::unique_ptr<TlsConnection> tls, const Status& status, LedgerTime not_after,
                              Bytes plain) {
  auto found = links_.find(stream);
  CHECK(found != links_.end());
  Link& link = found->second;
  link.busy = false;
  if (link.dead) return forget(stream);
  link.tls = std::move(tls);
  link.not_after = not_after;
  flush(stream, link);  // also the alert that says what is wrong
  if (!status) {
    ++counters_.handshake_failures;
    if (link.pin) sessions_.erase(link.pin->key);
    return fail(stream, status.error());
  }
  below_.set_reading(stream, link.reading);
  if (!link.tls->is_open()) return;
  link.open = true;
  ++counters_.handshakes;
  if (link.tls->is_resumed()) ++counters_.resumed;
  bool ended = link.tls->has_ended();
  if (link.pin) {
    keep_session(link);
    above_.on_connected(stream);
  } else if (link.starved && link.sent == 0) {
    link.starved = false;
    above_.on_writable(stream);
  }
  if (!plain.empty() && find(stream) != nullptr) above_.on_received(stream, plain);
  if (ended && find(stream) != nullptr) fail(stream, error(Errc::unavailable, "closed by the peer"));
}

void TlsStreams::keep_session(const Link& link) {
  std::optional<TlsSession> session = link.tls->session();
  if (!session) return;
  if (sessions_.size() >= k_sessions_max && sessions_.find(link.pin->key) == sessions_.end()) sessions_.clear();
  sessions_[link.pin->key] = std::move(*session);
}

bool TlsStreams::flush(hal::StreamId stream, Link& link) {
  std::vector<uint8_t>& out = link.tls->out();
  Bytes rest = Bytes(out).subspan(link.sent);
  if (!rest.empty()) link.sent += below_.send(stream, std::span(&rest, 1));
  if (link.sent < out.size()) return false;
  std::vector<uint8_t>().swap(out);  // an idle connection keeps no buffer here
  link.sent = 0;
  return true;
}

size_t TlsStreams::send(hal::StreamId stream, std::span<const Bytes> parts) {
  auto found = links_.find(stream);
  if (found == links_.end()) return below_.send(stream, parts);
  Link& link = found->second;
  if (link.dead) return 0;
  size_t taken = 0;
  size_t skip = link.owed;
  bool gone = link.open && !link.busy && flush(stream, link);
  for (Bytes part : parts) {
    size_t known = std::min(skip, part.size());  // encrypted by the call before
    skip -= known;
    part = part.subspan(known);
    if (gone) taken += known;
    if (gone) link.owed -= known;
    while (gone && !part.empty()) {
      Bytes record = part.first(std::min(part.size(), k_send_size_max));
      if (!link.tls->send(record)) return taken;  // out of memory: the owner's deadline ends the connection
      gone = flush(stream, link);
      if (gone)
        taken += record.size();
      else
        link.owed = record.size();
      part = part.subspan(record.size());
    }
  }
  link.starved = !gone;
  return taken;
}

void TlsStreams::on_writable(hal::StreamId stream) {
  auto found = links_.find(stream);
  if (found == links_.end()) return above_.on_writable(stream);
  Link& link = found->second;
  if (link.dead || link.busy || link.tls == nullptr) return;
  if (!flush(stream, link) || !link.open || !link.starved) return;
  link.starved = false;
  above_.on_writable(stream);
}

void TlsStreams::set_reading(hal::StreamId stream, bool reading) {
  auto found = links_.find(stream);
  if (found == links_.end()) return below_.set_reading(stream, reading);
  Link& link = found->second;
  if (link.dead) return;
  link.reading = reading;
  if (!link.busy) below_.set_reading(stream, reading);
}

void TlsStreams::close(hal::StreamId stream) {
  auto found = links_.find(stream);
  if (found == links_.end()) return below_.close(stream);
  Link& link = found->second;
  if (link.dead) return;
  if (link.open && !link.busy && flush(stream, link)) {
    link.tls->close();
    flush(stream, link);
  }
  below_.close(stream);
  forget(stream);
}

void TlsStreams::on_closed(hal::StreamId stream, const Error& reason) {
  auto found = links_.find(stream);
  if (found != links_.end()) forget(stream);
  above_.on_closed(stream, reason);
}

// A person with a browser, or a client with the wrong scheme: an answer that it can read.
void TlsStreams::refuse_plain(hal::StreamId stream) {
  ++counters_.plain;
  Bytes answer = as_bytes(k_plain_answer);
  below_.send(stream, std::span(&answer, 1));
  fail(stream, error(Errc::protocol, "plain HTTP to a port of TLS"));
}

void TlsStreams::fail(hal::StreamId stream, const Error& reason) {
  Error why = reason;
  below_.close(stream);
  forget(stream);
  above_.on_closed(stream, why);
}

void TlsStreams::forget(hal::StreamId stream) {
  auto found = links_.find(stream);
  if (found->second.busy) {
    found->second.dead = true;
    return;
  }
  links_.erase(found);
  if (contexts_.size() > serving_.size()) retire();
}

}  // namespace millet
