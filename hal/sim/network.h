// The network's shape: which machine has which address, how long bytes take between two machines, what is lost, who is cut off from whom.
// Every machine has one access link; a path is the sum of two links. Connections over it are in tcp.h, datagrams in udp.h.
#pragma once

#include <map>
#include <span>
#include <vector>

#include "base/endpoint.h"
#include "base/random.h"
#include "base/time.h"

namespace millet::sim {

class World;

struct LinkOptions {
  Duration delay = Duration::ms(5);  // one way, between the machine and the middle of the network
  Duration jitter;                   // up to this much more, drawn for each chunk
  uint64_t up_rate = 0;              // bytes per second; 0: unlimited
  uint64_t down_rate = 0;
  uint32_t loss_ppm = 0;  // of packets, each way

  // Of datagrams only.
  uint32_t queue_bytes = 0;  // that wait before up_rate, and before down_rate; more is dropped; 0: unlimited
  Duration aqm_target;       // a queue that stays longer than this for 100 ms is cut (CoDel); zero: it is not
  uint32_t reorder_ppm = 0;  // packets that are late by reorder_delay, and overtaken
  Duration reorder_delay = Duration::ms(10);
  uint32_t duplicate_ppm = 0;
  uint16_t mtu =
      1500;  // the largest IP packet; larger ones that must not be fragmented vanish, or the sender knows at once if the link is its own
  bool reports_mtu = false;  // the sender is told by ICMP
};

struct NetworkOptions {
  size_t send_buffer = 128 * 1024;               // bytes that send() takes before they are acknowledged
  size_t receive_buffer = 128 * 1024;            // the window that a receiver offers
  Duration reset_after = Duration::seconds(60);  // unanswered retransmissions end a connection after this
  Duration connect_timeout = Duration::seconds(60);
  size_t backlog = 128;
  size_t datagram_send_buffer = 0;  // bytes before the uplink at which a socket takes no more datagrams; 0: it takes all
};

class Network {
 public:
  explicit Network(World& world);

  void add_machine(const std::vector<IpAddress>& addresses, const LinkOptions& link);
  void set_link(uint32_t machine, const LinkOptions& link) { links_.at(machine) = link; }
  const LinkOptions& link(uint32_t machine) const { return links_.at(machine); }

  // The machine that has an address, seen from `from` (loopback addresses are its own); -1: nobody.
  int find(uint32_t from, const IpAddress& address) const;
  bool owns(uint32_t machine, const IpAddress& address) const { return find(machine, address) == static_cast<int>(machine); }
  // The address that `from` uses towards `to`.
  IpAddress source_address(uint32_t from, const IpAddress& to) const;

  // Cuts these machines off from all others; they still reach each other. Several partitions may exist at once.
  void partition(std::span<const uint32_t> isolated);
  void heal();
  // Ends one machine's part of a partition.
  void rejoin(uint32_t machine) { groups_.at(machine) = 0; }
  bool connected(uint32_t a, uint32_t b) const { return a == b || groups_.at(a) == groups_.at(b); }

  // One way, without what waiting for a rate adds.
  Duration delay(uint32_t a, uint32_t b) const;
  // What this chunk adds to delay(): jitter, and for each lost packet the time until its copy arrives. TCP loses no byte: loss is lateness.
  Duration extra_delay(uint32_t a, uint32_t b, size_t bytes);
  // One small packet on its own (a SYN).
  bool packet_lost(uint32_t a, uint32_t b);

  // Names for every machine, and for one (a split view).
  void add_name(const std::string& name, std::vector<IpAddress> addresses) { names_[name] = std::move(addresses); }
  const std::vector<IpAddress>* resolve(const std::string& name) const;

 private:
  Random random_;
  std::vector<LinkOptions> links_;
  std::vector<std::vector<IpAddress>> addresses_;
  std::vector<uint32_t> groups_;
  uint32_t next_group_ = 1;
  std::map<IpAddress, uint32_t> owners_;
  std::map<std::string, std::vector<IpAddress>> names_;
};

}  // namespace millet::sim
