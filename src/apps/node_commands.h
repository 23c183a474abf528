// The commands of `millet` that talk to a running milletd: what they take and how they print what comes back.
#pragma once

#include "apps/command.h"

namespace millet {

int add_command(const CommandContext& context, CommandArguments arguments);
int list_command(const CommandContext& context, CommandArguments arguments);
int show_command(const CommandContext& context, CommandArguments arguments);
int peers_command(const CommandContext& context, CommandArguments arguments);
int bids_command(const CommandContext& context, CommandArguments arguments);
int history_command(const CommandContext& context, CommandArguments arguments);
int channels_command(const CommandContext& context, CommandArguments arguments);
int stats_command(const CommandContext& context, CommandArguments arguments);
int remove_command(const CommandContext& context, CommandArguments arguments);
int verify_command(const CommandContext& context, CommandArguments arguments);
int pause_command(const CommandContext& context, CommandArguments arguments);
int resume_command(const CommandContext& context, CommandArguments arguments);
int unlock_command(const CommandContext& context, CommandArguments arguments);
int set_command(const CommandContext& context, CommandArguments arguments);

}  // namespace millet
