#include "driver/control_server.h"

#include <algorithm>
#include <vector>

namespace millet {
namespace {

// A request may hold a passphrase: neither what was read nor what a buffer held before it grew stays in memory.
void append(std::string& to, std::string_view more) {
  if (to.capacity() - to.size() < more.size()) {
    std::string larger;
    larger.reserve(std::max(to.size() + more.size(), 2 * to.size()));
    larger += to;
    to.swap(larger);
    wipe_text(larger);
  }
  to += more;
}
void drop_front(std::string& text, size_t count) {
  const size_t left = text.size() - count;
  text.erase(0, count);
  text.resize(left + count);  // zeros
  text.resize(left);
}

}  // namespace

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
  append(client.in.text, as_text(bytes));
  handle_lines(now, stream, client);
  return true;
}

void ControlServer::handle_lines(Instant now, hal::StreamId stream, Client& client) {
  while (client.out.empty()) {
    size_t end = client.in.text.find('\n', client.searched);
    client.searched = end == std::string::npos ? client.in.text.size() : 0;
    if (end == std::string::npos) break;
    std::string line = client.in.text.substr(0, end);
    drop_front(client.in.text, end + 1);
    buffered_ -= end + 1;
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.size() > limits_.request_bytes) return refuse_long(stream, client);
    if (line.empty()) continue;
    client.out = handler_.handle(now, line) + "\n";
    client.awaits = handler_.awaited();
    wipe_text(line);
    if (client.awaits != 0) {
      // A worker of ours has begun something, and will end it.
      if (!awaits_commit(client)) client.deadline = Instant::never();
      streams_.set_reading(stream, false);
    } else {
      flush(now, stream, client);
    }
  }
  if (client.out.empty() && client.in.text.size() > limits_.request_bytes) refuse_long(stream, client);
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

// The replies that wait and shall not any longer, as `last_word` changes them.
template <typename Waits, typename LastWord>
void ControlServer::release(Instant now, Waits waits, LastWord last_word) {
  std::vector<hal::StreamId> ready;
  for (const auto& [stream, client] : clients_) {
    if (waits(client)) ready.push_back(stream);
  }
  for (hal::StreamId stream : ready) {
    Client& client = clients_.at(stream);
    client.awaits = 0;
    client.out.pop_back();
    client.out = last_word(std::move(client.out)) + "\n";
    go_on(now, stream, client);
  }
}

void ControlServer::on_durable(Instant now, uint64_t sequence) {
  release(
      now, [&](const Client& client) { return awaits_commit(client) && client.awaits <= sequence; },
      [](std::string reply) { return reply; });
}

void ControlServer::on_commit_failed(Instant now, const Error& reason) {
  release(now, awaits_commit, [&](std::string reply) { return handler_.not_saved(reply, reason); });
}

void ControlServer::on_outcome(Instant now, const Status& outcome) {
  release(
      now, [](const Client& client) { return client.awaits == RequestHandler::k_awaits_outcome; },
      [&](std::string reply) { return outcome ? std::move(reply) : handler_.failed(reply, outcome.error()); });
}

bool ControlServer::on_closed(hal::StreamId stream) {
  if (clients_.find(stream) == clients_.end()) return false;
  drop(stream);
  return true;
}

void ControlServer::drop(hal::StreamId stream) {
  auto found = clients_.find(stream);
  buffered_ -= found->second.in.text.size();
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
