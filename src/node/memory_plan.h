// What the parts of a node may hold in memory, all from one number: node.memory. Devices come in classes; each row of the table is one.
// Where a part is full it refuses, and nothing is allocated.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace millet {

// Fixed by the system's side of things: one read of a TCP connection, and what one message of a UDP read can bring.
inline constexpr uint64_t k_stream_read = 256 * 1024;
inline constexpr uint64_t k_datagram_read = 64 * 1024;

struct MemoryPlan {
  uint32_t memory_mib;  // the class is for budgets from here on
  // Counts.
  uint32_t peers;              // connections, unless node.peers_max says otherwise
  uint32_t cold_reads;         // blocks on their way from a disk, of TCP and of uTP each
  uint32_t blocks_open;        // of downloads: asked for, or being written
  uint32_t announces;          // under way, each with the largest reply
  uint32_t datagram_messages;  // of one read of the UDP socket
  uint32_t open_files;
  // KiB.
  uint32_t program_kib;        // allocator, store, stacks, TLS: what a node without peers and torrents takes
  uint32_t peers_kib;          // of all connections, in the node
  uint32_t utp_kib;            // streams of uTP: states, journals, and what came out of order
  uint32_t reassembly_kib;     // of it, for packets beyond holes
  uint32_t stream_window_kib;  // of one uTP stream
  uint32_t staging_kib;        // of one gathered send, of TCP and of uTP each
  uint32_t peer_output_kib;    // messages that one peer does not take
  uint32_t control_kib;        // requests of the command line
  uint32_t torrents_kib;       // what torrents are made of, and addresses of their peers
  uint32_t payments_kib;       // tables of payers, bans and channels: bounded by count in src/speed, and shown as the program's
};

// The row for a budget. Requires: at least 8 MiB (the option's lower bound); less is taken as that.
const MemoryPlan& memory_plan(uint32_t memory_mib);
// All rows, smallest first.
std::span<const MemoryPlan> memory_plans();

// One line of the budget.
struct MemoryShare {
  std::string part;
  uint64_t limit = 0;  // bytes
  uint64_t used = 0;
};
// The whole budget of a plan, nothing used: the sum is at most memory_mib.
std::vector<MemoryShare> memory_budget(const MemoryPlan& plan);

// What memory_budget() calls its parts.
namespace memory_part {
inline constexpr const char* k_program = "program";
inline constexpr const char* k_receiving = "receiving";
inline constexpr const char* k_sending = "sending";
inline constexpr const char* k_cold_reads = "reads from disks";
inline constexpr const char* k_peers = "peers";
inline constexpr const char* k_utp = "uTP";
inline constexpr const char* k_downloads = "blocks of downloads";
inline constexpr const char* k_announces = "tracker replies";
inline constexpr const char* k_control = "control";
inline constexpr const char* k_torrents = "torrents";
inline constexpr const char* k_payments = "payments";
}  // namespace memory_part

}  // namespace millet
