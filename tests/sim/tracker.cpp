#include "sim/tracker.h"

#include "codec/bencode.h"

namespace millet::simtest {
namespace {

constexpr size_t k_request_max = 8192;

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    bool escaped = text[i] == '%' && i + 2 < text.size() && hex_digit(text[i + 1]) >= 0 && hex_digit(text[i + 2]) >= 0;
    if (escaped) {
      out.push_back(static_cast<char>(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2])));
      i += 2;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

// The value of a query parameter; empty if it is not there.
std::string parameter(std::string_view target, std::string_view name) {
  size_t at = target.find('?');
  while (at != std::string_view::npos && at < target.size()) {
    std::string_view rest = target.substr(at + 1);
    std::string_view pair = rest.substr(0, rest.find('&'));
    if (pair.substr(0, pair.find('=')) == name && pair.size() > name.size()) return unescape(pair.substr(name.size() + 1));
    at = target.find('&', at + 1);
  }
  return "";
}

uint64_t number(const std::string& text) {
  uint64_t value = 0;
  for (char c : text) {
    if (c >= '0' && c <= '9') value = value * 10 + static_cast<uint64_t>(c - '0');
  }
  return value;
}

}  // namespace

Tracker::Tracker(const TrackerOptions& options, hal::System& system) : options_(options), system_(system) {
  system_.streams.set_events(this);
  system_.loop.set_events(this);
  Result<Endpoint> bound = system_.streams.listen(1, {IpAddress(), options_.port});
  CHECK(bound.has_value());
}

void Tracker::on_accepted(hal::ListenerId, hal::StreamId stream, const Endpoint& remote) { clients_[stream].address = remote.address; }

void Tracker::on_received(hal::StreamId stream, Bytes bytes) {
  auto found = clients_.find(stream);
  if (found == clients_.end()) return;
  Client& client = found->second;
  client.request += as_text(bytes);
  size_t end = client.request.find("\r\n\r\n");
  if (end == std::string::npos && client.request.size() < k_request_max) return;
  size_t begin = client.request.find(' ') + 1;
  answer(client, std::string_view(client.request).substr(begin, client.request.find(' ', begin) - begin));
  push(stream);
}

void Tracker::answer(Client& client, std::string_view target) {
  std::string hash = parameter(target, "info_hash");
  uint64_t port = number(parameter(target, "port"));
  std::vector<uint8_t> body;
  bencode::Writer writer(body);
  writer.begin_dict();
  if (hash.size() != 20 || port == 0 || port > 65535) {
    writer.key("failure reason").string("bad announce").end();
  } else {
    std::map<Endpoint, Peer>& swarm = swarms_[InfoHash::from_bytes(as_bytes(hash))];
    Instant now = system_.clock.now();
    Endpoint self{client.address, static_cast<uint16_t>(port)};
    if (parameter(target, "event") == "stopped")
      swarm.erase(self);
    else
      swarm[self] = {now, parameter(target, "left") == "0"};
    std::erase_if(swarm, [&](const auto& entry) { return now - entry.second.seen > options_.peer_life; });
    std::vector<uint8_t> compact;
    int64_t complete = 0;
    for (const auto& [endpoint, peer] : swarm) {
      complete += peer.complete ? 1 : 0;
      if (endpoint == self) continue;
      Bytes raw = endpoint.address.raw();
      compact.insert(compact.end(), raw.begin(), raw.end());
      compact.push_back(static_cast<uint8_t>(endpoint.port >> 8));
      compact.push_back(static_cast<uint8_t>(endpoint.port));
    }
    writer.key("complete").integer(complete).key("incomplete").integer(static_cast<int64_t>(swarm.size()) - complete);
    writer.key("interval").integer(options_.interval_s).key("peers").string(Bytes(compact)).end();
  }
  std::string head =
      "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n";
  client.reply.assign(head.begin(), head.end());
  client.reply.insert(client.reply.end(), body.begin(), body.end());
}

void Tracker::push(hal::StreamId stream) {
  auto found = clients_.find(stream);
  if (found == clients_.end() || found->second.reply.empty()) return;
  std::vector<uint8_t>& reply = found->second.reply;
  Bytes part(reply);
  size_t taken = system_.streams.send(stream, std::span<const Bytes>(&part, 1));
  reply.erase(reply.begin(), reply.begin() + static_cast<ptrdiff_t>(taken));
  if (!reply.empty()) return;
  system_.streams.close(stream);
  clients_.erase(found);
}

}  // namespace millet::simtest
