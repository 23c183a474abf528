// What the parts of a node hold in memory now, counted from their tables: against the limits of memory_plan.h, and for listings.
#pragma once

#include "node/core.h"

namespace millet {

// Bytes.
uint64_t memory_of(const Peer& peer);
uint64_t memory_of(const Torrent& torrent);
uint64_t memory_of_peers(const Core& core);
uint64_t memory_of_torrents(const Core& core);
// Adds to the line of the budget that is called `part`. Requires: there is one.
void add_use(std::vector<MemoryShare>& budget, std::string_view part, uint64_t bytes);
// What the process takes beyond all that is counted is the program's: `process_bytes` in all.
void add_rest(std::vector<MemoryShare>& budget, uint64_t process_bytes);
// The whole budget with what the node itself uses of it.
std::vector<MemoryShare> node_memory(const Core& core, uint32_t blocks_open);

}  // namespace millet
