// LMDB's and the system's error numbers as errors that a person can act on. Not for use outside store/lmdb.
#pragma once

#include <string>

#include "base/result.h"

namespace millet {

// `doing` is a verb phrase: "write the state in /var/lib/millet".
Error lmdb_error(int code, const std::string& doing);

}  // namespace millet
