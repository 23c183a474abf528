#include "driver/http_server.h"

namespace millet {

void HttpServer::on_accepted(Instant now, hal::StreamId stream, const Endpoint& remote) {
  auto place = per_address_.find(remote.address);
  size_t of_address = place == per_address_.end() ? 0 : place->second;
  bool room = connections_.size() < k_connections_max;
  if (stopping_ || of_address >= k_connections_per_address_max || (!room && !make_room())) {
    ++refused_;
    streams_.close(stream);
    return;
  }
  ++per_address_[remote.address];
  Connection& connection = connections_.try_emplace(stream, body_size_max_).first->second;
  connection.address = remote.address;
  connection.waiting_since = now;
  set_deadline(connection, now + k_request_max);
}

bool HttpServer::make_room() {
  auto longest = connections_.end();
  for (auto at = connections_.begin(); at != connections_.end(); ++at) {
    if (at->second.state != State::reading) continue;
    if (longest == connections_.end() || at->second.waiting_since < longest->second.waiting_since) longest = at;
  }
  if (longest == connections_.end()) return false;
  ++evicted_;
  drop(longest->first);
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
  connection.sent += streams_.send(stream, std::span(&rest, 1));
  if (connection.sent < connection.out.size()) return;
  if (connection.close_after) {
    streams_.close(stream);
    return on_closed(stream);
  }
  connection.out.clear();
  connection.sent = 0;
  connection.state = State::reading;
  connection.waiting_since = now;
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
  auto place = per_address_.find(found->second.address);
  CHECK(place != per_address_.end() && place->second > 0);
  if (--place->second == 0) per_address_.erase(place);
  connections_.erase(found);
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
