// What a torrent is made of: the regular files below a path, as mktorrent takes them. Links are followed, special files and empty folders
// left out. Unlike there, a file that can't be read is an error: a torrent that silently lacks it helps nobody. And what holds a wallet is
// left out: the state of a node, which may be a folder of its payload, keys, exported states.
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
  std::string first_link;             // path of a link that was followed; empty: there was none
  std::vector<std::string> left_out;  // lines that name what was left out because it holds a wallet, and say so
};

// Errors: not_found, denied (also: the path itself holds a wallet), io; bad_input for what is neither file nor folder, and for links that
// lead back; no_room beyond the bounds of metainfo.h. The text names the path.
Result<Payload> walk_payload(const std::string& path);

}  // namespace millet
