// What the small files of a program have in common (keys, the witness, the audit's note): the text of an error, and a folder made durable.
#pragma once

#include <string>

#include "base/result.h"

namespace millet {

// errno after `doing` ("can't open the key file /a/b") failed.
Error file_error(const std::string& doing);

// Makes a name in the folder of `path` durable: created, renamed, removed. Errors: of the system; `what` names the file ("the key file
// /a/b").
Status sync_folder_of(const std::string& path, const std::string& what);

}  // namespace millet
