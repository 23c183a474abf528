// Puts the streams of uTP (BEP 29) together again from the datagrams of a simulated world, and shows them as those of TCP are shown
// (sim::Tap): what each program sent, first transmissions only, and what each got, in the order of the stream.
//
// A connection is known by who dialled, who was dialled, and the connection id of the SYN. Stream ids begin at k_first_stream, far above
// those of TCP; as there, the even one of a pair dialled. A side that forgets its connection without a word stays open here.
#pragma once

#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "hal/sim/tcp.h"
#include "hal/sim/udp.h"
#include "swarm/utp_packet.h"

namespace millet::simtest {

class UtpTap final : public sim::DatagramTap {
 public:
  static constexpr hal::StreamId k_first_stream = hal::StreamId{1} << 48;

  explicit UtpTap(sim::Tap& out) : out_(out) {}

  void on_sent(uint32_t machine, const Endpoint& from, const Endpoint& to, Bytes datagram) override;
  void on_received(uint32_t machine, const Endpoint& from, const Endpoint& to, Bytes datagram) override;
  void on_socket_closed(uint32_t machine, uint16_t port) override;

  // Of honest programs: none. A retransmission carries what the first transmission did.
  uint64_t changed() const { return changed_; }
  uint64_t retransmissions() const { return retransmissions_; }

 private:
  enum class End : uint8_t { none, open, over };
  struct Side {
    End state = End::none;
    uint32_t machine = 0;
    uint16_t port = 0;
    bool fin_sent = false;
    bool fin_received = false;
  };
  struct Packet {
    bool fin = false;
    std::vector<uint8_t> payload;
  };
  // From side i to side 1 - i.
  struct Direction {
    bool begun = false;
    uint16_t next_sent = 0;              // to be told
    uint16_t next_received = 0;          // to be told
    std::map<uint16_t, Packet> sent;     // the last k_kept, and what was sent before one that is missing
    std::map<uint16_t, Packet> arrived;  // before one that is missing
  };
  struct Connection {
    hal::StreamId stream = 0;
    uint16_t syn_seq = 0;
    Side side[2];  // 0 dialled
    Direction way[2];
  };
  using Key = std::tuple<Endpoint, Endpoint, uint16_t>;         // dialled, was dialled, connection id of the SYN
  using Place = std::tuple<uint32_t, uint16_t, hal::StreamId>;  // machine, port, stream
  static constexpr uint16_t k_kept = 16'384;                    // packets: more than any window of a test

  Key find(const Endpoint& from, const Endpoint& to, uint16_t connection, int& from_side) const;
  void on_reset_received(const Endpoint& from, const Endpoint& to, uint16_t connection);
  void on_syn_sent(uint32_t machine, const Endpoint& from, const Endpoint& to, const UtpHeader& header);
  static Place place(const Connection& connection, int side);
  void open(const Key& key, Connection& connection, int side, uint32_t machine);
  void end(Connection& connection, int side);
  void end_if_finished(Connection& connection, int side);
  void take_sent(Connection& connection, int side, const UtpPacket& packet);
  void take_received(const Key& key, Connection& connection, int side, uint32_t machine, const UtpPacket& packet);

  sim::Tap& out_;
  std::map<Key, Connection> connections_;
  std::map<Place, Connection*> open_;  // sides that are open, by what a socket's end ends
  hal::StreamId next_stream_ = k_first_stream;
  uint64_t changed_ = 0;
  uint64_t retransmissions_ = 0;
};

}  // namespace millet::simtest
