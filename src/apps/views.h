// How `millet` shows what milletd answered to people: one function per listing, from the reply's JSON to text.
#pragma once

#include <string>

#include "control/json.h"

namespace millet {

std::string torrents_view(const Json& reply);
std::string torrent_view(const json_t* torrent);
std::string peers_view(const Json& reply);
std::string bids_view(const Json& reply);
std::string channels_view(const Json& reply);
std::string stats_view(const Json& reply);

}  // namespace millet
