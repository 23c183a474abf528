// Where a state can be. LMDB maps its file shared, from a descriptor that can write: a file system without such maps (JFFS2: raw NOR flash, the
// overlay of many routers) refuses that. One without hard links (vfat, exFAT: sticks) has no owners and modes either, which keep keys private.
#pragma once

#include <string>

namespace millet {

// What the file system of this folder lacks for a state, in words for its owner; null: nothing. Tried with files, which are removed. Null where
// that can't be tried (no such folder, no rights, no room), too: opening a store there says better why.
const char* lacks_for_state(const std::string& folder);

}  // namespace millet
