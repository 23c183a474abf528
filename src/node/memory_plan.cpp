#include "node/memory_plan.h"

#include "codec/tracker.h"
#include "torrent/layout.h"

namespace millet {
namespace {

// node.memory is an eighth of the machine's memory: 8 is a router with 64 MB, 16 one with 128, 32 one with 256; from 64 on they have 512
// and more. Peers are so many that each finds 50 to 70 KiB. A .torrent of 8 MiB, the largest, goes through `control` from 64 MiB on.
constexpr MemoryPlan k_plans[] = {
    {.memory_mib = 8,
     .peers = 20,
     .cold_reads = 4,
     .blocks_open = 48,
     .announces = 2,
     .datagram_messages = 2,
     .open_files = 16,
     .program_kib = 1536,
     .peers_kib = 1280,
     .utp_kib = 640,
     .reassembly_kib = 256,
     .stream_window_kib = 256,
     .staging_kib = 64,
     .peer_output_kib = 64,
     .control_kib = 1024,
     .torrents_kib = 768,
     .payments_kib = 1024},
    {.memory_mib = 16,
     .peers = 60,
     .cold_reads = 8,
     .blocks_open = 160,
     .announces = 4,
     .datagram_messages = 4,
     .open_files = 32,
     .program_kib = 2048,
     .peers_kib = 3072,
     .utp_kib = 1536,
     .reassembly_kib = 512,
     .stream_window_kib = 512,
     .staging_kib = 128,
     .peer_output_kib = 128,
     .control_kib = 2048,
     .torrents_kib = 2048,
     .payments_kib = 1024},
    {.memory_mib = 32,
     .peers = 150,
     .cold_reads = 16,
     .blocks_open = 400,
     .announces = 8,
     .datagram_messages = 8,
     .open_files = 64,
     .program_kib = 2048,
     .peers_kib = 8192,
     .utp_kib = 2560,
     .reassembly_kib = 1024,
     .stream_window_kib = 1024,
     .staging_kib = 256,
     .peer_output_kib = 256,
     .control_kib = 4096,
     .torrents_kib = 4096,
     .payments_kib = 1024},
    {.memory_mib = 64,
     .peers = 200,
     .cold_reads = 32,
     .blocks_open = 896,
     .announces = 16,
     .datagram_messages = 16,
     .open_files = 64,
     .program_kib = 2048,
     .peers_kib = 14336,
     .utp_kib = 5632,
     .reassembly_kib = 4096,
     .stream_window_kib = 4096,
     .staging_kib = 256,
     .peer_output_kib = 512,
     .control_kib = 12288,
     .torrents_kib = 8192,
     .payments_kib = 1024},
    {.memory_mib = 128,
     .peers = 200,
     .cold_reads = 32,
     .blocks_open = 2048,
     .announces = 16,
     .datagram_messages = 16,
     .open_files = 64,
     .program_kib = 2048,
     .peers_kib = 32768,
     .utp_kib = 8192,
     .reassembly_kib = 4096,
     .stream_window_kib = 4096,
     .staging_kib = 256,
     .peer_output_kib = 512,
     .control_kib = 16384,
     .torrents_kib = 24576,
     .payments_kib = 1024},
    {.memory_mib = 256,
     .peers = 200,
     .cold_reads = 32,
     .blocks_open = 4096,
     .announces = 16,
     .datagram_messages = 16,
     .open_files = 64,
     .program_kib = 2048,
     .peers_kib = 65536,
     .utp_kib = 24576,
     .reassembly_kib = 4096,
     .stream_window_kib = 4096,
     .staging_kib = 256,
     .peer_output_kib = 512,
     .control_kib = 16384,
     .torrents_kib = 65536,
     .payments_kib = 1024},
};

}  // namespace

std::span<const MemoryPlan> memory_plans() { return k_plans; }

const MemoryPlan& memory_plan(uint32_t memory_mib) {
  const MemoryPlan* plan = &k_plans[0];
  for (const MemoryPlan& row : k_plans) {
    if (row.memory_mib <= memory_mib) plan = &row;
  }
  return *plan;
}

std::vector<MemoryShare> memory_budget(const MemoryPlan& plan) {
  constexpr uint64_t k_kib = 1024;
  return {
      {memory_part::k_program, plan.program_kib * k_kib},
      {memory_part::k_receiving, k_stream_read + plan.datagram_messages * k_datagram_read},
      {memory_part::k_sending, 2 * plan.staging_kib * k_kib},
      {memory_part::k_cold_reads, uint64_t{2} * plan.cold_reads * k_block_size},
      {memory_part::k_peers, plan.peers_kib * k_kib},
      {memory_part::k_utp, plan.utp_kib * k_kib},
      {memory_part::k_downloads, uint64_t{plan.blocks_open} * k_block_size},
      {memory_part::k_announces, uint64_t{plan.announces} * k_tracker_reply_size_max},
      {memory_part::k_control, plan.control_kib * k_kib},
      {memory_part::k_torrents, plan.torrents_kib * k_kib},
      {memory_part::k_payments, plan.payments_kib * k_kib},
  };
}

}  // namespace millet
