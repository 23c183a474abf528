#include "ledger/server/genesis.h"

#include <string_view>

namespace millet {
namespace {

constexpr uint32_t sum_per_mille() {
  uint32_t sum = 0;
  for (const GenesisPool& pool : k_genesis_pools) sum += pool.per_mille;
  return sum;
}
static_assert(sum_per_mille() == 1000, "the white paper's issuance is exactly 100.0 %");
static_assert(k_supply_micro % 1000 == 0);
static_assert(std::string_view(k_genesis_pools[k_faucet_pool].name) == "protocol_airdrop");

}  // namespace

SigningKey pool_key(const SigningKey& ledger_key, size_t pool) {
  CHECK(pool < k_genesis_accounts);
  std::vector<uint8_t> context;
  ByteWriter(context).text("BTT1POOL").text(k_genesis_pools[pool].name);
  std::array<uint8_t, SigningKey::k_seed_size> seed = blake2b_256_keyed(ledger_key.seed(), context);
  SigningKey key = SigningKey::from_seed(seed);
  wipe(seed);
  return key;
}

GenesisOperation make_genesis(const SigningKey& ledger_key, LedgerTime time) {
  GenesisOperation genesis;
  genesis.key = ledger_key.public_key();
  genesis.time = time;
  for (size_t i = 0; i < k_genesis_accounts; ++i) {
    genesis.accounts[i] = {pool_key(ledger_key, i).public_key(), Amount::micro(k_supply_micro / 1000 * k_genesis_pools[i].per_mille)};
  }
  return genesis;
}

LedgerId ledger_id(const GenesisOperation& genesis) { return LedgerId{statement_id(genesis).raw}; }

}  // namespace millet
