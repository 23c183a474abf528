// Which folder holds the state if nobody names one: the usual one, or, where LMDB can't be there (store/lmdb/place.h), one on the payload's
// disk. The usual path is then a link to it, so that `millet` and the next start find it.
#pragma once

#include <string>

#include "base/result.h"

namespace millet {

// What the choice asks of the machine.
class StateFolders {
 public:
  virtual ~StateFolders() = default;
  virtual bool exists(const std::string& path) = 0;
  // The path that a link holds; empty: it is no link.
  virtual std::string link_target(const std::string& path) = 0;
  // Whether LMDB can be in a folder that exists.
  virtual bool can_map(const std::string& folder) = 0;
  // Errors: denied, io.
  virtual Status make_link(const std::string& path, const std::string& target) = 0;
};

struct StatePlace {
  std::string folder;
  bool moved = false;  // it is not the usual one
};

// `payload` is node.data, or empty. Errors: unsupported (neither can hold it), not_found (the disk of an earlier choice is not there),
// those of make_link().
Result<StatePlace> choose_state_place(const std::string& usual, const std::string& payload, StateFolders& folders);

}  // namespace millet
