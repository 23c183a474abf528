// What a torrent is made of: the regular files below a path, as mktorrent takes them. Links are followed, special files and empty folders
// left out. Unlike there, a file that can't be read is an error: a torrent that silently lacks it helps nobody.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "torrent/create.h"

namespace millet {

struct Payload {
  std::string folder;  // that CreateFile::path is below
  std::string name;    // the last component of the path
  bool single_file = false;
  std::vector<CreateFile> files;
  std::string first_link;  // path of a link that was followed; empty: there was none
};

// Errors: not_found, denied, io; bad_input for what is neither file nor folder, and for links that lead back; no_room beyond the bounds of
// metainfo.h. The text names the path.
Result<Payload> walk_payload(const std::string& path);

}  // namespace millet
