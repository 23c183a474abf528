#include "ledger/common/pool.h"

#include <algorithm>

#include "crypto/hash.h"
#include "crypto/sign.h"

namespace millet {

Amount vested(Amount issued, const Vesting& vesting, LedgerTime time) {
  CHECK(vesting.at_start <= issued);
  if (time < vesting.begin) return Amount();
  if (vesting.periods == 0 || vesting.period_s == 0) return issued;
  uint64_t passed = std::min<uint64_t>(time.seconds_since(vesting.begin) / vesting.period_s, vesting.periods);
  // rest * passed / periods without its product: quotient and remainder apart. The second product is below 2^64, as both factors are
  // below 2^32.
  uint64_t rest = issued.in_micro() - vesting.at_start.in_micro();
  uint64_t part = rest / vesting.periods * passed + rest % vesting.periods * passed / vesting.periods;
  return Amount::micro(vesting.at_start.in_micro() + part);
}

PublicKey pool_account(const PoolTerms& terms) { return PublicKey{blake2b_256(preimage(terms))}; }

void make_keyless(PoolTerms& terms) {
  // One hash in sixteen is a key.
  for (terms.nudge = 0; is_public_key(pool_account(terms)); ++terms.nudge) CHECK(terms.nudge < UINT8_MAX);
}

bool pool_signatures_hold(const PoolKeys& keys, Bytes message, const PoolSignatures& signatures) {
  if (keys.threshold == 0) return false;
  size_t count = 0;
  for (size_t i = 0; i < signatures.size(); ++i) {
    if (signatures[i].is_zero()) continue;
    if (keys.keys[i].is_zero() || !verify(keys.keys[i], message, signatures[i])) return false;
    ++count;
  }
  return count >= keys.threshold;
}

}  // namespace millet
