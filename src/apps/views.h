// How `millet` shows what milletd answered to people: one function per listing, from the reply's JSON to text.
#pragma once

#include <string>

#include "control/json.h"

namespace millet {

std::string torrents_view(const Json& reply);
std::string torrent_view(const json_t* torrent);
std::string peers_view(const Json& reply);
std::string bids_view(const Json& reply);
// Each bid and price with what it was based on.
std::string bids_explained(const Json& reply);
// One line per day, and one for all.
std::string history_view(const Json& reply);
std::string history_by_torrent(const Json& reply);
std::string channels_view(const Json& reply);
std::string stats_view(const Json& reply);

}  // namespace millet
