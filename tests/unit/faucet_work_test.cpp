// The work for an initial balance ends with its challenge.
#include "apps/faucet_work.h"
#include "crypto/sign.h"
#include "unit/test.h"

using namespace millet;

namespace {

FaucetChallenge challenge(FaucetWork work) { return {{}, 1, LedgerTime::from_seconds(1200), work, Amount::micro(1)}; }

void work_is_done_while_the_challenge_is_good(void**) {
  const FaucetChallenge easy = challenge({4, 1, 8});
  auto solution = solve_in_time(easy, LedgerTime::from_seconds(1100));
  assert_true(solution && solution->has_value());
  assert_true(hashcash_holds(easy.work, easy.challenge, **solution));
  assert_true(*memory_work_holds(easy.work, easy.challenge, (*solution)->memory_nonce));
}

void stale_challenges_are_given_up(void**) {
  auto late = solve_in_time(challenge({4, 1, 8}), LedgerTime::from_seconds(1200));
  assert_true(late && !late->has_value());
  // More work than fits into the second that is left.
  auto slow = solve_in_time(challenge({32, 1, 8}), LedgerTime::from_seconds(1199));
  assert_true(slow && !slow->has_value());
}

void unreasonable_work_is_refused(void**) {
  assert_int_equal(solve_in_time(challenge({33, 1, 8}), LedgerTime()).error().code, Errc::bad_input);
}

}  // namespace

int main() {
  if (!crypto_init()) return 1;
  const CMUnitTest tests[] = {
      cmocka_unit_test(work_is_done_while_the_challenge_is_good),
      cmocka_unit_test(stale_challenges_are_given_up),
      cmocka_unit_test(unreasonable_work_is_refused),
  };
  return RUN_TESTS(tests);
}
