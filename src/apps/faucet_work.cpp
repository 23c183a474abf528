#include "apps/faucet_work.h"

#include <sched.h>
#include <sys/resource.h>
#include <time.h>

#include <algorithm>

#include "apps/terminal.h"

namespace millet {
namespace {

// Goes on while the process is stopped and the machine sleeps.
uint64_t seconds_awake_or_not() {
  struct timespec now;
  clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<uint64_t>(now.tv_sec);
}

}  // namespace

void yield_to_everything_else() {
  setpriority(PRIO_PROCESS, 0, 19);
  const struct sched_param none = {};
  sched_setscheduler(0, SCHED_IDLE, &none);  // the one that counts; where it is refused, the line above has to do
}

Result<std::optional<FaucetSolution>> solve_in_time(const FaucetChallenge& challenge, LedgerTime time) {
  TRY_ASSIGN(FaucetSolver solver, FaucetSolver::make(challenge.work, challenge.challenge));
  Progress progress("proof of work");
  const uint64_t begin = seconds_awake_or_not();
  while (time.plus_seconds(seconds_awake_or_not() - begin) < challenge.valid_until) {
    TRY_ASSIGN(std::optional<FaucetSolution> solution, solver.step());
    if (solution) return solution;
    // The expected number is an average: luck may take longer, and the bar waits at its end.
    progress.update(std::min(solver.steps_done(), solver.steps_expected()), solver.steps_expected(), "Ctrl-Z pauses, fg goes on");
  }
  return std::optional<FaucetSolution>();
}

}  // namespace millet
