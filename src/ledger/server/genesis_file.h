// The file that a ledger is made from: the terms of the nine pools, in UCI syntax (config/genesis.conf).
//
//     config pool 'tron_airdrop'
//         option amount '99990000000'      BTT; must be what the issuance table gives it
//         option at_start '0'              BTT of it that vest at once
//         option begin '0'                 seconds since 1970 UTC; 0: when the ledger is made
//         option period '2629800'          seconds
//         option periods '72'              0: everything vests at `begin`
//         list   key '...'                 at most three public keys or addresses
//         option threshold '1'             of them that must sign
#pragma once

#include <string_view>

#include "ledger/common/pool.h"

namespace millet {

inline constexpr size_t k_genesis_file_size_max = 64 * 1024;

// The terms of all nine pools, in the order of the table, with accounts that are nobody's keys. `time`: when the ledger is made.
// Errors: bad_input as "line 3: what is wrong; what to do".
Result<std::vector<PoolTerms>> parse_genesis_file(std::string_view text, LedgerTime time);

}  // namespace millet
