// Where a program keeps its durable state if nobody says otherwise.
#pragma once

#include <string>

namespace millet {

// /var/lib/PROGRAM for root; else PROGRAM in the user's state folder ($XDG_STATE_HOME, or ~/.local/state).
std::string default_state_folder(const std::string& program);

}  // namespace millet
