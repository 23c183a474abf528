// The UDP socket of a node: runs of equal datagrams out, batches of them in. All calls and all events are on the loop's thread.
//
// A run is what segmentation offload takes in one system call: datagrams to one destination, one after the other in memory, all of one
// size, only the last may be shorter. Several runs go out by one call where the system can do that. Nothing is queued here: what the socket
// does not take stays the caller's.
//
// A machine may have several addresses. Who asked one of them takes an answer only from that one, and a socket that is bound to all of them
// would send it from whichever the routes prefer: so what comes in says where it came to, and what goes out may say where it is to come
// from.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/bytes.h"
#include "base/endpoint.h"

namespace millet::hal {

// The most bytes of one datagram: UDP's limit over IPv4.
inline constexpr size_t k_datagram_max = 65'507;

enum class SendOutcome : uint8_t {
  sent,         // as far as the system knows
  too_big,      // larger than our own link takes (or the path, as far as the system knows), and not to be fragmented
  unreachable,  // no route, no such address family, `from` is not ours any more, forbidden by a firewall: of this destination only
};

struct OutgoingRun {
  Endpoint to;
  Bytes bytes;
  size_t size = 0;            // of each datagram but the last; at least 1
  bool may_fragment = false;  // else Don't Fragment, for datagrams above k_fragment_size_min
  // Set by send(): datagrams that are dealt with, from the first on. Less than count(): send() again when on_datagrams_writable came.
  size_t done = 0;
  SendOutcome outcome = SendOutcome::sent;
  // The address of ours that it comes from: `local` of what it answers. 0.0.0.0: the system chooses.
  IpAddress from = {};

  // Datagrams of the run.
  size_t count() const { return (bytes.size() + size - 1) / size; }
};
// Smaller ones pass everywhere: every IPv4 host takes a packet of 576 bytes (RFC 1122). `may_fragment` is not looked at for them.
inline constexpr size_t k_fragment_size_min = 548;

// Datagrams of one source to one address, in the order of arrival.
struct IncomingRun {
  Endpoint from;
  Bytes bytes;
  size_t size = 0;  // of each datagram but the last, which may be shorter; at least 1, also if bytes is one empty datagram
  // The address of ours that they came to. 0.0.0.0: not known, or the socket is bound to it, and answers come from it in any case.
  IpAddress local = {};
};

class DatagramEvents {
 public:
  virtual ~DatagramEvents() = default;
  // The bytes are valid during the call only. One call for all that one read of the socket gave.
  virtual void on_datagrams(std::span<const IncomingRun> runs) = 0;
  // The socket takes datagrams again after a send() that left some.
  virtual void on_datagrams_writable() = 0;
  // An ICMP message says that datagrams don't get there: nobody listens, no route. Anybody on the way can forge it: a hint.
  virtual void on_unreachable(const Endpoint& remote) = 0;
  // An ICMP message says that IP packets above `mtu` bytes don't get there. A hint, as above.
  virtual void on_path_mtu(const Endpoint& remote, uint32_t mtu) = 0;
};

struct DatagramOptions {
  // Marks what is sent as less than best effort (DSCP LE, RFC 8622): queues that look at it let everything else pass first.
  bool lower_effort = true;
  // Bytes that the system may hold for us while the loop is busy, as it counts them (twice or more the payload); less where it allows less.
  uint32_t receive_buffer = 2u << 20;
  uint32_t send_buffer = 512u << 10;
  uint32_t receive_messages = 16;  // of one read, 64 KiB of memory each; 1 to 16
};

// Counted since the start.
struct DatagramCounters {
  uint64_t received = 0;
  uint64_t received_bytes = 0;
  uint64_t receive_calls = 0;      // of the system
  uint64_t receive_overflows = 0;  // that the system dropped because we were late; datagrams that came joined count once
  uint64_t sent = 0;
  uint64_t sent_bytes = 0;
  uint64_t send_calls = 0;
  uint64_t send_drops = 0;  // datagrams that our own system dropped, of `sent`
  uint64_t too_big = 0;
  uint64_t unreachable = 0;  // runs and ICMP messages
};

class Datagrams {
 public:
  virtual ~Datagrams() = default;
  virtual void set_events(DatagramEvents* events) = 0;

  // Opens the socket on an address; port 0 picks a free one; [::] takes IPv4, too. Returns what it got. Requires: not open.
  // Errors: conflict (in use), denied, io; the text names the address.
  virtual Result<Endpoint> bind(const Endpoint& local, const DatagramOptions& options) = 0;
  // Sends from the first run that is not done on, in order; true if all are done. False: the socket is full, and on_datagrams_writable
  // follows. Requires: open; `done` and `outcome` are as a new run's, or as an earlier send() left them.
  virtual bool send(std::span<OutgoingRun> runs) = 0;
  virtual void close() = 0;
  virtual DatagramCounters counters() const = 0;
  // How runs go out here, in a word; empty: not open.
  virtual std::string_view send_way() const { return {}; }
};

}  // namespace millet::hal
