// What a node shows of itself (node/status.h) as JSON objects, with the keys that scripts rely on.
#pragma once

#include "control/json.h"
#include "node/status.h"

namespace millet {

Json row_of(const TorrentStatus& torrent);
Json row_of(const PeerStatus& peer);
Json row_of(const AuctionRound& round);
Json row_of(const OwnBid& bid);
Json row_of(const HistoryDay& day);
Json row_of(const ChannelStatus& channel);
Json row_of(const std::vector<MemoryShare>& memory);
Json row_of(const DeviceReadings& device, bool disk_sleeps);
Json row_of(const NodeStats& stats);
Json row_of(const TransportStatus& transport);

}  // namespace millet
