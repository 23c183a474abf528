// The proof of work for an initial balance (white paper: "an initial balance by proof of work"). Two stages, each over the one before:
//
//   challenge    made by the ledger for one key and epoch; a solution for it is worth nothing for another key, ledger or time
//   memory       Argon2id(password = challenge | memory_nonce u64, salt = challenge[0..15], 1 pass, memory_kib)     memory_bits leading
//   zeros hashcash     BLAKE2b-256("BTT1CASH" | challenge | memory_nonce u64 | hashcash_nonce u64)                      hashcash_bits
//   leading zeros
//
// The memory stage is what a graphics card can't do much faster than a router. The ledger checks the hashcash first, which is cheap, and
// only then the one Argon2id evaluation: whoever wants to keep it busy works longer than the ledger does.
#pragma once

#include <optional>

#include "codec/fields.h"
#include "crypto/hash.h"

namespace millet {

// How hard it is.
struct FaucetWork {
  uint8_t hashcash_bits = 18;
  uint8_t memory_bits = 4;
  uint32_t memory_kib = 16 * 1024;
  static constexpr auto k_fields =
      field_list(field("hashcash_bits", &FaucetWork::hashcash_bits), field("memory_bits", &FaucetWork::memory_bits),
                      field("memory_kib", &FaucetWork::memory_kib));
  bool operator==(const FaucetWork&) const = default;
};
// Work that a client refuses: above it a ledger wastes its users' electricity or their memory.
inline constexpr uint8_t k_faucet_bits_max = 32;
inline constexpr uint32_t k_faucet_memory_kib_max = 64 * 1024;
inline constexpr uint32_t k_faucet_memory_kib_min = 8;

// What no operator gives: else the pool that initial balances come from would be the operator's own. An audit checks both.
inline constexpr Amount k_faucet_grant_max = Amount::micro(1'000 * uint64_t{1'000'000});
inline constexpr Amount k_faucet_day_max = Amount::micro(10'000'000 * uint64_t{1'000'000});  // by the ledger's time, UTC

// What the ledger gives for a solved CAPTCHA: it stands for the work, or beside it, as the ledger wants. Only the ledger can make one, and
// it is good for the key and the network (/24, /48) that asked, for a while.
struct CaptchaTicket {
  LedgerTime valid_until;
  Hash32 mac{};
  static constexpr auto k_fields = field_list(field("valid_until", &CaptchaTicket::valid_until), field("mac", &CaptchaTicket::mac));
  bool operator==(const CaptchaTicket&) const = default;
};

struct FaucetSolution {
  uint64_t memory_nonce = 0;
  uint64_t hashcash_nonce = 0;
};

// True if the hash begins with `bits` zero bits. Requires: bits <= 256.
bool has_leading_zeros(const Hash32& hash, unsigned bits);
bool hashcash_holds(const FaucetWork& work, const Hash32& challenge, const FaucetSolution& solution);
// Errors: no_room (memory). Requires: k_faucet_memory_kib_min <= work.memory_kib.
Result<bool> memory_work_holds(const FaucetWork& work, const Hash32& challenge, uint64_t memory_nonce);

// Looks for a solution in bounded steps, so that it can be stopped and shows progress. On a worker: a step takes up to a second on a
// router.
class FaucetSolver {
 public:
  // Errors: bad_input if the ledger asks for more work than is reasonable.
  static Result<FaucetSolver> make(const FaucetWork& work, const Hash32& challenge);

  // One Argon2id evaluation, or some thousand hashes. The solution once it is found. Errors: no_room (memory).
  Result<std::optional<FaucetSolution>> step();
  // Steps done, and how many it takes on average in all: for a progress bar.
  uint64_t steps_done() const { return steps_done_; }
  uint64_t steps_expected() const;

 private:
  FaucetSolver(const FaucetWork& work, const Hash32& challenge) : work_(work), challenge_(challenge) {}
  FaucetWork work_;
  Hash32 challenge_;
  FaucetSolution at_;
  bool memory_done_ = false;
  uint64_t steps_done_ = 0;
};

}  // namespace millet
