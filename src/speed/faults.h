// Bugs that tests plant to see that they are found. Never set by the product; a build without MILLET_PLANTED_BUGS does not even have them.
#pragma once

#include <cstdint>

namespace millet::speed {

#ifdef MILLET_PLANTED_BUGS
inline constexpr bool k_planted_bugs = true;
#else
inline constexpr bool k_planted_bugs = false;
#endif

enum class Bug : uint8_t {
  none,
  skip_persist,    // both sides: promises do not wait for their commit
  exposure,        // provider: sends a block more than the window allows
  pay_unverified,  // requester: pays for blocks before their piece verified
  pay_twice,       // requester: counts each piece twice
  any_price,       // requester: honours a RATE above its bid
  reuse_seq,       // requester: goes on below its leased sequence after a crash
  replay_counts,   // provider: counts a payment again that it got before
  forgery_counts,  // provider: does not look at signatures
  early_durable,   // provider: acknowledges as durable what is only counted
  never_close,     // provider: never claims or closes a channel
  forget_debt,     // provider: a new connection begins without debt
  forget_voucher,  // provider: says that it holds no payment when it is asked where a channel stands
  first_price,     // auction: winners pay their own bid
  skip_hash,       // node: takes pieces without looking at their hashes
};

// The bug of one node.
struct Faults {
  Bug bug = Bug::none;
  constexpr bool has(Bug one) const { return k_planted_bugs && bug == one; }
  // Bytes beyond the window.
  constexpr uint32_t exposure_extra() const { return has(Bug::exposure) ? 16 * 1024 : 0; }
};

}  // namespace millet::speed
