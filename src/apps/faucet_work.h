// The proof of work for an initial balance, as `millet wallet claim` does it: at the lowest priority, with progress, for as long as the
// challenge is good.
#pragma once

#include <optional>

#include "ledger/common/api.h"

namespace millet {

// From now on this process runs only when nothing else wants to: a milletd that seeds beside it does not notice the work.
void yield_to_everything_else();

// The solution; nothing if the challenge went stale before there was one, because the machine is slow or the work was paused (SIGSTOP,
// Ctrl-Z, suspend). `time` is the ledger's, of now. Errors: bad_input (unreasonable work), no_room (memory).
Result<std::optional<FaucetSolution>> solve_in_time(const FaucetChallenge& challenge, LedgerTime time);

}  // namespace millet
