// Which folder holds the state if nobody names one: the usual one, or, where it can't be there (store/lmdb/place.h), one on the payload's
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
  // What the file system of a folder that exists lacks for a state; null: nothing.
  virtual const char* lacks(const std::string& folder) = 0;
  // Errors: denied, io.
  virtual Status make_link(const std::string& path, const std::string& target) = 0;
};

struct StatePlace {
  std::string folder;
  const char* lacks = nullptr;  // why it is not the usual one, from now on
};

// `payload` is node.data, or empty. Errors: unsupported (neither can hold it), not_found (the disk of an earlier choice is not there),
// those of make_link().
Result<StatePlace> choose_state_place(const std::string& usual, const std::string& payload, StateFolders& folders);

}  // namespace millet
