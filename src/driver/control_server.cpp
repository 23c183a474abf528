#include "driver/control_server.h"

#include <algorithm>
#include <vector>

namespace millet {

void ControlServer::on_accepted(Instant now, hal::StreamId stream) {
  Client& client = clients_[stream];
  client.deadline = now + k_idle_max;
  if (clients_.size() > k_clients_max) refuse(stream, client, "no_room", "too many control connections; close one and try again");
}

bool ControlServer::on_received(Instant now, hal::StreamId stream, Bytes bytes) {
  auto found = clients_.find(stream);
  if (found == clients_.end()) return false;
  Client& client = found->second;
  client.deadline = now + k_idle_max;
  if (bytes.size() > limits_.buffered_bytes - buffered_) {
    refuse(stream, client, "no_room", "too many large requests at once; try again");
    return true;
  }
  buffered_ += bytes.size();
  client.in += as_text(bytes);
  handle_lines(now, stream, client);
  return true;
}

void ControlServer::handle_lines(Instant now, hal::StreamId stream, Client& client) {
  while (client.out.empty()) {
    size_t end = client.in.find('\n', client.searched);
    client.searched = end == std::string::npos ? client.in.size() : 0;
    if (end == std::string::npos) break;
    std::string line = client.in.substr(0, end);
    client.in.erase(0, end + 1);
    buffered_ -= end + 1;
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.size() > limits_.request_bytes) return refuse_long(stream, client);
    if (line.empty()) continue;
    client.out = handler_.handle(now, line) + "\n";
    client.awaits = handler_.awaited();
    if (client.awaits != 0) {
      streams_.set_reading(stream, false);
    } else {
      flush(now, stream, client);
    }
  }
  if (client.out.empty() && client.in.size() > limits_.request_bytes) refuse_long(stream, client);
}

void ControlServer::refuse_long(hal::StreamId stream, Client& client) {
  refuse(stream, client, "bad_input", "the request is longer than " + std::to_string(limits_.request_bytes) + " bytes");
}

// A last reply, as far as the socket takes it; its buffer is empty, or the client does not read.
void ControlServer::refuse(hal::StreamId stream, Client& client, std::string_view code, std::string_view message) {
  client.out += "{\"id\": null, \"error\": {\"code\": \"" + std::string(code) + "\", \"message\": \"" + std::string(message) + "\"}}\n";
  Bytes bytes = as_bytes(client.out);
  streams_.send(stream, std::span(&bytes, 1));
  streams_.close(stream);
  drop(stream);
}

void ControlServer::flush(Instant now, hal::StreamId stream, Client& client) {
  Bytes bytes = as_bytes(client.out);
  size_t taken = streams_.send(stream, std::span(&bytes, 1));
  client.out.erase(0, taken);
  client.deadline = now + k_idle_max;
  streams_.set_reading(stream, client.out.empty());
}

bool ControlServer::on_writable(Instant now, hal::StreamId stream) {
  auto found = clients_.find(stream);
  if (found == clients_.end()) return false;
  if (found->second.awaits == 0) go_on(now, stream, found->second);
  return true;
}

// A reply may go out, or more of one; then come the requests behind it.
void ControlServer::go_on(Instant now, hal::StreamId stream, Client& client) {
  flush(now, stream, client);
  handle_lines(now, stream, client);
}

void ControlServer::on_durable(Instant now, uint64_t sequence) {
  std::vector<hal::StreamId> ready;
  for (const auto& [stream, client] : clients_) {
    if (client.awaits != 0 && client.awaits <= sequence) ready.push_back(stream);
  }
  for (hal::StreamId stream : ready) {
    Client& client = clients_.at(stream);
    client.awaits = 0;
    go_on(now, stream, client);
  }
}

void ControlServer::on_commit_failed(Instant now, const Error& reason) {
  std::vector<hal::StreamId> waiting;
  for (const auto& [stream, client] : clients_) {
    if (client.awaits != 0) waiting.push_back(stream);
  }
  for (hal::StreamId stream : waiting) {
    Client& client = clients_.at(stream);
    client.awaits = 0;
    client.out = handler_.not_saved(std::string_view(client.out).substr(0, client.out.size() - 1), reason) + "\n";
    go_on(now, stream, client);
  }
}

bool ControlServer::on_closed(hal::StreamId stream) {
  if (clients_.find(stream) == clients_.end()) return false;
  drop(stream);
  return true;
}

void ControlServer::drop(hal::StreamId stream) {
  auto found = clients_.find(stream);
  buffered_ -= found->second.in.size();
  clients_.erase(found);
}

Instant ControlServer::next_deadline() const {
  Instant next = Instant::never();
  for (const auto& [stream, client] : clients_) next = earlier(next, client.deadline);
  return next;
}

void ControlServer::on_timer(Instant now) {
  std::vector<hal::StreamId> idle;
  for (const auto& [stream, client] : clients_) {
    if (client.deadline <= now) idle.push_back(stream);
  }
  for (hal::StreamId stream : idle) {
    streams_.close(stream);
    drop(stream);
  }
}

}  // namespace millet
