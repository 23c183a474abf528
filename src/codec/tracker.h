// The HTTP tracker protocol: announces (BEP 3), compact peers (BEP 23), IPv6 peers (BEP 7). When to announce is the announcer's business.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/endpoint.h"
#include "base/ids.h"
#include "base/result.h"

namespace millet {

inline constexpr uint32_t k_tracker_reply_size_max = 256 * 1024;  // 40,000 compact peers; more than a tracker has reason to send
inline constexpr size_t k_tracker_peers_max = 1000;               // further ones are dropped: nobody connects to as many at once
inline constexpr uint32_t k_tracker_interval_max_s = 24 * 3600;   // a longer one would silence a torrent for good
inline constexpr size_t k_tracker_id_size_max = 256;              // it comes back in every announce; a longer one is ignored

enum class AnnounceEvent : uint8_t { none, started, completed, stopped };

struct AnnounceRequest {
  InfoHash info_hash;
  PeerId peer_id;
  uint16_t port = 0;      // where we listen
  uint64_t uploaded = 0;  // bytes since `started`
  uint64_t downloaded = 0;
  uint64_t left = 0;  // bytes that are missing
  AnnounceEvent event = AnnounceEvent::none;
  uint32_t key = 0;           // tells the tracker that it is us when our address has changed
  uint32_t peers_wanted = 0;  // "numwant"
  std::string tracker_id;     // from the last reply; empty: none
};

// The URL to get. A query that the tracker's URL has already (a passkey) is kept.
// Errors: those of Url::parse; bad_input if the result is too long.
Result<std::string> announce_url(std::string_view tracker, const AnnounceRequest& request);

struct AnnounceReply {
  std::optional<std::string> failure;      // the tracker refuses, in its words, printable; nothing else is set then
  std::string warning;                     // printable; usually empty
  std::optional<uint32_t> interval_s;      // until the next announce; at most k_tracker_interval_max_s
  std::optional<uint32_t> min_interval_s;  // the tracker does not want to hear from us sooner
  std::optional<std::string> tracker_id;
  std::optional<uint32_t> complete;    // seeds
  std::optional<uint32_t> incomplete;  // leechers
  std::vector<Endpoint> peers;         // with usable addresses and ports; our own may be among them
};

// Errors: bad_input if it is no announce reply (no bencode, a key of the wrong type, a ragged list of compact peers).
Result<AnnounceReply> parse_announce_reply(Bytes body);

}  // namespace millet
