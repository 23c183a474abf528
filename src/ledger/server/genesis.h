// The start of a ledger: the white paper's issuance table, as accounts (nine pools that are exactly the supply, and ONCHAIN for what will
// live on the TRON chain).
#pragma once

#include "crypto/sign.h"
#include "ledger/common/operation.h"
#include "ledger/server/tables.h"
#include "store/store.h"

namespace millet {

struct GenesisPool {
  const char* name;
  uint32_t per_mille;  // of the supply
};
inline constexpr GenesisPool k_genesis_pools[k_genesis_accounts] = {
    {k_pool_names[0], 60},  {k_pool_names[1], 20},  {k_pool_names[2], 90},  {k_pool_names[3], 101}, {k_pool_names[4], 100},
    {k_pool_names[5], 190}, {k_pool_names[6], 200}, {k_pool_names[7], 199}, {k_pool_names[8], 40},  {k_pool_names[9], 0}};
// Initial balances come from the protocol airdrop.
inline constexpr size_t k_faucet_pool = 4;
inline constexpr size_t k_ecosystem_pool = 7;
inline constexpr size_t k_onchain_pool = 9;

constexpr Amount issued_to(const GenesisPool& pool) { return Amount::micro(k_supply_micro / 1000 * pool.per_mille); }

// The first records of a ledger, still to be written.
struct NewLedger {
  GenesisOperation genesis;
  std::vector<PoolTerms> pools;  // that have terms
};
// A ledger whose pools have no terms: the key of each is derived from the ledger's (pool_key). For tests and demonstrations: whoever runs
// it can spend the pools, at once.
NewLedger new_test_ledger(const SigningKey& ledger_key, LedgerTime time);
// The pools with these terms, whose accounts are nobody's keys (make_keyless); the others as in a test ledger. ONCHAIN is never among them.
NewLedger new_ledger(const SigningKey& ledger_key, LedgerTime time, std::vector<PoolTerms> pools);
// Writes the first records and what follows from them, but not the ledger's own row, without which there is no ledger yet: that is given
// back. Requires: the genesis' accounts hold the supply. Errors: of the store.
Result<LedgerRow> write_beginning(StoreTransaction& transaction, const NewLedger& ledger);
// Makes the ledger in a store that has none. Errors: conflict (there is one); io (the beginning of a copy); of the store.
Status create_ledger(Store& store, const NewLedger& ledger);

// The key of an account without terms, derived from the ledger's. Requires: pool < k_genesis_accounts.
SigningKey pool_key(const SigningKey& ledger_key, size_t pool);
GenesisOperation make_genesis(const SigningKey& ledger_key, LedgerTime time);
LedgerId ledger_id(const GenesisOperation& genesis);

}  // namespace millet
