#include "node/memory_use.h"

namespace millet {

uint64_t memory_of(const Peer& peer) {
  uint64_t bytes = sizeof(Peer) + peer.requests.memory() + peer.asked.memory();
  return peer.session == nullptr ? bytes : bytes + peer.session->memory();
}

uint64_t memory_of(const Torrent& torrent) {
  // The picker keeps the availability and the requesters of each piece; two bitfields stand beside `have` while it checks or saves.
  constexpr uint64_t k_picker_per_piece = 16;
  uint64_t pieces = torrent.layout.piece_count();
  uint64_t bytes = sizeof(Torrent) + torrent.piece_hashes.capacity() + 3 * (pieces / 8 + 1) + torrent.peer_list.memory();
  bytes += torrent.files.capacity() * (sizeof(TorrentFile) + sizeof(FileStates::value_type));
  for (const TorrentFile& file : torrent.files) bytes += file.path.size();
  // One that may have to be downloaded counts as if it were: it is added only if it fits then, too.
  bool may_download = torrent.picker != nullptr || (!torrent.seed && !(torrent.known && torrent.is_complete()));
  return may_download ? bytes + pieces * k_picker_per_piece : bytes;
}

uint64_t memory_of_peers(const Core& core) {
  uint64_t bytes = 0;
  for (const Peer& peer : core.peers) bytes += memory_of(peer);
  return bytes;
}

uint64_t memory_of_torrents(const Core& core) {
  uint64_t bytes = 0;
  for (const Torrent& torrent : core.torrents) bytes += memory_of(torrent);
  return bytes;
}

void add_use(std::vector<MemoryShare>& budget, std::string_view part, uint64_t bytes) {
  for (MemoryShare& share : budget) {
    if (share.part == part) {
      share.used += bytes;
      return;
    }
  }
  CHECK(false);
}

void add_rest(std::vector<MemoryShare>& budget, uint64_t process_bytes) {
  uint64_t counted = 0;
  for (const MemoryShare& share : budget) counted += share.used;
  if (process_bytes > counted) add_use(budget, memory_part::k_program, process_bytes - counted);
}

std::vector<MemoryShare> node_memory(const Core& core, uint32_t blocks_open) {
  std::vector<MemoryShare> budget = memory_budget(core.plan());
  add_use(budget, memory_part::k_peers, memory_of_peers(core));
  add_use(budget, memory_part::k_torrents, memory_of_torrents(core));
  add_use(budget, memory_part::k_downloads, uint64_t{blocks_open} * k_block_size);
  return budget;
}

}  // namespace millet
