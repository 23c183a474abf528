#include "driver/http_server.h"

#include "ledger/server/request_limits.h"

namespace millet {

void HttpServer::on_accepted(Instant now, hal::StreamId stream, const Endpoint& remote) {
  auto refuse = [&] {
    ++refused_;
    streams_.close(stream);
  };
  auto sender = senders_.find(one_sender(remote.address));
  if (stopping_ || (sender != senders_.end() && sender->second >= k_connections_per_address_max)) return refuse();
  auto crowd = networks_.find(remote.address.network());
  if (crowd != networks_.end() && crowd->second >= k_connections_per_network_max) {
    if (!make_room(&crowd)) return refuse();
  } else if (connections_.size() >= k_connections_max && !make_room(nullptr)) {
    return refuse();
  }
  Connection& connection = connections_.try_emplace(stream, body_size_max_).first->second;
  connection.address = remote.address;
  connection.of_sender = senders_.try_emplace(one_sender(remote.address)).first;
  connection.of_network = networks_.try_emplace(remote.address.network()).first;
  ++connection.of_sender->second;
  ++connection.of_network->second;
  connection.waiting_since = now;
  set_deadline(connection, now + k_request_max);
}

bool HttpServer::gives_way_before(const Connection& a, const Connection& b) {
  if (a.of_network->second != b.of_network->second) return a.of_network->second > b.of_network->second;
  if (a.of_sender->second != b.of_sender->second) return a.of_sender->second > b.of_sender->second;
  return a.waiting_since < b.waiting_since;
}

bool HttpServer::make_room(const Counts::iterator* network) {
  auto first = connections_.end();
  for (auto at = connections_.begin(); at != connections_.end(); ++at) {
    if (at->second.state == State::answering || (network != nullptr && at->second.of_network != *network)) continue;
    if (first == connections_.end() || gives_way_before(at->second, first->second)) first = at;
  }
  if (first == connections_.end()) return false;
  ++evicted_;
  drop(first->first);
  return true;
}

void HttpServer::on_received(Instant now, hal::StreamId stream, Bytes bytes) {
  auto found = connections_.find(stream);
  if (found == connections_.end()) return;
  ByteWriter(found->second.early).bytes(bytes);  // one turn at most while nothing is read
  pump(now, stream);
}

void HttpServer::pump(Instant now, hal::StreamId stream) {
  // An owner that answers at once comes back here: the outermost call goes on.
  auto found = connections_.find(stream);
  if (found == connections_.end() || found->second.pumping) return;
  for (; found != connections_.end(); found = connections_.find(stream)) {
    Connection& connection = found->second;
    connection.pumping = connection.state == State::reading && !connection.early.empty();
    if (!connection.pumping) return;
    std::vector<uint8_t> bytes = std::move(connection.early);
    connection.early.clear();
    feed(now, stream, connection, bytes);
  }
}

void HttpServer::feed(Instant now, hal::StreamId stream, Connection& connection, Bytes bytes) {
  if (connection.reader.is_idle() && !bytes.empty()) set_deadline(connection, now + k_request_max);
  Result<size_t> taken = connection.reader.feed(bytes);
  if (!taken) return refuse(now, stream, connection, taken.error());
  if (!connection.reader.is_complete()) return;
  Bytes rest = bytes.subspan(*taken);
  bool flood = rest.size() > body_size_max_ + http::k_head_size_max;
  if (!flood) connection.early.assign(rest.begin(), rest.end());
  connection.state = State::answering;
  set_deadline(connection, Instant::never());
  connection.close_after = flood || !connection.reader.keeps_alive();
  streams_.set_reading(stream, false);
  events_.on_http_request(stream, connection.reader.method(), connection.reader.target(), connection.reader.body());
}

void HttpServer::refuse(Instant now, hal::StreamId stream, Connection& connection, const Error& reason) {
  connection.state = State::answering;
  set_deadline(connection, Instant::never());
  connection.close_after = true;
  streams_.set_reading(stream, false);
  if (reason.code == Errc::no_room) return events_.on_http_oversized(stream);
  // Not even HTTP: nothing that a client of ours would read.
  std::string text = reason.reason + "\n";
  reply(now, stream, 400, as_bytes(text));
}

std::optional<std::string_view> HttpServer::request_header(hal::StreamId stream, std::string_view name) const {
  return connections_.at(stream).reader.header(name);
}

const IpAddress& HttpServer::remote(hal::StreamId stream) const { return connections_.at(stream).address; }

void HttpServer::reply(Instant now, hal::StreamId stream, const Answer& answer) {
  auto found = connections_.find(stream);
  if (found == connections_.end()) return;
  Connection& connection = found->second;
  CHECK(connection.state == State::answering);
  connection.close_after = connection.close_after || stopping_;
  http::Response response;
  response.status = answer.status;
  response.content_type = answer.content_type;
  response.headers = answer.headers;
  response.body = answer.body;
  response.keep_alive = !connection.close_after;
  http::encode(response, connection.out);
  connection.state = State::writing;
  set_deadline(connection, now + k_reply_max);
  flush(now, stream, connection);
}

void HttpServer::flush(Instant now, hal::StreamId stream, Connection& connection) {
  Bytes rest = Bytes(connection.out).subspan(connection.sent);
  size_t taken = streams_.send(stream, std::span(&rest, 1));
  if (taken != 0) connection.waiting_since = now;
  connection.sent += taken;
  if (connection.sent < connection.out.size()) return;
  if (connection.close_after) {
    streams_.close(stream);
    return on_closed(stream);
  }
  connection.out.clear();
  connection.sent = 0;
  connection.state = State::reading;
  set_deadline(connection, now + k_idle_max);
  connection.reader.start();
  streams_.set_reading(stream, true);
  pump(now, stream);
}

void HttpServer::on_writable(Instant now, hal::StreamId stream) {
  auto found = connections_.find(stream);
  if (found != connections_.end() && found->second.state == State::writing) flush(now, stream, found->second);
}

void HttpServer::on_closed(hal::StreamId stream) {
  auto found = connections_.find(stream);
  if (found == connections_.end()) return;
  count_down(senders_, found->second.of_sender);
  count_down(networks_, found->second.of_network);
  connections_.erase(found);
}

void HttpServer::count_down(Counts& counts, Counts::iterator place) {
  CHECK(place->second > 0);
  if (--place->second == 0) counts.erase(place);
}

void HttpServer::drop(hal::StreamId stream) {
  if (connections_.find(stream) == connections_.end()) return;
  streams_.close(stream);
  on_closed(stream);
}

void HttpServer::stop() {
  stopping_ = true;
  std::vector<hal::StreamId> idle;
  for (const auto& [stream, connection] : connections_) {
    if (connection.state == State::reading) idle.push_back(stream);
  }
  for (hal::StreamId stream : idle) drop(stream);
}

void HttpServer::set_deadline(Connection& connection, Instant deadline) {
  connection.deadline = deadline;
  earliest_ = earlier(earliest_, deadline);
}

void HttpServer::on_timer(Instant now) {
  if (now < earliest_) return;
  std::vector<hal::StreamId> late;
  earliest_ = Instant::never();
  for (const auto& [stream, connection] : connections_) {
    if (connection.deadline <= now) {
      late.push_back(stream);
    } else {
      earliest_ = earlier(earliest_, connection.deadline);
    }
  }
  for (hal::StreamId stream : late) drop(stream);
}

}  // namespace millet
