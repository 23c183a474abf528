// JSON values hold what a request had, and one of them is a passphrase (`unlock`).
#pragma once

namespace millet {

// From now on memory that JSON values and their parser give back is wiped.
void wipe_json_memory();

}  // namespace millet
