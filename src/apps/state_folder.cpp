#include "apps/state_folder.h"

#include <stdlib.h>
#include <unistd.h>

namespace millet {

std::string default_state_folder(const std::string& program) {
  if (::geteuid() == 0) return "/var/lib/" + program;
  if (const char* state = ::getenv("XDG_STATE_HOME"); state != nullptr && *state == '/') return std::string(state) + "/" + program;
  const char* home = ::getenv("HOME");
  return std::string(home == nullptr ? "" : home) + "/.local/state/" + program;
}

}  // namespace millet
