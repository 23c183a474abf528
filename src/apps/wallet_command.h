// `millet wallet`: the node's account on the ledger. Works on the key file and the ledger; a running milletd is only asked for its
// settings.
#pragma once

#include "apps/command.h"

namespace millet {

int wallet_command(const CommandContext& context, CommandArguments arguments);

}  // namespace millet
