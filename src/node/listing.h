// What the node shows of itself, taken from its parts (status.h).
#pragma once

#include "node/core.h"
#include "node/payments.h"
#include "node/persistence.h"

namespace millet {

std::vector<TorrentStatus> list_torrents(const Core& core, const Payments& payments, Instant now);
std::vector<PeerStatus> list_peers(const Core& core, const Payments& payments, Instant now, const std::optional<InfoHash>& hash);
NodeStats node_stats(const Core& core, const Persistence& persistence, const Payments& payments, Instant now);

}  // namespace millet
