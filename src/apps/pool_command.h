// `millet pool`: the pools of the ledger's genesis, for whoever has their keys.
#pragma once

#include "apps/command.h"

namespace millet {

int pool_command(const CommandContext& context, CommandArguments arguments);

}  // namespace millet
