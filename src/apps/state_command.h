// `millet state`: a node's whole state to and from a file, for another device (driver/state_file.h).
#pragma once

#include "apps/command.h"

namespace millet {

int state_command(const CommandContext& context, CommandArguments arguments);

}  // namespace millet
