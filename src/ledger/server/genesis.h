// The start of a ledger: the white paper's issuance table, as accounts (nine pools that are exactly the supply, and ONCHAIN for what will
// live on the TRON chain).
#pragma once

#include "crypto/sign.h"
#include "ledger/common/operation.h"

namespace millet {

struct GenesisPool {
  const char* name;
  uint32_t per_mille;  // of the supply
};
inline constexpr GenesisPool k_genesis_pools[k_genesis_accounts] = {
    {"public_sale", 60},      {"private_sale", 20},     {"seed_sale", 90},  {"tron_airdrop", 101}, {"protocol_airdrop", 100},
    {"team_foundation", 190}, {"tron_foundation", 200}, {"ecosystem", 199}, {"partnership", 40},   {"onchain", 0}};
// Initial balances come from the protocol airdrop.
inline constexpr size_t k_faucet_pool = 4;

// The key of a pool's account, derived from the ledger's: whoever runs the ledger can spend the pools, with the signatures that everybody
// needs. Requires: pool < k_genesis_accounts.
SigningKey pool_key(const SigningKey& ledger_key, size_t pool);
GenesisOperation make_genesis(const SigningKey& ledger_key, LedgerTime time);
LedgerId ledger_id(const GenesisOperation& genesis);

}  // namespace millet
