// A .torrent file, version 1: BEP 3, tracker tiers (BEP 12), the private flag (BEP 27).
//
//   d 8:announce <url>  13:announce-list l l <url>... e... e
//     4:info d 5:files l d 6:length i<n>e 4:path l <component>... e e ... e     or   6:length i<n>e   for a single file
//              4:name <name>  12:piece length i<n>e  6:pieces <20 bytes of SHA-1 per piece>  7:private i1e e e
//
// A .torrent comes from anywhere, so everything that could hurt later is refused here: paths that leave the payload's folder or collide,
// sizes that overflow, piece hashes that do not fit. Nothing is rewritten: a changed path would not be what other clients have on disk.
//
// Paths are UTF-8 without control characters; backslashes are ordinary characters, as on every system that this runs on. Where
// "name.utf-8" or "path.utf-8" is there, it counts instead of "name" or "path", as it does in the clients that write it. Pad files and
// links (BEP 47), and torrents that only have version 2 (BEP 52), are refused as unsupported. Unknown keys are ignored.
#pragma once

#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/result.h"

namespace millet {

inline constexpr uint64_t k_metainfo_size_max = 8 * 1024 * 1024;  // 419,430 piece hashes; 99 % of torrents have less than 1 MiB
inline constexpr uint32_t k_piece_size_min = 16 * 1024;           // one block: smaller pieces make more hashes than sense
inline constexpr uint32_t k_piece_size_max = 256 * 1024 * 1024;   // the largest that mktorrent makes
inline constexpr uint32_t k_files_max = 100'000;
inline constexpr size_t k_path_depth_max = 32;                     // components below the torrent's name
inline constexpr size_t k_path_component_max = 255;                // bytes; NAME_MAX of Linux file systems
inline constexpr size_t k_trackers_max = 64;                       // further ones are ignored: nobody announces to more
inline constexpr size_t k_tracker_url_max = 2048;                  // a longer one is ignored
inline constexpr uint64_t k_payload_size_max = uint64_t{1} << 62;  // file offsets are signed 64-bit

struct MetainfoFile {
  std::string path;  // below the payload's folder: "name" of a single file, else "name/component/..."
  uint64_t size = 0;
};

struct Metainfo {
  std::string name;
  std::vector<MetainfoFile> files;  // in the order of the torrent; never empty; empty files are among them
  uint64_t total_size = 0;          // never 0
  uint32_t piece_size = 0;          // of all pieces but the last
  std::vector<uint8_t> piece_hashes;
  bool is_private = false;                              // BEP 27: peers only from its trackers
  std::vector<std::vector<std::string>> tracker_tiers;  // BEP 12; any URL scheme; no tier is empty
  Bytes info;  // the info dictionary as it stands in the input (a view of it): its SHA-1 is the info hash

  uint32_t piece_count() const { return static_cast<uint32_t>(piece_hashes.size() / Sha1Digest::k_size); }
  // Requires: piece < piece_count().
  Sha1Digest piece_hash(uint32_t piece) const {
    return Sha1Digest::from_bytes(Bytes(piece_hashes).subspan(size_t{piece} * Sha1Digest::k_size, Sha1Digest::k_size));
  }
};

// For whoever reads the file: before its bytes are in memory. Errors: no_room above k_metainfo_size_max.
Status check_metainfo_size(uint64_t size);

// Errors: bad_input, unsupported, no_room, each naming the key or file and what is wrong with it.
Result<Metainfo> parse_metainfo(Bytes file);

// What parse_metainfo asks of each path component, and what a torrent is made of (torrent/create.h).
// Errors: bad_input with what is wrong, as "is empty", "is '..'".
Status check_path_component(std::string_view component);

}  // namespace millet
