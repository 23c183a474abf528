// `millet ledger`: what a third party can check about a ledger without it and without a node.
#pragma once

#include "apps/command.h"

namespace millet {

int ledger_command(const CommandContext& context, CommandArguments arguments);

}  // namespace millet
