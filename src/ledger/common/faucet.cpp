#include "ledger/common/faucet.h"

#include "crypto/argon2.h"

namespace millet {
namespace {

constexpr uint64_t k_hashes_per_step = 4096;  // a few milliseconds, 40 on a router

}  // namespace

bool has_leading_zeros(const Hash32& hash, unsigned bits) {
  CHECK(bits <= 256);
  for (size_t i = 0; i < bits / 8; ++i) {
    if (hash[i] != 0) return false;
  }
  return bits % 8 == 0 || (hash[bits / 8] >> (8 - bits % 8)) == 0;
}

bool hashcash_holds(const FaucetWork& work, const Hash32& challenge, const FaucetSolution& solution) {
  uint8_t message[8 + 32 + 16];
  std::memcpy(message, "BTT1CASH", 8);
  std::memcpy(message + 8, challenge.data(), 32);
  store_be<uint64_t>(message + 40, solution.memory_nonce);
  store_be<uint64_t>(message + 48, solution.hashcash_nonce);
  return has_leading_zeros(blake2b_256(message), work.hashcash_bits);
}

Result<bool> memory_work_holds(const FaucetWork& work, const Hash32& challenge, uint64_t memory_nonce) {
  uint8_t password[32 + 8];
  std::memcpy(password, challenge.data(), 32);
  store_be<uint64_t>(password + 32, memory_nonce);
  std::array<uint8_t, 16> salt;
  std::memcpy(salt.data(), challenge.data(), 16);
  TRY_ASSIGN(Hash32 hash, argon2id(password, salt, work.memory_kib));
  return has_leading_zeros(hash, work.memory_bits);
}

Result<FaucetSolver> FaucetSolver::make(const FaucetWork& work, const Hash32& challenge) {
  if (work.hashcash_bits > k_faucet_bits_max || work.memory_bits > k_faucet_bits_max || work.memory_kib > k_faucet_memory_kib_max ||
      work.memory_kib < k_faucet_memory_kib_min) {
    return error(Errc::bad_input, "the ledger asks for more proof of work than is reasonable (" + std::to_string(work.hashcash_bits) +
                                      " and " + std::to_string(work.memory_bits) + " bits, " + std::to_string(work.memory_kib) + " KiB)");
  }
  return FaucetSolver(work, challenge);
}

uint64_t FaucetSolver::steps_expected() const {
  uint64_t hash_steps = (uint64_t{1} << work_.hashcash_bits) / k_hashes_per_step;
  return (uint64_t{1} << work_.memory_bits) + (hash_steps == 0 ? 1 : hash_steps);
}

Result<std::optional<FaucetSolution>> FaucetSolver::step() {
  ++steps_done_;
  if (!memory_done_) {
    TRY_ASSIGN(memory_done_, memory_work_holds(work_, challenge_, at_.memory_nonce));
    if (!memory_done_) ++at_.memory_nonce;
    return std::optional<FaucetSolution>();
  }
  for (uint64_t i = 0; i < k_hashes_per_step; ++i, ++at_.hashcash_nonce) {
    if (hashcash_holds(work_, challenge_, at_)) return std::optional<FaucetSolution>(at_);
  }
  return std::optional<FaucetSolution>();
}

}  // namespace millet
