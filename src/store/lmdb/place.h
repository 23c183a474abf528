// Where LMDB can be. It maps its file shared, from a descriptor that can write: a file system without such maps (JFFS2: raw NOR flash, the
// overlay of many routers) refuses that.
#pragma once

#include <string>

namespace millet {

// Whether files of this folder can be mapped so. Tried with a file, which is removed. True where that can't be tried (no such folder, no
// rights, no room): opening a store there says better why.
bool can_map_files_of(const std::string& folder);

}  // namespace millet
