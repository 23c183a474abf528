// Streams that a test holds in its hand: what was sent over each, whether it is read, and whether it was closed. The test itself says what
// is accepted and received.
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "hal/streams.h"

namespace millet::testing {

class FakeStreams final : public hal::Streams {
 public:
  void set_events(hal::StreamEvents*) override {}
  Result<Endpoint> listen(hal::ListenerId, const Endpoint& local) override { return local; }
  Status listen_local(hal::ListenerId, const std::string&) override { return ok; }
  void set_accepting(hal::ListenerId, bool) override {}
  hal::StreamId connect(const Endpoint&, const std::optional<IpAddress>&) override { return 0; }
  size_t send(hal::StreamId stream, std::span<const Bytes> parts) override {
    size_t taken = 0;
    for (Bytes part : parts) {
      size_t size = std::min(part.size(), room);
      sent[stream] += as_text(part.first(size));
      room -= size;
      taken += size;
    }
    return taken;
  }
  void set_reading(hal::StreamId stream, bool on) override { reading[stream] = on; }
  void close(hal::StreamId stream) override { closed.push_back(stream); }
  Endpoint local_endpoint(hal::StreamId) override { return {}; }

  bool is_closed(hal::StreamId stream) const { return std::count(closed.begin(), closed.end(), stream) != 0; }
  std::map<hal::StreamId, std::string> sent;
  std::map<hal::StreamId, bool> reading;
  std::vector<hal::StreamId> closed;
  size_t room = SIZE_MAX;  // that the sockets have together
};

}  // namespace millet::testing
