// Looks whether an LMDB file can be read without a crash. LMDB 0.9 has no checksums and dies on many kinds of damage (segmentation
// fault, assertion), so a child process walks the file first. Damage inside a value goes unseen. Not for use outside store/lmdb.
#pragma once

#include <string>

#include "base/result.h"

namespace millet {

// Requires: nothing else has the file open for writing. Errors: io (damaged), no_room (no process).
Status probe_lmdb_file(const std::string& folder);
// What the child's end, as waitpid() tells it, says about the file.
Status judge_probe(int status, const std::string& file);

}  // namespace millet
