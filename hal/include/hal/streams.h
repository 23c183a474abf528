// Byte streams: TCP connections, and local (unix) sockets for the control program. All calls and all events are on the loop's thread.
//
//   connect() -> on_connected -> on_received* / on_writable* -> on_closed
//            `-> on_closed (could not connect)
//   listen()  -> on_accepted -> ...
//
// A StreamId names one connection, is never 0 and never used again. After close() no event for it follows.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "base/bytes.h"
#include "base/endpoint.h"

namespace millet::hal {

using StreamId = uint64_t;
using ListenerId = uint32_t;

// How the system's TCP does with what one connection was given.
struct StreamProgress {
  uint64_t acknowledged = 0;         // bytes, since it began
  uint64_t retransmitted = 0;        // packets, since it began
  uint32_t round_trip_us = 0;        // smoothed, of the last packets; 0: unknown
  uint32_t round_trip_least_us = 0;  // of all packets
};

// How payload that is in the page cache gets into a socket: through a buffer of ours, or from the file without a copy.
enum class PayloadWay : uint8_t { copy, sendfile };

class StreamEvents {
 public:
  virtual ~StreamEvents() = default;
  // `remote` is empty for a local socket.
  virtual void on_accepted(ListenerId listener, StreamId stream, const Endpoint& remote) = 0;
  virtual void on_connected(StreamId stream) = 0;
  // The bytes are valid during the call only. At most k_receive_bytes_max a call.
  virtual void on_received(StreamId stream, Bytes bytes) = 0;
  // The socket takes bytes again after a send() that took less than it was given.
  virtual void on_writable(StreamId stream) = 0;
  // Could not connect, the other side closed (reason.code == Errc::unavailable, "closed by the peer"), or an error. The id is dead.
  virtual void on_closed(StreamId stream, const Error& reason) = 0;
};

class Streams {
 public:
  static constexpr size_t k_receive_bytes_max = 256 * 1024;  // one turn of one connection; keeps the others from starving

  virtual ~Streams() = default;
  virtual void set_events(StreamEvents* events) = 0;

  // Listens on an address; port 0 picks a free one. Returns what it got. Errors: conflict (in use), denied, io; the text names the address.
  virtual Result<Endpoint> listen(ListenerId id, const Endpoint& local) = 0;
  // Listens on a local socket at `path`, mode 0600; a stale socket file is replaced. Errors: conflict, denied, io.
  virtual Status listen_local(ListenerId id, const std::string& path) = 0;
  // `false` stops accepting (too many connections); the backlog waits.
  virtual void set_accepting(ListenerId id, bool accepting) = 0;

  // Starts a connection; the outcome is an event, never before this returns. `local` binds the source address.
  virtual StreamId connect(const Endpoint& remote, const std::optional<IpAddress>& local) = 0;

  // Hands over as much of the parts, in order, as the socket takes now, with one system call, and says how many bytes that was. Less than
  // all of them: on_writable follows. An error shows as on_closed later. Nothing is queued here.
  virtual size_t send(StreamId stream, std::span<const Bytes> parts) = 0;
  // `false` stops reading, so that the other side's window fills: flow control.
  virtual void set_reading(StreamId stream, bool reading) = 0;
  virtual void close(StreamId stream) = 0;
  // The local address of a connected stream. Requires: connected.
  virtual Endpoint local_endpoint(StreamId stream) = 0;

  // ---- payload from files ----
  // The cheaper way on this device, as measured when it is first asked for.
  virtual PayloadWay payload_way() { return PayloadWay::copy; }
  // Hands over `head` and then `length` bytes of a file, by its File::descriptor(), as much as the socket takes now; says how many bytes
  // that was. Waits for the disk where the page cache does not hold them. Less than all: on_writable follows, or on_closed, or the file has
  // ended, which `ended` tells. Requires: payload_way() can be sendfile here.
  virtual size_t send_file(StreamId stream, Bytes head, int descriptor, uint64_t offset, size_t length, bool& ended) {
    static_cast<void>(stream);
    static_cast<void>(head);
    static_cast<void>(descriptor);
    static_cast<void>(offset);
    static_cast<void>(length);
    ended = true;
    return 0;
  }

  // ---- for what must give way on our own uplink ----
  // Whether a connected stream goes beyond this machine and the local network.
  virtual bool is_over_uplink(StreamId stream) {
    static_cast<void>(stream);
    return false;
  }
  // Hands the connection to a congestion control of the system that leaves the link to others. False: it has none.
  virtual bool set_background(StreamId stream) {
    static_cast<void>(stream);
    return false;
  }
  // The control that it has, or "rate"; empty: nobody has asked yet.
  virtual std::string_view background_way() const { return {}; }
  // Nothing: the connection is gone, or the system can't tell.
  virtual std::optional<StreamProgress> progress(StreamId stream) {
    static_cast<void>(stream);
    return std::nullopt;
  }
};

}  // namespace millet::hal
