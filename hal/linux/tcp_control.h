// What the kernel's TCP says and can be told of one socket. Apart from the rest, because the system's and the C library's headers of TCP
// can't be included together, and the library's is older than what is needed here.
#pragma once

#include <optional>
#include <string_view>

#include "hal/streams.h"

namespace millet::hal {

// False: the kernel does not have it, or does not let us.
bool set_congestion_control(int fd, std::string_view name);
// Nothing: no TCP, or a kernel before 4.6.
std::optional<StreamProgress> tcp_progress(int fd);

}  // namespace millet::hal
