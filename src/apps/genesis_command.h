// `millet-ledgerd genesis FILE`: makes a ledger whose pools have the terms of a file.
#pragma once

#include <string>

#include "crypto/sign.h"
#include "ledger/common/pool.h"
#include "store/store.h"

namespace millet {

// The terms of the file's pools. Errors: bad_input, with the file and the line; not_found, io.
Result<std::vector<PoolTerms>> read_genesis_file(const std::string& path, LedgerTime time);

// Makes the ledger, and prints what it is. Errors: conflict (the store has one); of the store.
Status make_ledger(Store& store, const SigningKey& key, std::vector<PoolTerms> pools, LedgerTime time);

}  // namespace millet
