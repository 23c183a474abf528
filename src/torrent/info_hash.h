// The info hash (BEP 3): SHA-1 of the info dictionary exactly as it stands in the .torrent.
#pragma once

#include "codec/metainfo.h"
#include "crypto/hash.h"

namespace millet {

// Requires: the bytes that the metainfo was parsed from are still there.
inline InfoHash info_hash_of(const Metainfo& metainfo) { return InfoHash{Sha1::of(metainfo.info).raw}; }

}  // namespace millet
