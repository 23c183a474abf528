// `millet create`: makes a .torrent of a file or folder. Needs no running milletd.
#pragma once

#include "apps/command.h"

namespace millet {

int create_command(const CommandContext& context, CommandArguments arguments);

}  // namespace millet
