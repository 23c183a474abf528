// A policy for grants as a document, in UCI syntax (config/policy.conf). What is signed and published is the POLICY operation that it
// becomes.
//
//     config policy
//         option pool 'ecosystem'
//         option begin '0'                 seconds since 1970 UTC; 0: now
//         option until '1830297600'
//         option period '2592000'          seconds
//         option per_grant '50000'         BTT
//         option per_period '1000000'      BTT
//         option granter 'ADDRESS'
//         list   recipient 'ADDRESS'       at most eight; none: any account
//         option replaces 'POLICY'         a policy that ends with this one
#pragma once

#include <string_view>

#include "ledger/common/operation.h"

namespace millet {

inline constexpr size_t k_policy_file_size_max = 64 * 1024;
inline constexpr uint8_t k_policy_pools = 9;  // pools of the white paper that have grants

struct PolicyDocument {
  uint8_t pool = 0;           // in the issuance table
  PolicyStatement statement;  // without ledger, account of the pool, and valid_until
};
// `now`: the ledger's time. Errors: bad_input as "line 3: what is wrong".
Result<PolicyDocument> parse_policy_file(std::string_view text, LedgerTime now);

// The place of a pool in the issuance table. Errors: bad_input, with the names that there are.
Result<uint8_t> pool_index(std::string_view name);

}  // namespace millet
