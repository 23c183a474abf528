// Who a state's file belongs to when root makes it: root's commands must not leave files that the service's user can't open.
#pragma once

#include <string>

namespace millet {

// Gives an open file the owner and group of what is at `path` now, or of its folder if nothing is there. Only root can, nobody else has to.
void give_to_owner_of(const std::string& path, int fd);

}  // namespace millet
