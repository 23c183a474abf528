// What the node shows of itself, taken from its parts (status.h).
#pragma once

#include "node/core.h"
#include "node/persistence.h"

namespace millet {

std::vector<TorrentStatus> list_torrents(const Core& core, Instant now);
std::vector<PeerStatus> list_peers(const Core& core, Instant now, const std::optional<InfoHash>& hash);
NodeStats node_stats(const Core& core, const Persistence& persistence, Instant now);

}  // namespace millet
